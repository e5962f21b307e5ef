//! Vouchers, requests for them, and the answers: as they come, and signed or sealed around whatever there is.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{edited, hex, key, of_kind, plain, seed, seeds, signers};
use keycell_protocol::{
    AuthorPublicKey, Instance, KeysFor, LongTermKey, Nonce, SealedVoucher, SignedVoucherRequest, Signers,
    UnixMillis, Voucher, VoucherRequest, Vouchers,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    // At the edges of their time and far from it, the same voucher.
    seeds(&of_kind("voucher", "at"), "voucher")
});
static SIGNERS: LazyLock<Signers> = LazyLock::new(|| signers(&of_kind("voucher", "at")[0]["signers"]));
static REPLIES: LazyLock<Vec<Value>> = LazyLock::new(|| of_kind("voucher", "request"));
static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&REPLIES[0]["key"]));
static KEYS: LazyLock<KeysFor<Vouchers>> = LazyLock::new(|| KEY.keys_for());
static REQUEST: LazyLock<VoucherRequest> = LazyLock::new(|| {
    let request = &REPLIES[0]["request"];
    let bytes = |field: &str| hex(request[field].as_str().unwrap());
    VoucherRequest {
        source: request["source"].as_str().unwrap().parse().unwrap(),
        public_key: AuthorPublicKey::new(bytes("public_key").try_into().unwrap()),
        proof: bytes("proof").try_into().unwrap(),
        timestamp: UnixMillis(request["timestamp"].as_u64().unwrap()),
        nonce: Nonce(bytes("nonce").try_into().unwrap()),
        instance: Instance(bytes("instance").try_into().unwrap()),
    }
});

fuzz_target!(
    init: seed(|| {
        let requests: Vec<_> =
            of_kind("voucher", "json").into_iter().filter(|case| case.get("request").is_none()).collect();
        let mut all = [GENUINE.clone(), seeds(&requests, "json"), seeds(&REPLIES, "json")].concat();
        // Metadata alone, for what is signed and sealed here.
        all.push(serde_json::to_vec(&*REQUEST).unwrap());
        let nonce = plain::base64url(&REQUEST.nonce.0);
        let signer = plain::base64url(&hex(of_kind("voucher", "at")[0]["signers"][1]["key"].as_str().unwrap()));
        let answer = format!(
            r#"{{"source":"{}","nonce":"{nonce}","server_time":1,"renew_after":2,"signers":["{signer}"]}}"#,
            REQUEST.source
        );
        all.push([answer.as_bytes(), b"\0", &GENUINE[0]].concat());
        all.push(vec![0, 1, 0, 40, 1]);
        all
    }),
    |data: &[u8]| {
        voucher(data);
        if let Some((which, edits)) = data.split_first() {
            voucher(&edited(&GENUINE[usize::from(*which) % GENUINE.len()], edits));
        }
        for json in [data, plain::signed_for(REQUEST.source.as_str(), &KEY, "voucher request", data).as_bytes()] {
            if let Ok(signed) = SignedVoucherRequest::parse(json)
                && let Ok(request) = signed.verify(&KEYS)
            {
                let proved = |request: &VoucherRequest| (request.public_key, request.proof, request.nonce);
                assert_eq!(proved(&request), proved(&REQUEST), "a key that nobody proved to hold");
                let again = SignedVoucherRequest::sign(&request, &KEYS).to_json();
                assert_eq!(SignedVoucherRequest::parse(&again).unwrap().verify(&KEYS), Ok(request));
            }
        }
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (metadata, record) = data.split_at(cut);
        let json = plain::sealed_for(&KEY, "voucher reply", metadata, record.get(1..).unwrap_or_default());
        for json in [data, json.as_bytes()] {
            let Ok(sealed) = SealedVoucher::parse(json) else { continue };
            if let Ok(given) = sealed.open(&KEYS, &REQUEST) {
                assert_eq!((given.voucher.name(), given.voucher.public_key()), (&REQUEST.source, REQUEST.public_key));
                assert!(given.signers.iter().any(|signer| signer.id() == given.voucher.signer()));
            }
        }
    }
);

fn voucher(bytes: &[u8]) {
    let Ok(voucher) = Voucher::parse(bytes) else { return };
    assert_eq!(voucher.as_bytes(), bytes);
    assert!(bytes.len() <= Voucher::MAX);
    if voucher.verify(&SIGNERS).is_ok() {
        assert!(GENUINE.iter().any(|genuine| genuine == bytes), "a forged voucher holds");
    }
}
