//! Who may connect: the limits of connections.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::RemoteAddress;

/// Counts connections against their limits. Clones count together, so that several loops are
/// limited as one; a lock that is held for a few instructions when a connection comes or goes is in
/// nobody's way.
#[derive(Clone, Debug)]
pub struct Admission {
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
pub enum Refused {
    /// The limit of all connections.
    Connections,
    /// The limit of connections from one address.
    ConnectionsPerAddress,
    /// Whoever accepts is stopping.
    Draining,
}

impl Refused {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 3] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::Draining,
    ];

    /// The reason as a label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Draining => "draining",
        }
    }
}

impl Admission {
    /// Takes the limit of all connections, and that of those from one address; those of this machine
    /// are not counted by address.
    pub fn new(limit: usize, per_address_limit: usize) -> Self {
        Self {
            limit,
            per_address_limit,
            counts: Arc::default(),
        }
    }

    /// Counts a connection in, unless a limit is reached.
    pub(super) fn admit(&self, address: RemoteAddress) -> Result<(), Refused> {
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
    pub(super) fn release(&self, address: RemoteAddress) {
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

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.counts().connections
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
