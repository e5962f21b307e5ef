//! Recovery on the secondary identity, end to end: the primary was lost or stolen.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "recovery/crash.rs"]
mod crash;
#[path = "recovery/files.rs"]
mod files;
#[path = "recovery/past.rs"]
mod past;

use std::fs;

use keycell_kdc::cell;
use keycell_kdc::config::Config;
use keycell_kdc::identities::{Exported, Identity, Passphrase};
use keycell_protocol::{AuthorKey, Bundle, IdentityName, ProblemType, Signers};
use keycell_tests::admin::group_path;
use keycell_tests::cell::{Cell, Ended, ended};
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const PASSPHRASE: &str = "correct horse battery";

fn export(cell: &Cell, file: &str) {
    fs::write(cell.folder().join("passphrase"), PASSPHRASE).unwrap();
    cell.run(&["identity", "export-secondary", file, "--passphrase-file", "passphrase"]).succeeded();
}

fn recover(cell: &Cell, file: &str, more: &[&str]) -> Ended {
    let usual = ["identity", "recover", file, "--passphrase-file", "passphrase", "--yes"];
    cell.run(&[&usual, more].concat())
}

async fn bundle(kdc: &Kdc) -> Bundle {
    Bundle::from_json(&kdc.http().get("/v1/bundle").await.body).unwrap()
}

fn numbers(bundle: &Bundle) -> Vec<u32> {
    bundle.identities.iter().map(|identity| identity.name.number()).collect()
}

/// The cell's database and keys, open in this process.
async fn open(cell: &Cell) -> (cell::Cell, Config) {
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    (cell::Cell::open(&config).await.unwrap(), config)
}

