//! One glob without braces.
//!
//! globset says what a glob is, and the tests hold this matcher to it. It is not globset's own because that makes a
//! regular expression of every glob: 10 KB each and 0.3 to 0.8 µs a try, so that 10,000 rules cost a name 3 to 8 ms.

/// A glob, taken apart: what a name must begin with, what it must end with, and what may stand between.
#[derive(Debug)]
pub(super) struct Glob {
    prefix: Box<[u8]>,
    middle: Box<[Token]>,
    suffix: Box<[u8]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    Any,
    /// One of these ranges.
    Class(Box<[(u8, u8)]>),
    /// Any number of bytes.
    Star,
}

impl Glob {
    /// Takes apart a text that is known to be a glob without braces.
    pub(super) fn new(text: &[u8]) -> Self {
        let mut tokens = tokens(text);
        let literal = |token: &Token| matches!(token, Token::Byte(_));
        let bytes = |tokens: Vec<Token>| -> Box<[u8]> {
            let byte = |token| if let Token::Byte(byte) = token { Some(byte) } else { None };
            tokens.into_iter().filter_map(byte).collect()
        };
        let suffix = tokens.iter().rposition(|token| !literal(token)).map_or(0, |last| last + 1);
        let suffix = tokens.split_off(suffix);
        let middle =
            tokens.split_off(tokens.iter().position(|token| !literal(token)).unwrap_or(tokens.len()));
        Self { prefix: bytes(tokens), middle: middle.into(), suffix: bytes(suffix) }
    }

    /// Whether all of `text` is as the glob says.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let rest = text.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix));
        rest.is_some_and(|rest| run(&self.middle, rest))
    }

    /// The runs of bytes that stand in every text that it matches, the first one behind `start` where the text has to
    /// begin with it.
    pub(super) fn literals(&self, start: u8) -> Vec<Vec<u8>> {
        let mut runs = vec![[&[start], &*self.prefix].concat()];
        for token in &self.middle {
            match (token, runs.last_mut()) {
                (Token::Byte(byte), Some(run)) => run.push(*byte),
                _ => runs.push(Vec::new()),
            }
        }
        if let Some(run) = runs.last_mut() {
            run.extend_from_slice(&self.suffix);
        }
        runs
    }
}

impl Token {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::Any => true,
            Self::Class(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)),
            Self::Star => false,
        }
    }
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        let token = match byte {
            b'*' => Token::Star,
            b'?' => Token::Any,
            b'[' => class(&mut rest),
            literal => Token::Byte(literal),
        };
        // Two stars are one.
        if token != Token::Star || tokens.last() != Some(&Token::Star) {
            tokens.push(token);
        }
    }
    tokens
}

/// What stands between brackets. A `-` is itself at either end, and a range in between.
fn class(rest: &mut impl Iterator<Item = u8>) -> Token {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    let mut open = false;
    for byte in rest.take_while(|byte| *byte != b']') {
        match ranges.last_mut() {
            Some((_, last)) if open => {
                *last = byte;
                open = false;
            }
            Some(_) if byte == b'-' => open = true,
            _ => ranges.push((byte, byte)),
        }
    }
    if open {
        ranges.push((b'-', b'-'));
    }
    Token::Class(ranges.into())
}

/// Each star takes as little as it can; where the rest does not follow, the last one takes a byte more. At most the
/// product of both lengths.
fn run(tokens: &[Token], text: &[u8]) -> bool {
    let (mut tokens, mut text) = (tokens, text);
    let mut retry: Option<(&[Token], &[u8])> = None;
    loop {
        match (tokens.split_first(), text.split_first()) {
            (Some((Token::Star, [])), _) => return true,
            (Some((Token::Star, after)), _) => {
                retry = Some((after, text));
                tokens = after;
                continue;
            }
            (Some((token, after)), Some((byte, rest))) if token.accepts(*byte) => {
                (tokens, text) = (after, rest);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, [_, rest @ ..])) = retry else { return false };
        retry = Some((after, rest));
        (tokens, text) = (after, rest);
    }
}
