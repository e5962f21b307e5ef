//! What the identities of a KDC are called.

use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BundleError;

/// The name of a KDC's identity: `#KDC#` and five digits. It is the same in every zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityName(NonZeroU32);

impl IdentityName {
    /// The one that a KDC works with.
    pub const PRIMARY: Self = Self(NonZeroU32::MIN);
    /// The one that is kept away from it.
    pub const SECONDARY: Self = Self(NonZeroU32::new(2).expect("not zero"));

    /// The one of this number; `None` but for 1 to 99,999.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) if number.get() <= LAST => Some(Self(number)),
            _ => None,
        }
    }

    /// Its number: identities are counted up, and none comes again.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// The one after it; `None` when 99,999 have been used up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.number() + 1)
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:0DIGITS$}", self.0)
    }
}

impl FromStr for IdentityName {
    type Err = BundleError;

    fn from_str(text: &str) -> Result<Self, BundleError> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).and_then(Self::new).ok_or(BundleError::IdentityName)
    }
}

impl Serialize for IdentityName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IdentityName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

const PREFIX: &str = "#KDC#";
const DIGITS: usize = 5;
const LAST: u32 = 99_999;
