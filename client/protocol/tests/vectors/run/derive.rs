//! Keys, and what is derived from them.

use keycell_protocol::{
    Envelope, Epoch, Extras, Generation, Header, LongTermKey, Mode, Name, RatchetPeriod, RatchetedKey, Rkey,
    Salt, SealedReply, Sek, SignedRequest, StreamKey, Ticket, TicketId, Topic, Under, UnixMillis,
    UnixSeconds,
};

use super::key;
use super::known::Known;
use super::reasons::ratchet_reason;
use super::reply::asked;
use crate::format::{self, Hex};
use crate::raw;

/// What the vector's subkeys sign and seal holds under the crate's, all three or none.
pub(super) fn subkeys(case: &format::SubkeysCase) -> Result<(), &'static str> {
    let subkeys = key(&case.key).subkeys();
    let request = format::Request {
        source: raw::A.to_owned(),
        destinations: vec![raw::B.to_owned()],
        timestamp: raw::NOW,
        nonce: [1; 16].into(),
        instance: [2; 16].into(),
    };
    let m = raw::base64url(raw::metadata(&request));
    let signature = raw::base64url(raw::hmac(&case.request.0, m.as_bytes()));
    let json = raw::signed_with(raw::A, &case.key, &m, &signature);
    let signed = SignedRequest::parse(json.as_bytes()).unwrap().verify(&subkeys.request).is_ok();

    let refusal = format!(r#"{{"destination":"{}","problem":"urn:keycell:problem:not-allowed"}}"#, raw::B);
    let m = raw::base64url(raw::reply_metadata(&request, &[refusal]));
    let sealed = raw::seal(&case.reply.array(), &[3; 24], m.as_bytes(), b"");
    let json = raw::reply_with(&m, &raw::base64url([&[3; 24][..], &sealed].concat()));
    let replied = SealedReply::parse(json.as_bytes()).unwrap().open(&subkeys.reply, &asked(&request)).is_ok();

    let header = [&[1, 1][..], &case.key.generation.to_be_bytes(), &case.key.epoch.to_be_bytes()].concat();
    let sealed = raw::seal(&case.ticket.array(), &[4; 24], &header, &[5; 32]);
    let ticket = Ticket::parse(&[&header[..], &[4; 24], &sealed].concat()).unwrap();
    let opened = ticket.open(&subkeys.ticket).is_ok();

    match [signed, replied, opened] {
        [true, true, true] => Ok(()),
        [false, false, false] => Err("forged"),
        mixed => panic!("{}: only some hold: {mixed:?}", case.case),
    }
}

pub(super) fn ratchet(case: &format::RatchetCase) -> Result<Hex, &'static str> {
    let key = key(&case.key).advance(Epoch(case.epoch)).map_err(ratchet_reason)?;
    Ok(key.expose_secret().into())
}

pub(super) fn epoch(case: &format::EpochCase) -> Result<(), &'static str> {
    let key = LongTermKey::new(Generation::FIRST, Epoch(case.key_epoch), [7; 32]);
    let period = RatchetPeriod::from_seconds(case.ratchet_period).unwrap();
    let now = period.epoch(UnixSeconds(case.now));
    let subkeys = RatchetedKey::new(key).at(Epoch(case.epoch), now).map_err(ratchet_reason)?;
    assert_eq!(subkeys.epoch, Epoch(case.epoch));
    Ok(())
}

pub(super) fn sek(case: &format::SekCase) -> Result<(), &'static str> {
    let (source, destination) = (case.source.parse().unwrap(), case.destination.parse().unwrap());
    let sek = Rkey::generate(&mut Known(case.rkey.0.clone())).sek(
        &source,
        &destination,
        UnixSeconds(case.expiration),
    );
    if is(&sek, &case.sek) { Ok(()) } else { Err("forged") }
}

/// Whether what `sek` seals and signs is what the vector's bytes would have sealed and signed.
pub(super) fn is(sek: &Sek, bytes: &Hex) -> bool {
    let (source, destination): (Name, Name) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
    let holds = [Mode::Sealed, Mode::Signed].map(|mode| {
        let header = Header {
            mode,
            extras: Extras::NONE,
            expiration: UnixSeconds(1),
            sent_at: UnixMillis(2),
            sequence: 3,
            source: &source,
            destination: &destination,
            topic: Topic::try_from("t").unwrap(),
            under: Under::Id(TicketId::from_bytes([4; 16])),
        };
        let salt = Salt::generate(&mut Known(vec![5; 16]));
        let message = raw::Message {
            magic: *b"KCL1",
            kind: 2,
            flags: u8::from(mode == Mode::Signed),
            expiration: 1,
            sent_at: 2,
            salt: [5; 16],
            sequence: 3,
            source: b"a@z".to_vec(),
            destination: b"b@z".to_vec(),
            topic: b"t".to_vec(),
            under: vec![4; 16],
            body: b"body".to_vec(),
            rkey: [0; 32],
        };
        let written = StreamKey::new(sek.clone(), salt).write(&header, b"body");
        let expected = message.write_under(&bytes.array());
        // What the vector's bytes wrote is read as well.
        let read = StreamKey::new(sek.clone(), Salt::generate(&mut Known(vec![5; 16])))
            .read(&Envelope::parse(&expected).unwrap());
        assert_eq!(read.is_ok(), written == expected);
        written == expected
    });
    assert_eq!(holds[0], holds[1], "one half only");
    holds[0]
}
