//! What criterion measured, out of what it wrote.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// The median of this run in nanoseconds.
pub(crate) fn median(started: Instant, group: &str, name: &str) -> Option<f64> {
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
