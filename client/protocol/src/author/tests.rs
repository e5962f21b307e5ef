use super::*;
use crate::time::UnixSeconds;
use crate::{
    ContentPart, Envelope, Evidence, Extras, Header, Mode, Rkey, Salt, SignerKey, StreamKey, Ticket,
    TicketId, Topic, Under, test_rng,
};
use proptest::prelude::*;

fn kdc() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn signers() -> Signers {
    let mut signers = Signers::new();
    signers.set(&"z".parse().unwrap(), &[SignerKey::new(kdc().verifying_key().to_bytes())]);
    signers
}

fn voucher(name: &Name, key: &AuthorKey, valid: (u64, u64)) -> Voucher {
    let signer = SignerKey::new(kdc().verifying_key().to_bytes());
    let valid = (UnixSeconds(valid.0), UnixSeconds(valid.1));
    Voucher::issue(name, key.public(), valid, &signer, |message| kdc().sign(message).to_bytes())
}

fn stream(source: &Name, destination: &Name) -> StreamKey {
    StreamKey::new(
        Rkey::from_bytes([7; 32]).sek(source, destination, UnixSeconds(900)),
        Salt::generate(&mut test_rng()),
    )
}

fn names() -> impl Strategy<Value = Name> {
    "[a-z][a-z0-9.]{0,60}@z".prop_map(|name| name.parse().unwrap())
}

fn headers() -> impl Strategy<Value = (Mode, bool, u64, Under<'static>)> {
    let under =
        prop_oneof![Just(Under::Ticket(&[1; Ticket::SIZE])), Just(Under::Id(TicketId::from_bytes([9; 16])))];
    let modes =
        prop_oneof![Just((Mode::Sealed, false)), Just((Mode::Sealed, true)), Just((Mode::Signed, false))];
    (modes, 1_000_000..2_000_000_u64, under).prop_map(|((mode, apart), at, under)| (mode, apart, at, under))
}

#[test]
fn no_voucher_is_longer_than_any() {
    let block = |length: u16| {
        let voucher = vec![0; usize::from(length)];
        [&length.to_be_bytes()[..], &voucher, &[0; SIGNATURE], b"body"].concat()
    };
    let longest = block(Voucher::MAX as u16);
    assert_eq!(AuthorProof::split(&longest).unwrap().1, b"body");
    assert_eq!(AuthorProof::split(&block(Voucher::MAX as u16 + 1)), Err(Cause::AuthorForged));
    assert_eq!(AuthorProof::split(&block(u16::MAX)), Err(Cause::AuthorForged));
}

