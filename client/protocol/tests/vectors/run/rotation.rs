//! Rotations: checked, opened, and written again.

use keycell_protocol::{
    Epoch, Generation, Instance, LongTermKey, Nonce, Rotated, RotationReply, RotationRequest, SealedRotation,
    SignedRotation, Step, UnixMillis,
};

use super::known::Known;
use super::reasons::{reply_reason, request_reason};
use crate::{format, raw};

pub(super) fn request(case: &format::RotationCase) -> Result<format::Rotation, &'static str> {
    let keys = super::key(&case.key).keys_for();
    let signed = SignedRotation::parse(case.json.as_bytes()).map_err(request_reason)?;
    let request = signed.verify(&keys).map_err(request_reason)?;
    let named = (signed.key().name.as_str(), signed.key().generation.0, signed.key().epoch.0);
    assert_eq!(named, (request.source.as_str(), case.key.generation, case.key.epoch), "{}", case.case);
    let parts = format::Rotation {
        source: request.source.to_string(),
        step: match request.step {
            Step::Stage => "stage",
            Step::Commit => "commit",
        }
        .to_owned(),
        timestamp: request.timestamp.0,
        nonce: request.nonce.0.into(),
        instance: request.instance.0.into(),
    };
    let written = SignedRotation::sign(&request, &keys).to_json();
    assert_eq!(written, raw::signed_rotation(&parts.source, &case.key, &raw::rotation(&parts)).as_bytes());
    Ok(parts)
}

pub(super) fn reply(case: &format::RotationReplyCase) -> Result<format::Answered, &'static str> {
    let keys = super::key(&case.key).keys_for();
    let sealed = SealedRotation::parse(case.json.as_bytes()).map_err(reply_reason)?;
    match sealed.open(&keys, &asked(&case.request)).map_err(reply_reason)? {
        Rotated::Staged { key, server_time } => Ok(format::Answered::Staged {
            server_time: server_time.0,
            key: format::Key {
                generation: key.generation().0,
                epoch: key.epoch().0,
                secret: key.expose_secret().into(),
            },
        }),
        Rotated::Committed { generation, server_time } => {
            Ok(format::Answered::Committed { server_time: server_time.0, generation: generation.0 })
        }
    }
}

fn asked(request: &format::Rotation) -> RotationRequest {
    RotationRequest {
        source: request.source.parse().unwrap(),
        step: if request.step == "stage" { Step::Stage } else { Step::Commit },
        timestamp: UnixMillis(request.timestamp),
        nonce: Nonce(request.nonce.array()),
        instance: Instance(request.instance.array()),
    }
}

/// What the crate's KDC side writes is what the plain primitives write, byte by byte.
#[test]
fn an_answer_is_written_as_the_text_says() {
    let nonce: [u8; 24] = raw::bytes("nonce of an answer");
    let (own, next) = (raw::key(raw::A, 1, raw::EPOCH), raw::key(raw::A, 2, raw::EPOCH));
    let keys = super::key(&own).keys_for();
    let request = |step: &str| format::Rotation {
        source: raw::A.to_owned(),
        step: step.to_owned(),
        timestamp: raw::NOW,
        nonce: [1; 16].into(),
        instance: [2; 16].into(),
    };
    let now = UnixMillis(raw::NOW + 40);
    let mut rng = Known([nonce, nonce].concat());
    let (stage, commit) = (request("stage"), request("commit"));
    let key = LongTermKey::new(Generation(2), Epoch(raw::EPOCH), next.secret.array());
    assert_eq!(
        RotationReply::seal_staged(&asked(&stage), now, &key, &keys, &mut rng),
        raw::sealed_rotation(&own, &nonce, &raw::rotation_reply(&stage, 2, raw::EPOCH), &next.secret.0)
            .as_bytes()
    );
    assert_eq!(
        RotationReply::seal_committed(&asked(&commit), now, &keys, &mut rng),
        raw::sealed_rotation(&own, &nonce, &raw::rotation_reply(&commit, 1, raw::EPOCH), b"").as_bytes()
    );
    assert!(rng.0.is_empty());
}
