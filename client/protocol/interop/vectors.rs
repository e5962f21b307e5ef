//! The vectors of enrollment, read and written by the X-Wing that comes with `hpke`: another implementation of it, over
//! another release of ML-KEM, than the one in the protocol crate.
//!
//! The two cannot be in one program, so the vectors are what they exchange: what is sealed here, with the randomness of a
//! vector, is byte by byte what the protocol crate opens, and what that crate seals is opened here.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, HpkeError, Kem, OpModeR, OpModeS, Serializable as _};
use serde_json::Value;

type Secret = <XWing as Kem>::PrivateKey;
type Public = <XWing as Kem>::PublicKey;
type Encapsulated = <XWing as Kem>::EncappedKey;
type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, XWing>;
type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, XWing>;

#[test]
fn what_keycell_seals_is_opened() {
    let mut opened = 0;
    for (case, accepted) in accepted() {
        let form = Form::of(&case);
        let encapsulated = Encapsulated::from_bytes(&form.encapsulated).unwrap();
        let shared = XWing::decap(&secret(&case), None, &encapsulated).unwrap();
        assert_eq!(shared.0[..], bytes(&accepted["shared_secret"]), "{}", case["case"]);
        let (context, plaintext) = form.open(&secret(&case)).expect("it opens");
        let (signature, json) = plaintext.split_first_chunk::<64>().unwrap();
        let host = VerifyingKey::from_bytes(&bytes(&accepted["public_key"]).try_into().unwrap()).unwrap();
        let signed = [&form.info[..], b"\0", &form.encapsulated, json].concat();
        host.verify_strict(&signed, &Signature::from_bytes(signature)).unwrap();
        let json: Value = serde_json::from_slice(json).unwrap();
        for member in ["service", "host", "timestamp"] {
            assert_eq!(json[member], accepted["request"][member], "{}", case["case"]);
        }
        assert_eq!(exports(|label, out| context.export(label, out)), keys(&accepted));
        opened += 1;
    }
    assert!(opened >= 18, "{opened}");
}

#[test]
fn what_is_sealed_is_what_keycell_opens() {
    for (case, accepted) in accepted() {
        let form = Form::of(&case);
        let secret = secret(&case);
        let (_, plaintext) = form.open(&secret).unwrap();
        let random = &mut Given(bytes(&case["eseed"]));
        let (encapsulated, mut context): (Encapsulated, Sender) =
            hpke::setup_sender_with_rng(&OpModeS::Base, &XWing::sk_to_pk(&secret), &form.info, random)
                .unwrap();
        assert!(random.0.is_empty());
        assert_eq!(encapsulated.to_bytes()[..], form.encapsulated, "{}", case["case"]);
        assert_eq!(context.seal(&plaintext, b"").unwrap(), form.sealed, "{}", case["case"]);
        let export = |label: &[u8], out: &mut [u8]| context.export(label, out);
        assert_eq!(exports(export), keys(&accepted), "{}", case["case"]);
    }
}

#[test]
fn a_misreading_of_x_wing_or_hpke_is_refused() {
    let mut refused = 0;
    for case in cases("forged.json") {
        let name = case["case"].as_str().unwrap();
        if name.starts_with("X-Wing: ") || name.starts_with("HPKE: ") {
            assert!(Form::of(&case).open(&secret(&case)).is_err(), "{name}");
            refused += 1;
        }
    }
    assert!(refused >= 13, "{refused}");
}

#[test]
fn the_same_keys_can_be_written_to() {
    for case in cases("encryption-key.json") {
        let key = Public::from_bytes(&bytes(&case["encryption_key"]));
        assert_eq!(key.is_ok(), case["expect"].get("accepted").is_some(), "{}", case["case"]);
    }
}

#[test]
fn what_is_sealed_with_other_randomness_opens_under_other_keys() {
    let (case, accepted) = accepted().remove(0);
    let (form, secret) = (Form::of(&case), secret(&case));
    let mut random = bytes(&case["eseed"]);
    random[0] ^= 1;
    let (_, context): (Encapsulated, Sender) = hpke::setup_sender_with_rng(
        &OpModeS::Base,
        &XWing::sk_to_pk(&secret),
        &form.info,
        &mut Given(random),
    )
    .unwrap();
    assert_ne!(exports(|label, out| context.export(label, out)), keys(&accepted));
}

/// A request as it travels.
struct Form {
    info: Vec<u8>,
    encapsulated: Vec<u8>,
    sealed: Vec<u8>,
}

impl Form {
    fn of(case: &Value) -> Self {
        let form: Value = serde_json::from_str(case["json"].as_str().unwrap()).unwrap();
        let text = |member: &str| form[member].as_str().unwrap();
        let decoded = |member: &str| URL_SAFE_NO_PAD.decode(text(member)).unwrap();
        Self {
            info: format!("keycell/1 enrollment\0{}\0{}", text("zone"), text("identity")).into(),
            encapsulated: decoded("encapsulated"),
            sealed: decoded("sealed"),
        }
    }

    fn open(&self, secret: &Secret) -> Result<(Receiver, Vec<u8>), HpkeError> {
        let encapsulated = Encapsulated::from_bytes(&self.encapsulated)?;
        let mut context: Receiver = hpke::setup_receiver(&OpModeR::Base, secret, &encapsulated, &self.info)?;
        let plaintext = context.open(&self.sealed, b"")?;
        Ok((context, plaintext))
    }
}

fn exports(export: impl Fn(&[u8], &mut [u8]) -> Result<(), HpkeError>) -> [Vec<u8>; 2] {
    ["keycell/1 enrollment key", "keycell/1 enrollment reply"].map(|label| {
        let mut out = vec![0; 32];
        export(label.as_bytes(), &mut out).unwrap();
        out
    })
}

fn keys(accepted: &Value) -> [Vec<u8>; 2] {
    ["long_term_key", "reply_key"].map(|member| bytes(&accepted[member]))
}

fn secret(case: &Value) -> Secret {
    Secret::from_bytes(&bytes(&case["identity_seed"])).unwrap()
}

/// The requests that hold, and what comes out of each.
fn accepted() -> Vec<(Value, Value)> {
    let accepted = |case: Value| case["expect"].get("accepted").cloned().map(|accepted| (case, accepted));
    cases("accept.json").into_iter().filter_map(accepted).collect()
}

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors/enrollment").join(file);
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// Bytes written in hexadecimal.
fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A generator that gives these bytes, and then no more.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Given {}
