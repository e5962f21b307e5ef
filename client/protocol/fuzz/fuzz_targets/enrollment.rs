//! Requests to enroll: as they come, and signed and sealed around whatever there is.
#![no_main]

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use keycell_fuzz::{array, edited, enrollment, hex, plain, seed};
use keycell_protocol::{EnrollmentError, EnrollmentRequest, IdentitySecret, SealedEnrollment};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static CASE: LazyLock<Value> = LazyLock::new(enrollment);
static SECRET: LazyLock<IdentitySecret> =
    LazyLock::new(|| IdentitySecret::new(array(&CASE, "identity_seed")));
static FORM: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(&genuine()).unwrap());
static HOST: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&array(&CASE, "host_seed")));

fuzz_target!(
    init: seed(|| {
        let (request, keys) = open(&genuine()).unwrap();
        assert_eq!(keys, array(&CASE["expect"]["accepted"], "long_term_key"));
        let json = serde_json::json!({
            "service": request.service,
            "host": request.host,
            "public_key": request.public_key,
            "token": *request.token.unwrap().to_text(),
            "timestamp": request.timestamp,
            "nonce": request.nonce,
            "instance": request.instance,
        });
        let json = json.to_string();
        assert!(open(sealed(&signed(json.as_bytes())).as_bytes()).is_ok());
        let marked = |mark: u8, rest: &[u8]| [&[mark], rest].concat();
        let mut seeds = vec![
            marked(1, &[1, 4, 0, 1]),
            marked(1, &[3, 0, 1, 32]),
            marked(2, json.as_bytes()),
            marked(3, &signed(json.as_bytes())),
        ];
        seeds.extend(accepted_requests().iter().map(|json| marked(0, json)));
        seeds
    }),
    |data: &[u8]| {
        let Some((how, data)) = data.split_first() else { return };
        // One of them each time: to open is slow.
        match how % 4 {
            0 => drop(open(data)),
            1 => {
                // On its way a request may be spelt otherwise, and no more.
                if let Ok((request, key)) = open(&edited(&genuine(), data)) {
                    assert_eq!(key, array(&CASE["expect"]["accepted"], "long_term_key"));
                    assert_eq!(request.public_key.as_bytes(), HOST.verifying_key().as_bytes());
                    assert_eq!(hex(CASE["expect"]["accepted"]["request"]["nonce"].as_str().unwrap()), request.nonce.0);
                }
            }
            2 => {
                // What the host signs is a request of that host, or nonsense of whoever has another key.
                if let Ok((request, _)) = open(sealed(&signed(data)).as_bytes()) {
                    assert_eq!(request.public_key.as_bytes(), HOST.verifying_key().as_bytes());
                    let read: Value = serde_json::from_slice(data).unwrap();
                    assert_eq!(read["service"], request.service.as_str());
                    assert_eq!(read["host"], request.host.as_str());
                    assert_eq!(read.get("token").is_some(), request.token.is_some());
                }
            }
            _ => {
                // What nobody signed is nothing, but for the one that the seed has.
                if open(sealed(data).as_bytes()).is_ok() {
                    assert_eq!(data, signed(&data[64..]));
                }
            }
        }
    }
);

fn open(json: &[u8]) -> Result<(EnrollmentRequest, [u8; 32]), EnrollmentError> {
    let sealed = SealedEnrollment::parse(json)?;
    assert!(json.len() <= SealedEnrollment::MAX);
    let read: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(read.as_object().unwrap().len(), 4);
    assert_eq!(
        (&read["zone"], &read["identity"]),
        (&sealed.zone().as_str().into(), &sealed.identity().to_string().into())
    );
    let (request, keys) = sealed.open(&SECRET)?;
    let name = request.name();
    assert_eq!(keycell_protocol::EnrolledName::of(&name.name(sealed.zone())), Some(name));
    let key = keys.long_term_key(keycell_protocol::Generation(1), keycell_protocol::Epoch(1));
    Ok((request, *key.expose_secret()))
}

fn genuine() -> Vec<u8> {
    CASE["json"].as_str().unwrap().into()
}

fn accepted_requests() -> Vec<Vec<u8>> {
    let cases = keycell_fuzz::of_kind("enrollment", "eseed");
    let requests: Vec<_> = cases.into_iter().filter(|case| case.get("request").is_none()).collect();
    keycell_fuzz::seeds(&requests, "json")
}

fn info() -> String {
    let [zone, identity] = ["zone", "identity"].map(|member| FORM[member].as_str().unwrap());
    format!("keycell/1 enrollment\0{zone}\0{identity}")
}

/// A signature of the host, and what it signed.
fn signed(json: &[u8]) -> Vec<u8> {
    let encapsulated = keycell_fuzz::from_base64url(FORM["encapsulated"].as_str().unwrap());
    let message = [info().as_bytes(), b"\0", &encapsulated, json].concat();
    [&HOST.sign(&message).to_bytes()[..], json].concat()
}

/// Written to the identity, as often as one likes: its secret is known here.
fn sealed(plaintext: &[u8]) -> String {
    let shared = array(&CASE["expect"]["accepted"], "shared_secret");
    let mut form = FORM.clone();
    form["sealed"] = plain::base64url(&plain::hpke_seal(&shared, info().as_bytes(), plaintext)).into();
    form.to_string()
}
