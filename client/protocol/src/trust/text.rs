//! The offer as people pass it on: in lines between a BEGIN and an END (RFC 7468, but for the label).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::TrustOfferError;

/// Lines of 64 characters.
pub(super) fn encode(bytes: &[u8]) -> String {
    let base64 = STANDARD.encode(bytes);
    let lines = base64.len() + base64.len() / LINE + 1;
    let mut text = String::with_capacity(BEGIN.len() + lines + END.len() + 2);
    text.push_str(BEGIN);
    text.push('\n');
    let mut rest = base64.as_str();
    while let Some((line, others)) = rest.split_at_checked(LINE) {
        text.extend([line, "\n"]);
        rest = others;
    }
    if !rest.is_empty() {
        text.extend([rest, "\n"]);
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// What stands between BEGIN and END, in whatever lines. Text around it is passed over: it is a mail, perhaps.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, TrustOfferError> {
    let (_, begun) = text.split_once(BEGIN).ok_or(TrustOfferError::Malformed)?;
    if begun.contains(BEGIN) {
        return Err(TrustOfferError::Several);
    }
    let (base64, _) = begun.split_once(END).ok_or(TrustOfferError::Malformed)?;
    let base64: Vec<u8> = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(base64).map_err(|_| TrustOfferError::Malformed)
}

const BEGIN: &str = "-----BEGIN KEYCELL TRUST OFFER-----";
const END: &str = "-----END KEYCELL TRUST OFFER-----";
const LINE: usize = 64;
