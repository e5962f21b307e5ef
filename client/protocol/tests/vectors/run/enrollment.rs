//! Hosts that come into a cell: what they send is opened and written again, and so is what they are answered.

use keycell_protocol::{
    AuthorKey, AuthorPublicKey, Enrolled, EnrolledName, EnrollmentAnswer, EnrollmentKeys, EnrollmentOutcome,
    EnrollmentReply, EnrollmentRequest, EnrollmentState, Epoch, Fingerprint, Generation, HostName,
    IdentityEncryptionKey, IdentityName, IdentitySecret, Instance, JoinToken, KdcIdentity, Name, Nonce,
    SealedEnrollment, SealedEnrollmentReply, ServiceName, SignerKey, UnixMillis,
};

use super::bundle::parts;
use super::known::Known;
use super::reasons::{enrollment_reason, join_token_reason, name_reason, reply_reason};
use crate::format::enrollment as format;
use crate::raw::{self, enrollment as plain};

pub(super) fn request(case: &format::EnrollmentCase) -> Result<format::Enrolling, &'static str> {
    let mut body = case.json.clone();
    body.extend(std::iter::repeat_n(' ', case.spaces_up_to.map_or(0, |size| size - body.len())));
    let sealed = SealedEnrollment::parse(body.as_bytes()).map_err(enrollment_reason)?;
    let secret = IdentitySecret::new(case.identity_seed.array());
    let (request, keys) = sealed.open(&secret).map_err(enrollment_reason)?;
    let asked = asked(sealed.zone().as_str(), sealed.identity(), &request);
    let host = AuthorKey::new(&case.host_seed.array());
    assert_eq!(host.public(), request.public_key, "{}", case.case);

    // Sealed once more, with the very bytes that stood for randomness.
    let to = identity(sealed.identity(), [0; 32], &secret);
    let (written, others) =
        request.seal(sealed.zone(), &to, &host, &mut Known(case.eseed.0.clone())).unwrap();
    let made = plain::Enrollment::of(&asked, case.host_seed.array(), case.eseed.array());
    assert_eq!(made.identity_seed, case.identity_seed.array(), "{}", case.case);
    assert_eq!(String::from_utf8(written).unwrap(), made.write(), "{}", case.case);
    let long_term_key = |keys: &EnrollmentKeys| {
        let key = keys.long_term_key(Generation(7), Epoch(8));
        assert_eq!((key.generation(), key.epoch()), (Generation(7), Epoch(8)));
        *key.expose_secret()
    };
    assert_eq!(long_term_key(&keys), long_term_key(&others), "{}", case.case);
    for keys in [&keys, &others] {
        reply_key_is(keys, &request, made.reply_key());
    }
    Ok(format::Enrolling {
        request: asked,
        name: request.name().name(sealed.zone()).to_string(),
        public_key: request.public_key.as_bytes().into(),
        digest: sealed.digest().into(),
        // Nobody is shown it; it is right if what follows from it is.
        shared_secret: made.encapsulation().secret().into(),
        long_term_key: long_term_key(&keys).into(),
        reply_key: made.reply_key().into(),
    })
}

/// The key of the answer cannot be read: what it seals is what the plain primitives seal.
fn reply_key_is(keys: &EnrollmentKeys, request: &EnrollmentRequest, key: [u8; 32]) {
    let nonce: [u8; 24] = raw::bytes("nonce of an answer");
    let answer = format::Answer::Pending { server_time: 5, retry_after: 60 };
    let metadata = plain::reply_metadata(&request.nonce.0, &answer);
    assert_eq!(
        EnrollmentReply::seal_pending(request, UnixMillis(5), 60, keys, &mut Known(nonce.to_vec())),
        plain::sealed_reply(&key, &nonce, &metadata, b"").as_bytes()
    );
}

pub(super) fn reply(case: &format::EnrollmentReplyCase) -> Result<format::Answer, &'static str> {
    let secret = IdentitySecret::new(case.identity_seed.array());
    let host = AuthorKey::new(&case.host_seed.array());
    let zone = case.request.zone.parse().unwrap();
    let to = identity(case.request.identity.parse().unwrap(), case.signing_key.array(), &secret);
    let request = asking(&case.request, &host);
    let (_, keys) = request.seal(&zone, &to, &host, &mut Known(case.eseed.0.clone())).unwrap();
    reply_key_is(&keys, &request, case.reply_key.array());
    let sealed = SealedEnrollmentReply::parse(case.json.as_bytes()).map_err(reply_reason)?;
    let EnrollmentAnswer { server_time, outcome } =
        sealed.open(&keys, &request, &zone, &to).map_err(reply_reason)?;

    // Written once more, under the nonce of the vector.
    let nonce: [u8; 24] = raw::bytes("nonce of an answer");
    let rng = &mut Known(nonce.to_vec());
    let (answer, written) = match outcome {
        EnrollmentOutcome::Pending { retry_after } => (
            format::Answer::Pending { server_time: server_time.0, retry_after },
            EnrollmentReply::seal_pending(&request, server_time, retry_after, &keys, rng),
        ),
        EnrollmentOutcome::Enrolled(enrolled) => {
            let written = EnrollmentReply::seal_enrolled(&request, server_time, &enrolled, &keys, rng);
            (format::Answer::Enrolled(answered(server_time, enrolled)), written)
        }
    };
    let metadata = plain::reply_metadata(&request.nonce.0, &answer);
    let expected = plain::sealed_reply(&case.reply_key.array(), &nonce, &metadata, b"");
    assert_eq!(String::from_utf8(written).unwrap(), expected, "{}", case.case);
    Ok(answer)
}

