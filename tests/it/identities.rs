//! The KDC's identities, end to end: made, kept, shown, exported.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "admin_upgrade/past.rs"]
mod past;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_kdc::identities::{Exported, Passphrase};
use keycell_protocol::{AuthorKey, Bundle, Signers};
use keycell_tests::cell::{Cell, Ended, binary, ended};
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::postgres::Postgres;
use keycell_tests::schema::Raw;
use keycell_tests::wait::until;
use past::set_back;
use serde_json::{Value, json};

const IDENTITIES: &str = "/v1/admin/identities";
const SEAL: &str = "/v1/admin/audit/seal";

async fn bundle(kdc: &Http) -> Bundle {
    Bundle::from_json(&kdc.get("/v1/bundle").await.body).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const PASSPHRASE: &str = "correct horse battery";

fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE)
}

fn export(cell: &Cell, file: &str) -> Ended {
    fs::write(cell.folder().join("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    cell.run(&["identity", "export-secondary", file, "--passphrase-file", "passphrase"])
}

/// Where the private halves are, the primary's first.
async fn private_halves(admin: &Http) -> Vec<String> {
    let view = admin.get(IDENTITIES).await.json();
    let half = |identity: &Value| identity["private_half"].as_str().unwrap().to_owned();
    view["identities"].as_array().unwrap().iter().map(half).collect()
}

async fn complaints(admin: &Http) -> usize {
    let status = admin.get("/v1/admin/status").await.json();
    let of = |warning: &&Value| warning["kind"] == "identity";
    status["warnings"].as_array().unwrap().iter().filter(of).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_zone_has_two_and_everybody_may_know_them() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let (admin, http) = (kdc.http().with_token(&token), kdc.http());
    let shown = bundle(&http).await;
    let names: Vec<_> = shown.identities.iter().map(|identity| identity.name.to_string()).collect();
    assert_eq!(names, ["#KDC#00001", "#KDC#00002"]);
    assert_ne!(shown.identities[0].signing_key, shown.identities[1].signing_key);
    assert_ne!(shown.identities[0].encryption_key, shown.identities[1].encryption_key);
    assert_eq!((shown.zone.as_str(), shown.tls_roots.as_str()), (Cell::ZONE, cell.roots().as_str()));
    assert_eq!(shown.urls, [format!("https://localhost:{}", cell.listen().port())]);

    // The audit log is signed with the primary.
    let seal = admin.get(SEAL).await.json();
    assert_eq!(seal["public_key"], hex(shown.identities[0].signing_key.as_bytes()));
    admin.assert_intact().await;

    // The command says the same, and writes it.
    let printed = cell.run(&["bundle"]).succeeded().stdout;
    assert_eq!(Bundle::from_json(printed.as_bytes()).unwrap(), shown);
    let told = cell.run(&["bundle", "--out", "bundle.json"]).succeeded().stdout;
    let [primary, secondary] = [0, 1].map(|at| hex(shown.identities[at].signing_key.as_bytes()));
    let [signer, of_secondary] = [0, 1].map(|at| hex(shown.identities[at].signing_key.id().as_bytes()));
    let keys = format!(
        "#KDC#00001 signs as {signer} with {primary}.\n#KDC#00002 signs as {of_secondary} with {secondary}.\n"
    );
    let fingerprint = format!("Its fingerprint is {}.\n", shown.fingerprint());
    assert_eq!(told, format!("bundle.json is the bundle of test.internal.\n{keys}{fingerprint}"));
    let printed_alone = cell.run(&["bundle", "--fingerprint"]).succeeded().stdout;
    assert_eq!(printed_alone, format!("{}\n", shown.fingerprint()));
    assert_eq!(fs::read_to_string(cell.folder().join("bundle.json")).unwrap(), printed);
    let table = cell.run(&["identity", "list"]).succeeded().stdout;
    assert_eq!(table.matches("in the database").count(), 2, "{table}");
    for row in [format!("#KDC#00001  primary    {signer}"), format!("#KDC#00002  secondary  {of_secondary}")]
    {
        assert!(table.contains(&row), "{row}: {table}");
    }
    let table = cell.run(&["identity", "show"]).succeeded().stdout;
    assert!(table.contains(&hex(shown.identities[1].signing_key.as_bytes())), "{table}");
    // One form, wherever they are compared: here, in the API, in seals and in vouchers.
    let api = admin.get("/v1/admin/identities").await.json();
    let [signing_key, signer] = ["signing_key", "signer"].map(|field| api["identities"][0][field].clone());
    assert_eq!((&signing_key, signing_key.as_str()), (&seal["public_key"], Some(primary.as_str())));
    assert_eq!(signer, hex(shown.identities[0].signing_key.id().as_bytes()));
    assert!(table.contains(&format!("{}  {primary}", signer.as_str().unwrap())), "{table}");

    assert_eq!(kdc.terminate(), Some(0));
    let kdc = cell.serve();
    assert_eq!(bundle(&kdc.http()).await, shown, "they stay");
    let records = kdc.http().with_token(&token).records().await;
    assert!(records.iter().all(|record| record["action"] != "identity.create"), "they came with the zone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secondary_is_exported_while_the_kdc_runs() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        let mut kdc = cell.serve();
        kdc.logs("#KDC#00002 is in the database").await;
        let token = cell.token("admin");
        let (admin, http) = (kdc.http().with_token(&token), kdc.http());
        let before = bundle(&http).await;
        assert_eq!(complaints(&admin).await, 1);
        assert!(http.get("/metrics").await.text().contains("keycell_secondary_identity_on_disk 1"));
        assert!(cell.run(&["status"]).succeeded().stdout.contains("keycell identity export-secondary FILE"));

        let told = export(&cell, "secondary.age").succeeded().stdout;
        assert!(told.contains("no longer in the database"), "{told}");
        let file = cell.folder().join("secondary.age");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let exported = Exported::read(&file, &passphrase()).unwrap();
        assert_eq!(exported.identity().public().unwrap(), before.identities[1]);
        assert_eq!(private_halves(&admin).await, ["in_database", "exported"]);
        assert_eq!(complaints(&admin).await, 0);
        assert!(http.get("/metrics").await.text().contains("keycell_secondary_identity_on_disk 0"));
        let records = admin.records().await;
        let record = records.iter().find(|record| record["action"] == "identity.export").unwrap();
        assert_eq!(record["target"], "#KDC#00002");
        assert!(!record.to_string().contains("secondary.age"), "where it is is nobody's business: {record}");

        // Nothing that others know has changed, also after a restart that does not complain.
        assert_eq!(kdc.terminate(), Some(0));
        let kdc = cell.serve();
        let admin = kdc.http().with_token(&token);
        assert_eq!(bundle(&kdc.http()).await, before);
        assert!(!kdc.log().contains("#KDC#00002"), "{}", kdc.log());
        admin.assert_intact().await;

        // Again: it is said, and changes nothing. Into another file it is too late.
        let again = export(&cell, "secondary.age").succeeded().stdout;
        assert!(again.contains("was exported before: secondary.age holds it"), "{again}");
        let late = export(&cell, "other.json").failed();
        assert!(late.contains("keycell audit query --action identity.export"), "{late}");
        assert!(!cell.folder().join("other.json").exists());
        let ended = records.len() + 2;
        assert_eq!(admin.records().await.len(), ended, "a stop and a start");
    }
}

/// Killed between the file and the database, it is simply done again; a file that is something else is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_was_cut_short_is_done_again() {
    let cell = Cell::sqlite();
    let database = format!("sqlite:{}", cell.file("keycell.db").display());
    let secret = "SELECT name FROM secret WHERE name = 'identity #KDC#00002'";
    // As it is when the machine stops after the file was written: the database cannot be written to.
    let mut raw = Raw::open(&database).await;
    raw.run("CREATE TRIGGER stop BEFORE DELETE ON secret BEGIN SELECT RAISE(ABORT, 'stopped'); END").await;
    let cut = export(&cell, "secondary.age");
    assert_eq!(cut.code, Some(1), "{}", cut.stdout);
    assert_eq!(raw.texts(secret).await.len(), 1, "nothing leaves the database before it is somewhere else");
    raw.run("DROP TRIGGER stop").await;
    let file = cell.folder().join("secondary.age");
    let written = fs::read(&file).unwrap();

    for (name, content) in
        [("half.age", &written[..written.len() / 2]), ("notes.txt", b"mine"), ("empty", b"")]
    {
        fs::write(cell.folder().join(name), content).unwrap();
        let refused = export(&cell, name).failed();
        assert!(refused.contains("is no exported identity of a KDC"), "{name}: {refused}");
        assert_eq!(fs::read(cell.folder().join(name)).unwrap(), content, "{name}");
    }
    // Nor with another passphrase than it was begun with, or with one that anybody would try.
    fs::write(cell.folder().join("other"), "another one that is long").unwrap();
    fs::write(cell.folder().join("short"), "short").unwrap();
    let command = |file, passphrase| {
        cell.run(&["identity", "export-secondary", file, "--passphrase-file", passphrase]).failed()
    };
    let refused = command("secondary.age", "other");
    assert!(refused.contains("secondary.age does not open with this passphrase"), "{refused}");
    assert!(command("new.age", "short").contains("at least 12 characters"));
    assert!(command("new.age", "nowhere").contains("cannot read the passphrase nowhere"));
    let nobody = cell.run(&["identity", "export-secondary", "new.age"]).failed();
    assert!(nobody.contains("--passphrase-file"), "{nobody}");
    assert!(!cell.folder().join("new.age").exists());
    assert_eq!(raw.texts(secret).await.len(), 1);
    let told = export(&cell, "secondary.age").succeeded().stdout;
    assert!(told.contains("no longer in the database"), "{told}");
    assert_eq!(fs::read(&file).unwrap(), written);
    assert_eq!(raw.texts(secret).await.len(), 0);
    raw.close().await;
    let kdc = cell.serve();
    assert_eq!(private_halves(&cell.admin(&kdc)).await, ["in_database", "exported"]);
}

/// In the vault, with nothing but the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exported_file_is_tried_without_a_kdc() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let secondary = bundle(&kdc.http()).await.identities[1].clone();
    export(&cell, "secondary.age").succeeded();
    let vault = tempfile::tempdir().unwrap();
    let file = vault.path().join("secondary.age");
    fs::copy(cell.folder().join("secondary.age"), &file).unwrap();
    fs::write(vault.path().join("passphrase"), PASSPHRASE).unwrap();
    fs::write(vault.path().join("other"), "another one that is long").unwrap();
    let verify = |file: &str, passphrase: &str, more: &[&str]| {
        let mut command = Command::new(binary());
        command.env_clear().env("HOME", vault.path()).current_dir(&vault).stdin(Stdio::null());
        command.args(["identity", "verify", file, "--passphrase-file", passphrase]);
        ended(command.args(more))
    };
    let told = verify("secondary.age", "passphrase", &[]).succeeded();
    let (signer, key) = (hex(secondary.signing_key.id().as_bytes()), hex(secondary.signing_key.as_bytes()));
    for said in [Cell::ZONE, "#KDC#00002", &signer, &key] {
        assert!(told.stdout.contains(said), "{said}: {}", told.stdout);
    }
    assert_eq!(told.stderr, "");
    let told = verify("secondary.age", "passphrase", &["--json"]).succeeded().stdout;
    let expected = json!({
        "zone": Cell::ZONE, "identity": "#KDC#00002", "signer": signer, "signing_key": key,
    });
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), expected);

    let refused = verify("secondary.age", "other", &[]).failed();
    assert!(refused.contains("secondary.age does not open with this passphrase"), "{refused}");
    let refused = verify("passphrase", "passphrase", &[]).failed();
    assert!(refused.contains("is no exported identity of a KDC"), "{refused}");
    assert!(verify("nothing", "passphrase", &[]).failed().contains("nothing"));
    // Whoever else could read it may have it: that is told, and it is no less good for it.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let told = verify("secondary.age", "passphrase", &[]).succeeded();
    assert!(told.stderr.contains("the identity's file"), "{}", told.stderr);
}

