//! `keycell profile`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use super::Outcome;
use super::admin::{Profile as Kept, Profiles};
use super::output::Output;
use super::table::{fields, table};

#[derive(Debug, Subcommand)]
pub(super) enum Profile {
    /// List the profiles
    List,
    /// Show one profile
    Show(Which),
    /// Add a profile, or change all of one; the first is the default
    Add(Add),
    /// Remove a profile; its files stay
    Remove(Which),
    /// Say which profile counts when none is named
    Default(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The profile
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What to call it
    name: String,
    /// The URL of a KDC, https://HOST:PORT; repeat it for more KDCs of the same zone, in the order to try them in
    #[arg(long = "url", required = true, value_hint = ValueHint::Url)]
    urls: Vec<String>,
    /// The root certificates to trust, in PEM; needed with --token-file [default: those of the cell in this folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    roots: Option<PathBuf>,
    /// The file with the administrator's token, mode 0600 [default: admin.token of the cell in this folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct View<'a> {
    name: &'a str,
    default: bool,
    urls: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    roots: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<&'a Path>,
}

impl Profile {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let mut profiles = Profiles::load()?;
        let said = match self {
            Self::List => {
                let views: Vec<_> =
                    profiles.all().iter().map(|(name, kept)| view(&profiles, name, kept)).collect();
                return Ok(output.print(&serde_json::json!({ "profiles": views }), |out| list(out, &views))?);
            }
            Self::Show(which) => {
                let kept = profiles.take(&which.name)?;
                let view = view(&profiles, &which.name, &kept);
                return Ok(output.print(&view, |out| show(out, &view))?);
            }
            Self::Add(add) => add.run(&mut profiles)?,
            Self::Remove(which) => {
                profiles.remove(&which.name)?;
                format!("Profile {} is removed.", which.name)
            }
            Self::Default(which) => {
                profiles.set_default(Some(&which.name))?;
                format!("Profile {} is the default.", which.name)
            }
        };
        profiles.save()?;
        let done = serde_json::json!({ "file": profiles.path(), "default": profiles.default_name() });
        Ok(output.print(&done, |out| writeln!(out, "{said}"))?)
    }
}

impl Add {
    fn run(self, profiles: &mut Profiles) -> Outcome<String> {
        for url in &self.urls {
            let good = reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.has_host());
            if !good {
                return Err(format!("{url} is no URL of a KDC: write https://HOST:PORT").into());
            }
        }
        // The file stands elsewhere: what was relative to this folder would not be any more.
        let absolute = |file: Option<PathBuf>| file.map(std::path::absolute).transpose();
        let kept = Kept::new(self.urls, absolute(self.roots)?, absolute(self.token_file)?);
        profiles.set(&self.name, kept);
        if profiles.all().len() == 1 {
            profiles.set_default(Some(&self.name))?;
        }
        Ok(format!(
            "Profile {0} is in {1}; try `keycell whoami --profile {0}`.",
            self.name,
            profiles.path().display()
        ))
    }
}

fn view<'a>(profiles: &Profiles, name: &'a str, kept: &'a Kept) -> View<'a> {
    View {
        name,
        default: profiles.default_name() == Some(name),
        urls: kept.urls(),
        roots: kept.roots.as_deref(),
        token_file: kept.token_file.as_deref(),
    }
}

fn list(out: &mut dyn std::io::Write, views: &[View<'_>]) -> std::io::Result<()> {
    if views.is_empty() {
        return writeln!(out, "There is no profile; `keycell profile add` makes one.");
    }
    let rows = views.iter().map(|view| {
        let default = if view.default { "default" } else { "" };
        [view.name.to_owned(), default.to_owned(), view.urls.join(", "), file(view.token_file)]
    });
    table(out, ["NAME", "", "URLS", "TOKEN FILE"], rows)
}

fn show(out: &mut dyn std::io::Write, view: &View<'_>) -> std::io::Result<()> {
    let default = if view.default { "yes" } else { "no" };
    fields(
        out,
        [
            ("name", view.name.to_owned()),
            ("default", default.to_owned()),
            ("urls", view.urls.join(", ")),
            ("roots", file(view.roots)),
            ("token file", file(view.token_file)),
        ],
    )
}

fn file(file: Option<&Path>) -> String {
    file.map_or_else(|| "the cell's".to_owned(), |file| file.display().to_string())
}
