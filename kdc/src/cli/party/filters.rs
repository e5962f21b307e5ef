//! Which parties are meant.

use clap::Args;
use keycell_protocol::{JoinTokenId, Name};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::Moment;
use super::PARTIES;
use super::list::state;
use crate::api::{PartyPage, PartyState};
use crate::enrollment::HostPattern;

/// Which parties are meant: those that all of these hold for.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Only of this service: the name up to its first dot
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only names that match this pattern, in this zone without an @, such as web.*
    #[arg(long, value_name = "PATTERN")]
    r#match: Option<String>,
    /// Only those that may speak, or may not
    #[arg(long, value_enum)]
    state: Option<PartyState>,
    /// Only those that asked the KDC for something, or came aboard, since then: a time of RFC 3339, or a span ago such as 7d
    #[arg(long, value_name = "WHEN")]
    seen_since: Option<Moment>,
    /// Only those that did not since then, or never
    #[arg(long, value_name = "WHEN")]
    seen_before: Option<Moment>,
    /// Only those that are told to rotate their key when they next ask for tickets
    #[arg(long)]
    rotation_due: bool,
    /// Only those whose keys were erased, and that have no new one yet
    #[arg(long)]
    keyless: bool,
    /// Only those whose host, as it said when it came aboard, matches this pattern, such as 'web*.example.com'
    #[arg(long, value_name = "PATTERN")]
    host: Option<HostPattern>,
    /// Only those that came aboard by this join token
    #[arg(long, value_name = "ID")]
    join_token: Option<JoinTokenId>,
}

impl Filters {
    /// Whether any is given.
    pub(super) const fn any(&self) -> bool {
        let Self {
            service,
            r#match,
            state,
            seen_since,
            seen_before,
            rotation_due,
            keyless,
            host,
            join_token,
        } = self;
        service.is_some()
            || r#match.is_some()
            || state.is_some()
            || seen_since.is_some()
            || seen_before.is_some()
            || *rotation_due
            || *keyless
            || host.is_some()
            || join_token.is_some()
    }

    /// At most `limit` of them after a name, page by page, in the order of their names.
    pub(super) async fn read(
        &self,
        enrolled: Option<bool>,
        mut after: Option<Name>,
        limit: usize,
        admin: &Admin,
    ) -> Outcome<PartyPage> {
        let (since, before) = (self.seen_since.map(Moment::ago), self.seen_before.map(Moment::ago));
        let mut parties = Vec::new();
        while parties.len() < limit {
            let page: PartyPage = admin
                .get(PARTIES)
                .query("limit", Some((limit - parties.len()).min(MAX_PAGE)))
                .query("after", after.take())
                .query("service", self.service.as_deref())
                .query("match", self.r#match.as_deref())
                .query("state", self.state.map(word))
                .query("seen_since", since.map(|at| at.0))
                .query("seen_before", before.map(|at| at.0))
                .query("rotation_due", self.rotation_due.then_some(true))
                .query("keyless", self.keyless.then_some(true))
                .query("host", self.host.as_ref())
                .query("enrolled", enrolled)
                .query("join_token", self.join_token)
                .read()
                .await?;
            parties.extend(page.parties);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(PartyPage { parties, next: after })
    }
}

const fn word(wanted: PartyState) -> &'static str {
    state(matches!(wanted, PartyState::Enabled))
}

/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
