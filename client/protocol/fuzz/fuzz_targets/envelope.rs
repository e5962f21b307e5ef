//! Messages taken apart: what is read is all there is, and nobody's key fits.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{accepted, cases, key, seed};
use keycell_protocol::{Envelope, Header, Name, Rkey, Salt, StreamKey, Ticket, UnixSeconds};
use libfuzzer_sys::fuzz_target;

/// Some Rkey that seals none of the seeds.
static RKEY: LazyLock<Rkey> = LazyLock::new(|| {
    let case = &cases("ticket")[2];
    let ticket = Ticket::parse(&keycell_fuzz::hex(case["ticket"].as_str().unwrap())).unwrap();
    ticket.open(&key(&case["key"]).subkeys().ticket).unwrap()
});

fuzz_target!(
    init: seed(|| accepted("message", "message")),
    |data: &[u8]| {
        let Ok(envelope) = Envelope::parse(data) else { return };
        let (Ok(source), Ok(destination)) = (Name::try_from(envelope.source), Name::try_from(envelope.destination))
        else {
            return;
        };
        let header = Header {
            mode: envelope.mode,
            extras: envelope.extras,
            expiration: envelope.expiration,
            sent_at: envelope.sent_at,
            sequence: envelope.sequence,
            source: &source,
            destination: &destination,
            topic: envelope.topic,
            under: envelope.under,
        };
        assert_eq!(header.size() + envelope.body_len() + envelope.mode.overhead(), data.len());
        let stream = || StreamKey::new(RKEY.sek(&source, &destination, UnixSeconds(1)), Salt::of(&envelope));
        assert!(stream().read(&envelope).is_err());
        let written = stream().write(&header, &vec![0; envelope.body_len()]);
        assert_eq!(written[..header.size()], data[..header.size()]);
    }
);
