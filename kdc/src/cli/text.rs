//! Messages as lines of text: base64url without padding, one message a line.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::MAX_MESSAGE;

/// A message as a line, without its end.
pub(super) fn line(message: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(message)
}

/// The next line's message; `None` at the end. An empty line is passed over.
///
/// # Errors
/// Inside: the line is not one message. Outside: the input cannot be read.
pub(super) fn next(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, &'static str>>> {
    loop {
        let mut line = Vec::new();
        // One byte more than the longest: enough to see that a line is too long, whatever its length.
        let read = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.len() > MAX_LINE {
            skip_line(input)?;
            return Ok(Some(Err("the line is longer than any message")));
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            return Ok(Some(URL_SAFE_NO_PAD.decode(text).map_err(|_| "the line is not base64url")));
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (end, used) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (true, at + 1),
            None => (false, buffer.len()),
        };
        input.consume(used);
        if end {
            return Ok(());
        }
    }
}

/// The longest message in base64url, and the end of the line.
const MAX_LINE: usize = (MAX_MESSAGE * 4).div_ceil(3) + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages() {
        let mut input = &b"AQI\n\n AQ \r\nAQ==\n!\nAw"[..];
        let mut read = Vec::new();
        while let Some(message) = next(&mut input).unwrap() {
            read.push(message.ok());
        }
        assert_eq!(read, [Some(vec![1, 2]), Some(vec![1]), None, None, Some(vec![3])]);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = [b"A".repeat(MAX_LINE + 100), b"\nAQ\n".to_vec()].concat();
        let mut input = &long[..];
        assert!(next(&mut input).unwrap().unwrap().is_err());
        assert_eq!(next(&mut input).unwrap(), Some(Ok(vec![1])));
        assert_eq!(next(&mut input).unwrap(), None);
    }
}