fn answered(server_time: UnixMillis, enrolled: Enrolled) -> format::Enrolled {
    let Enrolled { name, generation, epoch, state, ratchet_period, bundle } = enrolled;
    format::Enrolled {
        server_time: server_time.0,
        name: name.to_string(),
        generation: generation.0,
        epoch: epoch.0,
        state: match state {
            EnrollmentState::Active => "active",
            EnrollmentState::Staged => "staged",
        }
        .to_owned(),
        ratchet_period: ratchet_period.seconds(),
        bundle: parts(bundle),
    }
}

fn identity(name: IdentityName, signing_key: [u8; 32], secret: &IdentitySecret) -> KdcIdentity {
    let signing_key = SignerKey::new(signing_key);
    KdcIdentity { name, signing_key, encryption_key: secret.public() }
}

fn asked(zone: &str, identity: IdentityName, request: &EnrollmentRequest) -> format::Asked {
    format::Asked {
        zone: zone.to_owned(),
        identity: identity.to_string(),
        service: request.service.to_string(),
        host: request.host.to_string(),
        token: request.token.as_ref().map(|token| token.to_text().to_string()),
        timestamp: request.timestamp.0,
        nonce: request.nonce.0.into(),
        instance: request.instance.0.into(),
    }
}

fn asking(asked: &format::Asked, host: &AuthorKey) -> EnrollmentRequest {
    EnrollmentRequest {
        service: asked.service.parse().unwrap(),
        host: asked.host.parse().unwrap(),
        public_key: host.public(),
        token: asked.token.as_ref().map(|token| token.parse().unwrap()),
        timestamp: UnixMillis(asked.timestamp),
        nonce: Nonce(asked.nonce.array()),
        instance: Instance(asked.instance.array()),
    }
}

pub(super) fn encryption_key(case: &format::EncryptionKeyCase) -> Result<(), &'static str> {
    let encryption_key = IdentityEncryptionKey(case.encryption_key.array());
    let to =
        KdcIdentity { name: IdentityName::PRIMARY, signing_key: SignerKey::new([0; 32]), encryption_key };
    let host = AuthorKey::new(&[1; 32]);
    let request = asking(
        &format::Asked {
            zone: String::new(),
            identity: String::new(),
            service: "nanoprobe".to_owned(),
            host: "web1".to_owned(),
            token: None,
            timestamp: 1,
            nonce: [2; 16].into(),
            instance: [3; 16].into(),
        },
        &host,
    );
    let sealed = request.seal(&"cell.example".parse().unwrap(), &to, &host, &mut Known(vec![4; 64]));
    sealed.map(|_| ()).map_err(enrollment_reason)
}

pub(super) fn service(case: &format::ServiceCase) -> Result<(), &'static str> {
    let service: ServiceName = case.service.parse().map_err(name_reason)?;
    assert_eq!(service.as_str(), case.service);
    Ok(())
}

pub(super) fn host(case: &format::HostCase) -> Result<(), &'static str> {
    let host: HostName = case.host.parse().map_err(name_reason)?;
    assert_eq!(HostName::canonical(&case.host).as_ref(), Ok(&host));
    assert_eq!(host.as_str(), case.host);
    Ok(())
}

pub(super) fn own_host(case: &format::OwnHostCase) -> Result<String, &'static str> {
    HostName::canonical(&case.said).map(|host| host.to_string()).map_err(name_reason)
}

pub(super) fn fingerprint(case: &format::FingerprintCase) -> Result<(), &'static str> {
    let fingerprint: Fingerprint = case.fingerprint.parse().map_err(name_reason)?;
    assert_eq!(fingerprint.to_string(), case.fingerprint);
    let key = AuthorPublicKey::new(case.public_key.array());
    if fingerprint == Fingerprint::of(&key) { Ok(()) } else { Err("forged") }
}

pub(super) fn name(case: &format::EnrolledNameCase) -> Result<format::EnrolledParts, &'static str> {
    let name: Name = case.name.parse().map_err(name_reason)?;
    let parts = EnrolledName::of(&name).ok_or("not-enrolled")?;
    assert_eq!(parts.name(&name.zone().parse().unwrap()), name);
    let EnrolledName { service, host, fingerprint } = parts;
    Ok(format::EnrolledParts {
        service: service.to_string(),
        host: host.to_string(),
        fingerprint: fingerprint.to_string(),
    })
}

pub(super) fn token(case: &format::JoinTokenCase) -> Result<String, &'static str> {
    let token: JoinToken = case.token.parse().map_err(join_token_reason)?;
    assert_eq!(*token.to_text(), case.token);
    if !token.checks(&case.verifier.array()) {
        return Err("forged");
    }
    assert_eq!(token.verifier(), case.verifier.array());
    Ok(token.id().to_string())
}
