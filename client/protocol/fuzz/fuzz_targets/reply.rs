//! Replies: as they come, and sealed around whatever metadata and records.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{accepted, cases, key, plain, request, seed};
use keycell_protocol::{LongTermKey, Outcome, SealedReply, TicketReply, TicketRequest};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&cases("reply")[0]["key"]));
static REQUEST: LazyLock<TicketRequest> = LazyLock::new(|| request(&cases("reply")[0]["request"]));

fuzz_target!(
    init: seed(|| {
        let mut seeds = accepted("reply", "json");
        // Metadata, a zero byte, and one record, for the second half of the target.
        let nonce = plain::base64url(&REQUEST.nonce.0);
        let [granted, refused] = [0, 1].map(|at| REQUEST.destinations[at].as_str());
        let metadata = format!(
            r#"{{"source":"{}","nonce":"{nonce}","server_time":1,"tickets":[{{"destination":"{granted}","expiration":9,"renew_after":8}},{{"destination":"{refused}","problem":"x"}}]}}"#,
            REQUEST.source
        );
        let record = [&[1][..], &[5; 128], &[1, 1], &[6; 80]].concat();
        seeds.push([metadata.as_bytes(), b"\0", &record].concat());
        seeds
    }),
    |data: &[u8]| {
        let subkeys = KEY.subkeys();
        if let Ok(sealed) = SealedReply::parse(data)
            && let Ok(reply) = sealed.open(&subkeys.reply, &REQUEST)
        {
            check(&reply);
        }
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (metadata, records) = data.split_at(cut);
        let json = plain::reply(&KEY, metadata, records.get(1..).unwrap_or_default());
        if let Ok(reply) = SealedReply::parse(json.as_bytes()).unwrap().open(&subkeys.reply, &REQUEST) {
            check(&reply);
        }
    }
);

fn check(reply: &TicketReply) {
    let names = reply.outcomes.iter().map(|outcome| match outcome {
        Outcome::Granted(grant) => &grant.destination,
        Outcome::Refused { destination, .. } => destination,
    });
    assert!(names.eq(&REQUEST.destinations));
}
