//! The commands that the documents show, run as they stand there. Only the port is another one, since tests run side by
//! side.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use keycell_tests::markdown;

/// Runs the commands of a document of the repository in an empty folder.
fn run(document: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let usual = "keycell init --zone cell1.internal\n";
    let elsewhere = format!("keycell init --zone cell1.internal --listen 127.0.0.1:{port}\n");
    let copy = folder.path().join("document.md");
    fs::write(&copy, text.replace(usual, &elsewhere).replace("8443", &port)).unwrap();
    markdown::run(&copy, &["console"], folder.path())
}

#[test]
fn the_readme() {
    let printed = run("README.md");
    assert!(printed.trim_end().ends_with("\nhello"), "{printed}");
}

#[test]
fn operations() {
    let printed = run("docs/operations.md");
    assert!(printed.contains("checked: every check holds"), "{printed}");
    assert!(printed.contains("web.host1@cell1.internal is disabled."), "{printed}");
    assert!(printed.trim_end().ends_with("\nhello"), "{printed}");
}
