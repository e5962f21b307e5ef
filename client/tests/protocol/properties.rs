//! Whatever the network does to messages: each opens once, unchanged, or not at all.

use crate::cell::{Cell, name};
use keycell_protocol::{Cause, Mode};
use proptest::prelude::*;
use proptest::sample::Index;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_loss_order_and_duplication(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40),
        modes in prop::collection::vec(any::<bool>(), 40),
        delivery in prop::collection::vec(any::<Index>(), 0..120),
    ) {
        let mut cell = Cell::new();
        let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
        cell.seal(&mut a, "b", "", b"");
        let messages: Vec<_> = bodies.iter().zip(&modes).map(|(body, signed)| {
            let to = name("b");
            if *signed { a.sign(cell.now, &to, "t", body) } else { a.seal(cell.now, &to, "t", body) }.unwrap()
        }).collect();
        let mut seen = vec![false; messages.len()];
        for index in delivery {
            let at = index.index(messages.len());
            match cell.open(&mut b, &messages[at]) {
                Ok(opened) => {
                    prop_assert!(!seen[at]);
                    prop_assert_eq!(&opened.body, &bodies[at]);
                    prop_assert_eq!(opened.mode, if modes[at] { Mode::Signed } else { Mode::Sealed });
                }
                Err(cause) => {
                    prop_assert!(seen[at]);
                    prop_assert_eq!(cause, Cause::Replayed);
                }
            }
            seen[at] = true;
        }
    }

    #[test]
    fn any_cut_and_any_change(body: Vec<u8>, signed: bool, cut: Index, flips in prop::collection::vec((any::<Index>(), 1_u8..), 1..4)) {
        let mut cell = Cell::new();
        let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
        let mut message = cell.seal(&mut a, "b", "t", &body);
        if signed {
            message = a.sign(cell.now, &name("b"), "t", &body).unwrap();
        }
        prop_assert!(cell.open(&mut b, &message[..cut.index(message.len())]).is_err());
        prop_assert!(cell.open(&mut b, &[&message[..], b"x"].concat()).is_err());
        let mut changed = message.clone();
        for (at, by) in flips {
            let at = at.index(changed.len());
            changed[at] ^= by;
        }
        if changed != message {
            prop_assert!(cell.open(&mut b, &changed).is_err());
        }
        prop_assert_eq!(cell.open(&mut b, &message).unwrap().body, body);
    }

    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>, head: bool) {
        let mut cell = Cell::new();
        let mut b = cell.agent("b");
        let bytes = if head { [b"KCL1\x01\x00".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(cell.open(&mut b, &bytes).is_err());
        prop_assert_eq!(b.stats().streams, 0);
    }
}
