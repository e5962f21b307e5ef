//! `keycell party conflicts`

use std::io;

use clap::Args;
use keycell_protocol::{Name, ProblemType};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::{Admin, is, segment};
use super::super::bulk::Bulk;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::{counted, table};
use super::list::state;
use crate::api::{ConflictPage, ConflictView};
use crate::enrollment::{ConflictKind, CopiesKind};

/// Without --clear it shows them. Those of a clone or a shared key are raised by what the KDC sees of the parties' requests,
/// those of the same host at an enrollment. `--clear --all --kind KIND` leaves those that are of another kind too.
#[derive(Debug, Args)]
pub(in crate::cli) struct Conflicts {
    /// Only those of this kind: a key at two addresses, a key that two processes share, a host with another key
    #[arg(long, value_enum)]
    kind: Option<ConflictKind>,
    /// Forget that of this party, or with --all of many, once it is seen to; it comes again if it goes on
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    clear: Option<Option<String>>,
    /// All of them, or all of one --kind; asks first
    #[arg(long, requires = "clear")]
    all: bool,
    /// Do not ask
    #[arg(long, requires = "all")]
    yes: bool,
}

#[derive(Serialize)]
struct Cleared {
    cleared: Vec<Name>,
    /// Those that are of another kind too.
    left: Vec<Name>,
}

impl Conflicts {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        match (&self.clear, self.all) {
            (None, _) => {
                let page = self.read(admin).await?;
                Ok(output.print(&page, |out| write(out, &page.conflicts))?)
            }
            (Some(None), true) => self.clear_all(admin, output).await,
            (Some(Some(name)), false) if self.kind.is_none() => {
                let name = admin.name(name).await?;
                clear(&name, admin).await?;
                Ok(output.print(&serde_json::json!({ "cleared": name }), |out| {
                    writeln!(out, "The conflict of {name} is cleared.")
                })?)
            }
            _ => Err("write --clear NAME, --clear --all, or --clear --all --kind KIND".into()),
        }
    }

    async fn read(&self, admin: &Admin) -> Outcome<ConflictPage> {
        let mut page = ConflictPage { conflicts: Vec::new(), next: None };
        loop {
            let more: ConflictPage = admin
                .get(CONFLICTS)
                .query("limit", Some(MAX_PAGE))
                .query("after", page.next.take())
                .query("kind", self.kind.map(ConflictKind::as_str))
                .read()
                .await?;
            page.conflicts.extend(more.conflicts);
            page.next = more.next;
            if page.next.is_none() {
                return Ok(page);
            }
        }
    }

    /// Those that are shown. A party's conflict goes as a whole: one that is of another kind too is not all seen to.
    async fn clear_all(&self, admin: &Admin, output: &Output) -> Outcome {
        let (chosen, left): (Vec<_>, Vec<_>) = self
            .read(admin)
            .await?
            .conflicts
            .into_iter()
            .partition(|one| self.kind.is_none() || one.copies.is_none() || one.same_host.is_none());
        if !self.yes && !chosen.is_empty() {
            let count = counted(chosen.len() as u64, "conflict", "conflicts");
            let bulk = Bulk { verb: "Clear", done: "cleared", count, look: "keycell party conflicts" };
            bulk.ask(|out| write(out, &chosen))?;
        }
        let mut cleared = Vec::with_capacity(chosen.len());
        for ConflictView { party, .. } in &chosen {
            match clear(party, admin).await {
                Ok(()) => cleared.push(party.clone()),
                // By somebody else, or by an earlier try whose answer was lost.
                Err(error) if is(error.as_ref(), ProblemType::NotFound) => cleared.push(party.clone()),
                Err(error) => {
                    let (done, all) = (cleared.len(), chosen.len());
                    return Err(format!("{done} of {all} are cleared, then {party}: {error}").into());
                }
            }
            if cleared.len().is_multiple_of(BATCH) {
                eprintln!("{} of {} conflicts cleared", cleared.len(), chosen.len());
            }
        }
        let done = Cleared { cleared, left: left.into_iter().map(|one| one.party).collect() };
        Ok(output.print(&done, |out| {
            writeln!(out, "{} cleared.", counted(done.cleared.len() as u64, "conflict is", "conflicts are"))?;
            done.left
                .iter()
                .try_for_each(|name| writeln!(out, "That of {name} is of another kind too, and stays."))
        })?)
    }
}

