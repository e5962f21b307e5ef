//! Author blocks: whatever stands before a body, it proves what its author signed, and nothing else.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{edited, key, of_kind, seed, signers};
use keycell_protocol::{
    AuthorProof, Envelope, Evidence, Name, Salt, Signers, StreamKey, Ticket, Under, Voucher,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Messages that are accepted, each with its plaintext.
static GENUINE: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let accepted = |case: &Value| case["expect"].get("accepted").is_some();
    CASES.iter().filter(|case| accepted(case)).map(opened).collect()
});
static CASES: LazyLock<Vec<Value>> = LazyLock::new(|| of_kind("author", "message"));
static SIGNERS: LazyLock<Signers> = LazyLock::new(|| signers(&CASES[0]["signers"]));

fn opened(case: &Value) -> (Vec<u8>, Vec<u8>) {
    let message = keycell_fuzz::hex(case["message"].as_str().unwrap());
    let envelope = Envelope::parse(&message).unwrap();
    let name = |bytes: &[u8]| Name::try_from(bytes).unwrap();
    let Under::Ticket(ticket) = envelope.under else { panic!() };
    let rkey = Ticket::parse(ticket).unwrap().open(&key(&case["key"]).subkeys().ticket).unwrap();
    let sek = rkey.sek(&name(envelope.source), &name(envelope.destination), envelope.expiration);
    let plaintext = StreamKey::new(sek, Salt::of(&envelope)).read(&envelope).unwrap();
    (message, plaintext)
}

fuzz_target!(
    init: {
        assert!(GENUINE.len() > 4, "the vectors have some messages that prove their author");
        seed(|| {
            let edits = [&b"\0"[..], b"\x01\x01\0\x05\x01", b"\x02\x04\0\x30\x00\x03\0\x60\x02"];
            edits.into_iter().map(<[u8]>::to_vec).chain(GENUINE.iter().map(|(_, plaintext)| plaintext.clone())).collect()
        });
    },
    |data: &[u8]| {
        check(&GENUINE[0], data);
        if let Some((which, edits)) = data.split_first() {
            let genuine = &GENUINE[usize::from(*which) % GENUINE.len()];
            check(genuine, &edited(&genuine.1, edits));
        }
    }
);

/// `plaintext` in the place of what was sealed: as a member of the group could do it.
fn check((message, _): &(Vec<u8>, Vec<u8>), plaintext: &[u8]) {
    let envelope = Envelope::parse(message).unwrap();
    let evidence = Evidence::new(&envelope, plaintext, None);
    let Ok((proof, body)) = AuthorProof::split(plaintext) else {
        assert!(evidence.is_err());
        return;
    };
    assert_eq!(AuthorProof::overhead(proof.voucher.len()) + body.len(), plaintext.len());
    assert!(proof.voucher.len() <= Voucher::MAX);
    let source = Name::try_from(envelope.source).unwrap();
    let verified = proof.verify(&SIGNERS, &source, envelope.sent_at, envelope.head(), body);
    let said = Evidence::verify(evidence.unwrap().as_bytes(), &SIGNERS);
    assert_eq!(verified.is_ok(), said.is_ok());
    let Ok(voucher) = verified else { return };
    assert_eq!((voucher.as_bytes(), voucher.name()), (proof.voucher, &source));
    assert_eq!(said.unwrap().body, body);
    // More than one of them has this head.
    let signed = |(message, plaintext): &(Vec<u8>, Vec<u8>)| {
        let (_, own) = AuthorProof::split(plaintext).unwrap();
        Envelope::parse(message).unwrap().head() == envelope.head() && own == body
    };
    assert!(GENUINE.iter().any(signed), "the author never said this");
}
