//! Which hosts are meant.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};
use keycell_protocol::HostName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A glob on host names, such as `web*.example.com`: `*` stands for any text, dots included, `?` for one character,
/// `[…]` for one of several.
#[derive(Clone)]
pub struct HostPattern {
    text: Box<str>,
    matcher: Box<GlobMatcher>,
}

impl HostPattern {
    /// The longest in bytes.
    pub const MAX: usize = 255;

    /// The one that every host matches.
    #[must_use]
    pub fn any() -> Option<Self> {
        "*".parse().ok()
    }

    /// As it was written.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `host` is one of them.
    #[must_use]
    pub fn matches(&self, host: &HostName) -> bool {
        self.matcher.is_match(host.as_str())
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.*?[]!".contains(&byte);
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(known) {
            return Err(HostPatternError);
        }
        let glob = Glob::new(text).map_err(|_| HostPatternError)?;
        Ok(Self { text: text.into(), matcher: Box::new(glob.compile_matcher()) })
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for HostPattern {}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text is no pattern of host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern of hosts is lower case, such as web*.example.com: letters, digits, . - * ? and [...], at most 255"
)]
pub struct HostPatternError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_match_or_not() {
        for (pattern, host, matches) in [
            ("web*.example.com", "web1.example.com", true),
            ("web*.example.com", "web1.a.example.com", true),
            ("web*.example.com", "db1.example.com", false),
            ("web*.example.com", "web1.example.com.evil", false),
            ("*", "x", true),
            ("db[12]", "db2", true),
            ("db[12]", "db3", false),
            ("db?", "db", false),
        ] {
            let matched = pattern.parse::<HostPattern>().unwrap().matches(&host.parse().unwrap());
            assert_eq!(matched, matches, "{pattern} {host}");
        }
    }

    #[test]
    fn nothing_else_is_a_pattern() {
        for text in ["", "Web*", "web[", "a/b", "a b", "{a,b}", "a\\", &"a".repeat(256)] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    /// What `*` and `?` mean, without any help.
    fn reads(pattern: &[u8], host: &[u8]) -> bool {
        match (pattern, host) {
            ([], rest) => rest.is_empty(),
            ([b'*', pattern @ ..], host) => (0..=host.len()).any(|at| reads(pattern, &host[at..])),
            ([b'?', pattern @ ..], [_, host @ ..]) => reads(pattern, host),
            ([one, pattern @ ..], [other, host @ ..]) => one == other && reads(pattern, host),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_it_reads(
            pattern in r"[ab.*?-]{1,8}",
            host in r"[ab](-?[ab]){0,3}(\.[ab](-?[ab]){0,2}){0,2}",
        ) {
            let parsed: HostPattern = pattern.parse().unwrap();
            prop_assert_eq!(parsed.matches(&host.parse().unwrap()), reads(pattern.as_bytes(), host.as_bytes()));
        }

        #[test]
        fn any_text_is_a_pattern_or_none(text in prop_oneof![r"[a-c0-2.*?!\[\]-]{0,24}", r"[\[\]*!a-]{200,256}", any::<String>()]) {
            let Ok(pattern) = text.parse::<HostPattern>() else { return Ok(()) };
            prop_assert!((1..=HostPattern::MAX).contains(&text.len()));
            prop_assert_eq!(pattern.as_str(), &text);
            let json = serde_json::to_string(&pattern).unwrap();
            prop_assert_eq!(&serde_json::from_str::<HostPattern>(&json).unwrap(), &pattern);
            // What has no wildcard is one host.
            let host = "a.b-1".parse().unwrap();
            if !text.contains(['*', '?', '[']) {
                prop_assert_eq!(pattern.matches(&host), text == "a.b-1");
            }
        }
    }
}
