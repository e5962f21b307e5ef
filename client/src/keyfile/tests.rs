//! What is written is read, by its owner only.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{Epoch, Generation, ZoneSigners};

use super::*;

fn key() -> AgentKey {
    let kdc = KdcAddress {
        urls: vec!["https://kdc1.example.com:7423".into(), "https://kdc2.example.com:7423".into()],
        tls_roots: "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n".into(),
    };
    let key = LongTermKey::new(Generation(3), Epoch(20_439), [0xA5; 32]);
    AgentKey::new("web.host1@example.com".parse().unwrap(), key, RatchetPeriod::DEFAULT, kdc)
}

#[test]
fn what_is_written_is_read_by_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    key().write_new(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let read = AgentKey::load(&path).unwrap();
    assert_eq!((&read.name, &read.kdc), (&key().name, &key().kdc));
    assert_eq!(read.key.expose_secret(), key().key.expose_secret());
    assert_eq!((read.key.generation(), read.key.epoch()), (Generation(3), Epoch(20_439)));
    assert_eq!(read.ratchet_period, RatchetPeriod::DEFAULT);

    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = AgentKey::load(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Mode { .. }), "{mode:o}");
        assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())), "{error}");
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(key().write_new(&path), Err(KeyFileError::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(matches!(key().write_new(folder.path().join("no/where")), Err(KeyFileError::Write { .. })));
    assert!(matches!(AgentKey::load(folder.path()), Err(KeyFileError::NotAFile { .. })));
    assert!(matches!(AgentKey::load(folder.path().join("none")), Err(KeyFileError::Read { .. })));
}

#[test]
fn what_is_wrong_is_told_and_the_key_is_not() {
    let json = String::from_utf8(key().to_json().to_vec()).unwrap();
    let secret = URL_SAFE_NO_PAD.encode([0xA5; 32]);
    for (from, to, what) in [
        ("\"keycell\": 1", "\"keycell\": 2", "version 2"),
        ("web.host1@", "web.host1", "the @ is missing"),
        (secret.as_str(), "pQ", "32 bytes"),
        (secret.as_str(), &secret.replace('p', "!"), "32 bytes"),
        (secret.as_str(), &format!("{secret}pQ"), "32 bytes"),
        ("86400", "0", "zero"),
        ("\"urls\"", "\"uris\"", "line "),
        ("\"epoch\": 20439", &format!("\"epoch\": \"{secret}\""), "line "),
    ] {
        assert!(json.contains(from));
        let error = AgentKey::from_json(json.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.contains(what), "{error}");
        assert!(!error.contains(&secret), "{error}");
    }
    assert!(!format!("{:?}", key()).contains("165"), "0xA5 is 165");
}

#[test]
fn the_keys_of_a_rotation_are_kept_too() {
    let key_of = |generation, byte| LongTermKey::new(Generation(generation), Epoch(20_440), [byte; 32]);
    let mut written = key();
    written.staged = Some(key_of(4, 0xB4));
    written.retiring = vec![
        RetiringKey { key: key_of(2, 0xC2), until: UnixSeconds(1_766_000_000), erased: false },
        RetiringKey { key: key_of(1, 0xC1), until: UnixSeconds(1_766_000_001), erased: true },
    ];
    let json = written.to_json();
    assert!(json.capacity() >= json.len() && json.len() > 600);
    let read = AgentKey::from_json(&json).unwrap();
    assert_eq!(read.staged.as_ref().unwrap().expose_secret(), &[0xB4; 32]);
    let retiring = |key: &AgentKey| -> Vec<_> {
        let retiring = key.retiring.iter();
        retiring.map(|old| (old.key.generation(), old.key.epoch(), old.until, old.erased)).collect()
    };
    assert_eq!(retiring(&read), retiring(&written));
    assert_eq!(read.to_json(), json);
    assert!(!format!("{read:?}").contains("18"), "0xB4 is 180");

    let text = std::str::from_utf8(&json).unwrap();
    assert_eq!(text.matches("erased").count(), 1, "files of a rotation are as ever");
    for (from, to, what) in [
        ("\"generation\": 4", "\"generation\": 3", "later generation"),
        ("\"generation\": 2", "\"generation\": 3", "earlier generations"),
        ("\"generation\": 2", "\"generation\": 1", "each once"),
        ("\"generation\": 1", "\"generation\": 9", "earlier generations"),
        (&URL_SAFE_NO_PAD.encode([0xB4; 32]), "AA", "staged.key"),
        (&URL_SAFE_NO_PAD.encode([0xC1; 32]), "AA", "retiring[].key"),
        ("\"until\"", "\"til\"", "line "),
    ] {
        assert!(text.contains(from), "{from}");
        let error = AgentKey::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn the_author_key_and_who_vouches_are_kept_too() {
    // A file of an earlier release has neither.
    let old = key();
    let json = std::str::from_utf8(&old.to_json()).unwrap().to_owned();
    assert!(!json.contains("author_key") && !json.contains("signers"));
    let read = AgentKey::from_json(json.as_bytes()).unwrap();
    assert!(read.author.is_none() && read.signers.is_empty());

    let mut written = key();
    written.author = Some(AuthorKey::new(&[0xD7; 32]));
    written.signers = vec![SignerKey::new([1; 32]), SignerKey::new([2; 32])];
    let json = written.to_json();
    let read = AgentKey::from_json(&json).unwrap();
    assert_eq!(read.author.as_ref().unwrap().expose_secret(), &[0xD7; 32]);
    assert_eq!(read.signers, written.signers);
    assert_eq!(read.to_json(), json);
    assert!(!format!("{read:?}").contains("215"), "0xD7 is 215");

    let (text, secret) = (std::str::from_utf8(&json).unwrap(), URL_SAFE_NO_PAD.encode([0xD7; 32]));
    for (from, to, what) in [
        (secret.as_str(), "AA", "author_key"),
        (&URL_SAFE_NO_PAD.encode([1; 32]), "AA", "line "),
        ("\"author_key\"", "\"authorkey\"", "line "),
    ] {
        assert!(text.contains(from), "{from}");
        let error = AgentKey::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.contains(what) && !error.contains(&secret), "{error}");
    }
}

#[test]
fn who_vouches_in_other_zones_is_kept_too() {
    let zone = |zone: &str, keys: core::ops::Range<u8>| ZoneSigners {
        zone: zone.parse().unwrap(),
        signers: keys.map(|byte| SignerKey::new([byte; 32])).collect(),
    };
    assert!(!std::str::from_utf8(&key().to_json()).unwrap().contains("trusted"));
    let mut written = key();
    let zones = vec![zone("other.example", 1..9), zone("third.example", 9..10)];
    written.trusted = TrustedSigners::new("example.com", zones).unwrap();
    let json = written.to_json();
    let read = AgentKey::from_json(&json).unwrap();
    assert_eq!(read.trusted, written.trusted);
    assert_eq!(read.to_json(), json);

    // Never grown while keys are in it, not even with the longest names and the most of them.
    let long = |at: usize| zone(&format!("{at:0>63}"), 1..9);
    written.trusted = TrustedSigners::new("example.com", (0..256).map(long).collect()).unwrap();
    let room = written.to_json().capacity();
    written.trusted = TrustedSigners::none();
    let rest = written.to_json().capacity();
    let longest = serde_json::to_vec_pretty(&[long(0)]).unwrap().len() + 100;
    assert!(room - rest >= 256 * longest, "{room} {rest} {longest}");

    let text = std::str::from_utf8(&json).unwrap();
    for (from, to, what) in [
        ("other.example", "example.com", "\"trusted\": each zone is there once"),
        ("other.example", "third.example", "\"trusted\": each zone is there once"),
        ("other.example", "Other.example", "line "),
        ("\"zone\"", "\"place\"", "line "),
        (&URL_SAFE_NO_PAD.encode([9; 32]), "AA", "line "),
    ] {
        assert!(text.contains(from), "{from}");
        let error = AgentKey::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}
