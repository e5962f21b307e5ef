//! Facts in a few lines of text.

use std::fmt::Write as _;

use super::cma::Host;
use super::facts::{Facts, Kind, Most};
use super::wire::Answer;

/// Everything that is known of a host, a line for each thing.
pub(crate) fn details(host: &Host) -> Vec<String> {
    Kind::ALL
        .iter()
        .map(|kind| match host.answers.get(kind) {
            Some((_, Answer::Facts(facts))) => line(facts),
            Some((_, Answer::Failed { why, .. })) => plain(&format!("{kind:?}: unknown, {why}")),
            None => format!("{kind:?}: no answer"),
        })
        .collect()
}

/// One kind of facts in one line.
pub(crate) fn line(facts: &Facts) -> String {
    let text = match facts {
        Facts::Os { name, kernel, architecture, host, up_seconds } => {
            format!("{name}, kernel {kernel}, {architecture}, host {host}, up {}", span(*up_seconds))
        }
        Facts::Cpu { model, count, load_1_minute } => format!("{count} × {model}, load {load_1_minute:.2}"),
        Facts::Memory { total, available, swap } => {
            format!("memory {}, {} available, swap {}", size(*total), size(*available), size(*swap))
        }
        Facts::FileSystems(most) => list("file systems", most, |system| {
            let (total, free) = (size(system.total), size(system.available));
            format!("{} {} {total}, {free} free", system.mount, system.format)
        }),
        Facts::Ports(most) => list("listening TCP", most, |port| {
            let process = &port.process;
            match port.address {
                any if any.is_unspecified() => format!("{} {process}", port.port),
                std::net::IpAddr::V6(address) => format!("[{address}]:{} {process}", port.port),
                address => format!("{address}:{} {process}", port.port),
            }
        }),
        Facts::Addresses(most) => list("addresses", most, |address| {
            format!("{} {}/{}", address.interface, address.address, address.prefix)
        }),
    };
    plain(&text)
}

/// Bytes as people say them.
pub(crate) fn size(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib >= 0.95 { format!("{gib:.1} GiB") } else { format!("{:.0} MiB", gib * 1024.0) }
}

/// Seconds as people say them.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Text from another host, for a terminal: authentic does not mean that it may move the cursor.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

fn list<T>(what: &str, most: &Most<T>, item: impl Fn(&T) -> String) -> String {
    let mut text = what.to_owned();
    let shown = most.list.len().min(SHOWN);
    for (at, thing) in most.list.iter().take(shown).enumerate() {
        let _ = write!(text, "{} {}", if at == 0 { "" } else { ";" }, item(thing));
    }
    match most.list.len() - shown + most.omitted {
        0 if shown == 0 => text.push_str(" none"),
        0 => {}
        more => {
            let _ = write!(text, "; and {more} more");
        }
    }
    text
}

/// Of a list.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::super::facts::Port;
    use super::*;

    #[test]
    fn what_another_host_says_moves_no_cursor() {
        let facts = Facts::Cpu { model: "evil\u{1b}[2J\r\n".into(), count: 2, load_1_minute: 0.5 };
        assert_eq!(line(&facts), "2 × evil\u{FFFD}[2J\u{FFFD}\u{FFFD}, load 0.50");
    }

    #[test]
    fn lists_end_somewhere() {
        let port =
            |port, address: &str| Port { port, address: address.parse().unwrap(), process: "d".into() };
        let mut list = vec![port(22, "0.0.0.0"), port(80, "127.0.0.1"), port(81, "::1")];
        let ports = |list: &[Port], omitted| line(&Facts::Ports(Most { list: list.to_vec(), omitted }));
        assert_eq!(ports(&list, 0), "listening TCP 22 d; 127.0.0.1:80 d; [::1]:81 d");
        list.extend([port(90, "::"), port(91, "::"), port(92, "::")]);
        assert!(ports(&list, 4).ends_with("; 91 d; and 5 more"));
        assert_eq!(ports(&[], 0), "listening TCP none");
    }

    #[test]
    fn sizes_and_spans_are_round() {
        assert_eq!([size(0), size(500 << 20), size(5 << 30)], ["0 MiB", "500 MiB", "5.0 GiB"]);
        assert_eq!([span(90), span(300), span(9_000), span(999_999)], ["90 s", "5 min", "2 h", "11 days"]);
    }
}
