//! §10.2–10.4

mod content;
mod forged;
mod names;
mod reply;
mod request;
mod succession;

use super::{file, flipped, rejected};
use crate::format::Expect;
use crate::format::Hex;
use crate::format::enrollment::{Asked, Enrolling, EnrollmentCase};
use crate::raw::enrollment::{Enrollment, token};
use crate::raw::{NOW, bytes};

pub(super) fn files() -> Vec<(String, String)> {
    let requests = |path: &str, about: &str, cases| file(path, "enrollment", about, cases);
    let mut files = vec![
        requests(
            "enrollment/accept.json",
            "Requests to enroll that are written as they have to be (§10.2).",
            request::accepted(),
        ),
        requests(
            "enrollment/form.json",
            "What does not travel as a request to enroll does (§10.2).",
            request::malformed(),
        ),
        requests(
            "enrollment/forged.json",
            "Requests that were not written to the identity, or not by the holder of the key (§10.2).",
            forged::cases(),
        ),
        requests(
            "enrollment/content.json",
            "What the holder of a key signs, and is none (§10.2).",
            content::cases(),
        ),
        file(
            "enrollment/reply.json",
            "enrollment-reply",
            "Answers, opened by the host that asked (§10.4).",
            reply::cases(),
        ),
        file(
            "enrollment/succession.json",
            "succession",
            "Which bundle takes the place of the one that a host knows (§10.5).",
            succession::cases(),
        ),
    ];
    files.extend(names::files());
    files
}

const ZONE: &str = "cell.example";
const PRIMARY: &str = "#KDC#00001";
const SECONDARY: &str = "#KDC#00002";

fn asked() -> Asked {
    Asked {
        zone: ZONE.to_owned(),
        identity: PRIMARY.to_owned(),
        service: "nanoprobe".to_owned(),
        host: "web1.example.com".to_owned(),
        token: Some(token(&bytes("id of a join token"), &bytes::<32>("secret of a join token"))),
        timestamp: NOW,
        nonce: bytes::<16>("nonce of a request").into(),
        instance: bytes::<16>("instance").into(),
    }
}

fn with(change: impl FnOnce(&mut Asked)) -> Asked {
    let mut asked = asked();
    change(&mut asked);
    asked
}

fn host_seed() -> [u8; 32] {
    bytes("seed of a host's key")
}

fn eseed() -> [u8; 64] {
    let both: [[u8; 32]; 2] = [bytes("message of ML-KEM"), bytes("ephemeral key of X25519")];
    both.concat().try_into().unwrap()
}

fn of(request: &Asked) -> Enrollment {
    Enrollment::of(request, host_seed(), eseed())
}

fn case(case: &str, made: &Enrollment, json: String, expect: Expect<Enrolling>) -> EnrollmentCase {
    EnrollmentCase {
        case: case.to_owned(),
        identity_seed: made.identity_seed.into(),
        host_seed: made.host_seed.into(),
        eseed: Hex(made.eseed.to_vec()),
        json,
        spaces_up_to: None,
        expect,
    }
}

fn bad(what: &str, json: String, reason: &str) -> EnrollmentCase {
    case(what, &of(&asked()), json, rejected(reason))
}
