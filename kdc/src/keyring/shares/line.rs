//! A share as people keep and type it: base 32 after Crockford.

use zeroize::Zeroizing;

use super::ShareError;

pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    // Room for all of it, so that no half-written copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + bytes.len() * 2 + 8));
    text.push_str(PREFIX);
    let bits = bytes.len() * 8;
    for at in 0..bits.div_ceil(5) {
        if at > 0 && at.is_multiple_of(5) {
            text.push('-');
        }
        let digit = (at * 5..at * 5 + 5).fold(0_usize, |digit, bit| {
            let byte = bytes.get(bit / 8).copied().unwrap_or(0);
            digit << 1 | usize::from(byte >> (7 - bit % 8) & 1)
        });
        text.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
    }
    text
}

pub(super) fn decode(line: &str) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let line = line.trim();
    let (prefix, text) = line.split_at_checked(PREFIX.len()).ok_or(ShareError::Form)?;
    if !prefix.eq_ignore_ascii_case(PREFIX) || text.len() > LONGEST {
        return Err(ShareError::Form);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut held, mut bits) = (0_u32, 0);
    for character in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
        let character = match character.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            character => character,
        };
        let digit = ALPHABET.iter().position(|known| *known == character).ok_or(ShareError::Form)?;
        held = (held << 5 | u32::try_from(digit).unwrap_or(0)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    // What is left over is filling, less than a character, and zero.
    if bits >= 5 || held & ((1 << bits) - 1) != 0 {
        return Err(ShareError::Mistyped);
    }
    Ok(bytes)
}

/// What a share begins with.
pub const PREFIX: &str = "keycell-share-1:";
/// Room for every version that a source can hold.
const LONGEST: usize = 32 * 1024;
pub(super) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_go_both_ways(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(&*decode(&encode(&bytes)).unwrap(), &bytes);
        }
    }
}
