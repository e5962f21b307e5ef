//! The master key in shares: any so many of them make it, fewer say nothing (Shamir's scheme over GF(256)).
//!
//! ```text
//! keycell-share-1:0G40R-40M30-…        Crockford's base 32, in groups of five: no I, L, O or U; case does not matter
//!
//! 0   1  version = 1
//! 1   4  which set it is of, random
//! 5   1  how many are needed       6   1  how many there are       7   1  which one this is, from 1
//! 8   n  the share of: 1 number of keys, 36 each (version 4, key 32), the first 8 of SHA-256 of that
//! 8+n 5  the first 5 of SHA-256 of all before: a mistyped share is found before it is used
//! ```

mod error;
mod line;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use vsss_rs::Gf256;
use zeroize::{Zeroize as _, Zeroizing};

use self::line::{decode, encode};
use super::{MasterKey, MasterKeys};

pub use error::ShareError;
pub use line::PREFIX;

/// One share of a master key.
pub struct Share {
    set: [u8; 4],
    threshold: u8,
    count: u8,
    index: u8,
    /// One byte for each of the secret.
    data: Zeroizing<Vec<u8>>,
}

/// Splits all versions of a master key: any `threshold` of the `count` shares make them again.
///
/// # Errors
/// [`ShareError::Numbers`].
pub fn split(
    keys: &MasterKeys,
    threshold: u8,
    count: u8,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Share>, ShareError> {
    if threshold < 2 || count < threshold || count > MOST {
        return Err(ShareError::Numbers);
    }
    let secret = secret(keys).ok_or(ShareError::Numbers)?;
    let mut set = [0; 4];
    rng.fill_bytes(&mut set);
    let made = Gf256::split_bytes(threshold.into(), count.into(), secret.as_slice(), rng);
    let made = made.map_err(|_| ShareError::Numbers)?;
    let share = |mut bytes: Vec<u8>| {
        let share = bytes.split_first().map(|(index, data)| Share {
            set,
            threshold,
            count,
            index: *index,
            data: Zeroizing::new(data.to_vec()),
        });
        bytes.zeroize();
        share.ok_or(ShareError::Numbers)
    };
    made.into_iter().map(share).collect()
}

/// The master key that these shares are of.
///
/// # Errors
/// [`ShareError`]: they are too few, not of one set, or one is wrong.
pub fn join(shares: &[Share]) -> Result<MasterKeys, ShareError> {
    let first = shares.first().ok_or(ShareError::None)?;
    for (at, share) in shares.iter().enumerate() {
        let like = |share: &Share| (share.set, share.threshold, share.count, share.data.len());
        if like(share) != like(first) {
            return Err(ShareError::Mixed { first: first.set_name(), other: share.set_name() });
        }
        if shares.iter().take(at).any(|before| before.index == share.index) {
            return Err(ShareError::Twice { index: share.index });
        }
    }
    if shares.len() < first.threshold.into() {
        return Err(ShareError::TooFew { have: shares.len(), need: first.threshold });
    }
    let mut parts: Vec<Vec<u8>> = shares
        .iter()
        .map(|share| {
            let mut part = Vec::with_capacity(share.data.len() + 1);
            part.push(share.index);
            part.extend_from_slice(&share.data);
            part
        })
        .collect();
    let joined = Gf256::combine_bytes(&parts).map(Zeroizing::new);
    parts.iter_mut().for_each(|part| part.zeroize());
    keys(&joined.map_err(|_| ShareError::Wrong)?).ok_or(ShareError::Wrong)
}

impl Share {
    /// How many are needed.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Which one this is, from 1.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// The name of its set.
    #[must_use]
    pub fn set_name(&self) -> String {
        self.set.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The line that is kept: whoever has enough of them has the master key.
    #[must_use]
    pub fn line(&self) -> Zeroizing<String> {
        let Self { set, threshold, count, index, data } = self;
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD + data.len() + CHECK));
        bytes.push(VERSION);
        bytes.extend_from_slice(set);
        bytes.extend_from_slice(&[*threshold, *count, *index]);
        bytes.extend_from_slice(data);
        let check = digest(&SHA256, &bytes);
        bytes.extend(check.as_ref().iter().take(CHECK));
        encode(&bytes)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    /// Reads a line as it was kept or typed: case, spaces and dashes do not matter.
    fn from_str(line: &str) -> Result<Self, ShareError> {
        let bytes = decode(line)?;
        let length = bytes.len().checked_sub(CHECK).ok_or(ShareError::Form)?;
        let (body, check) = bytes.split_at_checked(length).ok_or(ShareError::Form)?;
        let expected = digest(&SHA256, body);
        let expected = expected.as_ref().get(..CHECK).ok_or(ShareError::Form)?;
        if !bool::from(expected.ct_eq(check)) {
            return Err(ShareError::Mistyped);
        }
        let (head, data) = body.split_first_chunk::<HEAD>().ok_or(ShareError::Form)?;
        let [version, a, b, c, d, threshold, count, index] = *head;
        if version != VERSION {
            return Err(ShareError::Version { version });
        }
        if threshold < 2 || index == 0 || index > count {
            return Err(ShareError::Form);
        }
        Ok(Self { set: [a, b, c, d], threshold, count, index, data: Zeroizing::new(data.to_vec()) })
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set: _, threshold, count, index, data: _ } = self;
        f.debug_struct("Share")
            .field("set", &self.set_name())
            .field("threshold", threshold)
            .field("count", count)
            .field("index", index)
            .finish_non_exhaustive()
    }
}

