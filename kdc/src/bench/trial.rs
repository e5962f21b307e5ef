//! A KDC and its peer, made for one measurement and thrown away: both real processes, in one run.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keycell_client::https;
use keycell_client::https::ConnectError;
use keycell_protocol::{
    Instance, LongTermKey, Name, Nonce, RatchetPeriod, RequestError, SignedRequest, TicketRequest,
};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{CpuClock, Load, LoadError, Measured, Protocol, Target};
use crate::administration::{AdminError, Caller, ImportEntry, NewEntry};
use crate::cell::{Cell, CellError, NewCell};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError};
use crate::limit::Rate;
use crate::policy::Profile;
use crate::tls::{self, TlsError};

/// A cell of its own in a temporary folder, with a KDC and an echo server as child processes.
pub struct Trial {
    key: LongTermKey,
    source: Name,
    destinations: Vec<Name>,
    kdc: Server,
    echo: Server,
    _folder: TempDir,
}

/// A KDC beside its peer.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// Tickets in each request.
    pub batch: usize,
    /// The KDC.
    pub kdc: Measured,
    /// A handler that only echoes JSON as long as the KDC's answers.
    pub echo: Measured,
}

impl Trial {
    /// Makes a cell of 1,001 parties and starts both servers; `program` is the binary `keycell`.
    ///
    /// # Errors
    /// [`TrialError`].
    pub async fn start(program: &Path) -> Result<Self, TrialError> {
        let folder = TempDir::with_prefix("keycell-bench-")?;
        let cell = folder.path().join("cell");
        let listen = free_address()?;
        let url = format!("https://localhost:{}", listen.port());
        NewCell {
            folder: cell.clone(),
            zone: "bench.internal".parse().map_err(|_| TrialError::Start)?,
            listen,
            urls: vec![url.clone()],
            database: None,
            ratchet_period: RatchetPeriod::DEFAULT,
            profile: Profile::Open,
        }
        .create(&SystemClock)
        .await?;
        let path = cell.join(Config::FILE);
        let config = unlimited(&path)?;
        let (source, key, destinations) = parties(&config).await?;

        let roots = tls::roots(&config.tls)?;
        let kdc = Server::spawn(program, &path, &["serve"], format!("{url}/v1/tickets"), &roots)?;
        kdc.ready(listen).await?;
        let listen = free_address()?;
        let url = format!("https://localhost:{}/echo", listen.port());
        let echo = Server::spawn(program, &path, &["bench", "--echo", &listen.to_string()], url, &roots)?;
        echo.ready(listen).await?;
        Ok(Self { key, source, destinations, kdc, echo, _folder: folder })
    }

    /// Asks the KDC `requests` times for `batch` tickets, and the peer as often for as many bytes.
    ///
    /// # Errors
    /// [`TrialError`].
    pub async fn compare(
        &self,
        batch: usize,
        requests: usize,
        concurrency: usize,
        protocol: Protocol,
    ) -> Result<Comparison, TrialError> {
        let names: Vec<_> = self.destinations.iter().take(batch).cloned().collect();
        let bodies = signed_requests(&self.source, &self.key, RatchetPeriod::DEFAULT, &names, requests)?;
        let load = Load { bodies: Arc::new(bodies), concurrency, protocol };
        let kdc = load.run(&self.kdc.target).await?;
        let filler = "x".repeat(kdc.answer_bytes.saturating_sub(r#"{"sealed":""}"#.len()));
        let body = serde_json::json!({ "sealed": filler }).to_string().into_bytes();
        let load = Load { bodies: Arc::new(vec![body; requests]), concurrency, protocol };
        let echo = load.run(&self.echo.target).await?;
        Ok(Comparison { batch, kdc, echo })
    }
}

/// Requests of one party, all signed now: the KDC takes them for as long as its clock skew allows.
///
/// # Errors
/// [`TrialError::Request`] for no destination or too many.
pub fn signed_requests(
    source: &Name,
    key: &LongTermKey,
    period: RatchetPeriod,
    destinations: &[Name],
    count: usize,
) -> Result<Vec<Vec<u8>>, TrialError> {
    let now = SystemClock.now();
    let epoch = period.epoch(now.seconds());
    let keys = key.clone().advance(epoch.max(key.epoch())).map_err(|_| TrialError::Start)?.subkeys();
    let mut random = crate::random::Pool::new(4096);
    let instance = Instance::generate(&mut random);
    let mut request = TicketRequest {
        source: source.clone(),
        destinations: destinations.to_vec(),
        timestamp: now,
        nonce: Nonce([0; 16]),
        instance,
    };
    (0..count)
        .map(|_| {
            request.nonce = Nonce::generate(&mut random);
            Ok(SignedRequest::sign(&request, &keys)?.to_json())
        })
        .collect()
}

/// A child process that dies with its owner.
struct Server {
    child: Child,
    target: Target,
}

impl Server {
    fn spawn(
        program: &Path,
        config: &Path,
        args: &[&str],
        url: String,
        roots: &str,
    ) -> Result<Self, TrialError> {
        let mut command = Command::new(program);
        // Settings of the environment are for another KDC.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEYCELL_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(args)
            .arg("--config")
            .arg(config)
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let cpu = Some(CpuClock::of(child.id()));
        Ok(Self { child, target: Target { url, tls: https::tls_config(roots)?, cpu } })
    }

    async fn ready(&self, address: SocketAddr) -> Result<(), TrialError> {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(TrialError::Start)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing of it is kept, so nothing need be finished.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn parties(config: &Config) -> Result<(Name, LongTermKey, Vec<Name>), TrialError> {
    let kdc = Cell::open(config).await?.into_kdc(config.clone(), Arc::new(SystemClock)).await?;
    let name = |local: &str| Name::new(local, kdc.zone()).map_err(|_| TrialError::Start);
    let source = name("cma.main")?;
    let caller = Caller::console();
    let key = kdc.parties().create(&caller, &NewEntry::named(source.clone()), |_| Ok(None)).await?.key;
    let mut destinations = Vec::with_capacity(TicketRequest::MAX_DESTINATIONS);
    let mut entries = Vec::with_capacity(TicketRequest::MAX_DESTINATIONS);
    for (line, n) in (1..).zip(0..TicketRequest::MAX_DESTINATIONS) {
        let name = name(&format!("nanoprobe.host{n}.example.com"))?;
        entries.push(ImportEntry { line, entry: NewEntry::named(name.clone()) });
        destinations.push(name);
    }
    kdc.parties().import(&caller, &entries, false).await;
    kdc.close().await;
    Ok((source, key, destinations))
}

/// Takes the rates out of the way: it is the work that is measured.
fn unlimited(path: &PathBuf) -> Result<Config, TrialError> {
    let mut config: Config =
        toml::from_str(&std::fs::read_to_string(path)?).map_err(|_| TrialError::Start)?;
    config.limits.per_address = Rate::new(u32::MAX, u32::MAX);
    config.limits.tickets_per_party = Rate::new(u32::MAX, u32::MAX);
    std::fs::write(path, toml::to_string(&config).map_err(|_| TrialError::Start)?)?;
    Ok(Config::load(path, None)?)
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A server did not start.
    #[error("the server under measurement did not start")]
    Start,
    /// A file or process.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The cell.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its parties.
    #[error(transparent)]
    Party(#[from] AdminError),
    /// Its certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The roots.
    #[error(transparent)]
    Roots(#[from] ConnectError),
    /// The requests.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The load.
    #[error(transparent)]
    Load(#[from] LoadError),
}
