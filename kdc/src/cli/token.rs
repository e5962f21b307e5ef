//! `keycell token`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use keycell_protocol::UnixMillis;
use serde::Serialize;
use zeroize::Zeroizing;

use super::admin::{Admin, Place, segment};
use super::moment::{age, span, time};
use super::output::Output;
use super::table::{fields, table};
use super::{Global, Outcome, whoami};
use crate::api::{CreatedToken, NewToken, TokenPage, TokenView};
use crate::cell::{Cell, TOKEN_FILE};
use crate::clock::{Clock as _, SystemClock};
use crate::files;
use crate::token::Role;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token for an administrator
    Create(Create),
    /// List the tokens, the newest first; not the tokens themselves
    List(List),
    /// Show one token; not the token itself
    Show(Which),
    /// Revoke a token: it is refused on every KDC within a second
    Revoke(Revoke),
}

/// Where a KDC is named by the environment or a profile, it makes the token, and the administrator's role is needed.
/// In the folder of a cell its own files make it, with no token and no running KDC.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whose token it is, for the log: 1 to 100 printable characters without spaces
    #[arg(long, default_value = "admin")]
    subject: String,
    /// What its holder may do
    #[arg(long, value_enum, default_value_t = Role::Admin)]
    role: Role,
    /// How long it is good for: 60s to 31d
    #[arg(long, value_name = "SPAN", default_value = "12h", value_parser = ttl)]
    ttl: u64,
    /// The file to write it to, mode 0600; `-` prints it [default: admin.token beside the configuration; from a KDC
    /// the subject and .token]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those that are good, over or revoked
    #[arg(long, value_enum)]
    state: Option<State>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The token's id, which `list` shows
    id: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Revoke {
    /// The token's id, which `list` shows
    id: Option<String>,
    /// The token that this command uses
    #[arg(long = "self")]
    own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Live,
    Expired,
    Revoked,
}

#[derive(Serialize)]
struct Made {
    id: String,
    subject: String,
    role: Role,
    expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Zeroizing<String>>,
}

impl Token {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        if let Self::Create(create) = self {
            return create.run(global, output).await;
        }
        let admin = Admin::new(global)?;
        match self {
            Self::Create(_) => Ok(()),
            Self::List(list) => list.run(&admin, output).await,
            Self::Show(which) => {
                let view: TokenView = admin.get(path(&which.id)).read().await?;
                Ok(output.print(&view, |out| show(out, &view))?)
            }
            Self::Revoke(revoke) => revoke.run(&admin, output).await,
        }
    }
}

impl Create {
    async fn run(self, global: &Global, output: &Output) -> Outcome {
        let place = Place::find(global).ok().filter(|place| place.named && place.has_token());
        let made = match place {
            Some(place) => self.by_kdc(&Admin::at(place)?).await?,
            None => self.by_files(global).await?,
        };
        Ok(output.print(&made, |text| match (&made.file, &made.token) {
            (Some(file), _) => writeln!(
                text,
                "A token for {} ({}) is in {}, good until {}.",
                made.subject,
                made.role,
                file.display(),
                time(keycell_protocol::UnixSeconds(made.expires_at).millis())
            ),
            (_, token) => {
                writeln!(text, "{}", token.as_ref().map(|token| token.as_str()).unwrap_or_default())
            }
        })?)
    }

    async fn by_kdc(self, admin: &Admin) -> Outcome<Made> {
        let out = match self.out {
            Some(out) => out,
            None if self.subject.contains('/') => return Err("name the file to write with --out".into()),
            None => format!("{}.token", self.subject).into(),
        };
        if out.exists() && out.as_os_str() != "-" {
            return Err(format!("{} exists already; choose another with --out", out.display()).into());
        }
        let new = NewToken { subject: self.subject, role: self.role, ttl_seconds: Some(self.ttl) };
        Made::keep(admin.post(TOKENS).json(&new)?.create().await?, &out)
    }

