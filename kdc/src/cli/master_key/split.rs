//! `keycell master-key split`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::moment::time;
use super::super::output::Output;
use super::super::{Global, Outcome};
use crate::administration::Caller;
use crate::audit::Action;
use crate::cell::{Cell, private_folder};
use crate::clock::{Clock as _, SystemClock};
use crate::files;
use crate::keyring::shares::{self, Share};
use crate::store::Act;

/// Each share is a page for one person: print it, give it away, remove the file. Any `--threshold` of them make the master
/// key again; fewer say nothing about it. All versions that the cell's source holds are in them: split again after a
/// rotation. That it was split, and into what, is recorded in the audit log.
#[derive(Debug, Args)]
pub(in crate::cli) struct Split {
    /// How many shares there are to be, at most 32
    #[arg(long, value_name = "N")]
    shares: u8,
    /// How many of them are needed, at least 2
    #[arg(long, value_name = "N")]
    threshold: u8,
    /// The folder to make, mode 0700, with a file for each share; without it, the pages are printed
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    set: String,
    threshold: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<Zeroizing<String>>,
}

impl Split {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let config = global.config()?;
        let keys = config.master_key.load()?;
        let made = shares::split(&keys, self.threshold, self.shares, &mut crate::random::system())?;
        // Before anybody relies on them: they make what was split.
        let needed: Vec<Share> = made
            .iter()
            .rev()
            .take(self.threshold.into())
            .map(|share| share.line().parse())
            .collect::<Result<_, _>>()?;
        if *shares::join(&needed)?.text() != *keys.text() {
            return Err(
                "the shares do not make the master key: that is a mistake of Keycell; nothing was written"
                    .into(),
            );
        }
        // It opens the database, and so it is the right one.
        let cell = Cell::open(&config).await?;
        let set = made.first().map(Share::set_name).unwrap_or_default();
        let now = SystemClock.now();
        let event = Caller::console()
            .event(now, Action::MasterKeySplit, "")
            .with("set", set.as_str())
            .with("shares", self.shares)
            .with("threshold", self.threshold)
            .with("versions", keys.versions());
        let recorded =
            cell.store.commit(&Act { writes: Vec::new(), events: vec![event] }, &cell.audit_key).await;
        cell.store.close().await;
        recorded?;
        let zone = cell.zone.zone.as_str();
        let pages: Vec<_> = made.iter().map(|share| (share.index(), page(share, zone, &time(now)))).collect();
        let mut told = Made { set, threshold: self.threshold, files: Vec::new(), shares: Vec::new() };
        match &self.out {
            Some(folder) => {
                private_folder(folder)?;
                for (index, page) in &pages {
                    let file = folder.join(format!("share-{index}.txt"));
                    files::write_new(&file, page.as_bytes(), 0o600)
                        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
                    told.files.push(file);
                }
            }
            None => told.shares = made.iter().map(Share::line).collect(),
        }
        Ok(output.print(&told, |out| {
            if told.files.is_empty() {
                let sheets: Vec<_> = pages.iter().map(|(_, page)| page.as_str()).collect();
                return write!(out, "{}", *Zeroizing::new(sheets.join("\u{c}")));
            }
            for file in &told.files {
                writeln!(out, "{}", file.display())?;
            }
            writeln!(
                out,
                "Give each to another person, on paper or a stick of its own, and remove the files: together they are the master key."
            )
        })?)
    }
}

/// What one person gets.
fn page(share: &Share, zone: &str, made: &str) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "Keycell: share {} of {} of the master key of zone {zone}\n\
         Set {}, made {made}\n\
         \n\
         Any {} shares of this set make the master key, which opens every key of the zone. This one\n\
         alone says nothing about it. Keep it where nobody else gets at it, and never two of a set\n\
         in one place. Do not photograph, mail or type it anywhere but here:\n\
         \n\
         \u{20}   keycell master-key restore      on the machine of the KDC, when the key is lost\n\
         \u{20}   keycell master-key drill        to practise, and to see that it is still readable\n\
         \n\
         Type the line below, or name this file. Case and dashes do not matter; there is no letter\n\
         I, L, O or U in it. A mistyped character is found.\n\
         \n\
         {}\n",
        share.index(),
        share.count(),
        share.set_name(),
        share.threshold(),
        *share.line()
    ))
}
