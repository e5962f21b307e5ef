//! Where the KDC is, by name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keycell_tests::cell::{Cell, ended};

use super::json;

#[test]
fn a_profile_leads_to_a_kdc_from_anywhere() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let url = format!("https://localhost:{}", cell.listen().port());
    // Nobody listens on the first one.
    let urls = ["--url", "https://localhost:9", "--url", &url];
    let files = ["--roots", "keycell/tls/roots.pem", "--token-file", "keycell/admin.token"];
    cell.run(&[&["profile", "add", "here"], &urls[..], &files[..]].concat()).succeeded();
    cell.run(&["profile", "add", "nowhere", "--url", "https://localhost:9"]).succeeded();
    let elsewhere = |arguments: &[&str]| ended(cell.command().current_dir("/").args(arguments));
    assert!(elsewhere(&["whoami"]).succeeded().stdout.contains("administrator:admin"));
    assert!(elsewhere(&["whoami", "--profile", "nobody"]).failed().contains("`keycell profile list`"));
    // A cell that is named comes before the default, and a profile that is named before everything.
    let config = cell.file("keycell.toml");
    let config = config.to_str().unwrap();
    assert!(elsewhere(&["whoami", "--config", config]).succeeded().stdout.contains("administrator:admin"));
    assert!(
        elsewhere(&["whoami", "--profile", "nowhere", "--config", config]).failed().contains("localhost:9")
    );

    // The cell of this folder gets no other token than its own, unless it is named.
    let here = |set: &[(&str, &str)], arguments: &[&str]| {
        let mut command = cell.command();
        ended(command.env("KEYCELL_PROFILES", "none.toml").envs(set.iter().copied()).args(arguments))
    };
    let token = fs::read_to_string(cell.file("admin.token")).unwrap();
    let file = cell.file("admin.token");
    let roots = cell.file("tls/roots.pem");
    let (url, roots) = (("KEYCELL_URL", &*url), ("KEYCELL_ROOTS", roots.to_str().unwrap()));
    for given in [("KEYCELL_TOKEN", &*token), ("KEYCELL_TOKEN_FILE", file.to_str().unwrap())] {
        for found in [&[given][..], &[given, url], &[given, roots]] {
            let refused = here(found, &["whoami"]).failed();
            assert!(refused.contains("set KEYCELL_URL and KEYCELL_ROOTS"), "{refused}");
            assert!(!refused.contains(token.trim()) && refused.trim_end().lines().count() == 1, "{refused}");
        }
        here(&[given, url, roots], &["whoami"]).succeeded();
        here(&[given], &["whoami", "--config", config]).succeeded();
    }
    // And nothing is told to a cell that somebody else could have put here.
    let folder = cell.folder().join("keycell");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = here(&[], &["whoami"]).failed();
    assert!(refused.contains("--config or KEYCELL_CONFIG"), "{refused}");
    here(&[], &["whoami", "--config", config]).succeeded();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();

    let token = cell.file("admin.token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let warned = elsewhere(&["whoami"]).succeeded().stderr;
    assert!(warned.contains(" WARN ") && warned.contains("chmod 600"), "{warned}");

    assert_eq!(json(&cell, &["profile", "list"])["profiles"].as_array().unwrap().len(), 2);
    cell.run(&["profile", "default", "nowhere"]).succeeded();
    assert_eq!(json(&cell, &["profile", "show", "nowhere"])["default"], true);
    cell.run(&["profile", "remove", "nowhere"]).succeeded();
    assert!(cell.run(&["profile", "remove", "nowhere"]).failed().contains("no profile nowhere"));
}
