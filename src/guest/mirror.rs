//! Files for a guest: what is on the host now, as archives and the shell lines
//! that put them in their places. It reads the host's files and speaks to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::cloud_init::quote;

/// One line of shell may not be longer than 128 KiB.
const PATHS_AT_ONCE: usize = 100;
/// What is kept in memory.
const BYTES_AT_ONCE: u64 = 8 << 20;

/// Takes the place of what is there, whatever that is, and keeps its owner.
const PUT: &str = "set -e; put() { \
    if [ -d \"$2\" ] && [ ! -L \"$2\" ]; then rm -rf -- \"$2\"; \
    elif [ -e \"$2\" ]; then chown -h \"$(stat -c %u:%g -- \"$2\")\" \"$1\"; fi; \
    mv -fT -- \"$1\" \"$2\"; }; ";

/// A line for a root shell in the guest, and what it reads.
#[derive(Debug)]
pub struct Parcel {
    /// The line.
    pub line: String,
    /// A tar archive, relative to `/`.
    pub archive: Vec<u8>,
}

/// A parcel that is being packed.
struct Packing {
    archive: Builder<Vec<u8>>,
    before: String,
    after: String,
    directories: BTreeSet<String>,
    paths: usize,
    bytes: u64,
}

/// What makes each path in the guest what its counterpart on the host is now.
pub fn pack(pairs: &BTreeMap<String, PathBuf>) -> io::Result<Vec<Parcel>> {
    let mut parcels = Vec::new();
    let mut packing = Packing::new();
    for (target, source) in pairs {
        packing.add(target, source)?;
        if packing.paths >= PATHS_AT_ONCE || packing.bytes >= BYTES_AT_ONCE {
            parcels.push(std::mem::replace(&mut packing, Packing::new()).close()?);
        }
    }
    if packing.paths > 0 {
        parcels.push(packing.close()?);
    }
    Ok(parcels)
}

impl Packing {
    fn new() -> Self {
        Self {
            archive: Builder::new(Vec::new()),
            before: String::new(),
            after: String::new(),
            directories: BTreeSet::new(),
            paths: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, target: &str, source: &Path) -> io::Result<()> {
        self.paths += 1;
        let metadata = match std::fs::symlink_metadata(source) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = write!(self.before, "rm -rf -- {}; ", quote(target));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            self.directories.insert(target.to_owned());
            return Ok(());
        }
        let Some((above, _)) = target.rsplit_once('/') else { return Ok(()) };
        let above = if above.is_empty() { "/" } else { above };
        let temporary = format!("{}/.windlass-sync-{}", above.trim_end_matches('/'), self.paths);
        let inside = temporary.trim_start_matches('/');
        let mut header = Header::new_gnu();
        header.set_metadata(&metadata);
        header.set_uid(0);
        header.set_gid(0);
        if metadata.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            self.archive.append_link(&mut header, inside, std::fs::read_link(source)?)?;
        } else if metadata.is_file() {
            // Read whole first: it may grow under our hands.
            let content = std::fs::read(source)?;
            header.set_size(content.len() as u64);
            self.bytes += content.len() as u64;
            self.archive.append_data(&mut header, inside, content.as_slice())?;
        } else {
            // A socket or a device means nothing elsewhere.
            return Ok(());
        }
        self.directories.insert(above.to_owned());
        let _ = write!(self.after, "put {} {}; ", quote(&temporary), quote(target));
        Ok(())
    }

    fn close(self) -> io::Result<Parcel> {
        let mut line = format!("{PUT}{}", self.before);
        for directory in &self.directories {
            let _ = write!(line, "mkdir -p -- {}; ", quote(directory));
        }
        // Numbers of owners are the host's: what is new is root's.
        let _ = write!(line, "tar -xo -C / -f -; {}", self.after);
        Ok(Parcel { line, archive: self.archive.into_inner()? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs the parcels on this host, below a directory that stands for `/`.
    fn unpack(parcels: &[Parcel]) {
        for parcel in parcels {
            let mut shell = Command::new("sh")
                .args(["-c", &parcel.line])
                .stdin(Stdio::piped())
                .spawn()
                .expect("a shell");
            shell.stdin.take().expect("piped").write_all(&parcel.archive).expect("fed");
            assert!(shell.wait().expect("ended").success(), "{}", parcel.line);
        }
    }

    #[test]
    fn a_shell_makes_of_it_what_the_host_has() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let inside = |name: &str| at("guest").join(name).display().to_string();
        fs::create_dir_all(at("guest/was a directory/deep")).expect("made");
        fs::write(at("guest/goes"), "").expect("written");
        fs::write(at("it's"), "text").expect("written");
        std::os::unix::fs::symlink("it's", at("link")).expect("linked");
        let pairs = BTreeMap::from([
            (inside("new/deep/it's"), at("it's")),
            (inside("was a directory"), at("it's")),
            (inside("link"), at("link")),
            (inside("goes"), at("not there")),
            (inside("empty"), directory.path().to_owned()),
        ]);
        unpack(&pack(&pairs).expect("packed"));
        assert_eq!(fs::read_to_string(inside("new/deep/it's")).expect("read"), "text");
        assert_eq!(fs::read_to_string(inside("was a directory")).expect("read"), "text");
        assert_eq!(fs::read_link(inside("link")).expect("a link"), Path::new("it's"));
        assert!(!Path::new(&inside("goes")).exists());
        assert!(Path::new(&inside("empty")).is_dir());
        assert_eq!(fs::read_dir(at("guest")).expect("read").count(), 4);
    }

    #[test]
    fn many_files_are_several_parcels() {
        let directory = tempfile::tempdir().expect("a directory");
        let source = directory.path().join("file");
        fs::write(&source, "text").expect("written");
        let pairs = (0..250).map(|n| (format!("/srv/{n}"), source.clone())).collect();
        let parcels = pack(&pairs).expect("packed");
        assert_eq!(parcels.len(), 3);
        assert!(parcels.iter().all(|parcel| parcel.line.len() < 100_000));
    }
}
