//! The ratios of one run, out of what criterion wrote: only numbers of one run can be compared.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

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

/// The median of this run in nanoseconds.
fn median(started: Instant, group: &str, name: &str) -> Option<f64> {
    let path = criterion_folder().join(format!("{group}_{name}")).join("new/estimates.json");
    let age = fs::metadata(&path).ok()?.modified().ok()?.elapsed().ok()?;
    if age > started.elapsed() {
        return None;
    }
    let estimates: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    estimates.get("median")?.get("point_estimate")?.as_f64()
}

fn criterion_folder() -> PathBuf {
    // Where cargo puts this program: target/release/deps/.
    let folder = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).or_else(|| {
        let program = env::current_exe().ok()?;
        program.ancestors().nth(3).map(PathBuf::from)
    });
    folder.unwrap_or_default().join("criterion")
}