/// What the release before made: its audit key becomes the primary's signing key, so that what it signed holds on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_of_the_release_before_gets_its_identities() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let a = admin.add("a@test.internal").await;
    let seal = admin.get(SEAL).await.json();
    fs::write(cell.folder().join("seal.json"), seal.to_string()).unwrap();
    let made_before = bundle(&kdc.http()).await;
    assert_eq!(kdc.terminate(), Some(0));
    set_back(&cell, 3).await;

    let refused = cell.run(&["serve"]);
    assert!(refused.stderr.contains("schema 3 and this keycell needs 6"), "{}", refused.stderr);
    cell.run(&["migrate"]).succeeded();
    let none = export(&cell, "secondary.age").failed();
    assert!(none.contains("when its KDC is next started"), "{none}");
    assert!(!cell.folder().join("secondary.age").exists());

    let mut kdc = cell.serve();
    let (admin, http) = (kdc.http().with_token(&token), kdc.http());
    let bundle_now = bundle(&http).await;
    assert_eq!(bundle_now.identities[0].signing_key, made_before.identities[0].signing_key);
    assert_ne!(bundle_now.identities[1].signing_key, made_before.identities[1].signing_key, "it was gone");
    let now = admin.get(SEAL).await.json();
    assert_eq!(now["public_key"], seal["public_key"]);
    admin.assert_intact().await;
    let created = |records: Vec<Value>| {
        let created = records.into_iter().filter(|record| record["action"] == "identity.create");
        created.map(|record| record["target"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(created(admin.records().await), ["#KDC#00001", "#KDC#00002"]);
    let given = a.voucher(&http, &AuthorKey::generate(&mut keycell_client::system_rng())).await.unwrap();
    let mut signers = Signers::new();
    signers.set(&bundle_now.zone, &[bundle_now.identities[0].signing_key]);
    given.voucher.verify(&signers).unwrap();

    // A KDC of the release before still finds its key, and they are made once only.
    assert_eq!(kdc.terminate(), Some(0));
    let mut raw = Raw::open(&format!("sqlite:{}", cell.file("keycell.db").display())).await;
    assert_eq!(raw.texts("SELECT name FROM secret WHERE name = 'audit key'").await.len(), 1);
    raw.close().await;
    let kdc = cell.serve();
    assert_eq!(bundle(&kdc.http()).await, bundle_now);
    assert_eq!(created(kdc.http().with_token(&token).records().await).len(), 2);
}

/// Two KDCs of a zone that the release before made are started at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_kdcs_make_them_once() {
    let cell = Arc::new(Cell::postgres(&Postgres::shared()));
    let config: toml::Table = fs::read_to_string(cell.file("keycell.toml")).unwrap().parse().unwrap();
    let url = config["database"].as_str().unwrap().to_owned();
    // As the release before left it, but for the tables.
    let (version, wrapped) = past::audit_key(&cell).await;
    let mut raw = Raw::open(&url).await;
    raw.run(&format!(
        "INSERT INTO secret VALUES ('audit key', 1, {version}, decode('{wrapped}', 'hex'));
         DELETE FROM secret WHERE name LIKE 'identity %'; DELETE FROM document WHERE id = 'identities'"
    ))
    .await;
    raw.close().await;
    let starting: Vec<_> = [true, false]
        .map(|first| {
            let cell = cell.clone();
            tokio::task::spawn_blocking(move || if first { cell.serve() } else { cell.replica() })
        })
        .into_iter()
        .collect();
    let mut kdcs: Vec<Kdc> = Vec::new();
    for kdc in starting {
        kdcs.push(kdc.await.unwrap());
    }
    let here = bundle(&kdcs[0].http()).await;
    assert_eq!(here.identities.len(), 2);
    until("the other KDC shows the same", async || (bundle(&kdcs[1].http()).await == here).then_some(()))
        .await;
    let admin = cell.admin(&kdcs[0]);
    let records = admin.records().await;
    assert_eq!(records.iter().filter(|record| record["action"] == "identity.create").count(), 2);
    admin.assert_intact().await;
}

/// An identity that is gone is not made anew: nobody would know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_deleted_is_missed() {
    let cell = Cell::sqlite();
    let mut raw = Raw::open(&format!("sqlite:{}", cell.file("keycell.db").display())).await;
    raw.run("DELETE FROM secret WHERE name = 'identity #KDC#00001'").await;
    raw.close().await;
    let refused = ended(cell.command().arg("check-config")).failed();
    assert!(refused.contains("the database has no identity #KDC#00001"), "{refused}");
}

