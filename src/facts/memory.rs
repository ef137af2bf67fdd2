//! How much memory the host has, from `/proc/meminfo`.

use std::io;

/// The host's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// All of it.
    pub total: u64,
    /// What can be given out without swapping.
    pub available: u64,
}

/// Reads it now.
pub(super) fn read() -> io::Result<Memory> {
    parse(&std::fs::read_to_string("/proc/meminfo")?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "`/proc/meminfo` is unusual"))
}

fn parse(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory { total: field("MemTotal:")?, available: field("MemAvailable:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_in_kibibytes() {
        let text = "MemTotal:       24684084 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n";
        let memory = parse(text);
        assert_eq!(memory, Some(Memory { total: 24_684_084 * 1024, available: 20_000_000 * 1024 }));
        assert_eq!(parse("MemTotal: lots\n"), None);
    }
}
