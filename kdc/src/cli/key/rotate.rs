//! `keycell key rotate`

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{DAY, span};
use super::super::output::Output;
use super::hand_out::hand_out;
use super::wait::{Watched, wait};
use crate::api::{RotateKeys, RotationAsked};

/// Have parties replace their keys, or hand out a new one
///
/// A party is told when it next asks for tickets, and replaces its key by itself; the old one is accepted until its
/// tickets have ended. With --key-file, one party gets its new key through you.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whose").required(true).multiple(true))]
pub(in crate::cli) struct Rotate {
    /// Whose keys, with or without the zone
    #[arg(value_name = "NAME", group = "whose", conflicts_with_all = ["matching", "service"])]
    names: Vec<String>,
    /// All enabled parties whose names match this pattern, in this zone without an @, such as web.*
    #[arg(long, visible_alias = "match", group = "whose", value_name = "PATTERN")]
    matching: Option<String>,
    /// All enabled parties of this service: the name up to its first dot
    #[arg(long, group = "whose", value_name = "NAME")]
    service: Option<String>,
    /// Only keys that are older, such as 90d
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: Option<u32>,
    /// Wait until all of them have done so
    #[arg(long)]
    wait: bool,
    /// Make the new key here and now and write it to this file, mode 0600, for a host that you bring it to
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["matching", "service", "older_than", "wait"])]
    key_file: Option<PathBuf>,
    /// Erase the old key at once, because somebody else may have it
    #[arg(long, requires = "key_file", conflicts_with_all = ["matching", "service", "older_than", "wait"])]
    now: bool,
}

#[derive(Debug, Serialize)]
struct Done {
    asked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<u64>,
}

impl Rotate {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let mut names = Vec::with_capacity(self.names.len());
        for name in &self.names {
            names.push(admin.name(name).await?);
        }
        if let Some(file) = self.key_file {
            let [name] = names.as_slice() else {
                return Err("a key file is of one party: name one".into());
            };
            return hand_out(name, file, self.now, admin, output).await;
        }
        let mut requests = if names.is_empty() {
            vec![RotateKeys {
                matching: self.matching.clone(),
                service: self.service.clone(),
                ..RotateKeys::default()
            }]
        } else {
            names
                .chunks(NAMES)
                .map(|names| RotateKeys { names: Some(names.to_vec()), ..RotateKeys::default() })
                .collect()
        };
        let mut asked = 0;
        while let Some(mut request) = requests.pop() {
            request.older_than_days = self.older_than;
            let answer: RotationAsked = admin.post(ROTATE.to_owned()).json(&request)?.create().await?;
            asked += answer.asked;
            if answer.next.is_some() {
                requests.push(RotateKeys { after: answer.next, ..request });
            }
        }
        let rotated = if self.wait {
            let watched = if names.is_empty() {
                Watched::Matching { matching: self.matching, service: self.service }
            } else {
                Watched::Named(names)
            };
            Some(wait(&watched, asked, admin, output).await?)
        } else {
            None
        };
        let done = Done { asked, rotated };
        Ok(output.print(&done, |out| match rotated {
            Some(_) => writeln!(out, "{} replaced.", keys(asked, "is", "are")),
            None => {
                writeln!(out, "{} replaced when the party next asks for tickets.", keys(asked, "is", "are"))
            }
        })?)
    }
}

fn keys(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 key {one}"),
        count => format!("{count} keys {many}"),
    }
}

fn days(text: &str) -> Result<u32, &'static str> {
    span(text)
        .filter(|seconds| seconds.is_multiple_of(DAY))
        .and_then(|seconds| u32::try_from(seconds / DAY).ok())
        .ok_or("write whole days, such as 90d")
}

const ROTATE: &str = "/v1/admin/keys/rotate";
/// The most names of one call.
const NAMES: usize = 1000;
