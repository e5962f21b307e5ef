//! Groups: their keys derived, requests checked, answers opened, and all written again.

use keycell_protocol::{
    Generation, GroupChain, GroupKey, GroupKeysRequest, GroupKeysWriter, GroupOutcome, HeldGroup, HeldKey,
    Instance, Name, Nonce, ProblemType, ReplyWriter, Rkey, SealedGroupKeys, SignedGroupRequest, SignerKey,
    Ticket, UnixMillis, UnixSeconds,
};

use super::known::Known;
use super::reasons::{ratchet_reason, reply_reason, request_reason};
use crate::format::group::{self as format, GroupKeyCase, GroupReplyCase, GroupRequestCase};
use crate::format::{Expect, Hex};
use crate::raw;

/// The chain's secret at the generation, if the vector's key is the group's then.
pub(super) fn key(case: &GroupKeyCase) -> Result<Hex, &'static str> {
    let chain = GroupChain::new(Generation(case.chain.generation), case.chain.secret.array());
    let chain = chain.advance(Generation(case.generation)).map_err(ratchet_reason)?;
    assert_eq!(chain.key().generation(), Generation(case.generation));
    if is(&chain.key(), &case.key) { Ok(chain.expose_secret().into()) } else { Err("forged") }
}

/// Whether what the key seals opens under the vector's bytes.
fn is(key: &GroupKey, bytes: &Hex) -> bool {
    let mut rng = Known(vec![7; 32 + 24]);
    let rkey = Rkey::generate(&mut rng);
    let ticket = Ticket::seal_for_group(&rkey, key.generation(), &key.ticket_key(), &mut rng);
    let expected = crate::format::Key { generation: key.generation().0, epoch: 0, secret: bytes.clone() };
    raw::ticket(2, &expected, &[7; 24], &[7; 32]) == ticket.as_bytes()
}

pub(super) fn request(case: &GroupRequestCase) -> Result<format::GroupRequest, &'static str> {
    let keys = super::key(&case.key).keys_for();
    let signed = SignedGroupRequest::parse(case.json.as_bytes()).map_err(request_reason)?;
    let request = signed.verify(&keys).map_err(request_reason)?;
    let named = (signed.key().name.as_str(), signed.key().generation.0, signed.key().epoch.0);
    assert_eq!(named, (request.source.as_str(), case.key.generation, case.key.epoch), "{}", case.case);
    let parts = format::GroupRequest {
        source: request.source.to_string(),
        groups: request.groups.iter().map(Name::to_string).collect(),
        timestamp: request.timestamp.0,
        nonce: request.nonce.0.into(),
        instance: request.instance.0.into(),
    };
    let written = SignedGroupRequest::sign(&request, &keys).unwrap().to_json();
    let expected = raw::group::signed(&parts.source, &case.key, &raw::group::request(&parts));
    assert_eq!(written, expected.as_bytes());
    Ok(parts)
}

fn asked(request: &format::GroupRequest) -> GroupKeysRequest {
    GroupKeysRequest {
        source: request.source.parse().unwrap(),
        groups: request.groups.iter().map(|name| name.parse().unwrap()).collect(),
        timestamp: UnixMillis(request.timestamp),
        nonce: Nonce(request.nonce.array()),
        instance: Instance(request.instance.array()),
    }
}

pub(super) fn reply(case: &GroupReplyCase) -> Result<format::GroupReply, &'static str> {
    let keys = super::key(&case.key).keys_for();
    let sealed = SealedGroupKeys::parse(case.json.as_bytes()).map_err(reply_reason)?;
    let opened = sealed.open(&keys, &asked(&case.request)).map_err(reply_reason)?;
    let expected = match &case.expect {
        Expect::Accepted(expected) => expected.groups.as_slice(),
        Expect::Rejected(_) => &[],
    };
    assert!(opened.groups.len() == expected.len() || expected.is_empty(), "{}", case.case);
    Ok(format::GroupReply {
        server_time: opened.server_time.0,
        rotate: opened.rotate,
        signers: opened.signers.iter().map(|signer| signer.as_bytes().into()).collect(),
        trusted: super::author::trusted(&opened.trusted),
        groups: opened
            .groups
            .into_iter()
            .zip(expected)
            .map(|(got, expected)| outcome(got, expected))
            .collect(),
    })
}