fn secret(keys: &MasterKeys) -> Option<Zeroizing<Vec<u8>>> {
    let count = u8::try_from(keys.iter().count()).ok()?;
    let mut secret = Zeroizing::new(Vec::with_capacity(1 + usize::from(count) * KEY + DIGEST));
    secret.push(count);
    for key in keys.iter() {
        secret.extend_from_slice(key.to_bytes().as_slice());
    }
    let check = digest(&SHA256, &secret);
    secret.extend(check.as_ref().iter().take(DIGEST));
    Some(secret)
}

fn keys(secret: &[u8]) -> Option<MasterKeys> {
    let (body, check) = secret.split_at_checked(secret.len().checked_sub(DIGEST)?)?;
    let expected = digest(&SHA256, body);
    if !bool::from(expected.as_ref().get(..DIGEST)?.ct_eq(check)) {
        return None;
    }
    let (count, rest) = body.split_first()?;
    let (keys, rest) = rest.as_chunks::<KEY>();
    if keys.len() != usize::from(*count) || !rest.is_empty() {
        return None;
    }
    let mut all: Option<MasterKeys> = None;
    for bytes in keys {
        let key = MasterKey::from_bytes(bytes);
        all = Some(match all {
            Some(keys) => keys.with(key).ok()?,
            None => Arc::new(key).into(),
        });
    }
    all
}

