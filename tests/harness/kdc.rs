//! A running `keycell serve`.

#![expect(clippy::expect_used, clippy::panic, reason = "what the harness cannot do fails the test")]

use std::io::{BufRead as _, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::Http;
use crate::wait::{until, until_blocking};

/// A KDC process. Dropping it kills it.
#[derive(Debug)]
pub struct Kdc {
    child: Child,
    address: SocketAddr,
    roots: String,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Kdc {
    /// Starts the process and waits until it listens and says that it is ready.
    pub(crate) fn start(command: &Command, address: SocketAddr, roots: &str) -> Self {
        let mut child = tied(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the KDC starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let readers = vec![collect(out, log.clone()), collect(err, log.clone())];
        let mut kdc = Self { child, address, roots: roots.to_owned(), log, readers };
        until_blocking("the KDC is up", || {
            if let Some(status) = kdc.child.try_wait().expect("it is our child") {
                kdc.readers.drain(..).for_each(|reader| drop(reader.join()));
                panic!("the KDC ended with {status}:\n{}", kdc.log());
            }
            // It listens only once it can answer.
            TcpStream::connect(address).ok()
        });
        kdc
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The root certificates of its zone, in PEM.
    #[must_use]
    pub fn roots(&self) -> &str {
        &self.roots
    }

    /// A client of it.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(&self.url(), &self.roots, None)
    }

    /// A client of it at another of this machine's addresses.
    #[must_use]
    pub fn http_from(&self, local: IpAddr) -> Http {
        Http::new(&self.url(), &self.roots, Some(local))
    }

    /// A bare TLS connection to it that offers these protocols.
    pub async fn tls(&self, protocols: &[&str]) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut config = keycell_client::https::tls_config(&self.roots).expect("the cell's own roots");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has written `text`: the log comes through a pipe, and may be behind an answer.
    ///
    /// # Panics
    /// When it does not.
    pub async fn logs(&self, text: &str) {
        until(&format!("the log says {text:?}"), async || self.log().contains(text).then_some(())).await;
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether the process is still there.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Kills it with no chance to do anything more. Its log is whole afterwards.
    pub fn kill9(&mut self) {
        let _ = kill_process(self.pid(), Signal::KILL);
        self.wait();
    }

    /// Asks it to stop, waits until it has, and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let _ = kill_process(self.pid(), Signal::TERM);
        self.wait()
    }

    /// Waits until it has ended, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status = self.child.wait().expect("it is our child");
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        status.code()
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        self.kill9();
        if thread::panicking() {
            eprintln!("the KDC's log:\n{}", self.log());
        }
    }
}

/// The same command as a process that does not outlive the thread that starts it, however that ends.
fn tied(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.arg("--pdeathsig=KILL").arg("--").arg(command.get_program()).args(command.get_args());
    tied.current_dir(command.get_current_dir().expect("it has a folder"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    tied
}

fn collect(stream: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    })
}
