//! An administrator who looks at the cell, over HTTPS like any other.

use std::time::Duration;

use keycell_client::https::tls_config;
use keycell_client::protocol::Name;
use zeroize::Zeroizing;

use super::Failure;
use super::cell::DevCell;
use crate::administration::Caller;
use crate::api::{ConflictPage, ConflictView, NewToken};
use crate::token::Role;

/// Holds a token that lets it look, for some minutes.
pub(super) struct Auditor {
    http: reqwest::Client,
    url: String,
    token: Zeroizing<String>,
}

impl Auditor {
    /// # Errors
    /// The KDC gives no token.
    pub(super) async fn of(cell: &DevCell) -> Result<Self, Failure> {
        let ttl_seconds = Some(TTL.as_secs());
        let new = NewToken { subject: "dev-auditor".to_owned(), role: Role::Auditor, ttl_seconds };
        let created = cell.kdc().tokens().create(&Caller::console(), &new, |_| Ok(None)).await?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config(cell.roots())?)
            .https_only(true)
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        Ok(Self { http, url: cell.url(), token: created.token })
    }

    /// What is wrong with a party, if anything is.
    ///
    /// # Errors
    /// The KDC does not answer as it should.
    pub(super) async fn conflict(&self, party: &Name) -> Result<Option<ConflictView>, Failure> {
        let mut url = reqwest::Url::parse(&format!("{}/v1/admin/conflicts", self.url))?;
        url.query_pairs_mut().append_pair("party", party.as_str());
        let answer = self.http.get(url).bearer_auth(&*self.token).send().await?.error_for_status()?;
        let page: ConflictPage = serde_json::from_slice(&answer.bytes().await?)?;
        Ok(page.conflicts.into_iter().find(|conflict| conflict.party == *party))
    }
}

const TTL: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(5);
