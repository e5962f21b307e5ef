//! `keycell party`

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use keycell_client::{AgentKey, KdcAddress};
use keycell_protocol::{LongTermKey, Name};
use reqwest::Method;
use serde::Serialize;
use zeroize::Zeroizing;

use super::admin::{Admin, Failed, segment};
use super::output::{Output, time};
use super::{Global, Outcome};
use crate::api::{CreatedParty, NewParty, PartyPage, PartyPatch, PartyView};

#[derive(Debug, Subcommand)]
pub(super) enum Party {
    /// Make a party and write its key file
    Add(Add),
    /// List the parties
    List(List),
    /// Show one party
    Show(Which),
    /// Give a party no more tickets, and nobody tickets for it; what is out ends with its lifetime
    Disable(Which),
    /// Let a disabled party speak again
    Enable(Which),
    /// Delete a party and its keys; tickets that are out end with their lifetime
    Delete(Which),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name, with or without the zone
    name: String,
    /// The key file to write, mode 0600 [default: the local name and .key]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Begin after this name
    #[arg(long)]
    after: Option<String>,
    /// At most so many; all without it
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Its name, with or without the zone
    name: String,
}

#[derive(Debug, Serialize)]
struct Added {
    name: Name,
    key_file: PathBuf,
}

impl Party {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::Add(add) => add.run(&admin, output).await,
            Self::List(list) => list.run(&admin, output).await,
            Self::Show(which) => {
                let view: PartyView = which.call(&admin, Method::GET, None).await?;
                Ok(output.print(&view, |out| table(out, std::slice::from_ref(&view)))?)
            }
            Self::Disable(which) => which.set(false, &admin, output).await,
            Self::Enable(which) => which.set(true, &admin, output).await,
            Self::Delete(which) => {
                let name = which.name(&admin).await?;
                admin.done(Method::DELETE, &path(&name)).await?;
                Ok(output.print(&serde_json::json!({ "deleted": name }), |out| {
                    writeln!(out, "{name} is deleted.")
                })?)
            }
        }
    }
}

impl Add {
    async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let name = Name::in_zone(&self.name, &admin.zone().await?)?;
        let file = self.out.unwrap_or_else(|| format!("{}.key", name.local()).into());
        if file.exists() {
            return Err(format!("{} exists already; choose another with --out", file.display()).into());
        }
        // The secret is made here: should the answer be lost, asking again with the same one is harmless.
        let mut secret = Zeroizing::new([0; LongTermKey::SIZE]);
        rand_core::Rng::fill_bytes(&mut crate::random::system(), &mut *secret);
        let new = NewParty { name: name.clone(), key: Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret))) };
        let created = create(admin, &name, &new).await?;
        let key = AgentKey::new(
            name.clone(),
            LongTermKey::new(created.generation, created.epoch, *secret),
            created.ratchet_period,
            KdcAddress { urls: created.urls, tls_roots: admin.roots().to_owned() },
        );
        key.write_new(&file).map_err(|error| {
            format!("{error}; {name} is made but its key is lost: `keycell party delete {name}`, then add it again")
        })?;
        let added = Added { name, key_file: file };
        Ok(output.print(&added, |out| {
            writeln!(out, "{} is made; its key is in {}.", added.name, added.key_file.display())?;
            writeln!(out, "Bring that file to the party's host, mode 0600, and remove it here.")
        })?)
    }
}

/// Makes the party; an answer that was lost is asked for again, with the same key.
async fn create(admin: &Admin, name: &Name, new: &NewParty) -> Outcome<CreatedParty> {
    let mut attempt = 1;
    loop {
        let error = match admin.call(Method::POST, PARTIES, &[], Some(new)).await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        let uncertain = error.downcast_ref::<Failed>().is_some_and(|failed| failed.uncertain);
        if !uncertain {
            return Err(error);
        }
        if attempt == ATTEMPTS {
            return Err(format!(
                "{error}; {name} may or may not be made: if `keycell party show {name}` finds it, `keycell party delete \
                 {name}`, then add it again"
            )
            .into());
        }
        tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
        attempt += 1;
    }
}

impl List {
    async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let mut parties = Vec::new();
        let mut after = match &self.after {
            Some(name) => Some(Name::in_zone(name, &admin.zone().await?)?),
            None => None,
        };
        let wanted = self.limit.map_or(usize::MAX, |limit| limit as usize);
        while parties.len() < wanted {
            let mut query = vec![("limit", (wanted - parties.len()).min(MAX_PAGE).to_string())];
            query.extend(after.map(|name| ("after", name.to_string())));
            let page: PartyPage = admin.call(Method::GET, PARTIES, &query, None::<&()>).await?;
            parties.extend(page.parties);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let page = PartyPage { parties, next: after };
        Ok(output.print(&page, |out| table(out, &page.parties))?)
    }
}

impl Which {
    async fn name(&self, admin: &Admin) -> Outcome<Name> {
        Ok(Name::in_zone(&self.name, &admin.zone().await?)?)
    }

    async fn call(&self, admin: &Admin, method: Method, body: Option<&PartyPatch>) -> Outcome<PartyView> {
        let name = self.name(admin).await?;
        admin.call(method, &path(&name), &[], body).await
    }

    async fn set(&self, enabled: bool, admin: &Admin, output: &Output) -> Outcome {
        let view = self.call(admin, Method::PATCH, Some(&PartyPatch { enabled })).await?;
        let now = if enabled { "enabled" } else { "disabled" };
        Ok(output.print(&view, |out| writeln!(out, "{} is {now}.", view.name))?)
    }
}

fn path(name: &Name) -> String {
    format!("{PARTIES}/{}", segment(name))
}

fn table(out: &mut dyn std::io::Write, parties: &[PartyView]) -> std::io::Result<()> {
    let width = parties.iter().map(|party| party.name.as_str().len()).max().unwrap_or(0).max("NAME".len());
    writeln!(out, "{:width$}  STATE     KEY               CREATED", "NAME")?;
    for party in parties {
        let state = if party.enabled { "enabled" } else { "disabled" };
        let keys: Vec<_> = party.keys.iter().map(|key| format!("{} {}", key.generation, key.state)).collect();
        writeln!(
            out,
            "{:width$}  {state:8}  {:16}  {}",
            party.name,
            keys.join(", "),
            time(party.created_at)
        )?;
    }
    Ok(())
}

const PARTIES: &str = "/v1/admin/parties";
/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
/// How often a party is asked to be made when the answer does not come.
const ATTEMPTS: u32 = 4;
