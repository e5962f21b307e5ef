//! Which processes used a key lately, and whether two of them live at once (docs/protocol.md §7, docs/decisions/0035).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU64;
use std::str::FromStr;

use keycell_protocol::{Instance, UnixMillis};

use super::CopiesKind;

/// A process that signs requests: half of what it drew when it began, which is enough to tell one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(NonZeroU64);

impl Process {
    /// The process of that instance.
    #[must_use]
    pub fn of(instance: Instance) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = instance.0;
        Self(NonZeroU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Process {
    type Err = UnknownProcess;

    fn from_str(text: &str) -> Result<Self, UnknownProcess> {
        let number = u64::from_str_radix(text, 16).ok().and_then(NonZeroU64::new).map(Self);
        number.filter(|process| process.to_string() == text).ok_or(UnknownProcess)
    }
}

/// A text that is no [`Process`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a process is 16 hexadecimal digits")]
pub struct UnknownProcess;

/// One request of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Which process signed it.
    pub process: Process,
    /// Where it came from.
    pub address: IpAddr,
    /// When it was signed, but not later than it came: a clock that is ahead makes nobody live longer.
    pub at: UnixMillis,
}

/// Two processes that live at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternation {
    /// What it looks like.
    pub kind: CopiesKind,
    /// Where the one is that came back, and where the one that came in between.
    pub addresses: [IpAddr; 2],
    /// When the one came back.
    pub at: UnixMillis,
    /// Whether the other came back before, past the one: no command that ran for a moment does that.
    pub both: bool,
}

/// The processes that used one key lately: 128 bytes.
///
/// A process that was seen, then another, then the first again: both live. Who starts anew never comes back under the number
/// from before. What counts is when requests were signed, so one that was long on its way tells nothing wrong; the first of
/// a process counts when it came, so a clock that is behind does not either.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processes {
    /// In the order in which they were last heard of, the latest first. The last is kept for a day even where others need
    /// the room: however many copies take turns, they come round to one that is known.
    seen: [Option<Seen>; 3],
    /// Which came back last, past which other.
    turn: Option<Turn>,
}

/// A process that came back past another: of both, as much as tells that from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn(NonZeroU64);

impl Turn {
    fn of(back: Process, past: Process) -> Self {
        let both = back.0.get() ^ past.0.get().rotate_left(32);
        Self(NonZeroU64::new(both).unwrap_or(NonZeroU64::MIN))
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    process: Process,
    address: Ipv6Addr,
    /// When it was first heard of.
    first: u64,
    /// When it last signed.
    last: u64,
}

impl Processes {
    /// Takes in a request that came at `now`. Says whether another process was seen since this one was before.
    pub fn saw(&mut self, sighting: Sighting, now: UnixMillis) -> Option<Alternation> {
        let Sighting { process, address, at } = sighting;
        let at = UnixMillis(at.0.min(now.0));
        self.forget(at);
        let place = self.place(process);
        let known = self.seen.get(place).copied().flatten().filter(|seen| seen.process == process);
        let between = known.and_then(|known| self.between(&known, place, at));
        let mapped = mapped(address);
        let next = match known {
            // One that was on its way for longer does not say where the process is now.
            Some(known) if at.0 <= known.last => known,
            Some(known) => Seen { address: mapped, last: at.0, ..known },
            None => Seen { process, address: mapped, first: now.0, last: at.0 },
        };
        if let Some(moved) = self.seen.get_mut(..=place) {
            moved.rotate_right(1);
        }
        if let Some(front) = self.seen.first_mut() {
            *front = Some(next);
        }
        let (known, other) = known.zip(between)?;
        // One that moved to where the other is may be no other machine: a host that was put back on new hardware, say.
        let apart = other.address != known.address && other.address != mapped;
        let kind = if apart { CopiesKind::Clone } else { CopiesKind::Shared };
        let both = self.turn == Some(Turn::of(other.process, process));
        self.turn = Some(Turn::of(process, other.process));
        Some(Alternation { kind, addresses: [mapped, other.address].map(plain), at, both })
    }

    /// The process that signed last: what other KDCs are told.
    #[must_use]
    pub fn latest(&self) -> Option<Sighting> {
        let latest = self.seen.iter().flatten().max_by_key(|seen| seen.last)?;
        let Seen { process, address, first: _, last } = *latest;
        Some(Sighting { process, address: plain(address), at: UnixMillis(last) })
    }

    /// Whether that tells nothing new: what another KDC tells is told many times.
    #[must_use]
    pub fn knows(&self, sighting: &Sighting) -> bool {
        let mut of_it = self.seen.iter().flatten().filter(|seen| seen.process == sighting.process);
        of_it.any(|seen| sighting.at.0 <= seen.last)
    }

    /// Where the process is, or is to go from: past all that were heard of later.
    fn place(&self, process: Process) -> usize {
        let is_there = |seen: &Option<Seen>| seen.is_none_or(|seen| seen.process == process);
        self.seen.iter().position(is_there).unwrap_or(self.seen.len() - 2)
    }

    /// The one that was last heard of after `known`, and signed while that lived, before `at`.
    fn between(&self, known: &Seen, place: usize, at: UnixMillis) -> Option<Seen> {
        let later = self.seen.iter().take(place).flatten();
        let mut between = later.filter(|other| known.first < other.last && other.last < at.0);
        between.next().copied()
    }

    /// Forgets the oldest, once that is long ago.
    fn forget(&mut self, now: UnixMillis) {
        let old = |seen: &Seen| seen.last.saturating_add(WINDOW_MS) < now.0;
        for seen in self.seen.iter_mut().rev() {
            match seen {
                Some(known) if old(known) => {
                    *seen = None;
                    self.turn = None;
                }
                Some(_) => return,
                None => {}
            }
        }
    }
}

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn plain(address: Ipv6Addr) -> IpAddr {
    IpAddr::V6(address).to_canonical()
}

/// For how long a process counts that is not seen: a day.
const WINDOW_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests;
