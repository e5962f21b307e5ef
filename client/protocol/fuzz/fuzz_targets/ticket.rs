//! Tickets: read as they are, and opened by their own key only.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{accepted, cases, key, seed};
use keycell_protocol::{Subkeys, Ticket};
use libfuzzer_sys::fuzz_target;

static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| accepted("ticket", "ticket"));
static KEYS: LazyLock<Subkeys> = LazyLock::new(|| key(&cases("ticket")[0]["key"]).subkeys());

fuzz_target!(
    init: seed(|| SEEDS.clone()),
    |data: &[u8]| {
        let Ok(ticket) = Ticket::parse(data) else { return };
        assert_eq!(ticket.as_bytes(), data);
        let _ = (ticket.kind(), ticket.generation(), ticket.epoch(), ticket.id());
        if ticket.open(&KEYS.ticket).is_ok() {
            assert!(SEEDS.iter().any(|seed| seed == data), "a forged ticket opened");
        }
    }
);