/// The keys cannot be read; they are the vector's when they do what the vector's do.
fn outcome(got: GroupOutcome, expected: &format::GroupOutcome) -> format::GroupOutcome {
    match got {
        GroupOutcome::Granted(HeldGroup { group, author_proof, refresh_at, spread, keys }) => {
            let format::GroupOutcome::Granted { keys: expected, .. } = expected else {
                panic!("{group} was to be refused")
            };
            assert_eq!(keys.len(), expected.len());
            let key = |(held, expected): (HeldKey, &format::GroupKey)| {
                assert!(is(&held.key, &expected.secret), "another key of {group}");
                format::GroupKey {
                    generation: held.key.generation().0,
                    begins: held.begins.0,
                    ends: held.ends.0,
                    secret: expected.secret.clone(),
                }
            };
            format::GroupOutcome::Granted {
                keys: keys.into_iter().zip(expected).map(key).collect(),
                group: group.to_string(),
                author_proof,
                refresh_at: refresh_at.0,
                spread,
            }
        }
        GroupOutcome::Refused { group, problem } => format::GroupOutcome::Refused {
            group: group.to_string(),
            problem: problem.map(|problem| problem.urn().to_owned()),
        },
    }
}

/// What the crate's KDC side writes is what the plain primitives write, byte by byte.
#[test]
fn keys_are_given_as_the_text_says() {
    use raw::group::{G, H, held};
    let nonce: [u8; 24] = raw::bytes("nonce of an answer");
    let own = raw::key(raw::B, 1, raw::EPOCH);
    let request = format::GroupRequest {
        source: raw::B.to_owned(),
        groups: vec![G.to_owned(), H.to_owned()],
        timestamp: raw::NOW,
        nonce: [1; 16].into(),
        instance: [2; 16].into(),
    };
    let told = [6, 7, 8].map(|generation| held(G, generation));
    let signers = [raw::author::public(raw::author::KDC)];
    let refused = format!(r#"{{"group":"{H}","problem":"urn:keycell:problem:not-allowed"}}"#);
    let metadata = raw::group::reply(&request, &signers, &[raw::group::entry(G, true, &told), refused]);
    let abroad = raw::author::zone_signers("other.example", 2);
    let metadata = raw::author::trusting(&metadata, core::slice::from_ref(&abroad));
    let records: Vec<_> = told.iter().flat_map(|key| key.secret.0.clone()).collect();

    let asked = asked(&request);
    let mut writer = GroupKeysWriter::new(&asked, UnixMillis(raw::NOW + 40), &signers.map(SignerKey::new));
    writer.trust(&super::author::told(&abroad));
    let chain = GroupChain::new(Generation(5), raw::group::chain(G, 5));
    let key = |key: &format::GroupKey| HeldKey {
        key: chain.clone().advance(Generation(key.generation)).unwrap().key(),
        begins: UnixSeconds(key.begins),
        ends: UnixSeconds(key.ends),
    };
    writer.grant(HeldGroup {
        group: asked.groups[0].clone(),
        author_proof: true,
        refresh_at: UnixMillis(raw::group::refresh_at()),
        spread: raw::group::SPREAD,
        keys: told.iter().map(key).collect(),
    });
    writer.refuse(&asked.groups[1], ProblemType::NotAllowed);
    let mut rng = Known(nonce.to_vec());
    let keys = super::key(&own).keys_for();
    assert_eq!(
        writer.seal(&keys, &mut rng),
        raw::group::sealed(&own, &nonce, &metadata, &records).as_bytes()
    );
    assert!(rng.0.is_empty());
}

/// As above, of a reply with a ticket for a group.
#[test]
fn a_ticket_for_a_group_is_given_as_the_text_says() {
    use raw::group::{G, GENERATION, LIFETIME};
    let (rkey, nonce): ([u8; 32], [u8; 24]) = (raw::bytes("rkey"), raw::bytes("nonce of a reply"));
    let end = raw::NOW / 1000 + LIFETIME;
    let granted = raw::grant(raw::A, G, &rkey, end);
    let request = super::reply::asked(&granted.request);
    let own = raw::key(raw::A, 1, raw::EPOCH);
    let entry = raw::entry(G, end, end - 100).replace('}', r#","author_proof":true}"#);
    let ticket = raw::group::ticket(G, GENERATION, &rkey);
    let record = [&[2][..], &raw::sek(&rkey, raw::A.as_bytes(), G.as_bytes(), end), &ticket].concat();
    let metadata = raw::reply_metadata(&granted.request, &[entry]);

    let chain = GroupChain::new(Generation(5), raw::group::chain(G, 5));
    let key = chain.advance(Generation(GENERATION)).unwrap().key();
    let mut rng = Known([&rkey[..], &raw::bytes::<24>("nonce of a ticket"), &nonce].concat());
    let mut writer = ReplyWriter::new(&request, UnixMillis(raw::NOW + 40));
    let under = (key.generation(), &key.ticket_key());
    writer.grant_group(
        &request.destinations[0],
        under,
        true,
        UnixSeconds(end),
        UnixSeconds(end - 100),
        &mut rng,
    );
    let written = writer.seal(&super::key(&own).subkeys().reply, &mut rng);
    assert_eq!(written, raw::reply(&own, &nonce, &metadata, &record).as_bytes());
    assert!(rng.0.is_empty());
}
