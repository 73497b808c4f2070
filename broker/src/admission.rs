//! Who may connect: limits of connections, descriptors and memory.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plantd_zmtp::RemoteAddress;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left to everything but connections.
const SPARE_DESCRIPTORS: u64 = 64;
/// The memory limit where the machine does not tell its memory.
const FALLBACK_MEMORY_BYTES: usize = 1 << 30;
/// The least memory limit.
const LEAST_MEMORY_BYTES: usize = 64 << 20;

/// Counts connections against their limits. Clones count together: the router's and the buses'
/// connections are limited as one, and a lock that is held for a few instructions when a
/// connection comes or goes is in nobody's way.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    limit: usize,
    per_address_limit: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is closed as soon as it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    /// The limit of all connections.
    Connections,
    /// The limit of connections from one address.
    ConnectionsPerAddress,
    /// The broker is stopping.
    Draining,
}

impl Refused {
    pub(crate) const ALL: [Self; 3] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::Draining,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Draining => "draining",
        }
    }
}

impl Admission {
    pub(crate) fn new(limit: usize, per_address_limit: usize) -> Self {
        Self {
            limit: limit.min(descriptors()),
            per_address_limit,
            counts: Arc::default(),
        }
    }

    /// Counts a connection in, unless a limit is reached.
    pub(crate) fn admit(&self, address: RemoteAddress) -> Result<(), Refused> {
        let mut counts = self.counts();
        if counts.connections >= self.limit {
            return Err(Refused::Connections);
        }
        if let Some(ip) = address.remote_ip() {
            let from_there = counts.by_address.entry(ip).or_default();
            if *from_there >= self.per_address_limit {
                return Err(Refused::ConnectionsPerAddress);
            }
            *from_there += 1;
        }
        counts.connections += 1;
        Ok(())
    }

    /// Counts a connection out.
    pub(crate) fn release(&self, address: RemoteAddress) {
        let mut counts = self.counts();
        counts.connections -= 1;
        let Some(ip) = address.remote_ip() else {
            return;
        };
        if let Some(from_there) = counts.by_address.get_mut(&ip) {
            *from_there -= 1;
            if *from_there == 0 {
                counts.by_address.remove(&ip);
            }
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts().connections
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many connections the limit of descriptors allows, after it is raised as far as it may be.
fn descriptors() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(_) => limits.current,
    };
    let allowed = allowed
        .unwrap_or(u64::MAX)
        .saturating_sub(SPARE_DESCRIPTORS);
    usize::try_from(allowed).unwrap_or(usize::MAX).max(1)
}

/// Half of the container's memory, or of the machine's.
pub(crate) fn half_of_memory() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of_meminfo);
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|limit| limit.trim().parse().ok());
    let memory = machine.into_iter().chain(container).min();
    memory.map_or(FALLBACK_MEMORY_BYTES, |bytes: u64| {
        usize::try_from(bytes / 2)
            .unwrap_or(usize::MAX)
            .max(LEAST_MEMORY_BYTES)
    })
}

fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> RemoteAddress {
        RemoteAddress::Tcp(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_its_own_limit_and_this_machine_has_none() {
        let admission = Admission::new(5, 1);
        assert_eq!(admission.admit(from("10.0.0.1:1")), Ok(()));
        let again = admission.admit(from("10.0.0.1:2"));
        assert_eq!(again, Err(Refused::ConnectionsPerAddress));
        assert_eq!(admission.admit(from("10.0.0.2:1")), Ok(()));
        assert_eq!(admission.admit(from("127.0.0.1:1")), Ok(()));
        assert_eq!(admission.admit(from("127.0.0.1:2")), Ok(()));
        assert_eq!(admission.admit(RemoteAddress::Ipc), Ok(()));
        assert_eq!(
            admission.admit(RemoteAddress::Ipc),
            Err(Refused::Connections)
        );

        admission.release(from("10.0.0.1:1"));
        assert_eq!(admission.admit(from("10.0.0.1:2")), Ok(()));
        assert_eq!(admission.connections(), 5);
    }

    #[test]
    fn meminfo_tells_the_machines_memory() {
        let text = "MemTotal:       16384 kB\nMemFree: 1 kB\n";
        assert_eq!(total_of_meminfo(text), Some(16 << 20));
        assert_eq!(total_of_meminfo(""), None);
    }
}
