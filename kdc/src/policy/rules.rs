//! Sets of rules, each rule by its place in the order of strictness.

/// A set of rules. Small ones are listed; a large one has a bit for every rule there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum RuleSet {
    /// In ascending order.
    Listed(Box<[u16]>),
    /// The rules 0 to 63 in the first word, and so on.
    Bits(Box<[u64]>),
}

impl RuleSet {
    /// The set of these rules, out of `rules`.
    pub(super) fn new(places: impl IntoIterator<Item = u16>, rules: usize) -> Self {
        let mut builder = Builder::new(rules);
        places.into_iter().for_each(|rule| builder.insert(rule));
        builder.finish()
    }

    /// The rules that are in both, in ascending order. At 10,000 rules this costs at worst 157 words.
    pub(super) fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u16> + 'a {
        let (listed, bits) = match (self, other) {
            (Self::Listed(own), Self::Listed(theirs)) if theirs.len() < own.len() => {
                (Some((theirs, self)), None)
            }
            (Self::Listed(own), _) => (Some((own, other)), None),
            (Self::Bits(_), Self::Listed(theirs)) => (Some((theirs, self)), None),
            (Self::Bits(own), Self::Bits(theirs)) => (None, Some((own, theirs))),
        };
        let listed =
            listed.into_iter().flat_map(|(few, set)| few.iter().copied().filter(|rule| set.contains(*rule)));
        let words = bits
            .into_iter()
            .flat_map(|(own, theirs)| own.iter().zip(theirs).map(|(own, theirs)| own & theirs));
        listed.chain(ones(words))
    }

    /// How many bytes it takes on the heap.
    pub(super) const fn size(&self) -> usize {
        match self {
            Self::Listed(rules) => rules.len() * 2,
            Self::Bits(words) => words.len() * 8,
        }
    }

    fn contains(&self, rule: u16) -> bool {
        match self {
            Self::Listed(rules) => rules.binary_search(&rule).is_ok(),
            Self::Bits(words) => {
                words.get(usize::from(rule / 64)).is_some_and(|word| word >> (rule % 64) & 1 == 1)
            }
        }
    }
}

/// A set that is being put together.
#[derive(Debug, Clone)]
pub(super) struct Builder(Vec<u64>);

impl Builder {
    /// An empty set out of `rules` rules.
    pub(super) fn new(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)])
    }

    pub(super) fn insert(&mut self, rule: u16) {
        if let Some(word) = self.0.get_mut(usize::from(rule / 64)) {
            *word |= 1 << (rule % 64);
        }
    }

    pub(super) fn insert_all(&mut self, set: &RuleSet) {
        match set {
            RuleSet::Listed(rules) => rules.iter().for_each(|rule| self.insert(*rule)),
            RuleSet::Bits(words) => self.0.iter_mut().zip(words).for_each(|(own, word)| *own |= word),
        }
    }

    /// The set, in the smaller of the two forms: one set has one form.
    pub(super) fn finish(self) -> RuleSet {
        let count: usize = self.0.iter().map(|word| word.count_ones() as usize).sum();
        if count * 2 > self.0.len() * 8 {
            RuleSet::Bits(self.0.into())
        } else {
            RuleSet::Listed(ones(self.0.into_iter()).collect())
        }
    }
}

/// The places of the bits that are set.
fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u16> {
    (0_u16..).zip(words).flat_map(|(place, mut word)| {
        std::iter::from_fn(move || {
            let bit = word.trailing_zeros() as u16;
            word = word.checked_sub(1).map(|less| word & less)?;
            Some(place * 64 + bit)
        })
    })
}
