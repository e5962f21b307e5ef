use proptest::prelude::*;

use super::*;
use crate::key::{Epoch, Generation, LongTermKey, Subkeys};
use crate::name::Zone;
use crate::problem::ProblemType;
use crate::purpose::GroupKeys;
use crate::reply::{Outcome, ReplyError, ReplyWriter, SealedReply};
use crate::request::TicketRequest;
use crate::test_rng;
use crate::time::UnixSeconds;

fn key(byte: u8) -> LongTermKey {
    LongTermKey::new(Generation(1), Epoch(20_000), [byte; 32])
}

fn keys(byte: u8) -> KeysFor<Peers> {
    key(byte).keys_for()
}

fn party(byte: u8) -> Subkeys {
    key(byte).subkeys()
}

fn zone(text: &str) -> Zone {
    text.parse().unwrap()
}

fn pair(source: &str, destination: &str) -> PeerPair {
    PeerPair { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn request(requests: Vec<PeerPair>) -> PeerRequest {
    PeerRequest {
        source: Name::of_zone(&zone("z1"), &zone("z2")),
        requests,
        lifetime_seconds: 900,
        correlation: Correlation([3; 16]),
        timestamp: UnixMillis(1_766_000_000_123),
        nonce: Nonce([1; 16]),
        instance: Instance([2; 16]),
    }
}

fn two() -> PeerRequest {
    request(vec![pair("a@z1", "b@z2"), pair("c@z1", "nobody@z2")])
}

fn verified(request: &PeerRequest) -> Result<PeerRequest, RequestError> {
    let json = SignedPeerRequest::sign(request, &keys(1))?.to_json();
    SignedPeerRequest::parse(&json)?.verify(&keys(1))
}

#[test]
fn what_is_signed_is_what_is_read() {
    let request = two();
    assert_eq!(request.source.as_str(), "#ZONE#z1@z2");
    let json = SignedPeerRequest::sign(&request, &keys(1)).unwrap().to_json();
    let signed = SignedPeerRequest::parse(&json).unwrap();
    assert_eq!(signed.key().name, request.source);
    assert_eq!(signed.verify(&keys(1)), Ok(request));
    assert_eq!(signed.verify(&keys(2)), Err(RequestError::Forged));
    let next = key(1).ratchet().unwrap().keys_for();
    assert_eq!(signed.verify(&next), Err(RequestError::Forged));
}

#[test]
fn a_probe_asks_for_nothing_and_nobody_asks_for_more_than_a_thousand() {
    assert_eq!(verified(&request(Vec::new())), Ok(request(Vec::new())));
    let most = request(vec![pair("a@z1", "b@z2"); 1000]);
    assert_eq!(verified(&most), Ok(most.clone()));
    let many = request(vec![pair("a@z1", "b@z2"); 1001]);
    assert_eq!(verified(&many), Err(RequestError::Destinations));
    // Also of one that was signed all the same.
    let keys = keys(1);
    let signed = SignedRequest::write(keys.reference(&many.source), &many, &keys.request).to_json();
    let signed = SignedPeerRequest::parse(&signed).unwrap();
    assert_eq!(signed.verify(&keys), Err(RequestError::Destinations));
}

#[test]
fn no_zone_asks_in_anothers_name() {
    let keys = keys(1);
    let other = Name::of_zone(&zone("z3"), &zone("z2"));
    let signed = SignedRequest::write(keys.reference(&other), &two(), &keys.request).to_json();
    assert_eq!(SignedPeerRequest::parse(&signed).unwrap().verify(&keys), Err(RequestError::Source));
}

#[test]
fn what_asks_for_tickets_or_groups_asks_for_nothing_else() {
    let json = SignedPeerRequest::sign(&two(), &keys(1)).unwrap().to_json();
    // By its form it could be one of these.
    let signed = SignedRequest::parse(&json).unwrap();
    assert_eq!(signed.verify(&party(1).request), Err(RequestError::Forged));
    let groups = key(1).keys_for::<GroupKeys>();
    assert_eq!(signed.verify(&groups.request), Err(RequestError::Forged));
    let ticket = TicketRequest {
        source: two().source,
        destinations: vec!["b@z2".parse().unwrap()],
        timestamp: two().timestamp,
        nonce: two().nonce,
        instance: two().instance,
    };
    let json = SignedRequest::sign(&ticket, &party(1)).unwrap().to_json();
    assert_eq!(SignedPeerRequest::parse(&json).unwrap().verify(&keys(1)), Err(RequestError::Forged));
}

#[test]
fn a_changed_bit_is_a_forgery_or_no_request() {
    let json = SignedPeerRequest::sign(&two(), &keys(1)).unwrap().to_json();
    let genuine = SignedPeerRequest::parse(&json).unwrap();
    for bit in 0..json.len() * 8 {
        let mut changed = json.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let outcome = SignedPeerRequest::parse(&changed).and_then(|signed| {
            // The KDC looks the key up by what `key` says.
            if signed.key() == genuine.key() { signed.verify(&keys(1)) } else { Err(RequestError::Forged) }
        });
        assert!(outcome.is_err(), "bit {bit} does not matter");
    }
}

#[test]
fn nonsense_of_the_holder_of_the_key_is_refused() {
    let keys = keys(1);
    let read = |change: fn(&mut serde_json::Value)| {
        let mut metadata = serde_json::to_value(two()).unwrap();
        change(&mut metadata);
        let json = SignedRequest::write(keys.reference(&two().source), &metadata, &keys.request).to_json();
        SignedPeerRequest::parse(&json).unwrap().verify(&keys)
    };
    assert_eq!(read(|_| ()), Ok(two()));
    for change in [
        (|m| m["more"] = 1.into()) as fn(&mut serde_json::Value),
        |m| m["requests"][0]["more"] = 1.into(),
        |m| m["requests"][0] = serde_json::json!({"source": "a@z1"}),
        |m| m["requests"][0]["destination"] = "b".into(),
        |m| m["requests"] = serde_json::Value::Null,
        |m| m["lifetime"] = (-1).into(),
        |m| m["lifetime"] = (1_u64 << 32).into(),
        |m| m["correlation"] = "AAAA".into(),
        |m| m["timestamp"] = "now".into(),
        |m| drop(m.as_object_mut().unwrap().remove("instance")),
        |m| *m = serde_json::json!("keycell"),
    ] {
        assert_eq!(read(change), Err(RequestError::Malformed));
    }
}

fn answer(request: &PeerRequest) -> Vec<u8> {
    let mut rng = test_rng();
    let mut writer = ReplyWriter::to_zone(request, UnixMillis(1_766_000_000_150));
    let pairs: [&PeerPair; 2] = request.requests.iter().collect::<Vec<_>>().try_into().unwrap();
    writer.on_behalf_of(&pairs[0].source);
    writer.grant_party(&pairs[0].destination, &party(2), UnixSeconds(900), UnixSeconds(600), &mut rng);
    writer.on_behalf_of(&pairs[1].source);
    writer.refuse(&pairs[1].destination, ProblemType::UnknownDestination);
    writer.ask_to_rotate();
    writer.seal_for_zone(&keys(1), &mut rng)
}

#[test]
fn a_party_of_one_zone_gets_a_ticket_of_the_other() {
    let request = two();
    let json = answer(&request);
    let reply = SealedReply::parse(&json).unwrap().open_for_zone(&keys(1), &request).unwrap();
    assert!(reply.rotate);
    let [Outcome::Granted(grant), Outcome::Refused { problem, .. }] = &reply.outcomes[..] else {
        panic!("{reply:?}")
    };
    assert_eq!(*problem, Some(ProblemType::UnknownDestination));
    // The keys are those of the party that speaks, not of its zone.
    let rkey = grant.ticket.open(&party(2).ticket).unwrap();
    let PeerPair { source, destination } = &request.requests[0];
    assert_eq!(grant.sek.bytes(), rkey.sek(source, destination, grant.expiration).bytes());
    let back = rkey.sek(destination, source, grant.expiration);
    assert_eq!(grant.reply_sek.as_ref().unwrap().bytes(), back.bytes());
    assert_ne!(grant.sek.bytes(), rkey.sek(&request.source, destination, grant.expiration).bytes());

    // Passed on, it is the very same for the party.
    let asked = TicketRequest {
        source: source.clone(),
        destinations: vec![destination.clone()],
        timestamp: request.timestamp,
        nonce: Nonce([8; 16]),
        instance: Instance([9; 16]),
    };
    let mut writer = ReplyWriter::new(&asked, UnixMillis(7));
    writer.pass_on(grant);
    let json = writer.seal(&party(5).reply, &mut test_rng());
    let passed = SealedReply::parse(&json).unwrap().open(&party(5).reply, &asked).unwrap();
    let [Outcome::Granted(passed)] = &passed.outcomes[..] else { panic!("{passed:?}") };
    assert_eq!(passed.sek.bytes(), grant.sek.bytes());
    assert_eq!(passed.reply_sek.as_ref().unwrap().bytes(), back.bytes());
    assert_eq!(passed.ticket.as_bytes(), grant.ticket.as_bytes());
    assert_eq!((passed.expiration, passed.renew_after), (grant.expiration, grant.renew_after));
}

#[test]
fn a_zone_takes_the_answer_to_its_own_request_only() {
    let request = two();
    let json = answer(&request);
    let open = |request: &PeerRequest, keys: &KeysFor<Peers>| {
        SealedReply::parse(&json).unwrap().open_for_zone(keys, request).map(|_| ()).unwrap_err()
    };
    assert_eq!(open(&request, &keys(2)), ReplyError::Forged);
    let with = |change: fn(&mut PeerRequest)| {
        let mut other = request.clone();
        change(&mut other);
        open(&other, &keys(1))
    };
    assert_eq!(with(|other| other.nonce = Nonce([7; 16])), ReplyError::AnotherRequest);
    assert_eq!(with(|other| other.source = "#ZONE#z3@z2".parse().unwrap()), ReplyError::AnotherRequest);
    assert_eq!(with(|other| other.requests.reverse()), ReplyError::Destinations);
    assert_eq!(with(|other| other.requests.truncate(1)), ReplyError::Destinations);
    // What is sealed for the zone's principal as a party is not for the zone.
    let opened = SealedReply::parse(&json).unwrap().open(
        &party(1).reply,
        &TicketRequest {
            source: request.source.clone(),
            destinations: request.requests.iter().map(|pair| pair.destination.clone()).collect(),
            timestamp: request.timestamp,
            nonce: request.nonce,
            instance: request.instance,
        },
    );
    assert_eq!(opened.unwrap_err(), ReplyError::Forged);
}

#[test]
fn a_changed_bit_is_no_answer() {
    let request = two();
    let json = answer(&request);
    for bit in 0..json.len() * 8 {
        let mut changed = json.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = SealedReply::parse(&changed).and_then(|reply| reply.open_for_zone(&keys(1), &request));
        assert!(opened.is_err(), "bit {bit} does not matter");
    }
}

#[test]
fn a_correlation_is_written_in_hexadecimal() {
    assert_eq!(Correlation([0xab; 16]).to_string(), "ab".repeat(16));
    assert_eq!(Correlation::generate(&mut test_rng()).to_string().len(), 32);
}

prop_compose! {
    fn names(zone: &'static str)(local in "[A-Za-z0-9][A-Za-z0-9._+#:-]{0,40}") -> Name {
        format!("{local}@{zone}").parse().unwrap()
    }
}

proptest! {
    #[test]
    fn every_request_goes_both_ways(
        pairs in prop::collection::vec((names("z1"), names("z2")), 0..20),
        lifetime_seconds in any::<u32>(),
        (correlation, nonce, instance) in any::<([u8; 16], [u8; 16], [u8; 16])>(),
        timestamp in any::<u64>(),
    ) {
        let request = PeerRequest {
            requests: pairs.into_iter().map(|(source, destination)| PeerPair { source, destination }).collect(),
            lifetime_seconds,
            correlation: Correlation(correlation),
            timestamp: UnixMillis(timestamp),
            nonce: Nonce(nonce),
            instance: Instance(instance),
            ..two()
        };
        prop_assert_eq!(verified(&request), Ok(request));
    }
}
