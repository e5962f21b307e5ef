//! Why shares make no master key.

/// Why shares make no master key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// They cannot be made so.
    #[error("at least 2 shares must be needed, there must be at least as many, and at most 32")]
    Numbers,
    /// There is none.
    #[error("there is no share: name their files, or type their lines")]
    None,
    /// The text is no share.
    #[error(
        "that is no share: it is a line that begins with keycell-share-1: and has letters and digits only, no I, L, O or U"
    )]
    Form,
    /// It was mistyped.
    #[error("the share is mistyped: its check does not fit. Compare it character by character")]
    Mistyped,
    /// A newer release made it.
    #[error(
        "the share is of version {version}, which this keycell does not know: use the release that made it"
    )]
    Version {
        /// Its version.
        version: u8,
    },
    /// They are not of one set.
    #[error("the shares are of different sets, {first} and {other}: use those of one set")]
    Mixed {
        /// The set of the first.
        first: String,
        /// That of another.
        other: String,
    },
    /// One is there twice.
    #[error("share {index} is there twice: each counts once")]
    Twice {
        /// Which.
        index: u8,
    },
    /// There are not enough.
    #[error("there are {have} shares, and {need} are needed")]
    TooFew {
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: u8,
    },
    /// They are enough, and what they make is no master key.
    #[error(
        "what the shares make is no master key: one of them is not of this set although it says so. Try it with another one"
    )]
    Wrong,
}
