//! What there is to know about a host.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The kinds of facts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Os,
    Cpu,
    Memory,
    FileSystems,
    Ports,
    Addresses,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Os, Self::Cpu, Self::Memory, Self::FileSystems, Self::Ports, Self::Addresses];
}

/// What was found. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Facts {
    Os { name: String, kernel: String, architecture: String, host: String, up_seconds: u64 },
    Cpu { model: String, count: usize, load_1_minute: f64 },
    Memory { total: u64, available: u64, swap: u64 },
    FileSystems(Most<FileSystem>),
    Ports(Most<Port>),
    Addresses(Most<Address>),
}

/// A list, or as much of it as fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Most<T> {
    /// The most important first.
    pub(crate) list: Vec<T>,
    /// How many more there are.
    pub(crate) omitted: usize,
}

/// One file system that is mounted; the largest come first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileSystem {
    pub(crate) mount: String,
    pub(crate) format: String,
    pub(crate) total: u64,
    pub(crate) available: u64,
}

/// One TCP port that a process listens on; the lowest come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Port {
    pub(crate) port: u16,
    pub(crate) address: IpAddr,
    pub(crate) process: String,
}

/// One address of one network interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) interface: String,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl Facts {
    /// The kind of these facts.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Os { .. } => Kind::Os,
            Self::Cpu { .. } => Kind::Cpu,
            Self::Memory { .. } => Kind::Memory,
            Self::FileSystems(_) => Kind::FileSystems,
            Self::Ports(_) => Kind::Ports,
            Self::Addresses(_) => Kind::Addresses,
        }
    }
}
