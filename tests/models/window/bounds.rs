//! What may happen between a sender and a receiver, and how often.

/// How much of everything there is.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// How much higher the next number is: what is between was written and is never delivered.
    pub(super) jumps: &'static [u64],
    /// The moments at which anything happens, in milliseconds.
    pub(super) instants: &'static [u64],
    /// By how many milliseconds the sender's clock may be ahead when it writes.
    pub(super) aheads: &'static [u64],
    pub(super) sends: usize,
    /// How many sealers there are, one after the other.
    pub(super) salts: u8,
    pub(super) deliveries: u8,
    pub(super) set_backs: u8,
    /// How many processes of the receiver there are, one after the other.
    pub(super) runs: u8,
    /// Whether what was refused is a part of what an opener has been through.
    pub(super) keeps_refusals: bool,
}

impl Bounds {
    pub(super) const LEAST: Self = Self {
        jumps: &[1],
        instants: &[0],
        aheads: &[0],
        sends: 1,
        salts: 1,
        deliveries: 1,
        set_backs: 0,
        runs: 1,
        keeps_refusals: false,
    };
}

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weakness {
    NoGuard,
    GuardWithoutAhead,
    GuardAtFirst,
    RestartsAfterSetBack,
}

/// A sender and a receiver that see most of what may happen.
pub(super) const EVENTS: Bounds = Bounds {
    instants: &[0, 5_000, 5_001, 10_001, 19_999, 20_000],
    aheads: &[0, 5_000, 5_001],
    sends: 2,
    deliveries: 3,
    set_backs: 1,
    runs: 3,
    ..Bounds::LEAST
};
