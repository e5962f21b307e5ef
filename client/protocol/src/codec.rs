//! Reading and writing bytes without ambiguity: fixed sizes, one-byte length prefixes, nothing left over.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Takes a byte string apart from front to back. Every method fails instead of reading past the end.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Truncated> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Truncated> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| *byte)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// A length byte and as many bytes.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Truncated> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The bytes end before the format does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncated;

/// Appends a length byte and the bytes. `bytes` must not be longer than 255; the types that reach here ensure it.
pub(crate) fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= 255, "a one-byte length cannot say {}", bytes.len());
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// base64url without padding (RFC 4648 §5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// As [`base64url`], at the end of `out`.
pub(crate) fn push_base64url(out: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

/// How many characters [`base64url`] makes of so many bytes.
pub(crate) const fn base64url_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The bytes of a base64url text; refuses padding, other alphabets and set bits past the last byte.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// As [`from_base64url`], of a fixed length.
pub(crate) fn array_from_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Anything longer is refused before it is decoded.
    if text.len() != base64url_len(N) {
        return None;
    }
    // Some of what is read like this is secret.
    let bytes = Zeroizing::new(from_base64url(text)?);
    bytes.as_slice().try_into().ok()
}

/// Reads a JSON object. By itself serde takes a list of the values, in their order, for one as well.
pub(crate) fn from_object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Option<T> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Bytes in hexadecimal digits, the letters in lower case.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes of a text as [`Hex`] writes it, of a fixed length.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Bytes that travel in JSON as base64url: `#[serde(with = "codec::b64")]`.
pub(crate) mod b64 {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::borrow::Cow;

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64url(bytes))
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        super::array_from_base64url(&text)
            .ok_or_else(|| D::Error::custom(format_args!("expected {N} bytes in base64url")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[2, 7, 8, 3, 1]);
        assert_eq!(reader.prefixed(), Ok(&[7, 8][..]));
        assert_eq!(reader.prefixed(), Err(Truncated));
        assert_eq!(Reader::new(&[0; 7]).u64(), Err(Truncated));
        assert_eq!(Reader::new(&[]).u8(), Err(Truncated));
        assert!(Reader::new(&[]).is_empty());
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(from_base64url("AQ").unwrap(), [1]);
        assert_eq!(array_from_base64url("AQ"), Some([1]));
        for other in ["AR", "AQ==", "AQ=", "A Q", "A/", "A+"] {
            assert_eq!(from_base64url(other), None, "{other}");
        }
        assert_eq!(array_from_base64url::<2>("AQ"), None);
    }

    #[test]
    fn a_list_is_no_object() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Pair {
            one: u8,
            other: u8,
        }
        for json in [&br#"{"one":1,"other":2}"#[..], b"\n { \"other\" : 2, \"one\" : 1 } "] {
            assert_eq!(from_object(json), Some(Pair { one: 1, other: 2 }));
        }
        for json in [&b"[1,2]"[..], b" [1,2]", b"", b" ", b"{", b"\x0b{}", b"{\"one\":1,\"other\":2}x"] {
            assert_eq!(from_object::<Pair>(json), None);
        }
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!(Hex(&[0x01, 0xab, 0xff]).to_string(), "01abff");
        assert_eq!(from_hex("01abff"), Some([0x01, 0xab, 0xff]));
        for other in ["01ABff", "01abf", "01abff0", "01abff00", "+1abff", "0xabff", "01ab f", "01abé"] {
            assert_eq!(from_hex::<3>(other), None, "{other}");
        }
    }
}
