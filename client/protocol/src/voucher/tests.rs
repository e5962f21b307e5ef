use super::*;
use crate::author::{AuthorKey, AuthorProof};
use crate::{
    Cause, Envelope, Epoch, Evidence, EvidenceError, Extras, Generation, Header, Instance, KeysFor,
    LongTermKey, Mode, Nonce, RequestError, Rkey, Salt, StreamKey, Ticket, Topic, TrustedSigners, Under,
    Vouchers, test_rng,
};
use ed25519_dalek::{Signer as _, SigningKey};

fn kdc(byte: u8) -> (SigningKey, SignerKey) {
    let key = SigningKey::from_bytes(&[byte; 32]);
    let public = SignerKey::new(key.verifying_key().to_bytes());
    (key, public)
}

fn voucher(name: &str, key: &AuthorKey) -> Voucher {
    let (kdc, public) = kdc(1);
    let valid = (UnixSeconds(1000), UnixSeconds(2000));
    Voucher::issue(&name.parse().unwrap(), key.public(), valid, &public, |m| kdc.sign(m).to_bytes())
}

fn signers() -> Signers {
    let mut signers = Signers::new();
    signers.set(&"z".parse().unwrap(), &[kdc(1).1]);
    signers
}

fn keys(byte: u8) -> KeysFor<Vouchers> {
    LongTermKey::new(Generation(1), Epoch(5), [byte; 32]).keys_for()
}

#[test]
fn a_voucher_holds_for_its_name_of_its_zone_only() {
    let voucher = voucher("a@z", &AuthorKey::new(&[5; 32]));
    let again = Voucher::parse(voucher.as_bytes()).unwrap();
    assert_eq!(again, voucher);
    assert_eq!(again.verify(&signers()), Ok(()));
    assert_eq!(again.verify(&Signers::new()), Err(VoucherError::UnknownSigner));
    let mut elsewhere = Signers::new();
    elsewhere.set(&"other".parse().unwrap(), &[kdc(1).1]);
    assert_eq!(again.verify(&elsewhere), Err(VoucherError::UnknownSigner));
    for at in 0..voucher.as_bytes().len() {
        let mut changed = voucher.as_bytes().to_vec();
        changed[at] ^= 1;
        let outcome = Voucher::parse(&changed).and_then(|voucher| voucher.verify(&signers()));
        assert!(outcome.is_err(), "byte {at} does not matter");
    }
    assert!(Voucher::parse(&[voucher.as_bytes(), &[0]].concat()).is_err());
    assert!(again.covers(UnixMillis(1_000_000)) && again.covers(UnixMillis(2_000_999)));
    assert!(!again.covers(UnixMillis(999_999)) && !again.covers(UnixMillis(2_001_000)));
}

#[test]
fn who_registers_a_key_holds_it() {
    let author = AuthorKey::new(&[5; 32]);
    let source: Name = "a@z".parse().unwrap();
    let (at, nonce, instance) = (UnixMillis(7), Nonce([3; 16]), Instance([4; 16]));
    let request = VoucherRequest::new(source.clone(), &author, at, nonce, instance);
    let json = SignedVoucherRequest::sign(&request, &keys(1)).to_json();
    assert_eq!(SignedVoucherRequest::parse(&json).unwrap().verify(&keys(1)), Ok(request.clone()));
    assert_eq!(SignedVoucherRequest::parse(&json).unwrap().verify(&keys(2)), Err(RequestError::Forged));
    let stolen = VoucherRequest { public_key: AuthorKey::new(&[6; 32]).public(), ..request.clone() };
    let older = VoucherRequest { nonce: Nonce([9; 16]), ..request.clone() };
    let anothers = VoucherRequest::new("b@z".parse().unwrap(), &author, at, nonce, instance).proof;
    for request in [stolen, older, VoucherRequest { proof: anothers, ..request.clone() }] {
        let json = SignedVoucherRequest::sign(&request, &keys(1)).to_json();
        let refused = SignedVoucherRequest::parse(&json).unwrap().verify(&keys(1));
        assert_eq!(refused, Err(RequestError::Possession));
    }

    let given = voucher("a@z", &author);
    let answer = |voucher: &Voucher, signers: &[SignerKey]| {
        let given = (voucher, UnixSeconds(1600));
        let signers = (signers, &TrustedSigners::default());
        VoucherReply::seal(&request, UnixMillis(8), given, signers, &keys(1), &mut test_rng())
    };
    let json = answer(&given, &[kdc(1).1]);
    let opened = SealedVoucher::parse(&json).unwrap().open(&keys(1), &request).unwrap();
    assert_eq!((opened.voucher, opened.renew_after), (given.clone(), UnixSeconds(1600)));
    for json in [answer(&given, &[]), answer(&voucher("b@z", &author), &[kdc(1).1])] {
        assert!(SealedVoucher::parse(&json).unwrap().open(&keys(1), &request).is_err());
    }
}

