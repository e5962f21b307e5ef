//! No secret is ever in a log, at any level, whatever happens.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use keycell_tests::backup::{Recovery, text};
use keycell_tests::cell::{Cell, ended};
use keycell_tests::http::{PARTIES, party_path};
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use reqwest::Method;
use serde_json::json;

const CHOSEN: [u8; 32] = *b"a key that somebody chose, 32 b.";

async fn nothing_is_told(cell: &Cell) {
    let mut kdc = cell.serve_tracing();
    let token = cell.token("admin");
    let (admin, http) = (kdc.http().with_token(&token), kdc.http());
    let a = admin.add("a@test.internal").await;
    let b = admin.add("b@test.internal").await;
    let by_hand = cell.run(&["token", "create"]).succeeded();
    cell.run(&["party", "add", "c"]).succeeded();
    let c = Party::load(&cell.folder().join("c.key"));
    let chosen = json!({ "name": "d@test.internal", "key": URL_SAFE_NO_PAD.encode(CHOSEN) });
    for status in [201, 200] {
        assert_eq!(admin.send(Method::POST, PARTIES, &chosen).await.status, status);
    }
    let mut said = vec![by_hand.stdout, by_hand.stderr];

    // Everything that goes well, and everything that does not.
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    assert_eq!(a.ask(&http, &["b@test.internal"; 1000]).await.unwrap().len(), 1000);
    let request = a.request(&["nobody@test.internal", "c@test.internal"]);
    for status in [200, 401] {
        assert_eq!(http.tickets(a.sign(&request)).await.status, status);
    }
    let mut skewed = b.request(&["a@test.internal"]);
    skewed.timestamp = skewed.timestamp.shifted(-3_600_000);
    assert_eq!(http.tickets(b.sign(&skewed)).await.status, 401);
    for body in [
        json!({ "name": "e@test.internal", "key": URL_SAFE_NO_PAD.encode(CHOSEN), "more": 1 }),
        json!({ "name": "e@test.internal", "key": format!("{}=", URL_SAFE_NO_PAD.encode(CHOSEN)) }),
        json!({ "name": URL_SAFE_NO_PAD.encode(CHOSEN), "key": [1] }),
    ] {
        let answer = admin.send(Method::POST, PARTIES, &body).await;
        assert_eq!(answer.status, 400);
        if body["name"] == "e@test.internal" {
            said.push(answer.text());
        }
    }
    let cut = &token[..token.len() - 4];
    assert_eq!(kdc.http().with_token(cut).get(PARTIES).await.status, 401);
    assert_eq!(admin.set_enabled("b@test.internal", false).await.status, 200);
    assert_eq!(admin.delete("b@test.internal").await.status, 204);
    said.push(admin.get(&party_path("a@test.internal")).await.text());
    said.push(http.get("/metrics").await.text());
    let listed = cell.run(&["--json", "party", "list"]).succeeded();
    said.push(listed.stdout);
    for arguments in [&["rotate", "--alone"][..], &["status", "--json"], &["retire", "2"], &["retire", "9"]] {
        let ended = cell.run(&[&["master-key"], arguments].concat());
        said.extend([ended.stdout, ended.stderr]);
    }
    // Backups and shares, at their most talkative.
    let recovery = Recovery::of(cell);
    let file = recovery.back_up(cell, "one.age");
    let identity = fs::read_to_string(&recovery.identity).unwrap();
    let identity = identity.lines().last().unwrap().as_bytes().to_vec();
    let (file, opens) = (text(&file), text(&recovery.identity));
    for arguments in [
        &["backup", "two.age", "--recipient", &recovery.recipient, "--with-master-key"][..],
        &["backup", "verify", file, "--identity", opens],
        &["backup", "verify", "two.age", "--identity", opens],
        &["master-key", "split", "--shares", "2", "--threshold", "2", "--out", "shares"],
        &["master-key", "drill", "shares/share-1.txt", "shares/share-2.txt"],
        &["--json", "check-config"],
    ] {
        let ended = ended(cell.command().env("KEYCELL_LOG", "trace").args(arguments)).succeeded();
        said.extend([ended.stdout, ended.stderr]);
    }
    // Hosts that come aboard, and one that may not; the spare identity.
    let passphrase = "correct horse battery staple, and more";
    fs::write(cell.folder().join("passphrase"), passphrase).unwrap();
    fs::set_permissions(cell.folder().join("passphrase"), fs::Permissions::from_mode(0o600)).unwrap();
    let host =
        ["join", "--bundle", "cell.bundle", "--service", "nanoprobe", "--host", "web1", "--store", "host"];
    let of_a_host = ["--service", "nanoprobe", "--hosts", "web*", "--uses", "2", "--ttl", "1h"];
    for (arguments, code) in [
        (&["bundle", "--out", "cell.bundle"][..], 0),
        (&[&["join-token", "create", "--output", "join.token"], &of_a_host[..]].concat(), 0),
        (&[&["join-token", "create", "--output", "ended.token"], &of_a_host[..]].concat(), 0),
        (&["join-token", "list"], 0),
        (&[&host[..], &["--token-file", "join.token", "--json"]].concat(), 0),
        (&["identity", "export-secondary", "secondary.age", "--passphrase-file", "passphrase"], 0),
        (&["identity", "verify", "secondary.age", "--passphrase-file", "passphrase"], 0),
    ] {
        let ended = ended(cell.command().env("KEYCELL_LOG", "trace").args(arguments).stdin(Stdio::null()));
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        said.extend([ended.stdout, ended.stderr]);
    }
    let join_tokens = ["join.token", "ended.token"]
        .map(|name| fs::read_to_string(cell.folder().join(name)).unwrap().trim().to_owned());
    let id = join_tokens[1].split('_').nth(1).unwrap();
    cell.run(&["join-token", "revoke", id]).succeeded();
    let refused = [&host[..6], &["web2", "--store", "host", "--token-file", "ended.token"]].concat();
    let refused = ended(cell.command().env("KEYCELL_LOG", "trace").args(refused).stdin(Stdio::null()));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    said.extend([refused.stdout, refused.stderr]);
    let of_the_host = |end: &str| {
        let files = fs::read_dir(cell.folder().join("host")).unwrap().map(|file| file.unwrap().path());
        let mut found = files.filter(|path| text(path).contains(".web1") || text(path).contains("web1@"));
        found.find(|path| path.extension().is_some_and(|found| found == end)).unwrap()
    };
    let seed = fs::read_to_string(of_the_host("seed")).unwrap();
    let seed = URL_SAFE_NO_PAD.decode(seed.trim()).unwrap();
    let enrolled = Party::load(&of_the_host("key"));
    let shares = ["shares/share-1.txt", "shares/share-2.txt"].map(|name| {
        let page = fs::read_to_string(cell.folder().join(name)).unwrap();
        let line = page.lines().find(|line| line.starts_with("keycell-share-1:")).unwrap().to_owned();
        line.split_at(40).1.as_bytes().to_vec()
    });
    said.push(fs::read_to_string(cell.file("revocations")).unwrap());
    assert_eq!(kdc.terminate(), Some(0));
    let log = kdc.log();
    assert!(log.contains("TRACE") && log.contains("party created"), "nothing was logged:\n{log}");
    said.push(log);

    let text = fs::read_to_string(cell.file("master.key")).unwrap();
    let decoded = |line: &str| URL_SAFE_NO_PAD.decode(line.rsplit(':').next().unwrap()).unwrap();
    let masters: Vec<_> = text.lines().map(decoded).collect();
    assert_eq!(masters.len(), 2);
    let server_key = fs::read_to_string(cell.file("tls/server.key")).unwrap();
    let server_key = server_key.lines().nth(1).unwrap();
    let file_token = fs::read_to_string(cell.file("admin.token")).unwrap();
    let mut secrets: Vec<(&str, &[u8])> = vec![("the chosen key", &CHOSEN)];
    secrets.extend(masters.iter().map(|master| ("a master key", master.as_slice())));
    secrets.push(("the recovery identity", &identity));
    secrets.extend(shares.iter().map(|share| ("a share", share.as_slice())));
    secrets.push(("the passphrase", passphrase.as_bytes()));
    secrets.push(("the host's own key", &seed));
    secrets.extend(join_tokens.iter().map(|token| ("a join token", &token.as_bytes()[21..])));
    for (name, party) in [("a's key", &a), ("b's key", &b), ("c's key", &c), ("the host's", &enrolled)] {
        secrets.push((name, party.key.expose_secret()));
    }
    for said in &said {
        for (name, secret) in &secrets {
            for form in forms(secret) {
                assert!(!said.contains(&form), "{name} as {form} in:\n{said}");
            }
        }
        // A token's header and claims are no secret, its signature is what makes it one.
        for token in [token.as_str(), file_token.trim(), cut] {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!said.contains(signature), "a token in:\n{said}");
        }
        assert!(!said.contains(server_key), "the server's key in:\n{said}");
    }
}

/// How bytes look in a text.
fn forms(secret: &[u8]) -> Vec<String> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    let mut forms = vec![
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        hex.to_uppercase(),
        hex,
        list.trim_matches(['[', ']']).to_owned(),
    ];
    // Half of one would be too much as well.
    forms.extend(std::str::from_utf8(secret).map(str::to_owned));
    forms.iter().map(|form| form[..form.len() / 2].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    nothing_is_told(&Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    nothing_is_told(&Cell::postgres(&Postgres::shared())).await;
}
