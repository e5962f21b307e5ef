//! Requests that somebody else wrote, or wrote to somebody else.

use super::{SECONDARY, ZONE, asked, bad, case, eseed, flipped, host_seed, of, rejected, with};
use crate::format::enrollment::EnrollmentCase;
use crate::make::author::{for_everything, respelt};
use crate::raw::bytes;
use crate::raw::enrollment::{
    Context, Encapsulation, Enrollment, LABEL, content, identity_seed, info, key, public,
};

pub(super) fn cases() -> Vec<EnrollmentCase> {
    [changed(), other_hpke(), other_addresses(), signatures()].into_iter().flatten().collect()
}

fn forged(what: &str, json: String) -> EnrollmentCase {
    bad(what, json, "forged")
}

fn usual() -> Enrollment {
    of(&asked())
}

/// As it was written, and then changed on the way.
fn changed() -> Vec<EnrollmentCase> {
    let made = usual();
    let (plaintext, ciphertext) = (made.plaintext(), made.encapsulation().ciphertext);
    let sealed = made.context().seal(0, b"", &plaintext);
    let encapsulated = |what: &str, at: isize, bit: u8| {
        let mut other = ciphertext.clone();
        other[at as usize] ^= bit;
        forged(what, made.form(&other, &sealed))
    };
    let with_sealed = |what: &str, other: &[u8]| forged(what, made.form(&ciphertext, other));
    let plain = |what: &str, plaintext: &[u8]| forged(what, made.write_with(plaintext));
    vec![
        encapsulated("a changed ciphertext of ML-KEM", 0, 1),
        encapsulated("a changed end of ML-KEM's ciphertext", 1087, 0x80),
        encapsulated("a changed key of X25519", 1088, 1),
        encapsulated("the bit of X25519 that X25519 itself leaves out of account", 1119, 0x80),
        forged("an encapsulation of zeros", made.form(&[0; 1120], &sealed)),
        forged("an encapsulation of ones", made.form(&[0xff; 1120], &sealed)),
        with_sealed("a changed signature", &flipped(&sealed, 0)),
        with_sealed("a changed request", &flipped(&sealed, 64)),
        with_sealed("another tag", &flipped(&sealed, -1)),
        with_sealed("nothing sealed", b""),
        with_sealed("shorter than a tag", &sealed[..15]),
        with_sealed("cut off", &sealed[..sealed.len() - 1]),
        with_sealed("a byte more", &[&sealed[..], &[0]].concat()),
        plain("an empty text", b""),
        plain("a text of 63 bytes, shorter than a signature", &plaintext[..63]),
        plain("a signature and nothing else", &plaintext[..64]),
        plain("not signed at all", &made.json),
        plain("the signature after the request", &[&made.json[..], &plaintext[..64]].concat()),
        plain("a signature of zeros", &[&[0; 64][..], &made.json].concat()),
    ]
}