/// A message of `a@z` to the group `g@z` with a proof by `author`, as it travels and opened.
fn message(author: &AuthorKey, voucher: &Voucher, mode: Mode) -> (Vec<u8>, Vec<u8>) {
    let mut rng = test_rng();
    let (source, destination) = ("a@z".parse().unwrap(), "g@z".parse().unwrap());
    let rkey = Rkey::generate(&mut rng);
    let key = LongTermKey::new(Generation(1), Epoch(0), [8; 32]).subkeys();
    let ticket = Ticket::seal_for_group(&rkey, Generation(1), &key.ticket, &mut rng);
    let header = Header {
        mode,
        extras: Extras { author_proof: true, detached: false },
        expiration: UnixSeconds(1900),
        sent_at: UnixMillis(1_500_000),
        sequence: 0,
        source: &source,
        destination: &destination,
        topic: Topic::try_from("command").unwrap(),
        under: Under::Ticket(ticket.as_bytes()),
    };
    let sek = rkey.sek(&source, &destination, UnixSeconds(1900));
    let stream = StreamKey::new(sek, Salt::generate(&mut rng));
    let message = stream.write_authored(&header, (author, voucher), b"reboot");
    let plaintext = stream.read(&Envelope::parse(&message).unwrap()).unwrap();
    (message, plaintext)
}

#[test]
fn an_author_proves_itself_and_the_proof_can_be_kept() {
    let author = AuthorKey::new(&[5; 32]);
    let source: Name = "a@z".parse().unwrap();
    for mode in [Mode::Sealed, Mode::Signed] {
        let (message, plaintext) = message(&author, &voucher("a@z", &author), mode);
        let envelope = Envelope::parse(&message).unwrap();
        let (proof, body) = AuthorProof::split(&plaintext).unwrap();
        assert_eq!(body, b"reboot");
        let check = |signers: &Signers, source: &Name, sent_at, body: &[u8]| {
            proof.verify(signers, source, sent_at, envelope.head(), body).map(drop)
        };
        let at = envelope.sent_at;
        assert_eq!(check(&signers(), &source, at, body), Ok(()));
        assert_eq!(check(&signers(), &source, at, b"stay"), Err(Cause::AuthorForged));
        assert_eq!(check(&signers(), &"b@z".parse().unwrap(), at, body), Err(Cause::AuthorForged));
        assert_eq!(check(&signers(), &source, UnixMillis(5_000_000), body), Err(Cause::AuthorExpired));
        assert_eq!(check(&Signers::new(), &source, at, body), Err(Cause::AuthorUnknown));

        let evidence = Evidence::new(&envelope, &plaintext, None).unwrap();
        let said = Evidence::verify(evidence.as_bytes(), &signers()).unwrap();
        assert_eq!((said.source.as_str(), said.destination.as_str()), ("a@z", "g@z"));
        assert_eq!((said.topic.as_str(), &said.body[..], said.sent_at), ("command", &b"reboot"[..], at));
        assert_eq!(Evidence::verify(evidence.as_bytes(), &Signers::new()), Err(EvidenceError::UnknownSigner));
        for at in 0..evidence.as_bytes().len() {
            let mut changed = evidence.as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(Evidence::verify(&changed, &signers()).is_err(), "byte {at} does not matter");
        }
        assert!(Evidence::verify(&[evidence.as_bytes(), &[0]].concat(), &signers()).is_err());
    }
}

#[test]
fn a_member_cannot_prove_to_be_another() {
    let (author, member) = (AuthorKey::new(&[5; 32]), AuthorKey::new(&[6; 32]));
    let source: Name = "a@z".parse().unwrap();
    // With its own voucher, with its own key under the author's voucher.
    for voucher in [voucher("m@z", &member), voucher("a@z", &author)] {
        let (message, plaintext) = message(&member, &voucher, Mode::Sealed);
        let envelope = Envelope::parse(&message).unwrap();
        let (proof, body) = AuthorProof::split(&plaintext).unwrap();
        let verified = proof.verify(&signers(), &source, envelope.sent_at, envelope.head(), body);
        assert_eq!(verified.unwrap_err(), Cause::AuthorForged);
    }
}
