//! `keycell token`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::admin::TOKEN_FILE;
use super::output::{Output, time};
use super::{Global, Outcome};
use crate::cell::Cell;
use crate::clock::{Clock as _, SystemClock};
use crate::files;
use crate::token::{Role, Span};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token for an administrator; needs the cell's own files, not a running KDC
    Create(Create),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whose token it is, for the log
    #[arg(long, default_value = "admin")]
    subject: String,
    /// What its holder may do
    #[arg(long, value_enum, default_value_t = Role::Admin)]
    role: Role,
    /// How long it is good for; it cannot be taken back, so keep it short
    #[arg(long, default_value = "12h")]
    ttl: Span,
    /// The file to write it to, mode 0600; `-` prints it [default: admin.token beside the configuration]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Made {
    subject: String,
    role: Role,
    expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Token {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let Self::Create(create) = self;
        create.run(global, output).await
    }
}

impl Create {
    async fn run(self, global: &Global, output: &Output) -> Outcome {
        let cell = Cell::open(&global.config()?).await?;
        cell.store.close().await;
        let now = SystemClock.now();
        let token = cell.tokens.sign(&self.subject, self.role, now, self.ttl.0)?;
        let out = self.out.unwrap_or_else(|| global.config.with_file_name(TOKEN_FILE));
        let printed = out.as_os_str() == "-";
        if !printed {
            files::replace(&out, format!("{token}\n").as_bytes(), 0o600)
                .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
        }
        let made = Made {
            subject: self.subject,
            role: self.role,
            expires_at: now.seconds().plus(self.ttl.0).0,
            file: (!printed).then_some(out),
            token: printed.then_some(token),
        };
        Ok(output.print(&made, |text| match (&made.file, &made.token) {
            (Some(file), _) => {
                let end = time(keycell_protocol::UnixSeconds(made.expires_at).millis());
                writeln!(
                    text,
                    "A token for {} ({}) is in {}, good until {end}.",
                    made.subject,
                    made.role,
                    file.display()
                )
            }
            (_, token) => writeln!(text, "{}", token.as_deref().unwrap_or_default()),
        })?)
    }
}
