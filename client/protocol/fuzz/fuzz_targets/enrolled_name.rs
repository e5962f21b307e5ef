//! Services, hosts, fingerprints, and the names that are made of them: nothing is changed on the way in, and the parts make
//! up the whole.
#![no_main]

use keycell_fuzz::{of_kind, seed};
use keycell_protocol::{EnrolledName, Fingerprint, HostName, Name, NameError, ServiceName, Zone};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seed(|| {
        let texts = |member: &str| {
            let cases = of_kind("enrollment", member).into_iter().filter(|case| case["expect"].get("accepted").is_some());
            cases.map(|case| case[member].as_str().unwrap().into()).collect::<Vec<_>>()
        };
        ["service", "host", "said", "fingerprint", "name"].map(texts).concat()
    }),
    |data: &[u8]| {
        let Ok(text) = str::from_utf8(data) else { return };
        if let Ok(service) = text.parse::<ServiceName>() {
            assert_eq!((service.as_str(), service.to_string().as_str()), (text, text));
            assert!((1..=ServiceName::MAX).contains(&text.len()) && !text.contains(['.', ':', '#', '@', '\0']));
            assert_eq!(serde_json::from_str::<ServiceName>(&serde_json::to_string(&service).unwrap()).unwrap(), service);
        }
        match (text.parse::<HostName>(), HostName::canonical(text)) {
            (Ok(host), own) => {
                assert_eq!((host.as_str(), own), (text, Ok(host.clone())));
                assert!((1..=HostName::MAX).contains(&text.len()) && !text.contains([':', '#', '@', '*', '_', '\0']));
                assert_eq!(serde_json::from_str::<HostName>(&serde_json::to_string(&host).unwrap()).unwrap(), host);
            }
            (Err(error), Ok(own)) => {
                assert_eq!(error, NameError::Host);
                assert!(text.strip_suffix('.').unwrap_or(text).eq_ignore_ascii_case(own.as_str()));
                assert_eq!(own.as_str().parse(), Ok(own));
            }
            (Err(_), Err(error)) => assert_eq!(error, NameError::Host),
        }
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            assert_eq!(fingerprint.to_string(), text);
        }
        if let Ok(name) = text.parse::<Name>()
            && let Some(enrolled) = EnrolledName::of(&name)
        {
            let zone: Zone = name.zone().parse().unwrap();
            assert_eq!((enrolled.to_string().as_str(), enrolled.name(&zone)), (name.local(), name.clone()));
            assert_eq!(name.service(), enrolled.service.as_str());
            assert!(!name.is_administrative() && !name.may_be_group());
        }
    }
);
