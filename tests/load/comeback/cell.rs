//! The cell: its folder on a disk, the commands of who runs it, and the clock of the simulation.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use keycell_client::UnixMillis;
use keycell_kdc::clock::{Clock as _, ManualClock, SystemClock};
use keycell_kdc::config::Config;
use keycell_protocol::{Bundle, JoinToken};
use keycell_tests::cell as harness;
use serde_json::{Value, json};

use super::kdc::{Reached, Served};

pub(crate) struct Cell {
    cell: harness::Cell,
    config: Config,
    pub(crate) clock: Arc<ManualClock>,
    kdc: Option<Served>,
    token: String,
}

impl Cell {
    /// A cell whose secondary identity is in its safe, with a KDC that runs.
    pub(crate) async fn new(window: u64) -> Self {
        let cell = harness::Cell::sqlite();
        fs::write(cell.folder().join("passphrase"), "twelve words of a song that nobody sings\n")
            .expect("the folder is ours");
        cell.run(&["identity", "export-secondary", SAFE, "--passphrase-file", "passphrase"]).succeeded();
        let token = cell.token("admin");
        let config = Config::load(&cell.file(Config::FILE), None).expect("a configuration");
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let mut cell = Self { cell, config, clock, kdc: None, token };
        cell.start().await;
        let window = json!({"reenroll_within_seconds": window});
        cell.administer("PATCH", "/v1/admin/enrollment", &window).await;
        cell
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) async fn start(&mut self) {
        self.kdc = Some(Served::start(&self.config, &self.clock).await);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(kdc) = self.kdc.take() {
            kdc.stop().await;
        }
    }

    /// What hosts reach just now.
    pub(crate) fn reached(&self) -> Reached {
        self.kdc.as_ref().map_or(Reached::NOBODY, Served::reached)
    }

    pub(crate) async fn administer(&self, method: &str, path: &str, body: &Value) -> Value {
        self.reached().administer(&self.token, method, path, body).await
    }

    pub(crate) async fn bundle(&self) -> Bundle {
        let bundle = self.administer("GET", "/v1/bundle", &Value::Null).await;
        Bundle::from_json(bundle.to_string().as_bytes()).expect("a bundle")
    }

    /// What lets so many hosts in.
    pub(crate) async fn join_token(&self, service: &str, uses: u32) -> JoinToken {
        let new =
            json!({"service": service, "hosts": ["*.example.com"], "uses": uses, "ttl_seconds": 86_400});
        let made = self.administer("POST", "/v1/admin/join-tokens", &new).await;
        made.get("token").and_then(Value::as_str).and_then(|text| text.parse().ok()).expect("a join token")
    }

    /// Takes it back.
    pub(crate) async fn revoke(&self, token: &JoinToken) {
        self.administer("DELETE", &format!("/v1/admin/join-tokens/{}", token.id()), &Value::Null).await;
    }

    /// Copies all that a thief finds on the machine.
    pub(crate) fn copy_to(&self, folder: &Path) -> Config {
        copy(self.cell.file("").as_path(), folder);
        Config::load(&folder.join(Config::FILE), None).expect("a configuration")
    }

    /// What is typed at night, on the stopped KDC. What it said.
    pub(crate) fn recover(&mut self) -> String {
        let arguments = ["identity", "recover", SAFE, "--passphrase-file", "passphrase", "--yes"];
        let said = self.cell.run(&arguments).succeeded().stdout;
        // All tokens have ended.
        self.token = self.cell.token("admin");
        said
    }

    /// Whether the zone's audit log holds, over the change of its key.
    pub(crate) async fn verify_audit(&self) -> Value {
        self.administer("POST", "/v1/admin/audit/verify", &Value::Null).await
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("room for a copy");
        }
    }
}

const SAFE: &str = "secondary.age";
