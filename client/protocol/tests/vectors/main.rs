//! The protocol's own vectors, `tests/vectors/`: walked, run through the public interface, and made again.
//!
//! `make` writes every vector with `raw`, a second reading of docs/protocol.md from plain primitives; nothing of the
//! crate under test takes part. `run` takes the files through the crate. So a vector holds only where both agree.

#[cfg(test)]
mod format;
#[cfg(test)]
mod make;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod run;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::env;
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::{make, run};

    /// All but `message` and `published`, which have runners of their own.
    const FOLDERS: [&str; 15] = [
        "author",
        "bundle",
        "content",
        "derive",
        "enrollment",
        "group",
        "name",
        "peer",
        "replay",
        "reply",
        "request",
        "rotation",
        "ticket",
        "trust",
        "voucher",
    ];

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
    }

    /// Every file below the folders of this kind of vectors, by its path from the root.
    fn files() -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for folder in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()) {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            // Others' vectors have a runner of their own, which knows how many there are.
            if name == "published" || name == "README.md" {
                continue;
            }
            for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                let path = format!("{name}/{}", file.file_name().unwrap().to_str().unwrap());
                files.insert(path, fs::read_to_string(&file).unwrap());
            }
        }
        files
    }

    /// With `KEYCELL_WRITE_VECTORS=1` the files are written anew instead.
    #[test]
    fn vectors_are_current() {
        let made = make::all();
        if env::var_os("KEYCELL_WRITE_VECTORS").is_some_and(|value| value == "1") {
            for (path, text) in &made {
                let path = root().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let found = files();
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&found), names(&made));
        for (path, text) in made {
            assert!(
                found[&path] == text,
                "{path} is not what is made; set KEYCELL_WRITE_VECTORS=1 and look at it"
            );
        }
    }

    #[test]
    fn every_vector_holds() {
        let mut ran = BTreeMap::<String, run::Tally>::new();
        for (path, text) in files() {
            let folder = path.split('/').next().unwrap().to_owned();
            // Opened by client/tests/vectors.rs: it takes a receiver with a memory.
            if folder == "message" {
                continue;
            }
            ran.entry(folder).or_default().add(run::file(&path, &text));
        }
        let folders: Vec<_> = ran.keys().map(String::as_str).collect();
        assert_eq!(folders, FOLDERS);
        for (folder, tally) in &ran {
            assert!(tally.accepted > 0 && tally.rejected > 0, "{folder}/ shows too little: {tally:?}");
        }
        // Each reason that a decoder can give is given at least once.
        let reasons: BTreeSet<_> = ran.values().flat_map(|tally| &tally.reasons).cloned().collect();
        for reason in run::REASONS {
            assert!(reasons.contains(*reason), "no vector is rejected as {reason}");
        }
    }
}