proptest! {
    // Each case signs and checks a few times, which is slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_an_author_writes_is_proved_and_kept(
        source in names(),
        destination in names(),
        topic in "[^\\p{Cc}]{0,60}",
        body: Vec<u8>,
        (mode, apart, sent_at, under) in headers(),
    ) {
        prop_assume!(source != destination);
        let author = AuthorKey::new(&[5; 32]);
        let voucher = voucher(&source, &author, (1000, 2000));
        let (part, common) = ContentPart::seal(&body, &mut test_rng()).unwrap();
        let inner = if apart { part.plaintext().to_vec() } else { body.clone() };
        let header = Header {
            mode,
            extras: Extras { author_proof: true, detached: apart },
            expiration: UnixSeconds(900),
            sent_at: UnixMillis(sent_at),
            sequence: 5,
            source: &source,
            destination: &destination,
            topic: Topic::try_from(topic.as_str()).unwrap(),
            under,
        };
        let message = stream(&source, &destination).write_authored(&header, (&author, &voucher), &inner);
        let envelope = Envelope::parse(&message).unwrap();
        prop_assert_eq!(envelope.extras, header.extras);
        prop_assert_eq!(envelope.head().len(), header.size());
        let plaintext = stream(&source, &destination).read(&envelope).unwrap();
        prop_assert_eq!(plaintext.len(), AuthorProof::overhead(voucher.as_bytes().len()) + inner.len());
        let (proof, read) = AuthorProof::split(&plaintext).unwrap();
        prop_assert_eq!(read, &inner[..]);
        let proved = proof.verify(&signers(), &source, envelope.sent_at, envelope.head(), read);
        prop_assert_eq!(proved.as_ref(), Ok(&voucher));
        let by_another = proof.verify(&signers(), &destination, envelope.sent_at, envelope.head(), read);
        prop_assert_eq!(by_another, Err(Cause::AuthorForged));

        let evidence = Evidence::new(&envelope, &plaintext, apart.then_some(&common[..])).unwrap();
        let said = Evidence::verify(evidence.as_bytes(), &signers()).unwrap();
        prop_assert_eq!((&said.source, &said.destination, &said.topic), (&source, &destination, &topic));
        prop_assert_eq!((said.sent_at, said.sequence, said.body), (envelope.sent_at, 5, body));
    }

    #[test]
    fn what_is_cut_or_changed_proves_nothing(
        body: Vec<u8>,
        at: prop::sample::Index,
        bit in 0..8_u8,
        mode in prop_oneof![Just(Mode::Sealed), Just(Mode::Signed)],
    ) {
        let (source, destination): (Name, Name) = ("a@z".parse().unwrap(), "g@z".parse().unwrap());
        let author = AuthorKey::new(&[5; 32]);
        let header = Header {
            mode,
            extras: Extras { author_proof: true, detached: false },
            expiration: UnixSeconds(900),
            sent_at: UnixMillis(1_500_000),
            sequence: 5,
            source: &source,
            destination: &destination,
            topic: Topic::try_from("t").unwrap(),
            under: Under::Ticket(&[1; Ticket::SIZE]),
        };
        let voucher = voucher(&source, &author, (1000, 2000));
        let message = stream(&source, &destination).write_authored(&header, (&author, &voucher), &body);
        let envelope = Envelope::parse(&message).unwrap();
        let plaintext = stream(&source, &destination).read(&envelope).unwrap();
        let evidence = Evidence::new(&envelope, &plaintext, None).unwrap();
        let at = at.index(evidence.as_bytes().len());
        let mut changed = evidence.as_bytes().to_vec();
        changed[at] ^= 1 << bit;
        prop_assert!(Evidence::verify(&changed, &signers()).is_err());
        prop_assert!(Evidence::verify(&evidence.as_bytes()[..at], &signers()).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, name in names(), times: (u64, u64), key: [u8; 32]) {
        let _ = Voucher::parse(&bytes);
        let _ = Voucher::parse(&[b"KCV1", &bytes[..]].concat());
        let _ = AuthorProof::split(&bytes);
        prop_assert!(Evidence::verify(&bytes, &signers()).is_err());
        prop_assert!(Evidence::verify(&[b"KCE1\0\0\0", &bytes[..]].concat(), &signers()).is_err());

        // Whatever its fields are, a voucher is read as it was written.
        let (times, signer) = ((UnixSeconds(times.0), UnixSeconds(times.1)), SignerKey::new(key));
        let voucher = Voucher::issue(&name, AuthorPublicKey::new(key), times, &signer, |_| [3; 64]);
        prop_assert!(voucher.as_bytes().len() <= Voucher::MAX);
        prop_assert_eq!(Voucher::parse(voucher.as_bytes()), Ok(voucher.clone()));
        let cut = &voucher.as_bytes()[..bytes.len() % voucher.as_bytes().len()];
        prop_assert!(Voucher::parse(cut).is_err());
        prop_assert!(Voucher::parse(&[voucher.as_bytes(), &[0]].concat()).is_err());
    }

    #[test]
    fn any_body_travels_apart(body: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let (part, common) = ContentPart::seal(&body, &mut test_rng()).unwrap();
        let part = ContentPart::parse(&*part.plaintext()).unwrap();
        prop_assert_eq!(common.len(), body.len() + ContentPart::OVERHEAD);
        prop_assert_eq!(part.open(&common), Ok(body.clone()));
        let at = at.index(common.len());
        let mut changed = common.clone();
        changed[at] ^= 1 << bit;
        prop_assert_eq!(part.open(&changed), Err(Cause::Body));
        prop_assert_eq!(part.open(&common[..at]), Err(Cause::Body));
        prop_assert_eq!(part.open(&body), Err(Cause::Body));
    }
}
