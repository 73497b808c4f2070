//! What this host is measured for: CPU, load, memory, disks, network.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sysinfo::{Disks, Networks, System};

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) units: &'static str,
    /// What the value says.
    description: &'static str,
}

impl Kind {
    const fn new(name: &'static str, units: &'static str, description: &'static str) -> Self {
        Self {
            name,
            units,
            description,
        }
    }
}

const CPU: Kind = Kind::new(
    "cpu.utilization",
    "ratio",
    "CPU time in use, of all CPUs; 0 to 1",
);
const LOAD_1M: Kind = Kind::new("load.1m", "1", "load average over 1 minute");
const LOAD_5M: Kind = Kind::new("load.5m", "1", "load average over 5 minutes");
const LOAD_15M: Kind = Kind::new("load.15m", "1", "load average over 15 minutes");
const MEMORY_TOTAL: Kind = Kind::new("memory.total", "bytes", "memory of the host");
const MEMORY_USED: Kind = Kind::new("memory.used", "bytes", "memory in use");
const MEMORY_AVAILABLE: Kind = Kind::new(
    "memory.available",
    "bytes",
    "memory that programs can have without swapping",
);
const SWAP_TOTAL: Kind = Kind::new("swap.total", "bytes", "swap space");
const SWAP_USED: Kind = Kind::new("swap.used", "bytes", "swap space in use");
const DISK_TOTAL: Kind = Kind::new("disk.total", "bytes", "space of a file system");
const DISK_USED: Kind = Kind::new("disk.used", "bytes", "space of a file system in use");
const DISK_READ: Kind = Kind::new(
    "disk.read",
    "bytes",
    "read from a disk since the host started",
);
const DISK_WRITTEN: Kind = Kind::new(
    "disk.written",
    "bytes",
    "written to a disk since the host started",
);
const NETWORK_RECEIVED: Kind = Kind::new(
    "network.received",
    "bytes",
    "received on an interface since it came up",
);
const NETWORK_SENT: Kind = Kind::new(
    "network.sent",
    "bytes",
    "sent on an interface since it came up",
);
const UPTIME: Kind = Kind::new("uptime", "seconds", "since the host started");

/// Everything that is measured.
pub(crate) const KINDS: [Kind; 16] = [
    CPU,
    LOAD_1M,
    LOAD_5M,
    LOAD_15M,
    MEMORY_TOTAL,
    MEMORY_USED,
    MEMORY_AVAILABLE,
    SWAP_TOTAL,
    SWAP_USED,
    DISK_TOTAL,
    DISK_USED,
    DISK_READ,
    DISK_WRITTEN,
    NETWORK_RECEIVED,
    NETWORK_SENT,
    UPTIME,
];

/// One value of a kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) kind: Kind,
    pub(crate) value: f64,
    /// Which disk or interface it is of.
    pub(crate) tags: BTreeMap<&'static str, String>,
}

/// Reads the values of this host.
#[derive(Debug)]
pub(crate) struct Host {
    system: System,
    disks: Disks,
    networks: Networks,
}

impl Host {
    /// Begins to measure. The CPU's first value is of the time since then.
    pub(crate) fn new() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self {
            system,
            disks: Disks::new(),
            networks: Networks::new(),
        }
    }

    /// Reads everything. Blocks for as long as file systems take to answer.
    pub(crate) fn read(&mut self) -> Vec<Reading> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.disks.refresh(true);
        self.networks.refresh(true);
        let mut readings = self.of_the_whole();
        self.of_disks(&mut readings);
        self.of_interfaces(&mut readings);
        readings
    }

    fn of_the_whole(&self) -> Vec<Reading> {
        let system = &self.system;
        let load = System::load_average();
        let values = [
            (CPU, f64::from(system.global_cpu_usage()) / 100.0),
            (LOAD_1M, load.one),
            (LOAD_5M, load.five),
            (LOAD_15M, load.fifteen),
            (MEMORY_TOTAL, system.total_memory() as f64),
            (MEMORY_USED, system.used_memory() as f64),
            (MEMORY_AVAILABLE, system.available_memory() as f64),
            (SWAP_TOTAL, system.total_swap() as f64),
            (SWAP_USED, system.used_swap() as f64),
            (UPTIME, System::uptime() as f64),
        ];
        let reading = |(kind, value)| Reading {
            kind,
            value,
            tags: BTreeMap::new(),
        };
        values.map(reading).into()
    }

    fn of_disks(&self, readings: &mut Vec<Reading>) {
        // One disk may be mounted in several places.
        let mut seen = BTreeSet::new();
        for disk in self.disks.list() {
            let device = disk.name().to_string_lossy().into_owned();
            if !seen.insert(device.clone()) {
                continue;
            }
            let mount = disk.mount_point().to_string_lossy().into_owned();
            let tags = BTreeMap::from([("device", device), ("mount", mount)]);
            let used = disk.total_space().saturating_sub(disk.available_space());
            let usage = disk.usage();
            for (kind, value) in [
                (DISK_TOTAL, disk.total_space()),
                (DISK_USED, used),
                (DISK_READ, usage.total_read_bytes),
                (DISK_WRITTEN, usage.total_written_bytes),
            ] {
                readings.push(Reading {
                    kind,
                    value: value as f64,
                    tags: tags.clone(),
                });
            }
        }
    }

    fn of_interfaces(&self, readings: &mut Vec<Reading>) {
        let interfaces: BTreeMap<_, _> = self.networks.list().iter().collect();
        for (name, interface) in interfaces {
            for (kind, value) in [
                (NETWORK_RECEIVED, interface.total_received()),
                (NETWORK_SENT, interface.total_transmitted()),
            ] {
                readings.push(Reading {
                    kind,
                    value: value as f64,
                    tags: BTreeMap::from([("interface", name.clone())]),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_one_that_can_be() {
        let readings = Host::new().read();
        let value = |kind: Kind| {
            let reading = readings.iter().find(|reading| reading.kind == kind);
            reading.expect("it is measured").value
        };
        assert!((0.0..=1.0).contains(&value(CPU)));
        assert!(value(MEMORY_TOTAL) > 0.0 && value(MEMORY_USED) <= value(MEMORY_TOTAL));
        assert!(value(UPTIME) > 0.0);
        for reading in &readings {
            assert!(
                reading.value.is_finite() && reading.value >= 0.0,
                "{reading:?}"
            );
            assert!(KINDS.contains(&reading.kind), "{reading:?}");
        }
    }

    #[test]
    fn each_value_is_told_apart_by_its_name_and_tags() {
        let readings = Host::new().read();
        let series: BTreeSet<_> = readings
            .iter()
            .map(|reading| (reading.kind.name, &reading.tags))
            .collect();
        assert_eq!(series.len(), readings.len(), "{readings:?}");
    }
}
