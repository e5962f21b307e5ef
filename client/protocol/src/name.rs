//! Names of zones, parties and groups (docs/protocol.md §3).

use core::borrow::Borrow;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A full name: `local@zone`.
///
/// `local` is 1 to 190 bytes of `A–Z a–z 0–9 . _ - + # :` and starts with a letter, a digit or `#`; `zone` is a
/// [`Zone`]. Names are compared byte for byte; there is no folding of any kind. A clone shares the text.
#[derive(Clone)]
pub struct Name {
    full: Arc<str>,
    local_len: u8,
}

impl Name {
    /// The longest `local` in bytes.
    pub const MAX_LOCAL: usize = 190;
    /// The longest full name in bytes; it fits the one-byte length of the wire format.
    pub const MAX: usize = Self::MAX_LOCAL + 1 + Zone::MAX;

    /// Puts a name together from its local part and its zone.
    ///
    /// # Errors
    /// [`NameError`] when the local part breaks a rule.
    pub fn new(local: &str, zone: &Zone) -> Result<Self, NameError> {
        check_local(local.as_bytes())?;
        Ok(Self::join(local, zone.as_str()))
    }

    /// Reads either a full name or a local one, which then belongs to `zone`.
    ///
    /// # Errors
    /// [`NameError`] when either part breaks a rule.
    pub fn in_zone(text: &str, zone: &Zone) -> Result<Self, NameError> {
        if text.contains('@') { text.parse() } else { Self::new(text, zone) }
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        self.full.get(..usize::from(self.local_len)).unwrap_or_default()
    }

    /// The part after the `@`.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.full.get(usize::from(self.local_len) + 1..).unwrap_or_default()
    }

    /// The service: the local part up to its first `.`.
    #[must_use]
    pub fn service(&self) -> &str {
        self.local().split('.').next().unwrap_or_default()
    }

    /// Whether only an administrator may create it (the local part starts with `#`).
    #[must_use]
    pub fn is_administrative(&self) -> bool {
        self.full.starts_with('#')
    }

    /// Whether it may name a group (no `.` in the local part).
    #[must_use]
    pub fn may_be_group(&self) -> bool {
        !self.local().contains('.')
    }

    /// The principal that the zone `asking` is in the zone `at`: `#ZONE#asking@at` (docs/protocol.md §12).
    #[must_use]
    pub fn of_zone(asking: &Zone, at: &Zone) -> Self {
        Self::join(&format!("{ZONE_PREFIX}{asking}"), at.as_str())
    }

    /// Which zone it is the principal of, if it is that of a zone.
    #[must_use]
    pub fn asking_zone(&self) -> Option<Zone> {
        self.local().strip_prefix(ZONE_PREFIX)?.parse().ok()
    }

    /// Whether it is kept for zones: neither a party nor a group has such a name.
    #[must_use]
    pub fn is_kept_for_zones(&self) -> bool {
        self.full.starts_with(ZONE_PREFIX)
    }

    /// `local` and `zone` are known to break no rule.
    pub(crate) fn join(local: &str, zone: &str) -> Self {
        let mut full = String::with_capacity(local.len() + 1 + zone.len());
        full.push_str(local);
        full.push('@');
        full.push_str(zone);
        Self { full: full.into(), local_len: local.len().min(Self::MAX_LOCAL) as u8 }
    }
}

/// What the local name of a zone's principal begins with.
const ZONE_PREFIX: &str = "#ZONE#";

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (local, zone) = text.split_once('@').ok_or(NameError::NoZone)?;
        check_local(local.as_bytes())?;
        check_zone(zone.as_bytes())?;
        Ok(Self::join(local, zone))
    }
}

impl TryFrom<&[u8]> for Name {
    type Error = NameError;

    fn try_from(bytes: &[u8]) -> Result<Self, NameError> {
        core::str::from_utf8(bytes).map_err(|_| NameError::LocalByte)?.parse()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.full == other.full
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.full.cmp(&other.full)
    }
}

impl Hash for Name {
    // As `str` hashes, so that a map keyed by names is searched with a `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.full.hash(state);
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.full
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.full)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.full, f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.full)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "a name such as web.host1@example.com")
    }
}

/// A zone: a lower-case DNS name of 1 to 63 bytes, without a final dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(Arc<str>);

impl Zone {
    /// The longest zone name in bytes.
    pub const MAX: usize = 63;

    /// The zone's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Zone {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_zone(text.as_bytes())?;
        Ok(Self(text.into()))
    }
}

