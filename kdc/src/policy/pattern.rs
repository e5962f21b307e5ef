//! Which full names a rule is about.

use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use globset::GlobBuilder;
use keycell_protocol::{Name, Zone};

use super::glob::Glob;
use crate::named::textual;

/// A glob on full names, `local@zone`, written in their alphabet and `* ? [ ] { } ,`.
///
/// `*` is any number of characters, dots too: names are not paths. `?` is one character, `[a-f0-9]` one of a set,
/// `{cma,nanoprobe}` one of several texts. The `@` stands once and outside of brackets and braces, so the part
/// before it is about the local name and the part after it about the zone. A clone shares everything.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Arc<str>,
    globs: Arc<[Glob]>,
}

impl Pattern {
    /// The longest pattern in bytes.
    pub const MAX: usize = 255;
    /// The most texts that its braces stand for, multiplied out.
    pub const MAX_ALTERNATIVES: usize = 32;

    /// Reads a pattern; one without an `@` is about `zone`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn in_zone(text: &str, zone: &Zone) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Length);
        }
        if text.contains('@') { text.parse() } else { format!("{text}@{zone}").parse() }
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is about `name`.
    #[must_use]
    pub fn matches(&self, name: &Name) -> bool {
        self.globs.iter().any(|glob| glob.matches(name.as_str().as_bytes()))
    }

    /// The globs without braces that it stands for.
    pub(super) fn globs(&self) -> &[Glob] {
        &self.globs
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(PatternError::Length);
        }
        check(text)?;
        // What is left to say against it is said by the library that defines what a glob is.
        let glob = GlobBuilder::new(text).empty_alternates(true).build();
        glob.map_err(|error| PatternError::Glob(error.kind().to_string()))?;
        let texts = alternatives(text.as_bytes()).ok_or(PatternError::Alternatives)?;
        let globs = texts.iter().map(|text| Glob::new(text)).collect();
        Ok(Self { text: text.into(), globs })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

textual!(Pattern);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty or too long.
    #[error("a pattern is 1 to 255 bytes long, with its zone")]
    Length,
    /// It has a byte that neither names nor globs have.
    #[error("a pattern may hold only A-Z a-z 0-9 . _ - + # : @ and * ? [ ] {{ }} ,")]
    Byte,
    /// There is no `@`, or more than one, or it stands in brackets or braces.
    #[error("a pattern is written local@zone: one @, outside of [ ] and {{ }}")]
    At,
    /// The part after the `@` can match no zone.
    #[error(
        "after the @ a pattern may hold only a-z 0-9 . - and * ? [ ] {{ }} ,: zones are written in lower case"
    )]
    Zone,
    /// There is something else than characters of names between brackets.
    #[error("between [ and ] stand characters of names and ranges of them, such as [a-f0-9]")]
    Class,
    /// A comma stands outside of braces.
    #[error("a comma separates texts between {{ and }}; names have none")]
    Comma,
    /// The braces stand for too many texts.
    #[error("the braces of a pattern may stand for at most 32 texts; write several rules")]
    Alternatives,
    /// It is no glob.
    #[error("not a pattern: {0}")]
    Glob(String),
}

/// Refuses what a glob may hold but a pattern may not. Brackets and braces that do not close are left to the glob.
fn check(text: &str) -> Result<(), PatternError> {
    let (mut class, mut depth, mut zone) = (false, 0_usize, false);
    for byte in text.bytes() {
        let of_name = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'#' | b':');
        match byte {
            b']' if class => class = false,
            _ if class && !of_name => return Err(PatternError::Class),
            b'[' => class = true,
            b']' => return Err(PatternError::Class),
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return Err(PatternError::Comma),
            b'@' if depth > 0 || zone => return Err(PatternError::At),
            b'@' => zone = true,
            b',' | b'*' | b'?' => {}
            _ if !of_name => return Err(PatternError::Byte),
            b'A'..=b'Z' | b'_' | b'+' | b'#' | b':' if zone => return Err(PatternError::Zone),
            _ => {}
        }
    }
    // To a glob, the first ] after a [ is one of the set.
    if text.contains("[]") {
        return Err(PatternError::Class);
    }
    if zone { Ok(()) } else { Err(PatternError::At) }
}

