//! §4 and §5

use super::{file, rejected};
use crate::format::{EpochCase, Expect, Key, RatchetCase, SekCase, SubkeysCase};
use crate::raw::{self, A, B, EPOCH, NOW, bytes, expand, key, sub};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file("derive/subkeys.json", "subkeys", "Subkeys of a long-term key (§4.2).", subkeys()),
        file("derive/ratchet.json", "ratchet", "A key stepped forward to an epoch (§4.3).", ratchet()),
        file("derive/epoch.json", "epoch", "Which epochs are at hand at a moment (§4.3).", epochs()),
        file("derive/sek.json", "sek", "SEKs of a ticket (§5).", seks()),
    ]
}

fn subkeys() -> Vec<SubkeysCase> {
    let case = |case: &str, key: Key, [request, reply, ticket]: [[u8; 32]; 3], expect| SubkeysCase {
        case: case.to_owned(),
        key,
        request: request.into(),
        reply: reply.into(),
        ticket: ticket.into(),
        expect,
    };
    let (now, next) = (key(B, 1, EPOCH), key(B, 1, EPOCH + 1));
    let labels = ["request", "reply", "ticket"];
    let right = |key: &Key| labels.map(|label| sub(&key.secret.0, label));
    let zeros = Key { generation: 1, epoch: 0, secret: [0; 32].into() };
    vec![
        case("one epoch", now.clone(), right(&now), Expect::Accepted(())),
        case("the next epoch", next.clone(), right(&next), Expect::Accepted(())),
        case("a key of zeros", zeros.clone(), right(&zeros), Expect::Accepted(())),
        case("of another epoch", now.clone(), right(&next), rejected("forged")),
        case(
            "labels in another order",
            now.clone(),
            ["reply", "ticket", "request"].map(|label| sub(&now.secret.0, label)),
            rejected("forged"),
        ),
        case(
            "labels without their prefix",
            now.clone(),
            labels.map(|label| expand(&now.secret.0, label.as_bytes())),
            rejected("forged"),
        ),
        case("the long-term key itself", now.clone(), [now.secret.array(); 3], rejected("forged")),
    ]
}

fn ratchet() -> Vec<RatchetCase> {
    let start = || key(B, 1, EPOCH);
    let at = |epoch: u32| Expect::Accepted(key(B, 1, epoch).secret);
    let case = |case: &str, epoch, expect| RatchetCase { case: case.to_owned(), key: start(), epoch, expect };
    vec![
        case("no step", EPOCH, at(EPOCH)),
        case("one step", EPOCH + 1, at(EPOCH + 1)),
        case("a hundred steps", EPOCH + 100, at(EPOCH + 100)),
        case("the most steps at once", EPOCH + 65_536, at(EPOCH + 65_536)),
        case("one step back", EPOCH - 1, rejected("backwards")),
        case("one step too many", EPOCH + 65_537, rejected("too-far")),
        case("the last epoch there is", u32::MAX, rejected("too-far")),
    ]
}

fn epochs() -> Vec<EpochCase> {
    let case = |case: &str, key_epoch, epoch, expect| EpochCase {
        case: case.to_owned(),
        key_epoch,
        ratchet_period: 86_400,
        now: NOW / 1000,
        epoch,
        expect,
    };
    let accepted = || Expect::Accepted(());
    let mut cases = vec![
        case("now", EPOCH - 1, EPOCH, accepted()),
        case("the one before", EPOCH - 1, EPOCH - 1, accepted()),
        case("the one after", EPOCH - 1, EPOCH + 1, accepted()),
        case("two before", EPOCH - 10, EPOCH - 2, rejected("backwards")),
        case("two after", EPOCH - 1, EPOCH + 2, rejected("too-far")),
        case("the one before, but the key is newer", EPOCH, EPOCH - 1, rejected("backwards")),
        case("a stranger's fancy", EPOCH, u32::MAX, rejected("too-far")),
    ];
    let edge = |case: &str, now, epoch, expect| EpochCase {
        case: case.to_owned(),
        key_epoch: 0,
        ratchet_period: 60,
        now,
        epoch,
        expect,
    };
    cases.push(edge("periods of a minute, last second of epoch 1", 119, 0, accepted()));
    cases.push(edge("periods of a minute, first second of epoch 2", 120, 0, rejected("backwards")));
    cases
}

fn seks() -> Vec<SekCase> {
    let rkey: [u8; 32] = bytes("rkey");
    let end = NOW / 1000 + 900;
    let case = |case: &str, source: &str, destination: &str, expiration, sek: [u8; 64], expect| SekCase {
        case: case.to_owned(),
        rkey: rkey.into(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        expiration,
        sek: sek.into(),
        expect,
    };
    let right = |from: &str, to: &str, end| raw::sek(&rkey, from.as_bytes(), to.as_bytes(), end);
    let good = |what: &str, from: &str, to: &str, end| {
        case(what, from, to, end, right(from, to, end), Expect::Accepted(()))
    };
    let bad = |what: &str, sek| case(what, A, B, end, sek, rejected("forged"));
    let longest = format!("{}@{}", "x".repeat(190), "z".repeat(63));
    vec![
        good("from A to B", A, B, end),
        good("from B to A, of the same ticket", B, A, end),
        good("an expiry of one digit", A, B, 7),
        good("the latest expiry there is", A, B, u64::MAX),
        good("the longest name", &longest, B, end),
        bad("names swapped", right(B, A, end)),
        bad("another expiry", right(A, B, end + 1)),
        bad("expiry as a big-endian integer", {
            expand(&rkey, &[A.as_bytes(), b"\0", B.as_bytes(), b"\0", &end.to_be_bytes()].concat())
        }),
        bad("no zero bytes between the parts", expand(&rkey, format!("{A}{B}{end}").as_bytes())),
        bad("expiry with a zero in front", expand(&rkey, format!("{A}\0{B}\0{end:020}").as_bytes())),
        bad("a zero byte at the end", expand(&rkey, format!("{A}\0{B}\0{end}\0").as_bytes())),
        bad("another Rkey", raw::sek(&bytes("another rkey"), A.as_bytes(), B.as_bytes(), end)),
        bad("its halves exchanged", {
            let mut sek = right(A, B, end);
            sek.rotate_left(32);
            sek
        }),
    ]
}
