use super::*;
use crate::key::{Epoch, Generation, LongTermKey, Subkeys};
use crate::request::Instance;
use crate::test_rng;

fn keys(byte: u8) -> Subkeys {
    LongTermKey::new(Generation(1), Epoch(20_000), [byte; 32]).subkeys()
}

fn request(nonce: u8) -> TicketRequest {
    TicketRequest {
        source: "a@z".parse().unwrap(),
        destinations: ["b@z", "nobody@z", "c@z"].map(|name| name.parse().unwrap()).into(),
        timestamp: UnixMillis(1_766_000_000_000),
        nonce: Nonce([nonce; 16]),
        instance: Instance([2; 16]),
    }
}

fn reply(request: &TicketRequest) -> Vec<u8> {
    let mut rng = test_rng();
    let mut writer = ReplyWriter::new(request, UnixMillis(1_766_000_000_050));
    for (destination, keys) in request.destinations.iter().zip([Some(keys(2)), None, Some(keys(3))]) {
        match keys {
            Some(keys) => {
                writer.grant_party(destination, &keys, UnixSeconds(900), UnixSeconds(600), &mut rng)
            }
            None => writer.refuse(destination, ProblemType::UnknownDestination),
        }
    }
    writer.seal(&keys(1).reply, &mut rng)
}

#[test]
fn both_ends_hold_the_same_seks() {
    let request = request(1);
    let json = reply(&request);
    let opened = SealedReply::parse(&json).unwrap().open(&keys(1).reply, &request).unwrap();
    let [Outcome::Granted(first), Outcome::Refused { destination, problem }, Outcome::Granted(_)] =
        &opened.outcomes[..]
    else {
        panic!("{opened:?}")
    };
    assert_eq!(destination.as_str(), "nobody@z");
    assert_eq!(*problem, Some(ProblemType::UnknownDestination));
    let rkey = first.ticket.open(&keys(2).ticket).unwrap();
    let (a, b) = (&request.source, &first.destination);
    assert_eq!(rkey.sek(a, b, first.expiration).bytes(), first.sek.bytes());
    assert_eq!(rkey.sek(b, a, first.expiration).bytes(), first.reply_sek.as_ref().unwrap().bytes());
    assert!(!format!("{opened:?}").contains(&format!("{:?}", first.sek.bytes())));
}

#[test]
fn a_party_is_asked_to_rotate_in_what_is_sealed_for_it() {
    let request = request(1);
    let open = |ask: bool| {
        let mut writer = ReplyWriter::new(&request, UnixMillis(7));
        for destination in &request.destinations {
            writer.refuse(destination, ProblemType::NotAllowed);
        }
        if ask {
            writer.ask_to_rotate();
        }
        let json = writer.seal(&keys(1).reply, &mut test_rng());
        SealedReply::parse(&json).unwrap().open(&keys(1).reply, &request).unwrap().rotate
    };
    assert_eq!([open(false), open(true)], [false, true]);
}

#[test]
fn a_reply_answers_one_request_of_one_party() {
    let json = reply(&request(1));
    let sealed = SealedReply::parse(&json).unwrap();
    assert_eq!(sealed.open(&keys(9).reply, &request(1)).unwrap_err(), ReplyError::Forged);
    assert_eq!(sealed.open(&keys(1).reply, &request(2)).unwrap_err(), ReplyError::AnotherRequest);
    let mut other = request(1);
    other.destinations.swap(0, 2);
    assert_eq!(sealed.open(&keys(1).reply, &other).unwrap_err(), ReplyError::Destinations);
    other.destinations.pop();
    assert_eq!(sealed.open(&keys(1).reply, &other).unwrap_err(), ReplyError::Destinations);
}

#[test]
fn a_changed_byte_spoils_it() {
    let request = request(1);
    let json = reply(&request);
    for at in 0..json.len() {
        let mut changed = json.clone();
        changed[at] ^= 1;
        let outcome = SealedReply::parse(&changed).and_then(|sealed| sealed.open(&keys(1).reply, &request));
        assert!(outcome.is_err(), "byte {at} does not matter");
    }
}
