//! Reading an object as an object.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Something that must be written as an object. What serde derives would also take a list, its items as the fields in
/// their order, and an empty one as a change that changes nothing.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Objects(PhantomData)).map(Self)
    }
}

struct Objects<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Objects<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ImportRow, LimitsPatch, PartyPatch, Rules};

    fn reads<'de, T: Deserialize<'de>>(json: &'de str) -> bool {
        serde_json::from_str::<Object<T>>(json).is_ok()
    }

    #[test]
    fn a_list_is_no_object() {
        assert!(reads::<PartyPatch>("{}") && !reads::<PartyPatch>("[]") && !reads::<PartyPatch>("[true]"));
        assert!(reads::<ImportRow>(r#"{"name":"a"}"#) && !reads::<ImportRow>(r#"["a"]"#));
        let rule = r#"{"effect":"allow","source":"a","destination":"b"}"#;
        assert!(reads::<Rules>(&format!("{{\"rules\":[{rule}]}}")));
        let listed = r#"["a","allow","enforce","a","b",60,"",5]"#;
        assert!(!reads::<Rules>(&format!("{{\"rules\":[{listed}]}}")));
        assert!(reads::<LimitsPatch>(r#"{"per_address":{"per_second":1,"burst":2}}"#));
        assert!(reads::<LimitsPatch>(r#"{"per_address":null}"#));
        assert!(!reads::<LimitsPatch>(r#"{"per_address":[1,2]}"#));
    }
}
