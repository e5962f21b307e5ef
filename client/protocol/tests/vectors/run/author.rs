//! Vouchers, proofs of authors, evidence and bodies apart: checked, opened, and written again.

use keycell_protocol::{
    AuthorKey, AuthorProof, AuthorPublicKey, Cause, ContentPart, Envelope, Evidence, Header, Instance, Name,
    Nonce, Salt, SealedVoucher, SignedVoucherRequest, SignerKey, Signers, StreamKey, Ticket, TrustedSigners,
    Under, UnixMillis, UnixSeconds, Voucher, VoucherReply, VoucherRequest, ZoneSigners,
};

use super::known::Known;
use super::reasons::{evidence_reason, reply_reason, request_reason, voucher_reason};
use crate::format::Hex;
use crate::format::author as format;
use crate::raw;

fn signers(known: &[format::Signer]) -> Signers {
    let mut signers = Signers::new();
    for format::Signer { zone, key } in known {
        signers.set(&zone.parse().unwrap(), &[SignerKey::new(key.array())]);
    }
    signers
}

pub(super) fn voucher(case: &format::VoucherCase) -> Result<format::Voucher, &'static str> {
    let voucher = Voucher::parse(&case.voucher.0).map_err(voucher_reason)?;
    assert_eq!(voucher.as_bytes(), case.voucher.0);
    voucher.verify(&signers(&case.signers)).map_err(voucher_reason)?;
    if !voucher.covers(UnixMillis(case.at)) {
        return Err("expired");
    }
    let signer = case.signers.iter().map(|signer| SignerKey::new(signer.key.array()));
    let signer = signer.into_iter().find(|key| key.id() == voucher.signer()).unwrap();
    let valid = (voucher.not_before(), voucher.not_after());
    let written = Voucher::issue(voucher.name(), voucher.public_key(), valid, &signer, |message| {
        ed25519_dalek::Signer::sign(&raw::author::signing(raw::author::KDC), message).to_bytes()
    });
    assert_eq!(written.as_bytes(), case.voucher.0, "what is written is not what is read");
    Ok(parts(&voucher))
}

fn parts(voucher: &Voucher) -> format::Voucher {
    format::Voucher {
        signer: voucher.signer().as_bytes().into(),
        not_before: voucher.not_before().0,
        not_after: voucher.not_after().0,
        name: voucher.name().to_string(),
        public_key: voucher.public_key().as_bytes().into(),
    }
}

pub(super) fn request(case: &format::VoucherRequestCase) -> Result<format::VoucherRequest, &'static str> {
    let keys = super::key(&case.key).keys_for();
    let signed = SignedVoucherRequest::parse(case.json.as_bytes()).map_err(request_reason)?;
    let request = signed.verify(&keys).map_err(request_reason)?;
    let named = (signed.key().name.as_str(), signed.key().generation.0, signed.key().epoch.0);
    assert_eq!(named, (request.source.as_str(), case.key.generation, case.key.epoch), "{}", case.case);
    let parts = format::VoucherRequest {
        source: request.source.to_string(),
        public_key: request.public_key.as_bytes().into(),
        proof: request.proof.into(),
        timestamp: request.timestamp.0,
        nonce: request.nonce.0.into(),
        instance: request.instance.0.into(),
    };
    let author = AuthorKey::new(raw::author::signing(&parts.source).as_bytes());
    let (source, at) = (request.source.clone(), request.timestamp);
    let made = VoucherRequest::new(source, &author, at, request.nonce, request.instance);
    let written = SignedVoucherRequest::sign(&made, &keys).to_json();
    let expected = raw::author::signed(&parts.source, &case.key, &raw::author::request(&parts));
    assert_eq!(written, expected.as_bytes());
    Ok(parts)
}

fn asked(request: &format::VoucherRequest) -> VoucherRequest {
    VoucherRequest {
        source: request.source.parse().unwrap(),
        public_key: AuthorPublicKey::new(request.public_key.array()),
        proof: request.proof.array(),
        timestamp: UnixMillis(request.timestamp),
        nonce: Nonce(request.nonce.array()),
        instance: Instance(request.instance.array()),
    }
}

pub(super) fn reply(case: &format::VoucherReplyCase) -> Result<format::VoucherReply, &'static str> {
    let keys = super::key(&case.key).keys_for();
    let sealed = SealedVoucher::parse(case.json.as_bytes()).map_err(reply_reason)?;
    let given = sealed.open(&keys, &asked(&case.request)).map_err(reply_reason)?;
    Ok(format::VoucherReply {
        server_time: given.server_time.0,
        renew_after: given.renew_after.0,
        signers: given.signers.iter().map(|signer| signer.as_bytes().into()).collect(),
        trusted: trusted(&given.trusted),
        voucher: given.voucher.as_bytes().into(),
    })
}