/// What a misreading of HPKE or X-Wing makes.
fn other_hpke() -> Vec<EnrollmentCase> {
    let made = usual();
    let (plaintext, encapsulation) = (made.plaintext(), made.encapsulation());
    let Encapsulation { ciphertext, ml_kem, x25519, to } = &encapsulation;
    let under = |what: &str, context: &Context| {
        forged(what, made.form(ciphertext, &context.seal(0, b"", &plaintext)))
    };
    let secret = |what: &str, secret: [u8; 32]| under(what, &Context::new(&secret, &made.info));
    let hashed = |what: &str, parts: &[&[u8]]| secret(what, Encapsulation::hashed(parts));
    let with_info = |what: &str, info: &[u8]| under(what, &Context::new(&encapsulation.secret(), info));
    let sent = &ciphertext[1088..];
    let without_label = info(&made.zone, &made.identity);
    vec![
        secret("X-Wing: the secret of ML-KEM alone", *ml_kem),
        secret("X-Wing: the secret of X25519 alone", *x25519),
        hashed("X-Wing: no label", &[ml_kem, x25519, sent, to]),
        hashed("X-Wing: the label first", &[LABEL, ml_kem, x25519, sent, to]),
        hashed("X-Wing: X25519 first", &[x25519, ml_kem, sent, to, LABEL]),
        hashed("X-Wing: without the receiver's key", &[ml_kem, x25519, sent, LABEL]),
        hashed("X-Wing: without the sender's key", &[ml_kem, x25519, to, LABEL]),
        with_info("HPKE: no info", b""),
        with_info("HPKE: info without the label", format!("{}\0{}", made.zone, made.identity).as_bytes()),
        with_info("HPKE: info without a zero byte between", &{
            [b"keycell/1 enrollment\0", made.zone.as_bytes(), made.identity.as_bytes()].concat()
        }),
        with_info("HPKE: info with a zero byte at its end", &[&without_label[..], b"\0"].concat()),
        forged("HPKE: the second message", {
            made.form(ciphertext, &made.context().seal(1, b"", &plaintext))
        }),
        forged("HPKE: with associated data", {
            made.form(ciphertext, &made.context().seal(0, &made.info, &plaintext))
        }),
    ]
}

/// Written to another zone, another identity, or another who says to be one.
fn other_addresses() -> Vec<EnrollmentCase> {
    let made = usual();
    let other_zone = of(&with(|r| r.zone = "other.example".to_owned()));
    let secondary = of(&with(|r| r.identity = SECONDARY.to_owned()));
    let seed: [u8; 32] = bytes("seed of nobody");
    // Opened with the secret of another than it was written to.
    let opened_by = |what: &str, seed: [u8; 32], written: &Enrollment| {
        let by = Enrollment { identity_seed: seed, ..written.clone() };
        case(what, &by, written.write(), rejected("forged"))
    };
    // Written to the identity's own key, and said to be for another zone or identity.
    let renamed = |what: &str, zone: &str, identity: &str| {
        let written = made.write().replacen(ZONE, zone, 1).replacen(&made.identity, identity, 1);
        forged(what, written)
    };
    // Written for another address to this one's key by who wrote to it, so that HPKE has nothing against it.
    let passed_on = |what: &str, from: &Enrollment| {
        let plaintext = Enrollment { identity_seed: made.identity_seed, ..from.clone() }.plaintext();
        forged(what, made.write_with(&plaintext))
    };
    vec![
        opened_by("opened by the secondary", identity_seed(SECONDARY, ZONE), &made),
        opened_by("opened by the primary", made.identity_seed, &secondary),
        opened_by("opened by the same identity of another zone", other_zone.identity_seed, &made),
        opened_by("opened by nobody", seed, &made),
        renamed("the zone was changed", "other.example", &made.identity),
        renamed("the identity was changed", ZONE, SECONDARY),
        passed_on("signed for another zone", &other_zone),
        passed_on("signed for another identity", &secondary),
        forged("signed for another encapsulation", {
            let mut other = eseed();
            other[0] ^= 1;
            made.write_with(&Enrollment { eseed: other, ..made.clone() }.plaintext())
        }),
        forged("signed for another key of X25519 in the encapsulation", {
            let mut other = eseed();
            other[63] ^= 1;
            made.write_with(&Enrollment { eseed: other, ..made.clone() }.plaintext())
        }),
    ]
}

