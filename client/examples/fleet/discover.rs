//! Finding out what this host is.
//!
//! `sysinfo` for most of it. `listeners` for the listening ports, because it also tells whose they are; without
//! privileges it sees only the processes of the nanoprobe's own user, so run a real nanoprobe as root or with
//! `CAP_SYS_PTRACE`.

use std::collections::BTreeSet;

use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use super::facts::{Address, Facts, FileSystem, Kind, Most, Port};
use super::wire::{self, Answer};

/// The longest body of an answer in bytes. With a header of about 150 bytes and names of usual length the datagram
/// stays below 1,400 and passes an Ethernet, a tunnel or two included, in one piece; a fragmented datagram is lost
/// whenever one of its fragments is.
pub(crate) const MAX_BODY: usize = 1_200;

impl Facts {
    /// Looks at the host.
    ///
    /// # Errors
    /// Why this host does not tell.
    pub(crate) fn discover(kind: Kind) -> Result<Self, String> {
        Ok(match kind {
            Kind::Os => Self::Os {
                name: System::long_os_version().map_err(text)?,
                kernel: System::kernel_version().map_err(text)?,
                architecture: System::cpu_arch(),
                host: System::host_name().map_err(text)?,
                up_seconds: System::uptime().map_err(text)?,
            },
            Kind::Cpu => {
                let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
                let system = System::new_with_specifics(wanted).map_err(text)?;
                Self::Cpu {
                    model: system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
                    count: system.cpus().len(),
                    load_1_minute: System::load_average().map_err(text)?.one,
                }
            }
            Kind::Memory => {
                let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
                let system = System::new_with_specifics(wanted).map_err(text)?;
                Self::Memory {
                    total: system.total_memory(),
                    available: system.available_memory(),
                    swap: system.total_swap(),
                }
            }
            Kind::FileSystems => Self::FileSystems(Most::all(file_systems()?)),
            Kind::Ports => Self::Ports(Most::all(ports()?)),
            Kind::Addresses => Self::Addresses(Most::all(addresses()?)),
        })
    }

    /// The body of the answer: the end of a list is left out until it fits one datagram.
    pub(crate) fn into_body(self) -> Vec<u8> {
        let kind = self.kind();
        let mut answer = Answer::Facts(self);
        loop {
            let body = wire::body(&answer);
            if body.len() <= MAX_BODY {
                return body;
            }
            let shorter = match &mut answer {
                Answer::Facts(Self::FileSystems(most)) => most.shorten(),
                Answer::Facts(Self::Ports(most)) => most.shorten(),
                Answer::Facts(Self::Addresses(most)) => most.shorten(),
                _ => false,
            };
            if !shorter {
                let why = format!("longer than the {MAX_BODY} bytes that fit a datagram");
                answer = Answer::Failed { want: kind, why };
            }
        }
    }
}

impl<T> Most<T> {
    const fn all(list: Vec<T>) -> Self {
        Self { list, omitted: 0 }
    }

    /// `false` when there is nothing left to leave out.
    fn shorten(&mut self) -> bool {
        let shorter = self.list.pop().is_some();
        self.omitted += usize::from(shorter);
        shorter
    }
}

fn file_systems() -> Result<Vec<FileSystem>, String> {
    let disks = Disks::new_with_refreshed_list().map_err(text)?;
    let mut seen = BTreeSet::new();
    let mut found: Vec<_> = disks
        .iter()
        // One device is often mounted at several places; its first one stands for it.
        .filter(|disk| seen.insert((disk.name().to_owned(), disk.total_space())))
        .map(|disk| FileSystem {
            mount: disk.mount_point().display().to_string(),
            format: disk.file_system().to_string_lossy().into_owned(),
            total: disk.total_space(),
            available: disk.available_space(),
        })
        .collect();
    found.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.mount.cmp(&b.mount)));
    Ok(found)
}

fn ports() -> Result<Vec<Port>, String> {
    let all = listeners::get_all().map_err(text)?;
    let listening = all.into_iter().filter(|found| {
        found.protocol == listeners::Protocol::TCP && found.state == listeners::SocketState::Listen
    });
    // Sorted, and a port that several processes of one name share is one.
    let found: BTreeSet<_> = listening
        .map(|found| Port {
            port: found.socket.port(),
            address: found.socket.ip(),
            process: found.process.name,
        })
        .collect();
    Ok(found.into_iter().collect())
}

fn addresses() -> Result<Vec<Address>, String> {
    let networks = Networks::new_with_refreshed_list().map_err(text)?;
    let mut found: Vec<_> = networks
        .iter()
        .flat_map(|(interface, network)| {
            network.ip_networks().iter().map(|ip| Address {
                interface: interface.to_string_lossy().into_owned(),
                address: ip.addr,
                prefix: ip.prefix,
            })
        })
        .collect();
    // What others can reach comes first.
    found.sort_by_cached_key(|address| (address.address.is_loopback(), address.clone()));
    Ok(found)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_tells_all_of_it() {
        for kind in Kind::ALL {
            let facts = Facts::discover(kind).unwrap();
            assert_eq!(facts.kind(), kind);
            let body = facts.into_body();
            assert!(body.len() <= MAX_BODY, "{kind:?}");
            match serde_json::from_slice(&body).unwrap() {
                Answer::Facts(facts) => assert_eq!(facts.kind(), kind),
                Answer::Failed { why, .. } => panic!("{kind:?}: {why}"),
            }
        }
        let Facts::Memory { total, available, .. } = Facts::discover(Kind::Memory).unwrap() else { panic!() };
        assert!(available <= total && total > 1 << 20);
    }

    #[test]
    fn a_port_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = ports().unwrap();
        let this = |port: &Port| (port.address, port.port) == (address.ip(), address.port());
        assert!(found.iter().any(this), "{found:?}");
    }

    #[test]
    fn a_long_list_is_cut_to_a_datagram_and_says_so() {
        let port = |port| Port { port, address: [127, 0, 0, 1].into(), process: "a-daemon".into() };
        let body = Facts::Ports(Most::all((1..=500).map(port).collect())).into_body();
        assert!(body.len() <= MAX_BODY && body.len() > MAX_BODY - 100, "{}", body.len());
        let Answer::Facts(Facts::Ports(ports)) = serde_json::from_slice(&body).unwrap() else { panic!() };
        assert_eq!(ports.list.len() + ports.omitted, 500);
        assert_eq!(ports.list[0].port, 1);

        let huge = Facts::Cpu { model: "x".repeat(5_000), count: 1, load_1_minute: 0.0 };
        let answer = serde_json::from_slice(&huge.into_body()).unwrap();
        assert!(matches!(answer, Answer::Failed { want: Kind::Cpu, .. }));
    }
}