async fn clear(party: &Name, admin: &Admin) -> Outcome {
    admin.delete(format!("{CONFLICTS}/{}", segment(party.as_str()))).done().await
}

fn write(out: &mut dyn io::Write, conflicts: &[ConflictView]) -> io::Result<()> {
    if conflicts.is_empty() {
        return writeln!(out, "There are no conflicts.");
    }
    let rows = conflicts.iter().flat_map(|conflict| {
        let row = |kind: ConflictKind, places: String, first, last| {
            let ConflictView { party, enabled, .. } = conflict;
            [party.to_string(), state(*enabled).to_owned(), kind.to_string(), places, time(first), time(last)]
        };
        let copies = conflict.copies.as_ref().map(|copies| {
            let [one, other] = copies.addresses;
            let (kind, places) = match copies.kind {
                CopiesKind::Clone => (ConflictKind::Clone, format!("{one} and {other}")),
                CopiesKind::Shared if one == other => (ConflictKind::Shared, one.to_string()),
                CopiesKind::Shared => (ConflictKind::Shared, format!("{one} and {other}")),
            };
            row(kind, places, copies.first_at, copies.last_at)
        });
        let same_host = conflict.same_host.as_ref().map(|same| {
            let others: Vec<_> = same.others.iter().map(ToString::to_string).collect();
            let places = format!("{}, known as {}", same.address, others.join(", "));
            row(ConflictKind::SameHost, places, same.at, same.at)
        });
        copies.into_iter().chain(same_host)
    });
    table(out, ["PARTY", "STATE", "KIND", "WHERE", "SINCE", "LAST TOLD"], rows)
}

const CONFLICTS: &str = "/v1/admin/conflicts";
/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
const BATCH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CopiesView, SameHostView};
    use keycell_protocol::UnixMillis;

    #[test]
    fn a_line_for_each_kind_of_a_party() {
        let at = UnixMillis(1_767_268_800_000);
        let copies = |kind, [one, other]: [&str; 2]| {
            let addresses = [one.parse().unwrap(), other.parse().unwrap()];
            Some(CopiesView { kind, addresses, first_at: at, last_at: at.plus(86_400_000) })
        };
        let same_host = Some(SameHostView {
            others: vec!["nanoprobe.web::00@z".parse().unwrap()],
            address: "192.0.2.9".parse().unwrap(),
            at,
        });
        let view = |name: &str, copies, same_host| ConflictView {
            party: name.parse().unwrap(),
            enabled: name == "a@z",
            copies,
            same_host,
        };
        let mut out = Vec::new();
        let conflicts = [
            view("a@z", copies(CopiesKind::Clone, ["192.0.2.1", "2001:db8::1"]), same_host),
            view("b@z", copies(CopiesKind::Shared, ["192.0.2.1", "192.0.2.1"]), None),
        ];
        write(&mut out, &conflicts).unwrap();
        let lines = [
            "PARTY  STATE     KIND       WHERE                                    SINCE                 LAST TOLD",
            "a@z    enabled   clone      192.0.2.1 and 2001:db8::1                2026-01-01T12:00:00Z  2026-01-02T12:00:00Z",
            "a@z    enabled   same-host  192.0.2.9, known as nanoprobe.web::00@z  2026-01-01T12:00:00Z  2026-01-01T12:00:00Z",
            "b@z    disabled  shared     192.0.2.1                                2026-01-01T12:00:00Z  2026-01-02T12:00:00Z",
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), lines);
        let mut out = Vec::new();
        write(&mut out, &[]).unwrap();
        assert_eq!(out, b"There are no conflicts.\n");
    }
}