    async fn by_files(self, global: &Global) -> Outcome<Made> {
        let cell = Cell::open(&global.config()?).await?;
        let new = NewToken { subject: self.subject, role: self.role, ttl_seconds: Some(self.ttl) };
        let created = cell.create_token(&new, SystemClock.now()).await;
        cell.store.close().await;
        let out = self.out.unwrap_or_else(|| global.config_path().with_file_name(TOKEN_FILE));
        Made::keep(created?, &out)
    }
}

impl Made {
    /// Writes a token to its file; `-` is none.
    fn keep(created: CreatedToken, out: &Path) -> Outcome<Self> {
        let CreatedToken { info, token } = created;
        let printed = out.as_os_str() == "-";
        if !printed {
            let line = Zeroizing::new(format!("{}\n", *token));
            files::replace(out, line.as_bytes(), 0o600).map_err(|error| {
                let (out, id) = (out.display(), &info.id);
                format!(
                    "cannot write {out}: {error}; the token is made but lost: `keycell token revoke {id}`"
                )
            })?;
        }
        Ok(Self {
            id: info.id,
            subject: info.subject,
            role: info.role,
            expires_at: info.expires_at.seconds().0,
            file: (!printed).then(|| out.to_owned()),
            token: printed.then_some(token),
        })
    }
}

impl List {
    async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let state = self.state.and_then(|state| state.to_possible_value());
        let wanted = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut page = TokenPage { tokens: Vec::new(), next: None };
        while page.tokens.len() < wanted {
            let more: TokenPage = admin
                .get(TOKENS)
                .query("limit", Some((wanted - page.tokens.len()).min(MAX_PAGE)))
                .query("after", page.next.take())
                .query("state", state.as_ref().map(|state| state.get_name().to_owned()))
                .read()
                .await?;
            page.tokens.extend(more.tokens);
            page.next = more.next;
            if page.next.is_none() {
                break;
            }
        }
        let now = SystemClock.now();
        Ok(output.print(&page, |out| {
            let rows = page.tokens.iter().map(|token| {
                [
                    token.id.clone(),
                    token.subject.clone(),
                    token.role.to_string(),
                    standing(token, now),
                    time(token.expires_at),
                    token.created_by.clone(),
                ]
            });
            table(out, ["ID", "SUBJECT", "ROLE", "STATE", "GOOD UNTIL", "MADE BY"], rows)
        })?)
    }
}

impl Revoke {
    async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let id = match self.id {
            Some(id) => id,
            None => whoami::ask(admin)
                .await?
                .token
                .ok_or("this token has no id here: it was made elsewhere, and can only be revoked there")?,
        };
        admin.delete(path(&id)).done().await?;
        Ok(output
            .print(&serde_json::json!({ "revoked": id }), |out| writeln!(out, "Token {id} is revoked."))?)
    }
}

fn show(out: &mut dyn std::io::Write, view: &TokenView) -> std::io::Result<()> {
    fields(
        out,
        [
            ("id", view.id.clone()),
            ("subject", view.subject.clone()),
            ("role", view.role.to_string()),
            ("state", standing(view, SystemClock.now())),
            ("created", time(view.created_at)),
            ("created by", view.created_by.clone()),
            ("good until", time(view.expires_at)),
            ("revoked", view.revoked_at.map_or_else(|| "no".to_owned(), time)),
        ],
    )
}

fn standing(token: &TokenView, now: UnixMillis) -> String {
    if token.revoked_at.is_some() {
        "revoked".to_owned()
    } else if token.expires_at <= now {
        "expired".to_owned()
    } else {
        format!("live, {} left", age(token.expires_at, now))
    }
}

fn ttl(text: &str) -> Result<u64, &'static str> {
    span(text)
        .filter(|seconds| (60..=NewToken::MAX_TTL).contains(seconds))
        .ok_or("write a span from 60s to 31d, such as 12h")
}

fn path(id: &str) -> String {
    format!("{TOKENS}/{}", segment(id))
}

const TOKENS: &str = "/v1/admin/tokens";
/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
