//! The administrator's end of the API: a client of the zone's KDCs, with a token.

mod call;
mod place;
mod profile;
mod token;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use keycell_protocol::{Name, Zone};
use reqwest::Method;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Global, Outcome};

pub(super) use call::{Call, Failed, is};
pub(super) use place::Place;
pub(super) use profile::{Profile, Profiles};
pub(super) use token::{others_may_change, warn_of_others};

/// The KDCs of a zone, with a token.
pub(super) struct Admin {
    http: reqwest::Client,
    urls: Vec<String>,
    /// The one of `urls` that answered last.
    current: AtomicUsize,
    token: Zeroizing<String>,
    roots: String,
}

impl Admin {
    /// From what [`Place`] finds.
    pub(super) fn new(global: &Global) -> Outcome<Self> {
        Self::at(Place::find(global)?)
    }

    /// Reads the token and the roots of a place.
    pub(super) fn at(place: Place) -> Outcome<Self> {
        let token = place.token()?;
        let roots = place.roots()?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(keycell_client::https::tls_config(&roots)?)
            .https_only(true)
            .no_proxy()
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .build()?;
        Ok(Self { http, urls: place.urls, current: AtomicUsize::new(0), token, roots })
    }

    /// The root certificates that this zone's hosts are to trust, in PEM.
    pub(super) fn roots(&self) -> &str {
        &self.roots
    }

    /// The zone's name, so that a local name can be made a full one.
    pub(super) async fn zone(&self) -> Outcome<Zone> {
        #[derive(Deserialize)]
        struct View {
            zone: Zone,
        }
        Ok(self.get("/v1/zone").read::<View>().await?.zone)
    }

    /// A full name of what may be a local one.
    pub(super) async fn name(&self, text: &str) -> Outcome<Name> {
        Ok(Name::in_zone(text, &self.zone().await?)?)
    }

    pub(super) fn get(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::GET, path.into())
    }

    pub(super) fn post(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::POST, path.into())
    }

    pub(super) fn put(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PUT, path.into())
    }

    pub(super) fn patch(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PATCH, path.into())
    }

    pub(super) fn delete(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::DELETE, path.into())
    }
}

/// A text as a path segment: everything but letters, digits and `-._~` percent-encoded (RFC 3986 §2.3).
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// How long a KDC may take to be connected to; then it is the next one's turn.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a KDC that is long over a call is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