/// The texts that a glob's braces stand for; `None` when they are too many. The braces are known to be balanced, and
/// none stands between brackets.
fn alternatives(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut done = Vec::new();
    let mut left = vec![text.to_vec()];
    while let Some(text) = left.pop() {
        // The first brace that closes, and the last one open before it: there is none inside.
        if let Some(end) = text.iter().position(|byte| *byte == b'}') {
            let (before, after) = (text.get(..end)?, text.get(end + 1..)?);
            let start = before.iter().rposition(|byte| *byte == b'{')?;
            let (before, inside) = (before.get(..start)?, before.get(start + 1..)?);
            left.extend(inside.split(|byte| *byte == b',').map(|choice| [before, choice, after].concat()));
        } else {
            done.push(text);
        }
        if done.len() + left.len() > Pattern::MAX_ALTERNATIVES {
            return None;
        }
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(&name.parse().unwrap())
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, yes, no) in [
            ("*@z", "nanoprobe.web1::0a@z", "a@y"),
            ("cma.*@z", "cma.a.b.c@z", "cma@z"),
            ("*.rack12@z", "web.rack12@z", "web.rack123@z"),
            ("web@z", "web@z", "webs@z"),
            ("web?@z", "web1@z", "web@z"),
            ("web[0-4x]@z", "web3@z", "web5@z"),
            ("web[+-]@z", "web-@z", "web.@z"),
            ("{cma,nanoprobe}.*@z", "cma.a@z", "web.a@z"),
            ("web{,s}.*@z", "web.a@z", "webt.a@z"),
            ("a{b{c,d},e}f@z", "abdf@z", "abf@z"),
            ("*a*b*c@z", "xaxbxc@z", "xbxaxc@z"),
            ("#*@z", "#KDC#1@z", "a#@z"),
            ("a*@*", "abc@any.zone", "ba@z"),
            ("a@{x,y}.example", "a@y.example", "a@z.example"),
            ("ab*bc@z", "abbc@z", "abc@z"),
            ("A*@z", "Ab@z", "ab@z"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn without_an_at_a_pattern_is_about_the_zone() {
        let zone: Zone = "z.example".parse().unwrap();
        assert_eq!(Pattern::in_zone("cma.*", &zone).unwrap().as_str(), "cma.*@z.example");
        assert_eq!(Pattern::in_zone("*@*", &zone).unwrap().as_str(), "*@*");
        assert_eq!(Pattern::in_zone("", &zone), Err(PatternError::Length), "it would match nothing");
        assert_eq!(Pattern::in_zone(&"x".repeat(Pattern::MAX - 9), &zone), Err(PatternError::Length));
    }

    #[test]
    fn bad_patterns_say_why() {
        for (text, why) in [
            ("", PatternError::Length),
            ("*", PatternError::At),
            ("a@b@c", PatternError::At),
            ("{a@x,b@y}", PatternError::At),
            ("[@]@z", PatternError::Class),
            ("a b@z", PatternError::Byte),
            ("a/b@z", PatternError::Byte),
            ("a\\*@z", PatternError::Byte),
            ("ä@z", PatternError::Byte),
            ("!a@z", PatternError::Byte),
            ("*@Z", PatternError::Zone),
            ("*@a:b", PatternError::Zone),
            ("[!a]@z", PatternError::Class),
            ("[]a]@z", PatternError::Class),
            ("[][a]@z", PatternError::Class),
            ("[[a]@z", PatternError::Class),
            ("a]@z", PatternError::Class),
            ("a,b@z", PatternError::Comma),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(why), "{text:?}");
        }
        for text in ["[a@z", "{a@z", "a}@z", "}{@z", "{a{b}@z", "[z-a]@z", "[a@z]"] {
            let error = text.parse::<Pattern>().unwrap_err();
            assert!(
                matches!(error, PatternError::Glob(_) | PatternError::At | PatternError::Class),
                "{text:?}: {error:?}"
            );
        }
    }

    #[test]
    fn no_pattern_blows_up() {
        let doubled = "{a,b}".repeat(5);
        assert_eq!(format!("{doubled}@z").parse::<Pattern>().unwrap().globs().len(), 32);
        for braces in [
            "{a,b}".repeat(6),
            "{a,b,c}".repeat(30),
            format!("{{{}}}", ",".repeat(200)),
            format!("{}{}", "{a,".repeat(60), "}".repeat(60)),
        ] {
            assert_eq!(format!("{braces}@z").parse::<Pattern>(), Err(PatternError::Alternatives), "{braces}");
        }
        // Every star could take every byte: this ends, and in time.
        let name = format!("{}@z", "a".repeat(Name::MAX_LOCAL));
        assert!(!matches(&format!("{}b*@z", "a*".repeat(120)), &name));
        assert!(!matches(&format!("*{}[bc]*@z", "a".repeat(94)), &name));
        assert!(matches(&format!("{}@z", "*".repeat(250)), &name));
        assert!(!matches(&format!("{}{}@z", "{".repeat(100), "}".repeat(100)), "a@z"));
    }

    /// Texts of which many are patterns, on few letters, so that many match.
    fn glob() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[ab.-]",
            2 => Just("*".to_owned()),
            1 => Just("?".to_owned()),
            1 => r"\[[ab.-]{1,4}\]",
            1 => r"\{[ab*?]{0,2}(,[ab*]{0,2}){0,2}\}",
            1 => r"\{a,\{b*,\[a-b\]\}\}",
            1 => r"[\[\]{},@!]",
        ];
        let local = proptest::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat());
        (local, prop_oneof![Just("z"), Just("*"), Just("{y,z}"), Just("?")])
            .prop_map(|(local, zone)| format!("{local}@{zone}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_pattern_is_what_globset_says(text in glob(), local in "[ab][ab.-]{0,6}", zone in "[yz]") {
            let Ok(pattern) = text.parse::<Pattern>() else { return Ok(()) };
            let name: Name = format!("{local}@{zone}").parse().unwrap();
            let glob = GlobBuilder::new(&text).empty_alternates(true).build().unwrap().compile_matcher();
            prop_assert_eq!(pattern.matches(&name), glob.is_match(name.as_str()), "{} {}", text, name);
        }

        #[test]
        fn any_text_is_a_pattern_or_is_not(text in "[a-z@*?\\[\\]{},!^\\\\/-]{0,20}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                prop_assert_eq!(pattern.as_str(), text);
                let name: Name = format!("{}@z", "a".repeat(Name::MAX_LOCAL)).parse().unwrap();
                let _ = pattern.matches(&name);
            }
        }
    }
}