/// Whoever does not hold the key in it.
fn signatures() -> Vec<EnrollmentCase> {
    let made = usual();
    let ciphertext = made.encapsulation().ciphertext;
    let with = |what: &str, signature: &[u8], json: &[u8]| {
        forged(what, made.write_with(&[signature, json].concat()))
    };
    let over = |what: &str, message: &[&[u8]]| with(what, &made.sign(&message.concat()), &made.json);
    let [zone, identity] = [made.zone.as_bytes(), made.identity.as_bytes()];
    let (small, all) = for_everything();
    let signature = made.sign(&made.signed());
    // Signed as it ought to be, whatever the JSON says of the key.
    let signed = |what: &str, json: &str| {
        let made = Enrollment { json: json.into(), ..made.clone() };
        forged(what, made.write())
    };
    let text = content(&asked(), &key(&host_seed()));
    let member = format!(r#""public_key":"{}""#, crate::raw::base64url(key(&host_seed())));
    assert!(text.contains(&member));
    let keyed = |other: &str| text.replacen(&member, other, 1);
    let of_key = |key: &[u8]| keyed(&format!(r#""public_key":"{}""#, crate::raw::base64url(key)));
    let other = Enrollment { host_seed: bytes("seed of another host's key"), ..made.clone() };
    let web2 = text.replacen("web1", "web2", 1);
    let mut respelt_key = small;
    respelt_key[31] |= 0x80;
    vec![
        with("by another key", &other.sign(&made.signed()), &made.json),
        signed("in another host's name", &of_key(&key(&other.host_seed))),
        with("a signature in another spelling", &respelt(&signature), &made.json),
        with("a changed R", &flipped(&signature, 0), &made.json),
        with("a changed S", &flipped(&signature, 32), &made.json),
        with("another request than the one that was signed", &signature, web2.as_bytes()),
        over("over the request alone", &[&made.json]),
        over("over the encapsulation and the request alone", &[&ciphertext, &made.json]),
        over("without the encapsulation", &[&made.info, b"\0", &made.json]),
        over("without the zone", &[b"keycell/1 enrollment\0", identity, b"\0", &ciphertext, &made.json]),
        over("without the identity", &[b"keycell/1 enrollment\0", zone, b"\0", &ciphertext, &made.json]),
        over("without the last zero byte", &[&made.info, &ciphertext, &made.json]),
        over("without the label", &[zone, b"\0", identity, b"\0", &ciphertext, &made.json]),
        over(
            "as a message is signed",
            &[b"keycell/1 author\0", zone, b"\0", identity, b"\0", &ciphertext, &made.json],
        ),
        over(
            "as a key is proved",
            &[b"keycell/1 author key\0", zone, b"\0", identity, b"\0", &ciphertext, &made.json],
        ),
        over(
            "as a voucher is signed",
            &[b"keycell/1 voucher\0", zone, b"\0", identity, b"\0", &ciphertext, &made.json],
        ),
        with("a key of small order, which signs everything", &all, of_key(&small).as_bytes()),
        with("the same key in another spelling", &all, of_key(&respelt_key).as_bytes()),
        with("a key that is no point", &signature, of_key(&[2; 32]).as_bytes()),
        signed("no key", &keyed(r#""key":"""#)),
        signed("a key of 31 bytes", &of_key(&key(&host_seed())[1..])),
        signed("a key of 33 bytes", &of_key(&[&key(&host_seed())[..], &[0]].concat())),
        signed("a key that is null", &keyed(r#""public_key":null"#)),
        signed("the key twice", &keyed(&format!("{member},{member}"))),
        signed("signed, and not JSON", "keycell"),
        signed("signed, a list", &format!("[{text}]")),
        signed("signed, a list of its values", &{
            let asked = asked();
            let [key, nonce, instance] =
                [&key(&host_seed())[..], &asked.nonce.0, &asked.instance.0].map(crate::raw::base64url);
            let (token, timestamp) = (asked.token.unwrap(), asked.timestamp);
            format!(
                r#"["nanoprobe","web1.example.com","{key}","{token}",{timestamp},"{nonce}","{instance}"]"#
            )
        }),
        signed("signed, something after it", &format!("{text}x")),
        signed("signed, twice", &format!("{text}{text}")),
        signed("signed, cut off", &text[..text.len() - 1]),
        forged("written to a key that everybody can make", {
            // The all-zero seed is as good as any other; the one who opens has another.
            let zero = Enrollment { identity_seed: [0; 32], ..made.clone() };
            assert_ne!(public(&zero.identity_seed), public(&made.identity_seed));
            zero.write()
        }),
    ]
}
