//! The CMA's live table: a line for each host.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use keycell_client::protocol::{Name, UnixMillis};

use super::cma::Host;
use super::details::{plain, size, span};
use super::facts::{Facts, Kind};

/// The table, with what is known by now.
pub(crate) fn table(hosts: &BTreeMap<Name, Host>, now: UnixMillis) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header([
        "HOST", "SYSTEM", "CPU", "LOAD", "MEMORY", "FREE", "PORTS", "ADDRESS", "HEARD", "BEATS",
    ]);
    for (name, host) in hosts {
        let cells = row(name, host, now);
        table.add_row(cells.map(|cell| plain(&cell)));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn row(name: &Name, host: &Host, now: UnixMillis) -> [String; 10] {
    let mut row = std::array::from_fn(|_| "-".to_owned());
    let [who, system, cpu, load, memory, free, ports, address, heard, beats] = &mut row;
    *who = name.local().to_owned();
    if let Some(Facts::Os { name, .. }) = host.facts(Kind::Os) {
        system.clone_from(name);
    }
    if let Some(Facts::Cpu { count, load_1_minute, .. }) = host.facts(Kind::Cpu) {
        (*cpu, *load) = (count.to_string(), format!("{load_1_minute:.2}"));
    }
    if let Some(Facts::Memory { total, available, .. }) = host.facts(Kind::Memory) {
        (*memory, *free) = (size(*total), size(*available));
    }
    if let Some(Facts::Ports(all)) = host.facts(Kind::Ports) {
        *ports = (all.list.len() + all.omitted).to_string();
    }
    if let Some(Facts::Addresses(all)) = host.facts(Kind::Addresses)
        && let Some(first) = all.list.first()
    {
        *address = first.address.to_string();
    }
    if let Some(at) = host.heard_at {
        *heard = format!("{} ago", span(now.minus(at.0).seconds().0));
    }
    *beats = host.heartbeats.to_string();
    row
}
