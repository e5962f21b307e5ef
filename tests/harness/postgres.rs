//! A private PostgreSQL cluster, from Debian's package, that is gone when the test is.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what the harness cannot do fails the test that asked for it"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// A running cluster in a temporary folder, with `fsync` on. Dropping it stops the server and removes the folder; a
/// test process that is killed takes the server along.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    user: Option<&'static str>,
    port: u16,
    databases: AtomicU32,
    server: Mutex<Option<Server>>,
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start; a test is never skipped for that.
    #[must_use]
    pub fn start() -> Self {
        let binaries = binaries();
        let user = unprivileged_user();
        let folder =
            tempfile::Builder::new().prefix("keycell-postgres-").tempdir().expect("a temporary folder");
        give_to(user, folder.path());
        let mut initdb = as_user(user, &binaries.join("initdb"), folder.path());
        // What initdb writes need not survive a power cut; what the server writes later is synced.
        initdb.args(["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=trust", "--username=keycell"]);
        run(initdb.arg("--pgdata").arg(folder.path().join("data")));

        let cluster =
            Self { binaries, user, port: 0, databases: AtomicU32::new(0), server: Mutex::new(None), folder };
        cluster.on_a_free_port()
    }

    /// The cluster that the tests of this process share while any of them runs; tests that crash it start their own.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn url(&self) -> String {
        let name = format!("keycell{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut createdb = Command::new(self.binaries.join("createdb"));
        createdb.arg("--host").arg(self.folder.path()).arg("--port").arg(self.port.to_string());
        run(createdb.args(["--username=keycell", &name]));
        format!("postgres://keycell@127.0.0.1:{}/{name}", self.port)
    }

    /// Kills the server with no chance to write anything, as a power cut would.
    ///
    /// # Panics
    /// When it is not running.
    pub fn crash(&self) {
        let server = lock(&self.server).take();
        server.expect("the server is running").end(Signal::KILL);
    }

    /// Starts the server again after [`crash`](Self::crash), on the same port; it recovers first.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        let mut server = lock(&self.server);
        assert!(server.is_none(), "the server is running already");
        *server = Some(
            self.serve(self.port).unwrap_or_else(|log| panic!("PostgreSQL does not start again:\n{log}")),
        );
    }

    fn on_a_free_port(mut self) -> Self {
        let mut log = String::new();
        // Somebody else may take the port between the look and the start.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            let port = port.expect("a free port").port();
            match self.serve(port) {
                Ok(server) => {
                    self.port = port;
                    *lock(&self.server) = Some(server);
                    return self;
                }
                Err(failed) => log = failed,
            }
        }
        panic!("PostgreSQL does not start:\n{log}");
    }

    fn serve(&self, port: u16) -> Result<Server, String> {
        let folder = self.folder.path();
        let mut postgres = as_user(self.user, &self.binaries.join("postgres"), folder);
        postgres.arg("-D").arg(folder.join("data"));
        for setting in [
            format!("port={port}"),
            format!("unix_socket_directories={}", folder.display()),
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=on".to_owned(),
            "shared_buffers=16MB".to_owned(),
        ] {
            postgres.arg("-c").arg(setting);
        }
        Server::start(postgres)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = lock(&self.server).take() {
            // The immediate shutdown: the cluster is not needed again.
            server.end(Signal::QUIT);
        }
    }
}

#[derive(Debug)]
struct Server {
    pid: Pid,
    watcher: JoinHandle<()>,
}

impl Server {
    /// Starts the server from a thread of its own, which lives as long as it does: the kernel kills the server when
    /// the thread that started it ends, and a test's own thread may end before the cluster is done with.
    fn start(mut command: Command) -> Result<Self, String> {
        let (tell, told) = mpsc::channel();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let watcher = thread::spawn(move || match command.spawn() {
            Ok(child) => watch(child, &tell),
            Err(error) => drop(tell.send(Err(error.to_string()))),
        });
        match told.recv().unwrap_or_else(|_| Err("it ended at once".to_owned())) {
            Ok(pid) => Ok(Self { pid, watcher }),
            Err(log) => {
                let _ = watcher.join();
                Err(log)
            }
        }
    }

    /// Signals the server and returns when it and all its processes have ended.
    fn end(self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
        let _ = self.watcher.join();
    }
}

/// Reads the server's log until every process that holds it has ended, and tells when it is ready or has failed.
fn watch(mut child: Child, tell: &mpsc::Sender<Result<Pid, String>>) {
    let pid = Pid::from_child(&child);
    let log = child.stderr.take().expect("it is piped");
    let mut before_ready = Some(String::new());
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains("database system is ready to accept connections") {
            before_ready = None;
            let _ = tell.send(Ok(pid));
        } else if let Some(log) = &mut before_ready {
            log.push_str(&line);
            log.push('\n');
        }
    }
    let _ = child.wait();
    if let Some(log) = before_ready {
        let _ = tell.send(Err(log));
    }
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .max_by_key(|folder| version_of(folder));
    newest.unwrap_or_else(|| {
        panic!("there is no PostgreSQL here: install Debian's postgresql: apt-get install postgresql")
    })
}

fn version_of(binaries: &Path) -> u32 {
    let version = binaries.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    version.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// PostgreSQL refuses to run as root.
fn unprivileged_user() -> Option<&'static str> {
    geteuid().is_root().then(|| if id("-u", "postgres").is_some() { "postgres" } else { "nobody" })
}

fn give_to(user: Option<&'static str>, folder: &Path) {
    if let Some(user) = user {
        let owner = id("-u", user);
        assert!(owner.is_some(), "there is no user {user} to run PostgreSQL as");
        chown(folder, owner, id("-g", user)).expect("root may give a folder away");
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
}

fn id(which: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([which, user]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A command that runs as `user` and gets SIGQUIT when the thread that starts it ends, however it ends.
fn as_user(user: Option<&str>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=QUIT");
    if let Some(user) = user {
        let group = id("-g", user).unwrap_or_else(|| panic!("there is no user {user} to run PostgreSQL as"));
        command.args(["--reuid", user, "--regid", &group.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir(folder).env("LC_ALL", "C");
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{errors}");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
