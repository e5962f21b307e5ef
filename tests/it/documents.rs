//! The commands that the documents show, run as they stand there. Only the port is another one, since tests run side by
//! side.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use keycell_kdc::enrollment::Refusal;
use keycell_tests::markdown;

/// Runs the commands of a document of the repository in an empty folder.
fn run(document: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document)).unwrap();
    // Both at once, so that they differ.
    let free = ["127.0.0.1:0"; 2].map(|address| TcpListener::bind(address).unwrap());
    let [port, other] = free.map(|listener| listener.local_addr().unwrap().port().to_string());
    let usual = "keycell init --zone cell1.internal\n";
    let elsewhere = format!("keycell init --zone cell1.internal --listen 127.0.0.1:{port}\n");
    let copy = folder.path().join("document.md");
    fs::write(&copy, text.replace(usual, &elsewhere).replace("8443", &port).replace("8444", &other)).unwrap();
    markdown::run(&copy, &["console"], folder.path())
}

#[test]
fn the_readme() {
    let printed = run("README.md");
    assert!(printed.contains("\ndiscover\n"), "{printed}");
    assert!(printed.contains("nanoprobe.host2@cell1.internal: denied: no rule allows it"), "{printed}");
    assert!(printed.contains("The log is intact"), "{printed}");
}

#[test]
fn operations() {
    let printed = run("docs/operations.md");
    assert!(printed.contains("checked: every check holds"), "{printed}");
    assert!(printed.contains("nothing was changed"), "{printed}");
    assert!(printed.trim_end().ends_with("\ndiscover"), "{printed}");
}

#[test]
fn running() {
    let printed = run("docs/running.md");
    for what in [
        "KEYCELL_LIMITS__CONNECTIONS\n",
        "The configuration is good",
        "Changed: tickets.lifetime_seconds.",
        "server.pem is new, good until 20",
        "New connections see another certificate, good until 20",
    ] {
        assert!(printed.contains(what), "{what}\n{printed}");
    }
    assert!(!printed.contains("Only after a restart"), "{printed}");
}

#[test]
fn administration() {
    let printed = run("docs/administration.md");
    for what in [
        "refused, as it should be",
        "A token for admin (admin) is in rescue.token",
        "2 keys are replaced when the party next asks for tickets.",
        "0 keys are replaced",
        "it is in moved.key",
        "The party has no other key.",
        "Its keys are erased",
        "2 rows: 2 made",
        "web.host1@cell1.internal -> db.main@cell1.internal: allowed by rule web-to-db, with tickets of at most 300 s",
        "denied: the rules that allowed it have expired",
        "web.host1@cell1.internal -> cma.main@cell1.internal: denied by rule no-web-to-cma",
        "Nothing differs",
        "The log is intact",
        "The log of zone cell1.internal is intact",
        "audit log",
    ] {
        assert!(printed.contains(what), "{what}\n{printed}");
    }
    assert!(!printed.contains("It was held against the key that it names itself"), "{printed}");
    assert!(!printed.contains("something needs a look"), "{printed}");
}

#[test]
fn groups() {
    let printed = run("docs/groups.md");
    for what in [
        "May send to it: cma.*@cell1.internal (rule cma-to-any).",
        "web.*@cell1.internal (rule web-to-probes)",
        "the lifetime of the group cuts that to 300 s",
        "3 members now.",
        "nanoprobe.host3@cell1.internal  left out: disabled",
        "nanoprobe.host2@cell1.internal is no member of nanoprobe@cell1.internal",
        "of a new chain",
        "\ndiscover\n",
        r#""destination":"nanoprobe@cell1.internal","group":true,"author_proof":false"#,
        "author proof  required",
        "group.exclude",
        "This would be deleted:",
        "nanoprobe@cell1.internal is deleted.",
    ] {
        assert!(printed.contains(what), "{what}\n{printed}");
    }
}

#[test]
fn enrollment() {
    let printed = run("docs/enrollment.md");
    for what in [
        "nanoprobe.web1.example.com::",
        "\ndiscover\n",
        "approve: who has no join token waits for an administrator",
        "re-enroll within  15m",
        "A join token for 5000 hosts of nanoprobe is in rack12.token, good until 20",
        "0 of 5000",
        "it lets nobody in any more",
        "No such host is waiting.",
        "8f14e45fceea167a5a36dedd4bea2543 is denied: no host comes aboard with this key.",
        "it is a stranger",
    ] {
        assert!(printed.contains(what), "{what}\n{printed}");
    }
}

#[test]
fn backup() {
    let printed = run("docs/backup.md");
    for what in [
        "is whole: 2 parties",
        "All that the master key wraps was tried",
        "stay revoked",
        "web.host2@cell1.internal was disabled",
        "Passed: the shares",
        "It is the one of this database.",
        "The log is intact",
    ] {
        assert!(printed.contains(what), "{what}\n{printed}");
    }
    assert!(!printed.contains("remembers no revocations"), "{printed}");
}

#[test]
fn api() {
    let printed = run("docs/api.md");
    for expected in [
        r#""actor":"administrator:alice","role":"admin""#,
        r#""next":"web.host1@cell1.internal"#,
        r#""note":"Rack 12.","#,
        "}200\n",
        "}412\n",
        r#""field":"source""#,
        r#""outcome":"created""#,
        r#""summary":{"lines":2,"created":2,"#,
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
    assert!(!printed.contains("Rack 13."), "{printed}");
}

#[test]
fn keys_on_hosts() {
    let printed = run("docs/keys-on-hosts.md");
    for expected in ["600 web.host1.key", r#""name": "web.host1@cell1.internal""#, r#""generation": 1,"#] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

#[test]
fn identities() {
    let printed = run("docs/identities.md");
    for expected in [
        "#KDC#00002 is in secondary.age and no longer in the database.",
        "exported",
        "identity     #KDC#00002\n",
        "#KDC#00002 is the primary now. #KDC#00001 is retired",
        "#KDC#00003  secondary",
        "The log is intact",
        "cell1.bundle is the bundle of cell1.internal.",
        "web.host1@cell1.internal has no signing key",
        "author key",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

#[test]
fn trust() {
    let printed = run("docs/trust.md");
    for expected in [
        "\nhello\n",
        "incoming",
        "outgoing",
        "nanoprobe.*@west.internal",
        "cma.*@east.internal",
        "trust.disable",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

#[test]
fn recovery() {
    let printed = run("docs/recovery.md");
    for expected in [
        "#KDC#00002 is the primary now. #KDC#00001 is retired",
        "enrolled: 1; they do so again, by themselves",
        "1 join token is revoked",
        "The log is intact",
        "\nback\n",
        "#KDC#00003 is in safe/secondary-3.age and no longer in the database.",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

#[test]
fn the_master_key() {
    let printed = run("docs/master-key.md");
    for expected in [
        "Version 2 of the master key wraps everything in the database.",
        "Version 1 of the master key is no longer in",
        "clock believed  yes",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

#[test]
fn every_reason_of_a_refusal_is_explained() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/enrollment.md");
    let text = fs::read_to_string(document).unwrap();
    for reason in Refusal::REASONS {
        let row = |line: &str| line.starts_with("| `") && line.contains(&format!("`{reason}`"));
        assert!(text.lines().any(row), "{reason}");
    }
}
