//! Where the KDCs are: from a flag, the environment, a profile, or the cell's own files, in this order.

use std::env;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::super::{Global, Outcome};
use super::profile::{Profile, Profiles};
use super::token;
use crate::cell::TOKEN_FILE;
use crate::tls;

/// The KDCs to talk to, and what for.
pub(in crate::cli) struct Place {
    /// Their base URLs, in the order in which they are tried.
    pub(super) urls: Vec<String>,
    roots: Roots,
    token: Token,
    /// Whether URLs or roots are of a cell that nobody named. It was made by whoever may write here: only its own token is
    /// for it.
    found: bool,
    /// Whether it was named by a flag, the environment or a profile, and is not only the cell of this folder.
    pub(in crate::cli) named: bool,
}

enum Roots {
    File(PathBuf),
    Text(String),
}

enum Token {
    OfCell(PathBuf),
    File(PathBuf),
    Text(Zeroizing<String>),
}

impl Place {
    /// Looks for each setting by itself: `KEYCELL_URL` may stand beside a profile that has the rest. A profile named by a
    /// flag comes before the environment; a cell named by a flag or the environment before the default profile.
    pub(in crate::cli) fn find(global: &Global) -> Outcome<Self> {
        let profile = profile(global)?;
        let first = global.profile.is_some();
        let settle = |variable: &str, of_profile: Option<PathBuf>| {
            let of_environment = env::var_os(variable).map(PathBuf::from);
            if first { of_profile.or(of_environment) } else { of_environment.or(of_profile) }
        };
        let of_profile = profile.as_ref().map(|profile| profile.urls().to_vec());
        let of_environment = env::var("KEYCELL_URL").ok().map(|urls| split(&urls));
        let named_urls = if first { of_profile.or(of_environment) } else { of_environment.or(of_profile) };
        let named = named_urls.is_some();
        let urls = match named_urls {
            Some(urls) => urls,
            None => global.config().map_err(|error| format!("{error}; {ELSEWHERE}"))?.urls,
        };
        let roots = match settle("KEYCELL_ROOTS", profile.as_ref().and_then(|p| p.roots.clone())) {
            Some(file) => Roots::File(file),
            None => Roots::Text(tls::roots(
                &global.config().map_err(|error| format!("{error}; {ELSEWHERE}"))?.tls,
            )?),
        };
        let file = settle("KEYCELL_TOKEN_FILE", profile.as_ref().and_then(|p| p.token_file.clone()));
        let of_profile = first && profile.as_ref().is_some_and(|profile| profile.token_file.is_some());
        let found = global.config.is_none() && (!named || matches!(roots, Roots::Text(_)));
        let token = match env::var("KEYCELL_TOKEN") {
            Ok(text) if !of_profile => Token::Text(Zeroizing::new(text.trim().to_owned())),
            _ => match file {
                Some(file) => Token::File(file),
                None => Token::OfCell(global.config_path().with_file_name(TOKEN_FILE)),
            },
        };
        Ok(Self { urls, roots, token, found, named })
    }

    /// Whether there is a token to try.
    pub(in crate::cli) fn has_token(&self) -> bool {
        match &self.token {
            Token::OfCell(file) | Token::File(file) => file.exists(),
            Token::Text(_) => true,
        }
    }

    pub(super) fn token(&self) -> Outcome<Zeroizing<String>> {
        match &self.token {
            Token::OfCell(file) => token::read(file),
            _ if self.found => Err(NOT_FOR_IT.into()),
            Token::File(file) => token::read(file),
            Token::Text(text) => Ok(text.clone()),
        }
    }

    pub(super) fn roots(&self) -> Outcome<String> {
        match &self.roots {
            Roots::File(file) => read_roots(file),
            Roots::Text(text) => Ok(text.clone()),
        }
    }
}

/// The profile that counts, if any does.
fn profile(global: &Global) -> Outcome<Option<Profile>> {
    let wanted = global.profile.clone().or_else(|| env::var("KEYCELL_PROFILE").ok());
    if wanted.is_none() && global.config.is_some() {
        return Ok(None);
    }
    let profiles = Profiles::load()?;
    match wanted {
        Some(name) => profiles.take(&name).map(Some),
        None => profiles.take_default(),
    }
}

fn split(urls: &str) -> Vec<String> {
    urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect()
}

fn read_roots(file: &Path) -> Outcome<String> {
    token::warn_of_others(file, 0o022, "the root certificates");
    Ok(std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read the root certificates {}: {error}", file.display()))?)
}

const NOT_FOR_IT: &str = "the token is not the own one of the cell in this folder, which nobody named: set KEYCELL_URL and KEYCELL_ROOTS, \
     or url and roots in the profile, or name the cell with --config or KEYCELL_CONFIG";
const ELSEWHERE: &str = "elsewhere, `keycell profile add` says where a KDC is, or KEYCELL_URL, KEYCELL_ROOTS and KEYCELL_TOKEN_FILE do";