const VERSION: u8 = 1;
/// The most shares of one set.
const MOST: u8 = 32;
const HEAD: usize = 8;
const CHECK: usize = 5;
const DIGEST: usize = 8;
/// A key with its version.
const KEY: usize = 36;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::line::ALPHABET;
    use super::*;

    fn made(versions: &[u32]) -> MasterKeys {
        let random = &mut crate::random::system();
        let mut keys = versions.iter().map(|version| MasterKey::generate(*version, random));
        let first: MasterKeys = Arc::new(keys.next().unwrap()).into();
        keys.fold(first, |all, key| all.with(key).unwrap())
    }

    fn copies(shares: &[Share], which: &[usize]) -> Vec<Share> {
        which.iter().map(|at| shares[*at].line().parse().unwrap()).collect()
    }

    #[test]
    fn any_three_of_five_make_the_key_and_two_do_not() {
        let keys = made(&[1, 2, 7]);
        let shares = split(&keys, 3, 5, &mut crate::random::system()).unwrap();
        for a in 0..5 {
            for b in a + 1..5 {
                let two = join(&copies(&shares, &[a, b])).unwrap_err();
                assert_eq!(two, ShareError::TooFew { have: 2, need: 3 });
                for c in b + 1..5 {
                    let joined = join(&copies(&shares, &[c, a, b])).unwrap();
                    assert_eq!(*joined.text(), *keys.text());
                }
            }
        }
        assert_eq!(*join(&copies(&shares, &[4, 3, 2, 1, 0])).unwrap().text(), *keys.text());
    }

    #[test]
    fn two_shares_that_say_they_are_enough_make_nothing() {
        let shares = split(&made(&[1]), 3, 5, &mut crate::random::system()).unwrap();
        for (a, b) in [(0, 1), (1, 4), (2, 3)] {
            let mut two = copies(&shares, &[a, b]);
            two.iter_mut().for_each(|share| share.threshold = 2);
            assert_eq!(join(&two).unwrap_err(), ShareError::Wrong);
        }
    }

    #[test]
    fn mixed_repeated_and_foreign_shares_are_told_apart() {
        let random = &mut crate::random::system();
        let (keys, other) = (made(&[1]), made(&[1]));
        let (one, two) = (split(&keys, 2, 3, random).unwrap(), split(&other, 2, 3, random).unwrap());
        assert_eq!(join(&[]).unwrap_err(), ShareError::None);
        let mixed = [copies(&one, &[0]), copies(&two, &[1])].concat_shares();
        assert!(matches!(join(&mixed).unwrap_err(), ShareError::Mixed { .. }));
        assert_eq!(join(&copies(&one, &[1, 1])).unwrap_err(), ShareError::Twice { index: 2 });
        // One that lies about its set.
        let mut forged = [copies(&one, &[0]), copies(&two, &[1])].concat_shares();
        forged[1].set = forged[0].set;
        assert_eq!(join(&forged).unwrap_err(), ShareError::Wrong);
        for (threshold, count) in [(1, 3), (4, 3), (2, 33), (0, 0)] {
            assert_eq!(split(&keys, threshold, count, random).unwrap_err(), ShareError::Numbers);
        }
    }

    trait Concat {
        fn concat_shares(self) -> Vec<Share>;
    }

    impl Concat for [Vec<Share>; 2] {
        fn concat_shares(self) -> Vec<Share> {
            self.into_iter().flatten().collect()
        }
    }

    #[test]
    fn people_type_as_they_like() {
        let share = &split(&made(&[3]), 2, 2, &mut crate::random::system()).unwrap()[0];
        let line = share.line();
        let typed = format!(
            "  {}\n",
            line.to_lowercase().replace('-', " ").replace("keycell share 1", "keycell-share-1")
        );
        let read: Share = typed.parse().unwrap();
        assert_eq!(*read.line(), *line);
        let confused = line.replacen(PREFIX, "", 1).replace('0', "o").replace('1', "l");
        assert_eq!(*format!("{PREFIX}{confused}").parse::<Share>().unwrap().line(), *line);
        for bad in ["", "keycell-share-1:", "keycell-share-2:00000", "keycell-share-1:U", "keycell-share-1:é"]
        {
            assert!(matches!(bad.parse::<Share>(), Err(ShareError::Form | ShareError::Mistyped)), "{bad}");
        }
        assert!(!format!("{share:?}").contains(&line[20..30]));
    }

    proptest! {
        #[test]
        fn a_wrong_character_is_found(at in 0_usize..200, digit in 0_usize..32) {
            let line = split(&made(&[1]), 2, 2, &mut crate::random::system()).unwrap()[0].line();
            let at = PREFIX.len() + at % (line.len() - PREFIX.len());
            let (old, new) = (line.as_bytes()[at], ALPHABET[digit]);
            prop_assume!(old != b'-' && old != new);
            let mut typed = line.as_bytes().to_vec();
            typed[at] = new;
            prop_assert_eq!(
                String::from_utf8(typed).unwrap().parse::<Share>().unwrap_err(),
                ShareError::Mistyped
            );
        }
    }
}
