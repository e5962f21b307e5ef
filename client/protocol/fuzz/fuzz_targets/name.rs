//! Names: nothing is changed on the way in, and the parts make up the whole.
#![no_main]

use keycell_fuzz::{accepted, seed};
use keycell_protocol::{Name, Zone};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seed(|| accepted("name", "name")),
    |data: &[u8]| {
        let Ok(name) = Name::try_from(data) else { return };
        assert_eq!(name.as_str().as_bytes(), data);
        assert_eq!(format!("{}@{}", name.local(), name.zone()), name.as_str());
        assert!(name.as_str().len() <= Name::MAX && !data.contains(&0));
        let zone: Zone = name.zone().parse().unwrap();
        assert_eq!(Name::new(name.local(), &zone).as_ref(), Ok(&name));
        assert_eq!(name.may_be_group(), name.service() == name.local());
        let json = serde_json::to_vec(&name).unwrap();
        assert_eq!(serde_json::from_slice::<Name>(&json).unwrap(), name);
    }
);
