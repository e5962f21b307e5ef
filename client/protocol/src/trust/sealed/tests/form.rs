//! The text of an offer, and what is in it.

use super::*;

#[test]
fn a_mail_does_not_harm_it() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let text = gives.seal(&gives.offer(&asks), &asks).unwrap().to_text();
    let (begin, end) = ("-----BEGIN KEYCELL TRUST OFFER-----", "-----END KEYCELL TRUST OFFER-----");
    for spelt in [
        text.replace('\n', "\r\n"),
        text.replace('\n', "\n    "),
        text.replace('\n', "\n\n\t"),
        text.replace('\n', " "),
        text.replace("ey", "e\ny"),
        format!("\u{feff}Hello,\nhere it is:\n\n{text}\n-- \nYours, é\n"),
    ] {
        assert_eq!(SealedTrustOffer::parse(&spelt).unwrap().to_text(), text);
    }
    let parse = |text: &str| SealedTrustOffer::parse(text).unwrap_err();
    assert_eq!(parse(&format!("{text}{text}")), TrustOfferError::Several);
    for none in [
        "",
        begin,
        &text.replace(begin, ""),
        &text.replace(end, ""),
        &text.replace("TRUST OFFER", "BUNDLE"),
        &text.replacen('e', ".", 40),
        &format!("{end}\n{begin}\n"),
        &format!("{begin}\n{end}\n"),
        &format!("{begin}\nAAA\n{end}\n"),
    ] {
        assert_eq!(parse(none), TrustOfferError::Malformed, "{none}");
    }
    let long = " ".repeat(SealedTrustOffer::MAX - text.len());
    assert_eq!(SealedTrustOffer::parse(&format!("{long}{text}")).unwrap().to_text(), text);
    assert_eq!(parse(&format!(" {long}{text}")), TrustOfferError::TooLong);
}

#[test]
fn nothing_else_is_an_offer() {
    let (gives, asks) = (Kdc::new("z2", 2), Kdc::new("z1", 1));
    let json = text::decode(&gives.seal(&gives.offer(&asks), &asks).unwrap().to_text()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let parse = |json: &serde_json::Value| {
        SealedTrustOffer::parse(&text::encode(json.to_string().as_bytes())).map(|_| ())
    };
    assert_eq!(parse(&json), Ok(()));
    let mut of_the_future = serde_json::json!({"version": 2, "more": true});
    assert_eq!(parse(&of_the_future), Err(TrustOfferError::Version(2)));
    of_the_future["version"] = "1".into();
    assert_eq!(parse(&of_the_future), Err(TrustOfferError::Malformed));
    for name in ["version", "metadata", "encapsulated", "sealed", "signature"] {
        let mut less = json.clone();
        less.as_object_mut().unwrap().remove(name);
        assert_eq!(parse(&less), Err(TrustOfferError::Malformed), "{name}");
    }
    let mut more = json.clone();
    more["more"] = 1.into();
    assert_eq!(parse(&more), Err(TrustOfferError::Malformed));
    assert_eq!(parse(&serde_json::json!([1, "", "", "", ""])), Err(TrustOfferError::Malformed));

    let claims = from_base64url(json["metadata"].as_str().unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let claiming = |claims: &serde_json::Value| {
        let mut json = json.clone();
        json["metadata"] = base64url(claims.to_string().as_bytes()).into();
        parse(&json)
    };
    assert_eq!(claiming(&claims), Ok(()));
    for name in claims.as_object().unwrap().keys() {
        let mut less = claims.clone();
        less.as_object_mut().unwrap().remove(name);
        assert_eq!(claiming(&less), Err(TrustOfferError::Malformed), "{name}");
    }
    for (name, value) in [("state", "retired"), ("to", "Z1"), ("identity", "#KDC#1"), ("bundle", "")] {
        let mut other = claims.clone();
        other[name] = value.into();
        assert_eq!(claiming(&other), Err(TrustOfferError::Malformed), "{name}");
    }
    let mut other = claims.clone();
    other["bundle"]["urls"] = serde_json::json!(["http://kdc"]);
    assert_eq!(claiming(&other), Err(TrustOfferError::Malformed));
    let mut more = claims;
    more["more"] = 1.into();
    assert_eq!(claiming(&more), Err(TrustOfferError::Malformed));
}
