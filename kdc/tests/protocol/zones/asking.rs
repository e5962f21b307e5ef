//! A zone that asks another by function call, made of the protocol's own types and nothing else.

use keycell_kdc::random::system;
use keycell_protocol::{
    Correlation, Grant, Instance, KeysFor, LongTermKey, Name, Nonce, Outcome, PeerPair, PeerRequest, Peers,
    ProblemType, SealedReply, SignedPeerRequest, TicketReply,
};

use crate::zone::Zone;

/// What came of the one ticket that was asked for.
pub(super) type Came = Result<Box<Grant>, ProblemType>;

/// A request of `asking` to `asked`, made now, for tickets from each of the first to each of the second.
pub(super) fn request(asking: &Zone, asked: &Zone, pairs: &[(&str, &str)]) -> PeerRequest {
    let pair = |(source, destination): &(&str, &str)| PeerPair {
        source: Name::in_zone(source, asking.kdc.zone()).unwrap(),
        destination: Name::in_zone(destination, asked.kdc.zone()).unwrap(),
    };
    PeerRequest {
        source: Name::of_zone(asking.kdc.zone(), asked.kdc.zone()),
        requests: pairs.iter().map(pair).collect(),
        lifetime_seconds: 86_400,
        correlation: Correlation::generate(&mut system()),
        timestamp: asked.now(),
        nonce: Nonce::generate(&mut system()),
        instance: Instance([1; 16]),
    }
}

/// The keys that `key` asks with now.
pub(super) fn keys(asked: &Zone, key: &LongTermKey) -> KeysFor<Peers> {
    let epoch = asked.kdc.zone_record().ratchet_period.epoch(asked.now().seconds());
    key.clone().advance(epoch).unwrap().keys_for()
}

/// Sends a request to the KDC of `asked`.
pub(super) fn send(
    asked: &Zone,
    request: &PeerRequest,
    key: &LongTermKey,
) -> Result<TicketReply, ProblemType> {
    let keys = keys(asked, key);
    let body = answer(asked, &SignedPeerRequest::sign(request, &keys).unwrap().to_json())?;
    let reply = SealedReply::parse(&body).unwrap().open_for_zone(&keys, request).unwrap();
    assert_eq!(reply.server_time, asked.now());
    assert_eq!(reply.outcomes.len(), request.requests.len());
    Ok(reply)
}

/// What the KDC of `asked` answers to these bytes.
pub(super) fn answer(asked: &Zone, json: &[u8]) -> Result<Vec<u8>, ProblemType> {
    let issued = asked.kdc.peer_tickets(&SignedPeerRequest::parse(json).unwrap(), None);
    Ok(issued.map_err(|denied| denied.problem())?.body)
}

/// Asks for tickets, each with what came of it.
pub(super) fn ask(
    asking: &Zone,
    asked: &Zone,
    key: &LongTermKey,
    pairs: &[(&str, &str)],
) -> Result<Vec<Came>, ProblemType> {
    let reply = send(asked, &request(asking, asked, pairs), key)?;
    Ok(reply.outcomes.into_iter().map(came).collect())
}

/// Asks for one ticket.
pub(super) fn ask_one(
    asking: &Zone,
    asked: &Zone,
    key: &LongTermKey,
    source: &str,
    destination: &str,
) -> Came {
    ask(asking, asked, key, &[(source, destination)])?.pop().unwrap()
}

pub(super) fn came(outcome: Outcome) -> Came {
    match outcome {
        Outcome::Granted(grant) => Ok(grant),
        Outcome::Refused { problem, .. } => Err(problem.unwrap()),
    }
}

/// Why there is none, or `None` where there is one.
pub(super) fn problems(came: &[Came]) -> Vec<Option<ProblemType>> {
    came.iter().map(|came| came.as_ref().err().copied()).collect()
}
