//! A cell in a temporary folder, made and administered with the real binary.

#![expect(clippy::expect_used, clippy::panic, reason = "what the harness cannot do fails the test")]

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand_core::Rng as _;
use tempfile::TempDir;

use crate::http::Http;
use crate::kdc::Kdc;
use crate::party::Party;
use crate::postgres::Postgres;

/// A cell that `keycell init` made in a temporary folder. Dropping it removes the folder.
#[derive(Debug)]
pub struct Cell {
    folder: TempDir,
    zone: String,
    listen: SocketAddr,
    cluster: Option<Arc<Postgres>>,
}

impl Cell {
    /// The zone of a cell of which nothing else is said.
    pub const ZONE: &'static str = "test.internal";

    /// A cell on SQLite.
    #[must_use]
    pub fn sqlite() -> Self {
        Self::sqlite_with(&[])
    }

    /// The same with more arguments for `keycell init`.
    #[must_use]
    pub fn sqlite_with(arguments: &[&str]) -> Self {
        Self::make(Self::ZONE, arguments, None)
    }

    /// A cell on a new database of `cluster`, which runs at least as long.
    #[must_use]
    pub fn postgres(cluster: &Arc<Postgres>) -> Self {
        Self::postgres_of_zone(cluster, Self::ZONE)
    }

    /// A cell of another zone, on SQLite.
    #[must_use]
    pub fn of_zone(zone: &str) -> Self {
        Self::make(zone, &[], None)
    }

    /// A cell of another zone, on a new database of `cluster`.
    #[must_use]
    pub fn postgres_of_zone(cluster: &Arc<Postgres>, zone: &str) -> Self {
        Self::make(zone, &[], Some(cluster.clone()))
    }

    fn make(zone: &str, arguments: &[&str], cluster: Option<Arc<Postgres>>) -> Self {
        let folder = tempfile::Builder::new().prefix("keycell-cell-").tempdir().expect("a temporary folder");
        let cell = Self { folder, zone: zone.to_owned(), listen: free_address(), cluster };
        let mut init = cell.command();
        init.args(["init", "--zone", zone, "--profile", "open", "--listen", &cell.listen.to_string()]);
        init.args(arguments);
        if let Some(cluster) = &cell.cluster {
            init.arg("--postgres").env("KEYCELL_DATABASE", cluster.url());
        }
        ended(&mut init).succeeded();
        cell
    }

    /// Its zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The folder in which commands run; the cell itself is in `keycell` under it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the cell.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join("keycell").join(name)
    }

    /// The PostgreSQL under it.
    #[must_use]
    pub const fn cluster(&self) -> Option<&Arc<Postgres>> {
        self.cluster.as_ref()
    }

    /// Where it listens.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The root certificates, in PEM.
    #[must_use]
    pub fn roots(&self) -> String {
        fs::read_to_string(self.file("tls/roots.pem")).expect("the cell has root certificates")
    }

    /// Puts `settings` (TOML) over what the configuration says.
    pub fn configure(&self, settings: &str) {
        let path = self.file("keycell.toml");
        let read = |text: &str| text.parse::<toml::Table>().expect("it is TOML");
        let mut config = read(&fs::read_to_string(&path).expect("the cell has a configuration"));
        merge(&mut config, read(settings));
        fs::write(&path, toml::to_string(&config).expect("it is TOML")).expect("the file is ours");
    }

    /// `keycell` in the cell's folder, with nothing of the tester's own environment about it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder()).stdin(Stdio::null());
        // The tester may have profiles.
        command.env("KEYCELL_PROFILES", self.folder().join("profiles.toml"));
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("KEYCELL_") && name != "KEYCELL_PROFILES" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs one command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command().args(arguments))
    }

    /// Starts `keycell serve` and returns when it is ready.
    #[must_use]
    pub fn serve(&self) -> Kdc {
        Kdc::start(self.command().arg("serve"), self.listen, &self.roots())
    }

    /// The same with these variables in its environment.
    #[must_use]
    pub fn serve_with(&self, environment: &[(&str, &str)]) -> Kdc {
        let mut command = self.command();
        command.arg("serve").envs(environment.iter().copied());
        Kdc::start(&command, self.listen, &self.roots())
    }

    /// The same with more arguments.
    #[must_use]
    pub fn serve_told(&self, arguments: &[&str]) -> Kdc {
        Kdc::start(self.command().arg("serve").args(arguments), self.listen, &self.roots())
    }

    /// The same with everything in its log.
    #[must_use]
    pub fn serve_tracing(&self) -> Kdc {
        Kdc::start(self.command().arg("serve").env("KEYCELL_LOG", "trace"), self.listen, &self.roots())
    }

    /// Starts another KDC on the same database, at another port.
    #[must_use]
    pub fn replica(&self) -> Kdc {
        self.replica_with("")
    }

    /// The same with `settings` (TOML) over what the configuration says.
    #[must_use]
    pub fn replica_with(&self, settings: &str) -> Kdc {
        let listen = free_address();
        let text = fs::read_to_string(self.file("keycell.toml")).expect("the cell has a configuration");
        let mut config: toml::Table = text.parse().expect("it is TOML");
        config.insert("listen".to_owned(), listen.to_string().into());
        merge(&mut config, settings.parse().expect("it is TOML"));
        let path = self.file("replica.toml");
        fs::write(&path, toml::to_string(&config).expect("it is TOML")).expect("the folder is ours");
        Kdc::start(self.command().arg("--config").arg(path).arg("serve"), listen, &self.roots())
    }

    /// A fresh administrator's token of this role.
    #[must_use]
    pub fn token(&self, role: &str) -> String {
        let made = self.run(&["token", "create", "--role", role, "--out", "-"]).succeeded();
        made.stdout.trim().to_owned()
    }

    /// A client of `kdc` with an administrator's token.
    #[must_use]
    pub fn admin(&self, kdc: &Kdc) -> Http {
        kdc.http().with_token(&self.token("admin"))
    }

    /// Makes a party with the command line and reads its key file.
    #[must_use]
    pub fn add(&self, name: &str) -> Party {
        self.run(&["party", "add", name]).succeeded();
        Party::load(&self.folder().join(format!("{name}.key")))
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ended {
    /// The same, if it did what it was told.
    ///
    /// # Panics
    /// When it did not.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// What it complained of, if it failed as commands fail: exit code 1, nothing printed, and one line of complaint,
    /// after warnings at most.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn failed(self) -> String {
        assert_eq!((self.code, &*self.stdout), (Some(1), ""), "{}", self.stderr);
        let mut lines: Vec<_> = self.stderr.lines().collect();
        let complaint = lines.pop().unwrap_or_default().to_owned();
        assert!(lines.iter().all(|line| line.contains(" WARN ")), "{}", self.stderr);
        complaint
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The binary `keycell`, built beside the tests.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    let test = env::current_exe().expect("this program has a path");
    // target/debug/deps/TEST, and target/release/load
    let folder = test.parent().expect("it is in a folder");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("deps/ is in one too") } else { folder };
    let binary = folder.join("keycell");
    assert!(
        binary.is_file(),
        "there is no {}: build it first with `cargo build --workspace --all-targets`, as tests/run does",
        binary.display()
    );
    binary
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections: a KDC that is started
/// again finds it free.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let mut random = keycell_kdc::random::system();
    let ports = std::iter::repeat_with(|| 10_000 + (random.next_u32() % 22_000) as u16);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.take(1_000).find(free).expect("a free port");
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