pub(super) fn trusted(zones: &TrustedSigners) -> Vec<format::ZoneSigners> {
    let zone = |known: &ZoneSigners| format::ZoneSigners {
        zone: known.zone.to_string(),
        signers: known.signers.iter().map(|signer| signer.as_bytes().into()).collect(),
    };
    zones.iter().map(zone).collect()
}

/// Opens the message with the key of its ticket, as a member does, and checks who wrote it.
pub(super) fn message(case: &format::AuthorCase) -> Result<format::Authored, &'static str> {
    let authored = authored(case).map_err(|cause| cause.code())?;
    Ok(authored)
}

fn authored(case: &format::AuthorCase) -> Result<format::Authored, Cause> {
    let envelope = Envelope::parse(&case.message.0)?;
    let name = |bytes: &[u8]| Name::try_from(bytes).unwrap();
    let (source, destination) = (name(envelope.source), name(envelope.destination));
    let Under::Ticket(ticket) = envelope.under else { panic!("{} has no ticket", case.case) };
    let key = super::key(&case.key).subkeys().ticket;
    let rkey = Ticket::parse(ticket)?.open(&key)?;
    let sek = || rkey.sek(&source, &destination, envelope.expiration);
    let plaintext = StreamKey::new(sek(), Salt::of(&envelope)).read(&envelope)?;
    if !envelope.extras.author_proof {
        return Err(Cause::AuthorMissing);
    }
    let (proof, body) = AuthorProof::split(&plaintext)?;
    let voucher = proof.verify(&signers(&case.signers), &source, envelope.sent_at, envelope.head(), body)?;

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
    let author = AuthorKey::new(raw::author::signing(source.as_str()).as_bytes());
    let written =
        StreamKey::new(sek(), Salt::of(&envelope)).write_authored(&header, (&author, &voucher), body);
    assert_eq!(written, case.message.0, "what is written is not what is read");
    let evidence = Evidence::new(&envelope, &plaintext, None).unwrap();
    let said = Evidence::verify(evidence.as_bytes(), &signers(&case.signers)).unwrap();
    assert_eq!((&said.source, &said.body[..]), (&source, body));
    Ok(format::Authored { source: source.to_string(), body: body.into(), voucher: parts(&voucher) })
}

pub(super) fn evidence(case: &format::EvidenceCase) -> Result<format::Said, &'static str> {
    let said = Evidence::verify(&case.evidence.0, &signers(&case.signers)).map_err(evidence_reason)?;
    Ok(format::Said {
        source: said.source.to_string(),
        destination: said.destination.to_string(),
        topic: said.topic,
        sent_at: said.sent_at.0,
        expiration: said.expiration.0,
        sequence: said.sequence,
        body: said.body.into(),
        voucher: parts(&said.voucher),
    })
}

pub(super) fn content(case: &format::ContentCase) -> Result<Hex, &'static str> {
    let part = ContentPart::parse(&case.part.0).map_err(|cause| cause.code())?;
    let body = part.open(&case.common.0).map_err(|cause| cause.code())?;
    let mut rng = Known(case.part.0[..32].to_vec());
    let (again, common) = ContentPart::seal(&body, &mut rng).unwrap();
    assert_eq!((&again.plaintext()[..], &common), (&case.part.0[..], &case.common.0), "{}", case.case);
    Ok(body.into())
}

/// A zone's keys, as a KDC tells them.
pub(super) fn told(zone: &format::ZoneSigners) -> TrustedSigners {
    let signers = zone.signers.iter().map(|key| SignerKey::new(key.array())).collect();
    let zone = ZoneSigners { zone: zone.zone.parse().unwrap(), signers };
    TrustedSigners::new("cell.example", vec![zone]).unwrap()
}

/// What the crate's KDC side writes is what the plain primitives write, byte by byte.
#[test]
fn a_voucher_is_given_as_the_text_says() {
    let nonce: [u8; 24] = raw::bytes("nonce of an answer");
    let own = raw::key(raw::A, 1, raw::EPOCH);
    let request = raw::author::asked();
    let voucher = raw::author::Voucher::of(raw::A).write();
    let signers = [raw::author::public(raw::author::KDC)];
    let abroad = raw::author::zone_signers("other.example", 2);
    let metadata = raw::author::reply(&request, raw::NOW / 1000 + 60_000, &signers);
    let metadata = raw::author::trusting(&metadata, core::slice::from_ref(&abroad));
    let mut rng = Known(nonce.to_vec());
    let written = VoucherReply::seal(
        &asked(&request),
        UnixMillis(raw::NOW + 40),
        (&Voucher::parse(&voucher).unwrap(), UnixSeconds(raw::NOW / 1000 + 60_000)),
        (&signers.map(SignerKey::new), &told(&abroad)),
        &super::key(&own).keys_for(),
        &mut rng,
    );
    assert_eq!(written, raw::author::sealed(&own, &nonce, &metadata, &voucher).as_bytes());
    assert!(rng.0.is_empty());
}