impl Borrow<str> for Zone {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "a zone such as example.com")
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no `@`.
    #[error("a full name is written local@zone; the @ is missing")]
    NoZone,
    /// The local part is empty or too long.
    #[error("the part before the @ must be 1 to 190 bytes long")]
    LocalLength,
    /// The local part starts with something else than a letter, a digit or `#`.
    #[error("a name starts with a letter, a digit or #")]
    LocalStart,
    /// The local part has a byte outside its alphabet.
    #[error("the part before the @ may hold only A-Z a-z 0-9 . _ - + # :")]
    LocalByte,
    /// The zone is empty or too long.
    #[error("a zone must be 1 to 63 bytes long")]
    ZoneLength,
    /// The zone is not a lower-case DNS name.
    #[error(
        "a zone is a lower-case DNS name: labels of a-z 0-9 -, joined by dots, no label empty or with - at an end"
    )]
    ZoneForm,
    /// A service breaks a rule ([`ServiceName`](crate::ServiceName)).
    #[error("a service is a lower-case letter and up to 31 of a-z 0-9 _ -")]
    Service,
    /// A host name breaks a rule ([`HostName`](crate::HostName)).
    #[error(
        "a host name is a lower-case DNS name of 1 to 120 bytes: labels of a-z 0-9 -, at most 63 each, joined by dots, no \
         label empty or with - at an end"
    )]
    Host,
    /// A fingerprint is not of its form ([`Fingerprint`](crate::Fingerprint)).
    #[error("a fingerprint is 32 digits of 0-9 a-f")]
    Fingerprint,
}

fn check_local(local: &[u8]) -> Result<(), NameError> {
    if local.len() > Name::MAX_LOCAL {
        return Err(NameError::LocalLength);
    }
    let first = *local.first().ok_or(NameError::LocalLength)?;
    if !(first.is_ascii_alphanumeric() || first == b'#') {
        return Err(NameError::LocalStart);
    }
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'#' | b':');
    if local.iter().all(allowed) { Ok(()) } else { Err(NameError::LocalByte) }
}

fn check_zone(zone: &[u8]) -> Result<(), NameError> {
    if zone.is_empty() || zone.len() > Zone::MAX {
        return Err(NameError::ZoneLength);
    }
    let label = |label: &[u8]| {
        !label.is_empty()
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    if zone.split(|b| *b == b'.').all(label) { Ok(()) } else { Err(NameError::ZoneForm) }
}

/// Reads a string with its `FromStr`, borrowing where the input allows it.
pub(crate) fn parse_str<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    struct Text<T>(&'static str, core::marker::PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(expected, core::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_name() {
        let name: Name = "nanoprobe.web1::0123abcd@cell1.example.com".parse().unwrap();
        assert_eq!(name.local(), "nanoprobe.web1::0123abcd");
        assert_eq!(name.zone(), "cell1.example.com");
        assert_eq!(name.service(), "nanoprobe");
        assert!(!name.is_administrative() && !name.may_be_group());
        let name: Name = "#KDC#00001@z".parse().unwrap();
        assert!(name.is_administrative() && name.may_be_group());
    }

    #[test]
    fn a_local_name_takes_the_zone_it_is_read_in() {
        let zone: Zone = "z.example".parse().unwrap();
        assert_eq!(Name::in_zone("b", &zone).unwrap().as_str(), "b@z.example");
        assert_eq!(Name::in_zone("b@other", &zone).unwrap().as_str(), "b@other");
        assert_eq!(Name::in_zone("b@", &zone), Err(NameError::ZoneLength));
    }

    #[test]
    fn the_longest_name_fits_and_one_byte_more_does_not() {
        let local = "x".repeat(Name::MAX_LOCAL);
        let zone = "z".repeat(Zone::MAX);
        let name: Name = format!("{local}@{zone}").parse().unwrap();
        assert_eq!(name.as_str().len(), Name::MAX);
        assert_eq!(name.zone(), zone);
        assert_eq!(format!("{local}x@{zone}").parse::<Name>(), Err(NameError::LocalLength));
        assert_eq!(format!("{local}@{zone}z").parse::<Name>(), Err(NameError::ZoneLength));
    }

    #[test]
    fn bad_names_say_why() {
        for (text, why) in [
            ("", NameError::NoZone),
            ("plain", NameError::NoZone),
            ("@z", NameError::LocalLength),
            (".a@z", NameError::LocalStart),
            ("-a@z", NameError::LocalStart),
            ("a b@z", NameError::LocalByte),
            ("a\0@z", NameError::LocalByte),
            ("é@z", NameError::LocalStart),
            ("aé@z", NameError::LocalByte),
            ("a@Z", NameError::ZoneForm),
            ("a@b@c", NameError::ZoneForm),
            ("a@.z", NameError::ZoneForm),
            ("a@z.", NameError::ZoneForm),
            ("a@-z", NameError::ZoneForm),
            ("a@z-.y", NameError::ZoneForm),
            ("a@z_y", NameError::ZoneForm),
        ] {
            assert_eq!(text.parse::<Name>(), Err(why), "{text:?}");
        }
    }
}
