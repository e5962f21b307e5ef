//! Tests of join tokens.

use proptest::prelude::*;

use super::*;
use crate::test_rng;

#[test]
fn a_token_goes_both_ways() {
    let token = JoinToken::generate(&mut test_rng());
    let text = token.to_text();
    assert_eq!(text.len(), JoinToken::TEXT);
    assert!(text.starts_with(&format!("kcj_{}_", token.id())), "{}", *text);
    let read: JoinToken = text.parse().unwrap();
    assert_eq!(read.id(), token.id());
    assert_eq!(read.to_text(), text);
    assert_eq!(token.id().to_string().parse(), Ok(token.id()));
}

#[test]
fn only_the_very_token_checks() {
    let token = JoinToken { id: JoinTokenId([1; 8]), secret: [2; 32] };
    assert!(token.checks(&token.verifier()));
    assert_eq!(
        Hex(&token.verifier()).to_string(),
        "1917f8b3e46c9581a92cc8c35e05af851097fff6105959c383ef85fec353ff58",
        "SHA-256 of the label, a zero byte, 8 times 01 and 32 times 02"
    );
    for bit in 0..8 * 32 {
        let mut other = token.clone();
        other.secret[bit / 8] ^= 1 << (bit % 8);
        assert!(!other.checks(&token.verifier()));
    }
    let other = JoinToken { id: JoinTokenId([3; 8]), ..token.clone() };
    assert!(!other.checks(&token.verifier()));
}

#[test]
fn nothing_else_is_a_token() {
    let text = JoinToken::generate(&mut test_rng()).to_text();
    let id = &text[4..20];
    for wrong in [
        "",
        "kcj_",
        &text[1..],
        &text[..text.len() - 1],
        &format!("{}=", *text),
        &format!(" {}", *text),
        &format!("{}\n", *text),
        &text.replacen("kcj_", "kcx_", 1),
        &text.replacen(id, &id.to_uppercase(), 1).replacen("kcj", "KCJ", 1),
        &text.replacen(id, "00000000000000é", 1),
        &format!("kcj_{id}-{}", &text[21..]),
        &format!("kcj_{id}_{}", "A".repeat(42) + "B"),
    ] {
        assert_eq!(wrong.parse::<JoinToken>().unwrap_err(), JoinTokenError::Token, "{wrong}");
    }
    assert_eq!("0123".parse::<JoinTokenId>(), Err(JoinTokenError::Id));
    assert_eq!("0123456789ABCDEF".parse::<JoinTokenId>(), Err(JoinTokenError::Id));
}

#[test]
fn a_token_prints_its_id_alone() {
    let token = JoinToken { id: JoinTokenId([0xa1; 8]), secret: [2; 32] };
    assert_eq!(format!("{token:?}"), "JoinToken(a1a1a1a1a1a1a1a1, ..)");
}

proptest! {
    #[test]
    fn what_is_read_is_what_is_written(text in "kcj_[0-9a-f]{15,17}_[A-Za-z0-9_-]{42,44}|.{0,80}") {
        if let Ok(token) = text.parse::<JoinToken>() {
            prop_assert_eq!(&*token.to_text(), &text);
        }
    }
}
