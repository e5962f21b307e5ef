//! The problems that a KDC reports, one table of them (docs/protocol.md §13).

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Makes the enum, its URNs, titles and HTTP status codes from one table.
macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong: the `type` of a problem document (RFC 9457), `urn:keycell:problem:<name>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemType {
            $($(#[$doc])* $variant,)*
        }

        impl ProblemType {
            /// All of them, in the order of the table in docs/protocol.md §13.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its URN.
            #[must_use]
            pub const fn urn(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("urn:keycell:problem:", $name),)*
                }
            }

            /// A few words for a person; the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }
        }

        impl FromStr for ProblemType {
            type Err = UnknownProblem;

            fn from_str(urn: &str) -> Result<Self, UnknownProblem> {
                match urn {
                    $(concat!("urn:keycell:problem:", $name) => Ok(Self::$variant),)*
                    _ => Err(UnknownProblem),
                }
            }
        }
    };
}

problems! {
    /// The request does not have the form that the operation asks for.
    MalformedRequest = "malformed-request", 400, "The request is malformed";
    /// The party is not known, its signature is wrong, or its key is dead: which of them is not told.
    Unauthenticated = "unauthenticated", 401, "Authentication failed";
    /// The request's timestamp is too far from the KDC's clock; the document carries `server_time`.
    ClockSkew = "clock-skew", 401, "The clocks differ too much";
    /// The request was seen before.
    Replayed = "replayed", 401, "The request was seen before";
    /// The party is disabled.
    PartyDisabled = "party-disabled", 403, "The party is disabled";
    /// No policy rule allows it.
    NotAllowed = "not-allowed", 403, "The policy does not allow it";
    /// No party or group of this zone has the destination's name.
    UnknownDestination = "unknown-destination", 404, "The destination is unknown";
    /// The destination is disabled.
    DestinationDisabled = "destination-disabled", 403, "The destination is disabled";
    /// The destination is in a zone that this one has no trust with.
    UntrustedZone = "untrusted-zone", 403, "The destination's zone is not trusted";
    /// A party asked for a ticket to itself.
    SelfDestination = "self-destination", 400, "Source and destination are the same";
    /// Too many requests from this party or address; the reply says when to try again.
    RateLimited = "rate-limited", 429, "Too many requests";
    /// The KDC has more work than it can do; the reply says when to try again.
    Overloaded = "overloaded", 503, "The KDC is overloaded";
    /// The KDC cannot do this now, for instance because its database is away.
    Unavailable = "unavailable", 503, "The KDC cannot do this at the moment";
    /// There is nothing under this path or name.
    NotFound = "not-found", 404, "Not found";
    /// The path does not take this method.
    MethodNotAllowed = "method-not-allowed", 405, "The method is not allowed here";
    /// The body is larger than the operation takes.
    TooLarge = "too-large", 413, "The body is too large";
    /// The body is not of the media type that the operation takes.
    UnsupportedMediaType = "unsupported-media-type", 415, "The media type is not supported";
    /// The request took too long to arrive.
    Timeout = "timeout", 408, "The request took too long";
    /// What was to be created is there already.
    AlreadyExists = "already-exists", 409, "It exists already";
    /// It was changed by someone else in between.
    Conflict = "conflict", 409, "It was changed in between";
    /// It is not what the caller saw: `If-Match` names another revision.
    PreconditionFailed = "precondition-failed", 412, "It was changed since you looked";
    /// The same `Idempotency-Key` came with another request.
    IdempotencyMismatch = "idempotency-mismatch", 422, "The Idempotency-Key was used for another request";
    /// No mode, no list and no join token lets the host in, or it is denied: which of them is not told.
    EnrollmentRefused = "enrollment-refused", 403, "This host may not enroll";
    /// The host enrolls with an identity that the KDC does not work with; the document carries the `identity` that it does
    /// work with.
    IdentityUnknown = "identity-unknown", 409, "The KDC does not have this identity (any more)";
    /// No administrator's token, or one that does not hold.
    InvalidToken = "invalid-token", 401, "A valid administrator token is needed";
    /// The administrator's role does not reach this far.
    Forbidden = "forbidden", 403, "The role does not allow it";
    /// A fault of the KDC; its log has the details under the request's id.
    Internal = "internal", 500, "The KDC failed";
}

impl fmt::Display for ProblemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl Serialize for ProblemType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.urn())
    }
}

impl<'de> Deserialize<'de> for ProblemType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::name::parse_str(deserializer, "a URN such as urn:keycell:problem:not-found")
    }
}

/// A URN that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this problem type is not known here")]
pub struct UnknownProblem;

/// A problem document (RFC 9457) as a KDC sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong, for a program.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    /// What went wrong, for a person.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do about this occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Which field, parameter or header is at fault, such as `rules[3].source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The KDC's time in Unix milliseconds, in a `clock-skew`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<crate::UnixMillis>,
    /// When to try again, in seconds, in a `rate-limited`, `overloaded` or `unavailable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The identity that the KDC works with, in an `identity-unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<crate::IdentityName>,
    /// Over how many seconds hosts spread out that enroll again, in an `unauthenticated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reenroll_within: Option<u32>,
}

impl Problem {
    /// A document with nothing but its type.
    #[must_use]
    pub fn new(kind: ProblemType) -> Self {
        Self {
            kind,
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: None,
            field: None,
            server_time: None,
            retry_after: None,
            identity: None,
            reenroll_within: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.title),
            None => f.write_str(&self.title),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urns_read_back_and_are_distinct() {
        let mut urns: Vec<_> = ProblemType::ALL.iter().map(|kind| kind.urn()).collect();
        assert!(ProblemType::ALL.iter().all(|kind| kind.urn().parse() == Ok(*kind)));
        urns.sort_unstable();
        urns.dedup();
        assert_eq!(urns.len(), ProblemType::ALL.len());
        assert_eq!("urn:keycell:problem:nothing".parse::<ProblemType>(), Err(UnknownProblem));
    }

    #[test]
    fn a_document_reads_back() {
        let mut problem = Problem::new(ProblemType::RateLimited);
        problem.retry_after = Some(3);
        problem.identity = Some(crate::IdentityName::SECONDARY);
        problem.reenroll_within = Some(600);
        let json = serde_json::to_string(&problem).unwrap();
        assert!(json.contains(r#""type":"urn:keycell:problem:rate-limited""#), "{json}");
        assert!(json.contains(r##""identity":"#KDC#00002","reenroll_within":600"##), "{json}");
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }
}
