//! Tests of names.

use proptest::prelude::*;

use super::*;

fn parts(service: &str, host: &str) -> EnrolledName {
    EnrolledName {
        service: service.parse().unwrap(),
        host: host.parse().unwrap(),
        fingerprint: Fingerprint::of(&AuthorPublicKey::new([7; 32])),
    }
}

#[test]
fn a_name_and_its_parts() {
    let zone: Zone = "cell1.example".parse().unwrap();
    let enrolled = parts("nanoprobe", "web1.example.com");
    let name = enrolled.name(&zone);
    assert_eq!(
        name.as_str(),
        "nanoprobe.web1.example.com::4bb06f8e4e3a7715d201d573d0aa4237@cell1.example",
        "SHA-256 of 32 times 07 begins so"
    );
    assert_eq!(name.service(), "nanoprobe");
    assert!(!name.is_administrative() && !name.may_be_group());
    assert_eq!(EnrolledName::of(&name), Some(enrolled));
}

#[test]
fn the_longest_name_is_one() {
    let host = format!("{}.{}", "h".repeat(63), "h".repeat(56));
    let enrolled = parts(&"s".repeat(ServiceName::MAX), &host);
    let name = enrolled.name(&"z".repeat(Zone::MAX).parse().unwrap());
    assert_eq!(host.len(), HostName::MAX);
    assert!(name.local().len() <= Name::MAX_LOCAL);
    assert_eq!(name.as_str().parse::<Name>(), Ok(name.clone()));
    assert_eq!(EnrolledName::of(&name), Some(enrolled));
}

#[test]
fn other_names_are_none_of_a_host() {
    let fingerprint = "4bb06f8e4e3a7715d201d573d0aa4237";
    for local in [
        "nanoprobe".to_owned(),
        "nanoprobe.web1".to_owned(),
        "#KDC#00001".to_owned(),
        format!("nanoprobe::{fingerprint}"),
        format!("nanoprobe.::{fingerprint}"),
        format!("nanoprobe.web1:{fingerprint}"),
        format!("nanoprobe.web1::::{fingerprint}"),
        format!("nanoprobe.web1::x::{fingerprint}"),
        format!("nanoprobe.web1::{fingerprint}0"),
        format!("nanoprobe.web1::{}", fingerprint.to_uppercase()),
        format!("nanoprobe.WEB1::{fingerprint}"),
        format!("Nanoprobe.web1::{fingerprint}"),
        format!("#nanoprobe.web1::{fingerprint}"),
        format!("nanoprobe.web1.::{fingerprint}"),
    ] {
        let name = Name::new(&local, &"z".parse().unwrap()).unwrap();
        assert_eq!(EnrolledName::of(&name), None, "{local}");
    }
}

#[test]
fn bad_services_and_hosts() {
    for text in ["", "1a", "_a", "-a", "A", "aB", "a.b", "a:b", "a b", "#a", "é", &"a".repeat(33)] {
        assert_eq!(text.parse::<ServiceName>(), Err(NameError::Service), "{text:?}");
        assert!(serde_json::from_value::<ServiceName>(text.into()).is_err());
    }
    let label = "h".repeat(64);
    let long = "h.".repeat(60) + "h";
    for text in
        ["", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "A", "a_b", "a:b", "#a", "é", "a\0", &label, &long]
    {
        assert_eq!(text.parse::<HostName>(), Err(NameError::Host), "{text:?}");
        assert!(serde_json::from_value::<HostName>(text.into()).is_err());
    }
    assert_eq!("4bb06f8e".parse::<Fingerprint>(), Err(NameError::Fingerprint));
}

#[test]
fn a_host_says_its_name_as_it_likes() {
    for text in ["web1.example.com", "WEB1.Example.com", "web1.example.com.", "WEB1.EXAMPLE.COM."] {
        assert_eq!(HostName::canonical(text).unwrap().as_str(), "web1.example.com");
    }
    for text in ["", ".", "web1..", "web 1", "localhost\n", "(none)", "WÉB1"] {
        assert_eq!(HostName::canonical(text), Err(NameError::Host), "{text:?}");
    }
}

#[test]
fn two_of_one_name_stay_apart() {
    let mut other = parts("web", "host1");
    other.fingerprint = Fingerprint::of(&AuthorPublicKey::new([8; 32]));
    assert_ne!(other.name(&"z".parse().unwrap()), parts("web", "host1").name(&"z".parse().unwrap()));
}

proptest! {
    #[test]
    fn every_name_comes_apart_as_it_was_put_together(
        service in "[a-z][a-z0-9_-]{0,31}",
        host in r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?){0,9}",
        key: [u8; 32],
    ) {
        let enrolled = EnrolledName {
            service: service.parse().unwrap(),
            host: host.parse().unwrap(),
            fingerprint: Fingerprint::of(&AuthorPublicKey::new(key)),
        };
        let name = enrolled.name(&"z.example".parse().unwrap());
        prop_assert_eq!(&name.as_str().parse::<Name>().unwrap(), &name);
        prop_assert_eq!(EnrolledName::of(&name), Some(enrolled));
    }

    #[test]
    fn what_is_read_is_what_is_written(text in r"[a-z0-9A-Z.:_#-]{0,70}") {
        if let Ok(service) = text.parse::<ServiceName>() {
            prop_assert_eq!(service.as_str(), &text);
        }
        if let Ok(host) = text.parse::<HostName>() {
            prop_assert_eq!(HostName::canonical(&text).unwrap(), host);
        }
        if let Ok(name) = Name::new(&text, &"z".parse().unwrap())
            && let Some(enrolled) = EnrolledName::of(&name)
        {
            prop_assert_eq!(enrolled.name(&"z".parse().unwrap()), name);
        }
    }
}
