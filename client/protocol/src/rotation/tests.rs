use super::*;
use crate::request::TicketRequest;
use crate::test_rng;

fn key(generation: u32, byte: u8) -> LongTermKey {
    LongTermKey::new(Generation(generation), Epoch(20_000), [byte; 32])
}

fn keys(byte: u8) -> RotationKeys {
    key(3, byte).keys_for()
}

fn request(step: Step) -> RotationRequest {
    RotationRequest {
        source: "a@z".parse().unwrap(),
        step,
        timestamp: UnixMillis(1_766_000_000_123),
        nonce: Nonce([1; 16]),
        instance: Instance([2; 16]),
    }
}

fn staged(request: &RotationRequest, next: &LongTermKey) -> Vec<u8> {
    RotationReply::seal_staged(request, UnixMillis(7), next, &keys(1), &mut test_rng())
}

fn committed(request: &RotationRequest) -> Vec<u8> {
    RotationReply::seal_committed(request, UnixMillis(7), &keys(1), &mut test_rng())
}

fn open(json: &[u8], request: &RotationRequest) -> Result<Rotated, ReplyError> {
    SealedRotation::parse(json)?.open(&keys(1), request)
}

#[test]
fn what_is_signed_is_what_is_read() {
    for step in [Step::Stage, Step::Commit] {
        let json = SignedRotation::sign(&request(step), &keys(1)).to_json();
        let signed = SignedRotation::parse(&json).unwrap();
        let KeyReference { name, generation, epoch } = signed.key();
        assert_eq!((name.as_str(), *generation, *epoch), ("a@z", Generation(3), Epoch(20_000)));
        assert_eq!(signed.verify(&keys(1)), Ok(request(step)));
        assert_eq!(signed.verify(&keys(2)), Err(RequestError::Forged));
    }
}

#[test]
fn nobody_rotates_anothers_key() {
    let json = SignedRotation::sign(&request(Step::Stage), &keys(1)).to_json();
    let json = String::from_utf8(json).unwrap().replacen("a@z", "b@z", 1);
    let signed = SignedRotation::parse(json.as_bytes()).unwrap();
    assert_eq!(signed.verify(&keys(1)), Err(RequestError::Source));
}

/// Each subkey has one job: what asks for tickets does not rotate, and the other way round.
#[test]
fn a_request_for_tickets_rotates_nothing() {
    let tickets = TicketRequest {
        source: "a@z".parse().unwrap(),
        destinations: vec!["b@z".parse().unwrap()],
        timestamp: UnixMillis(1),
        nonce: Nonce([1; 16]),
        instance: Instance([2; 16]),
    };
    let json = SignedRequest::sign(&tickets, &key(3, 1).subkeys()).unwrap().to_json();
    assert_eq!(SignedRotation::parse(&json).unwrap().verify(&keys(1)), Err(RequestError::Forged));
    let json = SignedRotation::sign(&request(Step::Stage), &keys(1)).to_json();
    let signed = SignedRequest::parse(&json).unwrap();
    assert_eq!(signed.verify(&key(3, 1).subkeys().request), Err(RequestError::Forged));
}

#[test]
fn a_party_is_given_its_next_key() {
    let request = request(Step::Stage);
    let Rotated::Staged { key: next, server_time } = open(&staged(&request, &key(4, 9)), &request).unwrap()
    else {
        panic!("not staged")
    };
    assert_eq!((next.generation(), next.epoch()), (Generation(4), Epoch(20_000)));
    assert_eq!(next.expose_secret(), &[9; 32]);
    assert_eq!(server_time, UnixMillis(7));
}

#[test]
fn a_party_hears_that_its_key_is_active() {
    let request = request(Step::Commit);
    let Rotated::Committed { generation, server_time } = open(&committed(&request), &request).unwrap() else {
        panic!("not committed")
    };
    assert_eq!((generation, server_time), (Generation(3), UnixMillis(7)));
}

#[test]
fn nobody_is_led_back_to_an_older_key() {
    let request = request(Step::Stage);
    for generation in [1, 2, 3] {
        let answer = staged(&request, &key(generation, 9));
        assert_eq!(open(&answer, &request).unwrap_err(), ReplyError::Malformed);
    }
}

#[test]
fn an_answer_answers_one_request_of_one_key() {
    let stage = request(Step::Stage);
    let answer = staged(&stage, &key(4, 9));
    let sealed = SealedRotation::parse(&answer).unwrap();
    assert_eq!(sealed.open(&keys(2), &stage).unwrap_err(), ReplyError::Forged);
    let another = [
        RotationRequest { nonce: Nonce([9; 16]), ..stage.clone() },
        RotationRequest { source: "b@z".parse().unwrap(), ..stage.clone() },
        RotationRequest { step: Step::Commit, ..stage },
    ];
    for request in another {
        assert_eq!(sealed.open(&keys(1), &request).unwrap_err(), ReplyError::AnotherRequest);
    }
}

#[test]
fn an_answer_of_another_key_of_the_party_is_none() {
    let request = request(Step::Commit);
    let other = LongTermKey::new(Generation(4), Epoch(20_000), [1; 32]).keys_for();
    let answer = RotationReply::seal_committed(&request, UnixMillis(7), &other, &mut test_rng());
    // The same bytes under another number: only a KDC that errs would say so.
    assert_eq!(open(&answer, &request).unwrap_err(), ReplyError::Malformed);
}

#[test]
fn a_changed_byte_spoils_it() {
    for step in [Step::Stage, Step::Commit] {
        let request = request(step);
        let json = SignedRotation::sign(&request, &keys(1)).to_json();
        let reference = SignedRotation::parse(&json).unwrap().key().clone();
        for at in 0..json.len() {
            let mut changed = json.clone();
            changed[at] ^= 1;
            // The KDC looks the key up by what `key` says.
            let verified = SignedRotation::parse(&changed)
                .is_ok_and(|signed| *signed.key() == reference && signed.verify(&keys(1)).is_ok());
            assert!(!verified, "byte {at} of a request does not matter");
        }
        let answer = match step {
            Step::Stage => staged(&request, &key(4, 9)),
            Step::Commit => committed(&request),
        };
        for at in 0..answer.len() {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &request).is_err(), "byte {at} of an answer does not matter");
        }
    }
}

#[test]
fn secrets_do_not_print() {
    let request = request(Step::Stage);
    let opened = open(&staged(&request, &key(4, 9)), &request).unwrap();
    let printed = format!("{opened:?} {:?}", keys(1));
    assert_eq!(
        printed,
        "Staged { key: LongTermKey { generation: Generation(4), epoch: Epoch(20000), .. }, \
         server_time: UnixMillis(7) } \
         KeysFor { generation: Generation(3), epoch: Epoch(20000), request: RequestKey(..), reply: ReplyKey(..) }"
    );
}
