//! The ratios of one run, out of what criterion wrote: only numbers of one run can be compared.

use std::env;
use std::time::Instant;

use super::median::median;

/// Prints nothing for what was not measured, or when criterion only tests.
pub(crate) fn print(started: Instant) {
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:<12}{:<28}{:>10}{:>16}", "", "", "ns", "keycell is");
    for size in super::SIZES {
        for what in ["seal", "open"] {
            let group = format!("{what} {size}");
            let Some(ours) = median(started, &group, "keycell") else { continue };
            println!("{group:<12}{:<28}{ours:>10.0}", "keycell");
            for other in ["bare", "crypto_box_easy_afternm", "crypto_box_easy"] {
                let Some(theirs) = median(started, &group, other) else { continue };
                let ratio = if ours >= theirs {
                    format!("{:.2}x slower", ours / theirs)
                } else {
                    format!("{:.2}x faster", theirs / ours)
                };
                println!("{:<12}{other:<28}{theirs:>10.0}{ratio:>16}", "");
            }
        }
    }
}
