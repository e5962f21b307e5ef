//! Finds the patterns that match a name without trying them all.
//!
//! Each glob is filed under four bytes in a row that stand in every name it matches, the rarest that it has. A name
//! looks under its own four-byte pieces, and tries what it finds there.

use std::collections::HashMap;

use keycell_protocol::Name;

use super::Pattern;

/// Patterns, by what has to stand in a name that they match.
#[derive(Debug)]
pub(crate) struct Index {
    patterns: Vec<Pattern>,
    /// Those that every name has to try.
    loose: Vec<u32>,
    filed: HashMap<Piece, Vec<u32>>,
}

type Piece = [u8; 4];

impl Index {
    pub(crate) fn new(patterns: Vec<Pattern>) -> Self {
        if patterns.len() <= FEW {
            let loose = (0..).zip(&patterns).map(|(number, _)| number).collect();
            return Self { patterns, loose, filed: HashMap::new() };
        }
        let mut count: HashMap<Piece, u32> = HashMap::new();
        for glob in patterns.iter().flat_map(Pattern::globs) {
            for piece in glob.literals(START).iter().flat_map(|run| pieces(run)) {
                *count.entry(piece).or_default() += 1;
            }
        }
        let mut loose = Vec::new();
        let mut filed: HashMap<Piece, Vec<u32>> = HashMap::new();
        for (number, pattern) in (0..).zip(&patterns) {
            for glob in pattern.globs() {
                let literals = glob.literals(START);
                let rarest = literals.iter().flat_map(|run| pieces(run)).min_by_key(|piece| count.get(piece));
                rarest.map_or(&mut loose, |piece| filed.entry(piece).or_default()).push(number);
            }
        }
        Self { patterns, loose, filed }
    }

    /// The numbers of the patterns that match `name`.
    pub(crate) fn matching(&self, name: &Name) -> Vec<usize> {
        let mut found = self.loose.clone();
        if !self.filed.is_empty() {
            let text = [&[START], name.as_str().as_bytes()].concat();
            found.extend(pieces(&text).filter_map(|piece| self.filed.get(&piece)).flatten());
        }
        // A piece may stand in a name twice, and a pattern under two pieces.
        found.sort_unstable();
        found.dedup();
        let numbers = found.into_iter().map(|number| number as usize);
        numbers.filter(|number| self.patterns.get(*number).is_some_and(|p| p.matches(name))).collect()
    }
}

fn pieces(text: &[u8]) -> impl Iterator<Item = Piece> {
    text.array_windows::<4>().copied()
}

/// So few are tried at once.
const FEW: usize = 16;

/// Stands before a name: no name has it inside.
const START: u8 = b'^';

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_missed(
            globs in proptest::collection::vec(r"([ab]{0,5}|\*|\?|\{aab,b{0,2}\}|\[ab\]){1,4}@(z|\*|zone)", 0..60),
            local in "[ab]{1,12}",
            zone in "z|zone",
        ) {
            let patterns: Vec<Pattern> = globs.iter().filter_map(|text| text.parse().ok()).collect();
            let name = format!("{local}@{zone}").parse().unwrap();
            let tried: Vec<usize> =
                (0..patterns.len()).filter(|number| patterns[*number].matches(&name)).collect();
            prop_assert_eq!(Index::new(patterns).matching(&name), tried);
        }
    }
}
