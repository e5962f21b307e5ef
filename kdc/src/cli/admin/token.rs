//! The administrator's token, from its file.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::super::Outcome;

/// Reads it, and warns when others can read it too.
pub(super) fn read(file: &Path) -> Outcome<Zeroizing<String>> {
    let text = fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
        format!(
            "cannot read the administrator's token {}: {error}; `keycell token create` makes one",
            file.display()
        )
    })?;
    warn_of_others(file, 0o077, "the administrator's token");
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Whether somebody else than this user and root may change a file or what is in a folder.
pub(in crate::cli) fn others_may_change(path: &Path) -> Outcome<bool> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let own = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    Ok(!own || metadata.mode() & 0o022 != 0)
}

/// Warns when the group or others may do what `forbidden` names with a file.
pub(in crate::cli) fn warn_of_others(file: &Path, forbidden: u32, what: &str) {
    let Ok(metadata) = fs::metadata(file) else { return };
    if metadata.is_file() && metadata.mode() & forbidden != 0 {
        let (file, mode) = (file.display(), metadata.mode() & 0o7777);
        let (can, safe) = if forbidden & 0o044 == 0 { ("change", "644") } else { ("read", "600") };
        eprintln!("keycell: WARN others can {can} {what} (mode {mode:04o}); run: chmod {safe} {file}");
    }
}
