//! Moments and spans, as people write and read them.

use std::str::FromStr;

use keycell_protocol::UnixMillis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::{Clock as _, SystemClock};

/// A moment in RFC 3339, or a span such as `90s`, `15m`, `12h` or `30d` from now: back or ahead, as the command has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(UnixMillis),
    Span(u64),
}

impl Moment {
    /// The moment, a span counting back from now.
    pub(super) fn ago(self) -> UnixMillis {
        match self {
            Self::At(at) => at,
            Self::Span(seconds) => SystemClock.now().minus(seconds.saturating_mul(1000)),
        }
    }

    /// The moment, a span counting from now on.
    pub(super) fn ahead(self) -> UnixMillis {
        match self {
            Self::At(at) => at,
            Self::Span(seconds) => SystemClock.now().plus(seconds.saturating_mul(1000)),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(seconds) = span(text) {
            return Ok(Self::Span(seconds));
        }
        rfc3339(text)
            .map(Self::At)
            .ok_or("write a time such as 2027-01-31T12:00:00Z, or a span such as 12h or 30d")
    }
}

/// A number and `s`, `m`, `h` or `d`, in seconds: at least one, at most a hundred years.
pub(super) fn span(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => DAY,
        _ => return None,
    };
    let count = text.get(..text.len() - 1)?;
    let count: u64 = count.parse().ok().filter(|_| count.bytes().all(|byte| byte.is_ascii_digit()))?;
    count.checked_mul(unit).filter(|seconds| (1..=36_500 * DAY).contains(seconds))
}

/// A time of RFC 3339, from 1970 on.
pub(super) fn rfc3339(text: &str) -> Option<UnixMillis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(UnixMillis)
}

/// A moment as people and programs read it: RFC 3339, UTC.
pub(super) fn time(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.seconds().0).unwrap_or_default();
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(&Rfc3339).unwrap_or_default()
}

/// A span in its largest whole unit: `3 d`.
pub(super) fn length(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..DAY => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / DAY),
    }
}

/// How long `at` is away from `now`, either way.
pub(super) fn age(at: UnixMillis, now: UnixMillis) -> String {
    length(at.distance(now) / 1000)
}

/// A span of seconds that the same command would take: `15m`.
pub(super) fn exact(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        seconds if seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
        seconds if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

pub(super) const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spans_or_times() {
        assert_eq!("30d".parse(), Ok(Moment::Span(30 * DAY)));
        assert_eq!("2027-01-31T12:00:00Z".parse(), Ok(Moment::At(UnixMillis(1_801_396_800_000))));
        assert_eq!("2027-01-31T13:00:00+01:00".parse(), Ok(Moment::At(UnixMillis(1_801_396_800_000))));
        for bad in ["", "d", "0d", "+1d", "-1d", "1w", "36501d", "1ö", "2027-01-31", "1960-01-01T00:00:00Z"]
        {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_read_well() {
        assert_eq!([length(59), length(3_599), length(90_000)], ["59 s", "59 min", "1 d"]);
        for seconds in [1, 90, 900, 7_200, 2 * DAY] {
            assert_eq!(span(&exact(seconds)), Some(seconds));
        }
        assert_eq!(time(UnixMillis(1_801_396_800_999)), "2027-01-31T12:00:00Z");
    }
}
