//! What the machine has: descriptors and memory, as far as limits are set by them.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left to everything but connections.
const SPARE_DESCRIPTORS: u64 = 64;
/// The limit of memory where the machine does not tell its memory.
const FALLBACK_MEMORY_BYTES: usize = 1 << 30;
/// The least limit of memory.
const LEAST_MEMORY_BYTES: usize = 64 << 20;

/// How many connections the limit of descriptors allows, after it is raised as far as it may be.
pub fn connections() -> usize {
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

/// Half of the container's memory, or of the machine's, in bytes.
pub fn half_of_memory() -> usize {
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

    #[test]
    fn meminfo_tells_the_machines_memory() {
        let text = "MemTotal:       16384 kB\nMemFree: 1 kB\n";
        assert_eq!(total_of_meminfo(text), Some(16 << 20));
        assert_eq!(total_of_meminfo(""), None);
    }
}
