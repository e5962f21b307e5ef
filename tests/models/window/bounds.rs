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
    /// How often the network brings something forged.
    pub(super) forgeries: u8,
    /// Whether the messages are answers.
    pub(super) answers: bool,
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
        forgeries: 0,
        answers: false,
    };

    /// One more than the highest number that is written.
    pub(super) fn most(&self) -> u64 {
        1 + self.jumps.iter().max().unwrap() * (self.sends as u64 - 1)
    }

    /// A number after which nothing that is written is in the window.
    pub(super) fn beyond(&self) -> u64 {
        self.most() + 1_023
    }
}

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weakness {
    NoGuard,
    GuardWithoutAhead,
    GuardAtFirst,
    RestartsAfterSetBack,
    /// The opener's clock is behind the one that counts.
    ClockBehind,
    ClockAhead,
    /// The opener takes what was forged for written, as far as its memory goes.
    RemembersFirst,
    /// A process still knows what earlier ones asked.
    KeepsTickets,
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

/// A receiver that is told to refuse much.
pub(super) const REFUSALS: Bounds = Bounds {
    jumps: &[1, 1024],
    instants: &[0, 20_000],
    aheads: &[0, 5_001],
    sends: 2,
    deliveries: 4,
    set_backs: 1,
    keeps_refusals: true,
    forgeries: 1,
    ..Bounds::LEAST
};

/// A receiver that asks in each of its processes, and somebody who answers.
pub(super) const ANSWERS: Bounds = Bounds {
    instants: &[0, 5_000, 20_000, 25_000],
    aheads: &[0, 5_001],
    sends: 2,
    salts: 2,
    deliveries: 3,
    set_backs: 1,
    runs: 2,
    answers: true,
    ..Bounds::LEAST
};
