//! For tests of decoders: what is right, changed in some places, as a disk, another release or an attacker could have
//! changed it.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// Changes of bytes.
#[derive(Debug, Clone)]
pub(crate) struct Edits(Vec<Edit>);

#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Letter(Index, u8),
    Cut(Index, usize),
    Put(Index, Vec<u8>),
    Repeat(Index, usize),
    Swap(Index, Index),
    DropLine(Index),
    RepeatLine(Index),
    Instead(Vec<u8>),
}

/// None to four changes; sometimes something else altogether.
pub(crate) fn edits() -> impl Strategy<Value = Edits> {
    let piece = prop_oneof![
        select(PIECES).prop_map(|piece| piece.to_vec()),
        prop::collection::vec(any::<u8>(), 1..8),
    ];
    let edit = prop_oneof![
        4 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        4 => (any::<Index>(), select(LETTERS)).prop_map(|(at, letter)| Edit::Letter(at, letter)),
        2 => (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        4 => (any::<Index>(), piece).prop_map(|(at, piece)| Edit::Put(at, piece)),
        2 => (any::<Index>(), 1..80_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
        1 => any::<(Index, Index)>().prop_map(|(one, other)| Edit::Swap(one, other)),
        1 => any::<Index>().prop_map(Edit::DropLine),
        1 => any::<Index>().prop_map(Edit::RepeatLine),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Edit::Instead),
    ];
    prop::collection::vec(edit, 0..=4).prop_map(Edits)
}

impl Edits {
    /// What becomes of `sample`.
    pub(crate) fn bytes(&self, sample: &[u8]) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        for edit in &self.0 {
            let place = |at: &Index| at.index(bytes.len() + 1);
            match edit {
                Edit::Instead(other) => bytes.clone_from(other),
                Edit::Put(at, piece) => {
                    let at = place(at);
                    bytes.splice(at..at, piece.iter().copied());
                }
                Edit::Cut(at, length) => {
                    let at = place(at);
                    bytes.drain(at..bytes.len().min(at + length));
                }
                Edit::Repeat(at, length) => {
                    let at = place(at);
                    let piece = bytes[at..bytes.len().min(at + length)].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ if bytes.is_empty() => {}
                Edit::Flip(at, bits) => {
                    let at = at.index(bytes.len());
                    bytes[at] ^= bits;
                }
                Edit::Letter(at, letter) => {
                    let at = at.index(bytes.len());
                    bytes[at] = *letter;
                }
                Edit::DropLine(at) => drop(bytes.drain(line(&bytes, at))),
                Edit::RepeatLine(at) => {
                    let line = line(&bytes, at);
                    bytes.splice(line.start..line.start, bytes[line].to_vec());
                }
                Edit::Swap(one, other) => {
                    let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
                    bytes.swap(one, other);
                }
            }
        }
        bytes
    }

    /// What becomes of a text: what is no UTF-8 any more is replaced.
    pub(crate) fn text(&self, sample: &str) -> String {
        String::from_utf8_lossy(&self.bytes(sample.as_bytes())).into_owned()
    }
}

/// The line at a place, with its end.
fn line(bytes: &[u8], at: &Index) -> Range<usize> {
    let at = at.index(bytes.len());
    let is_end = |byte: &u8| *byte == b'\n';
    let start = bytes[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(is_end).map_or(bytes.len(), |end| at + end + 1);
    start..end
}

/// Changes of what a JSON text says, which leave it JSON: they reach behind the parser.
#[derive(Debug, Clone)]
pub(crate) struct JsonEdits(Vec<(Index, Change)>);

#[derive(Debug, Clone)]
enum Change {
    Set(Value),
    Remove,
    Add(String, Value),
}

/// None to three changes.
pub(crate) fn json_edits() -> impl Strategy<Value = JsonEdits> {
    let change = prop_oneof![
        4 => odd_value().prop_map(Change::Set),
        1 => Just(Change::Remove),
        1 => ("[a-z_]{0,8}", odd_value()).prop_map(|(name, value)| Change::Add(name, value)),
    ];
    prop::collection::vec((any::<Index>(), change), 0..=3).prop_map(JsonEdits)
}

impl JsonEdits {
    /// What becomes of `sample`.
    pub(crate) fn of(&self, sample: &Value) -> Value {
        let mut value = sample.clone();
        for (at, change) in &self.0 {
            let mut places = vec![String::new()];
            below(&value, "", &mut places);
            let place = &places[at.index(places.len())];
            let (parent, name) = place.rsplit_once('/').unwrap_or_default();
            match change {
                Change::Set(other) => *value.pointer_mut(place).unwrap() = other.clone(),
                Change::Add(name, other) => {
                    if let Some(Value::Object(members)) = value.pointer_mut(place) {
                        members.insert(name.clone(), other.clone());
                    }
                }
                Change::Remove => match value.pointer_mut(parent) {
                    Some(Value::Object(members)) => drop(members.remove(name)),
                    Some(Value::Array(items)) => {
                        if let Ok(at) = name.parse() {
                            items.remove(at);
                        }
                    }
                    _ => {}
                },
            }
        }
        value
    }
}

/// The places below `value` as JSON pointers (RFC 6901).
fn below(value: &Value, at: &str, places: &mut Vec<String>) {
    let mut visit = |name: &str, value: &Value| {
        let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        places.push(place.clone());
        below(value, &place, places);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| visit(name, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| visit(&at.to_string(), value));
        }
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        (0..10_i64).prop_map(Value::from),
        select(vec![
            json!(null),
            json!(true),
            json!(false),
            json!(-1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(u32::MAX),
            json!(1_u64 << 32),
            json!(1.5),
            json!(1e300),
            json!([]),
            json!({}),
            json!(""),
            deep,
        ]),
        "\\PC{0,12}".prop_map(Value::from),
        "[a-z*?{},\\[\\]!.@#0-9-]{1,12}".prop_map(Value::from),
    ]
}

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What means something to one format or the other.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\"\"",
    b"\\",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b" ",
    b".",
    b"=",
    b"-1",
    b"0",
    b"1.5",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"true",
    b"\\ud800",
    "\u{feff}".as_bytes(),
];