/// Private halves are in no answer, no line of a log, and in the clear in no file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_private_half_is_anywhere_to_be_seen() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve_tracing();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let mut seen = vec![kdc.http().get("/v1/bundle").await.body, admin.get(IDENTITIES).await.body];
    seen.push(cell.run(&["--json", "identity", "show"]).succeeded().stdout.into_bytes());
    seen.push(export(&cell, "s.age").succeeded().stdout.into_bytes());
    seen.push(admin.records().await.iter().map(Value::to_string).collect::<String>().into_bytes());
    assert_eq!(kdc.terminate(), Some(0));
    seen.push(kdc.log().into_bytes());
    seen.push(fs::read(cell.file("keycell.db")).unwrap());
    // Nor in that file, but for who has the passphrase, which is nowhere either.
    let file = cell.folder().join("s.age");
    seen.push(fs::read(&file).unwrap());
    let secret = Exported::read(&file, &passphrase()).unwrap().identity().to_secret();
    let text = URL_SAFE_NO_PAD.encode(&secret);
    let mut needles = vec![secret[1..33].to_vec(), secret[33..].to_vec()];
    needles.extend([&text[..40], PASSPHRASE].map(|text| text.as_bytes().to_vec()));
    needles.extend([hex(&secret[1..33]).into_bytes(), hex(&secret[33..]).into_bytes()]);
    for (at, place) in seen.iter().enumerate() {
        for needle in &needles {
            assert!(!place.windows(needle.len()).any(|window| window == needle), "{at}");
        }
    }
}
