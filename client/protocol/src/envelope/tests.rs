use super::*;
use crate::derive::{Rkey, Sek};
use proptest::prelude::*;

fn sek() -> Sek {
    let (a, b) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
    Rkey::from_bytes([7; 32]).sek(&a, &b, UnixSeconds(900))
}

fn key(salt: [u8; 16]) -> StreamKey {
    StreamKey::new(sek(), Salt(salt))
}

fn write(mode: Mode, under: Under<'_>, topic: &str, body: &[u8]) -> Vec<u8> {
    let (source, destination) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
    let header = Header {
        mode,
        extras: Extras::NONE,
        expiration: UnixSeconds(900),
        sent_at: UnixMillis(123_456),
        sequence: 5,
        source: &source,
        destination: &destination,
        topic: topic.try_into().unwrap(),
        under,
    };
    let out = key([3; 16]).write(&header, body);
    assert_eq!(out.len(), header.size() + body.len() + mode.overhead());
    out
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Sealed), Just(Mode::Signed)]
}

#[test]
fn every_bit_counts() {
    let id = Under::Id(TicketId::from_bytes([9; 16]));
    for under in [Under::Ticket(&[1; Ticket::SIZE]), id] {
        for mode in [Mode::Sealed, Mode::Signed] {
            let message = write(mode, under, "topic", b"body");
            for at in 0..message.len() {
                for bit in 0..8 {
                    let mut changed = message.clone();
                    changed[at] ^= 1 << bit;
                    let read =
                        Envelope::parse(&changed).and_then(|envelope| key(*envelope.salt).read(&envelope));
                    assert!(read.is_err(), "bit {bit} of byte {at} does not matter");
                }
            }
        }
    }
}

#[test]
fn one_key_is_never_used_for_both_modes() {
    let sealed = write(Mode::Sealed, Under::Ticket(&[1; Ticket::SIZE]), "", b"body");
    let signed = write(Mode::Signed, Under::Ticket(&[1; Ticket::SIZE]), "", b"body");
    assert!(signed.windows(4).any(|bytes| bytes == b"body"));
    assert!(!sealed.windows(4).any(|bytes| bytes == b"body"));
    assert_ne!(sek().encryption(), sek().signing());
}

#[test]
fn topics_are_plain_text() {
    assert_eq!(Topic::try_from("a\nb"), Err(TopicError::Control));
    assert_eq!(Topic::try_from("x".repeat(256).as_str()), Err(TopicError::Length));
    assert!(Topic::try_from("x".repeat(255).as_str()).is_ok());
}

proptest! {
    #[test]
    fn what_is_written_is_read(mode in modes(), topic in "[^\\p{Cc}]{0,60}", body: Vec<u8>) {
        let message = write(mode, Under::Ticket(&[1; Ticket::SIZE]), &topic, &body);
        let envelope = Envelope::parse(&message).unwrap();
        prop_assert_eq!(envelope.topic.as_str(), topic);
        prop_assert_eq!(envelope.source, b"a@z");
        prop_assert_eq!(envelope.destination, b"b@z");
        prop_assert_eq!(envelope.under, Under::Ticket(&[1; Ticket::SIZE]));
        prop_assert_eq!((envelope.expiration, envelope.sequence), (UnixSeconds(900), 5));
        prop_assert_eq!(envelope.body_len(), body.len());
        prop_assert_eq!(key([3; 16]).read(&envelope).unwrap(), body);
        prop_assert_eq!(key([4; 16]).read(&envelope).is_ok(), mode == Mode::Signed);
    }

    #[test]
    fn what_is_cut_is_refused(mode in modes(), body: Vec<u8>, cut: prop::sample::Index) {
        let message = write(mode, Under::Id(TicketId::from_bytes([9; 16])), "t", &body);
        let cut = &message[..cut.index(message.len())];
        let read = Envelope::parse(cut).and_then(|envelope| key([3; 16]).read(&envelope));
        prop_assert!(read.is_err());
    }

    #[test]
    fn any_bytes_parse_or_fail(bytes: Vec<u8>) {
        let _ = Envelope::parse(&bytes);
        let _ = Envelope::parse(&[b"KCL1\x01\x00".as_slice(), &bytes].concat());
    }
}