async fn make_group(admin: &Http, name: &str) {
    let body = json!({ "name": format!("{name}@test.internal"), "members": ["web.*"] });
    let made = admin.send(Method::POST, "/v1/admin/groups", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

async fn new_key(admin: &Http, party: &Party) -> Party {
    let path = format!("/v1/admin/parties/{}/keys", party.name);
    let answer = admin.send(Method::POST, &path, &json!({})).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    Party::created(&answer.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cell_goes_over_to_its_secondary() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        let join_token = cell.join_token(5).await;
        let mut kdc = cell.serve();
        let admin = cell.admin(&kdc);
        let (host, other) = (admin.add("web.a@test.internal").await, admin.add("web.b@test.internal").await);
        assert_eq!(admin.set_enabled("web.b@test.internal", false).await.status, 200);
        make_group(&admin, "all").await;
        let author = AuthorKey::generate(&mut keycell_client::system_rng());
        let voucher = host.voucher(&kdc.http(), &author).await.unwrap().voucher;
        let before = bundle(&kdc).await;
        let seal = admin.get("/v1/admin/audit/seal").await.json();
        let noted = format!("{}:{}", seal["seq"], seal["hash"].as_str().unwrap());
        cell.run(&["audit", "export", "before.ndjson"]).succeeded();
        export(&cell, "secondary.age");
        let keys_before = host.ask_for_groups(&kdc.http(), &[]).await.unwrap();
        let refused = recover(&cell, "secondary.age", &[]).failed();
        assert!(refused.contains("stop every KDC of the zone first; nothing was changed"), "{refused}");
        assert_eq!(kdc.terminate(), Some(0));
        let silent = ["identity", "recover", "secondary.age", "--passphrase-file", "passphrase"];
        assert!(cell.run(&silent).failed().contains("say --yes if you mean it"));

        let told = recover(&cell, "secondary.age", &[]).succeeded().stdout;
        for what in [
            "#KDC#00002 is the primary now. #KDC#00001 is retired",
            "#KDC#00003 is the new secondary.",
            "The keys of 2 parties are erased, and those of 1 groups begin anew.",
            "made by hand: 1; each needs a new key, `keycell key rotate NAME --key-file FILE`: web.a@test.internal",
            "disabled: 1",
            "1 join token is revoked",
            "One for admin is in keycell/admin.token",
        ] {
            assert!(told.contains(what), "{what}: {told}");
        }
        assert!(!told.contains("WARNING"), "{told}");
        let kdc = cell.serve();
        kdc.logs("#KDC#00003 is in the database").await;
        let after = bundle(&kdc).await;
        assert_eq!(numbers(&after), [2, 3]);
        assert_eq!(after.identities[0], before.identities[1]);

        // Nobody gets in with what they had. The new token is beside the configuration.
        let old = admin.get("/v1/admin/status").await;
        assert_eq!((old.status, old.kind()), (401, ProblemType::InvalidToken));
        let admin = kdc.http().with_token(fs::read_to_string(cell.file("admin.token")).unwrap().trim());
        assert_eq!(admin.get("/v1/admin/tokens").await.json()["tokens"].as_array().unwrap().len(), 1);
        let http = kdc.http();
        for party in [&host, &other] {
            let refusal = party.ask(&http, &["web.a@test.internal"]).await.unwrap_err();
            assert_eq!(refusal.kind(), ProblemType::Unauthenticated, "{}", party.name);
        }
        assert!(host.ask_for_groups(&http, &[]).await.is_err());
        // Nor does a stranger by a join token that somebody may have read.
        let tokens = admin.get("/v1/admin/join-tokens").await.json();
        assert_eq!(tokens["join_tokens"][0]["state"], "revoked", "{tokens}");
        assert_eq!(tokens["join_tokens"][0]["id"], join_token.id().to_string());

        // What the retired identity vouched for is nobody's word any more.
        let holds = |bundle: &Bundle| {
            let keys: Vec<_> = bundle.identities.iter().map(|identity| identity.signing_key).collect();
            let mut signers = Signers::new();
            signers.set(&bundle.zone, &keys);
            voucher.verify(&signers).is_ok()
        };
        assert!(holds(&before) && !holds(&after));

        let keyless = async |path: &str| {
            let page = admin.get(&format!("/v1/admin/parties?{path}")).await.json();
            page["parties"].as_array().unwrap().iter().map(|party| party["name"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(keyless("keyless=true").await, ["web.a@test.internal", "web.b@test.internal"]);
        assert_eq!(keyless("keyless=true&state=enabled").await, ["web.a@test.internal"]);
        let counts = async || admin.get("/v1/admin/status").await.json()["parties"].clone();
        let before_it_is_back = counts().await;
        assert_eq!(
            (&before_it_is_back["keyless"], &before_it_is_back["without_key"]),
            (&json!(1), &json!(0))
        );
        let list = cell.run(&["party", "list", "--keyless"]).succeeded().stdout;
        assert!(list.contains("web.b@test.internal"), "{list}");

        // With a new key the host is back, as another author, and with other keys of its group.
        let again = new_key(&admin, &host).await;
        assert_eq!(again.key.generation().0, host.key.generation().0 + 1);
        assert!(again.ask(&http, &["web.a@test.internal"]).await.is_ok());
        assert_eq!(keyless("keyless=false").await, ["web.a@test.internal"]);
        until("it is counted as back", async || (counts().await["keyless"] == 0).then_some(())).await;
        let keys = again.ask_for_groups(&http, &[]).await.unwrap();
        let chain = admin.get(&group_path("all@test.internal")).await.json();
        assert_eq!(keys.groups.len(), 1, "{chain}");
        assert_ne!(format!("{:?}", keys.groups), format!("{:?}", keys_before.groups));
        let anew = AuthorKey::generate(&mut keycell_client::system_rng());
        assert!(again.voucher(&http, &anew).await.is_ok());

        // The log is one, and one key holds for all of it; what was exported before holds by the one of before.
        admin.assert_intact().await;
        let seal_now = admin.get("/v1/admin/audit/seal").await.json();
        let key = |bundle: &Bundle| {
            bundle.identities[0]
                .signing_key
                .as_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(
            (&seal["public_key"], &seal_now["public_key"]),
            (&json!(key(&before)), &json!(key(&after)))
        );
        cell.run(&["audit", "export", "after.ndjson"]).succeeded();
        let verify = |file: &str, key: &str| {
            cell.run(&["audit", "verify", "--file", file, "--key", key, "--noted", &noted]).code
        };
        assert_eq!(verify("before.ndjson", &key(&before)), Some(0));
        assert_eq!(verify("after.ndjson", &key(&after)), Some(0));
        assert_eq!(verify("after.ndjson", &key(&before)), Some(1), "the stolen key holds for nothing");
        let record = admin.recorded("the recovery", |record| record["action"] == "identity.recover").await;
        assert_eq!(record["target"], "#KDC#00002");
        assert_eq!(record["detail"]["retired_signing_key"], key(&before));
        assert_eq!(record["detail"]["join_tokens"], 1);
        admin.recorded("the token's end", |record| record["action"] == "join_token.revoke").await;
        let erased =
            admin.records().await.into_iter().filter(|record| record["action"] == "key.erase").count();
        assert_eq!(erased, 2);

        let list = cell.run(&["identity", "list"]).succeeded().stdout;
        for row in ["#KDC#00002  primary ", "#KDC#00003  secondary ", "#KDC#00001  retired on 20"] {
            assert!(list.contains(row), "{row}: {list}");
        }
        assert!(list.lines().last().unwrap().ends_with("deleted"), "{list}");
        let metrics = http.get("/metrics").await.text();
        assert!(metrics.contains("keycell_primary_identity 2\n"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_done_once_more_with_the_next_file_and_not_with_the_same() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    assert_eq!(kdc.terminate(), Some(0));
    export(&cell, "second.age");
    recover(&cell, "second.age", &[]).succeeded();
    let token = fs::read(cell.file("admin.token")).unwrap();
    let again = recover(&cell, "second.age", &[]).succeeded().stdout;
    assert!(again.contains("has recovered on #KDC#00002 before"), "{again}");
    assert_eq!(fs::read(cell.file("admin.token")).unwrap(), token, "a token that is good stays");
    let kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [2, 3]);
    drop(kdc);

    export(&cell, "third.age");
    let told = recover(&cell, "third.age", &[]).succeeded().stdout;
    assert!(told.contains("#KDC#00003 is the primary now. #KDC#00002 is retired"), "{told}");
    let refused = recover(&cell, "second.age", &[]).failed();
    assert!(
        refused.contains("#KDC#00002, which is retired and stays so: the cell recovers on #KDC#00004"),
        "{refused}"
    );
    let kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [3, 4]);
    let admin = cell.admin(&kdc);
    admin.assert_intact().await;
    let view = admin.get("/v1/admin/identities").await.json();
    let states: Vec<_> =
        view["identities"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["primary", "secondary", "retired", "retired"]);
}

/// The primary was lost, and nobody has it: everybody goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_stay_where_nobody_else_can_have_them() {
    let cell = Cell::sqlite();
    cell.join_token(5).await;
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let host = admin.add("web.a@test.internal").await;
    make_group(&admin, "all").await;
    assert_eq!(kdc.terminate(), Some(0));
    export(&cell, "secondary.age");
    let told = recover(&cell, "secondary.age", &["--keep-keys"]).succeeded().stdout;
    assert!(told.contains("No keys of parties or groups were changed."), "{told}");
    let kdc = cell.serve();
    assert!(host.ask(&kdc.http(), &["web.a@test.internal"]).await.is_ok());
    assert_eq!(host.ask_for_groups(&kdc.http(), &[]).await.unwrap().groups.len(), 1);
    assert_eq!(admin.get("/v1/admin/status").await.status, 401);
    let admin = kdc.http().with_token(fs::read_to_string(cell.file("admin.token")).unwrap().trim());
    let tokens = admin.get("/v1/admin/join-tokens").await.json();
    assert_eq!(tokens["join_tokens"][0]["state"], "live", "{tokens}");
}
