//! `keycell party delete`

use clap::{ArgGroup, Args};
use keycell_protocol::{Name, ProblemType};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::{Admin, is};
use super::super::bulk::Bulk;
use super::super::output::Output;
use super::super::table::counted;
use super::filters::Filters;
use super::{Expected, list, path, show};
use crate::api::{PartyPage, PartyView};

/// With --all, those that came aboard by themselves, as far as the filters say; one at least is needed. Parties that an
/// administrator made are deleted by name.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["name", "all"]))]
pub(in crate::cli) struct Delete {
    /// Its name, with or without the zone
    name: Option<String>,
    /// All that came aboard by themselves and that the filters are about, such as --seen-before 30d; asks first
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filters: Filters,
    /// Do not ask
    #[arg(long, requires = "all")]
    yes: bool,
    #[command(flatten)]
    expected: Expected,
    /// Let the host come aboard again with the key that it has: without this, the key of a party that came aboard by itself
    /// is denied from now on
    #[arg(long)]
    forget: bool,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Deleted {
    deleted: Vec<Name>,
    /// Those that changed after they were looked at.
    left: Vec<Name>,
}

impl Delete {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        match &self.name {
            Some(_) if self.filters.any() => Err("filters go with --all, and not with a name".into()),
            Some(name) => self.one(&admin.name(name).await?, admin, output).await,
            None if self.expected.if_revision.is_some() => Err("--if-revision goes with a name".into()),
            None if !self.filters.any() => {
                Err("--all takes a filter, such as --seen-before 30d or --host 'web*.example.com'".into())
            }
            None => self.many(admin, output).await,
        }
    }

    async fn one(&self, name: &Name, admin: &Admin, output: &Output) -> Outcome {
        if self.dry_run {
            let view: PartyView = admin.get(path(name)).read().await?;
            return Ok(output.print(&view, |out| {
                writeln!(out, "This would be deleted:\n")?;
                show::write(out, &view)
            })?);
        }
        self.delete(name, self.expected.if_revision, admin).await?;
        Ok(output
            .print(&serde_json::json!({ "deleted": name }), |out| writeln!(out, "{name} is deleted."))?)
    }

    /// Those that are shown, at the revisions that they have then: one that enrolls or is changed in between stays.
    async fn many(&self, admin: &Admin, output: &Output) -> Outcome {
        let page = self.filters.read(Some(true), None, usize::MAX, admin).await?;
        let parties = &page.parties;
        if self.dry_run {
            return Ok(output.print(&page, |out| list::write(out, parties))?);
        }
        if !self.yes && !parties.is_empty() {
            let count = counted(parties.len() as u64, "party", "parties");
            let look = "keycell party delete --all ... --dry-run";
            let bulk = Bulk { verb: "Delete", done: "deleted", count, look };
            bulk.ask(|out| list::write(out, parties))?;
        }
        let deleted = self.delete_all(&page, admin).await?;
        Ok(output.print(&deleted, |out| {
            writeln!(out, "{} deleted.", counted(deleted.deleted.len() as u64, "party is", "parties are"))?;
            deleted.left.iter().try_for_each(|name| writeln!(out, "{name} has changed meanwhile, and stays."))
        })?)
    }

    /// What was deleted before something went wrong stays so, and doing it again goes on from there.
    async fn delete_all(&self, page: &PartyPage, admin: &Admin) -> Outcome<Deleted> {
        let (mut deleted, mut left) = (Vec::new(), Vec::new());
        let all = page.parties.len();
        for PartyView { name, revision, .. } in &page.parties {
            match self.delete(name, Some(*revision), admin).await {
                Ok(()) => deleted.push(name.clone()),
                // By somebody else, or by an earlier try whose answer was lost.
                Err(error) if is(error.as_ref(), ProblemType::NotFound) => deleted.push(name.clone()),
                Err(error) if is(error.as_ref(), ProblemType::PreconditionFailed) => left.push(name.clone()),
                Err(error) => {
                    let done = deleted.len();
                    return Err(format!("{done} of {all} are deleted, then {name}: {error}").into());
                }
            }
            if (deleted.len() + left.len()).is_multiple_of(BATCH) {
                eprintln!("{} of {all} parties deleted", deleted.len());
            }
        }
        Ok(Deleted { deleted, left })
    }

    async fn delete(&self, name: &Name, revision: Option<u64>, admin: &Admin) -> Outcome {
        let forget = self.forget.then_some(true);
        admin.delete(path(name)).query("forget", forget).if_revision(revision).done().await
    }
}

const BATCH: usize = 100;
