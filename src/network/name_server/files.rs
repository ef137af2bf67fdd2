//! Files that others replace. Each is looked at when its content is needed: a
//! `stat` costs a microsecond, and whoever replaced the file can rely on the
//! very next question being answered from it. Watching for changes instead
//! would leave a moment in which the old content is still served.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{PORT, Served, VERSION};
use crate::state::atomic;

/// Tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The content of a file, never older than the file.
#[derive(Debug)]
pub(super) struct Fresh<T> {
    path: PathBuf,
    stamp: Option<Stamp>,
    read: fn(&Path) -> io::Result<T>,
    value: T,
}

impl<T> Fresh<T> {
    pub(super) fn open(path: &Path, read: fn(&Path) -> io::Result<T>) -> io::Result<Self> {
        let stamp = Stamp::of(path);
        Ok(Self { path: path.to_owned(), stamp, read, value: read(path)? })
    }

    /// The present content; the last good one where the file is gone or damaged.
    pub(super) fn get(&mut self) -> &T {
        let stamp = Stamp::of(&self.path);
        if stamp.is_some() && stamp != self.stamp {
            self.stamp = stamp;
            if let Ok(value) = (self.read)(&self.path) {
                self.value = value;
            }
        }
        &self.value
    }

    /// The content as it was last seen.
    pub(super) fn last(&self) -> &T {
        &self.value
    }
}

pub(super) fn read_served(path: &Path) -> io::Result<Served> {
    atomic::read_versioned(path, VERSION)
        .map_err(io::Error::other)?
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// The resolvers that a `resolv.conf` lists; none where there is no such file.
pub(super) fn read_resolvers(path: &Path) -> io::Result<Vec<SocketAddr>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(resolvers(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn resolvers(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    addresses.map(|address| SocketAddr::new(address, PORT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_the_addresses_of_nameserver_lines() {
        let text = "# local\nsearch lan\nnameserver 127.0.0.53\n nameserver  2001:db8::1 \n\
                    nameserver fe80::1%eth0\nnameserver\noptions edns0\n";
        let found: Vec<String> = resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[2001:db8::1]:53"]);
    }

    #[test]
    fn a_replaced_file_is_seen_at_once_and_a_lost_one_forgotten_never() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, "nameserver 192.0.2.1\n").expect("write");
        let mut fresh = Fresh::open(&path, read_resolvers).expect("open");
        let new = directory.path().join("new");
        std::fs::write(&new, "nameserver 192.0.2.2\n").expect("write");
        std::fs::rename(&new, &path).expect("rename");
        assert_eq!(fresh.get(), &["192.0.2.2:53".parse().expect("address")]);
        std::fs::remove_file(&path).expect("remove");
        assert_eq!(fresh.get().len(), 1);
    }
}
