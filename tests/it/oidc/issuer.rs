//! A real OpenID Connect server, from tests/oidc, as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keycell_kdc::certificates::{self, Certificates};
use keycell_tests::cell::{Cell, free_address};
use keycell_tests::http::Http;
use keycell_tests::party::now;
use reqwest::Method;
use serde_json::json;

/// Where an issuer is, with a certificate authority of its own.
pub(crate) struct Site {
    address: SocketAddr,
    certificates: Certificates,
}

impl Site {
    pub(crate) fn new() -> Self {
        let address = free_address();
        let certificates = certificates::make(&[], address, now()).unwrap();
        Self { address, certificates }
    }

    /// The issuer's name.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Lets a cell trust it.
    pub(crate) fn configure(&self, cell: &Cell) {
        std::fs::write(cell.file("issuer.pem"), &self.certificates.roots).unwrap();
        cell.configure(&format!(
            r#"
            # Who asks again and again until a key is there fails often.
            limits = {{ failures_per_address = {{ per_second = 1000, burst = 1000 }} }}
            [[oidc]]
            issuer = "{}"
            audience = "keycell"
            role_claim = "groups"
            roles = {{ keycell-admins = "admin", keycell-auditors = "auditor" }}
            roots = "issuer.pem"
            "#,
            self.url()
        ));
    }

    /// Starts it, with keys that it never had before.
    pub(crate) fn start(&self) -> Issuer {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc");
        let package: PathBuf = folder.join("node_modules/oidc-provider");
        assert!(
            package.is_dir(),
            "the OIDC server is not installed: run `npm ci --prefix tests/oidc --ignore-scripts`, as tests/run does"
        );
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "--", "node", "server.mjs"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let client = |id: &str, groups: &[&str]| json!({ "id": id, "secret": SECRET, "groups": groups });
        let settings = json!({
            "port": self.address.port(),
            "certificate": self.certificates.server,
            "key": self.certificates.server_key.as_str(),
            "clients": [
                client("alice", &["staff", "keycell-admins"]),
                client("audrey", &["keycell-auditors"]),
                client("mallory", &["staff"]),
                json!({ "id": "nobody", "secret": SECRET }),
            ],
        });
        child.stdin.take().unwrap().write_all(settings.to_string().as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            let mut complaint = String::new();
            child.stderr.as_mut().unwrap().read_to_string(&mut complaint).unwrap();
            panic!("the OIDC server does not start (Node.js 18 or later is needed): {complaint}");
        }
        Issuer { child, http: Http::new(&self.url(), &self.certificates.roots, None) }
    }
}

/// A running issuer. Dropping it ends it.
pub(crate) struct Issuer {
    child: Child,
    http: Http,
}

impl Issuer {
    /// A token for one of its clients, for Keycell and signed with this algorithm.
    pub(crate) async fn token(&self, client: &str, algorithm: &str) -> String {
        self.token_for(client, "keycell", algorithm).await
    }

    /// A token for somebody else.
    pub(crate) async fn token_for(&self, client: &str, audience: &str, algorithm: &str) -> String {
        let request = self
            .http
            .request(Method::POST, "/token")
            .basic_auth(client, Some(SECRET))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=client_credentials&resource=urn:{audience}:{algorithm}"));
        // Not the harness's answer: that is held against the KDC's own description.
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SECRET: &str = "the-secret-of-every-client-of-this-test";
