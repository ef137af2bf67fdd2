//! Writes files into a running container, by way of its first process' root: it
//! needs nothing in the image and sees what is mounted there.
//!
//! The container may change its tree while this works. So every path is
//! resolved by the kernel within that root (`RESOLVE_IN_ROOT`), and what is
//! found is held by its descriptor: a symbolic link never leads out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::error::EmbeddedError;

/// How the files begin that are being written. Nobody is meant to see one.
const BEING_WRITTEN: &str = ".windlass-sync-";

/// The root of a container, from outside.
struct Inside {
    root: OwnedFd,
    /// Whose its first process is: to them belongs what is new.
    owner: (Uid, Gid),
}

/// Makes each path inside what its counterpart on the host is by now.
pub(super) fn mirror(pid: i32, pairs: &BTreeMap<String, PathBuf>) -> Result<(), EmbeddedError> {
    let failed = |operation, path: &str| {
        let path = path.to_owned();
        move |source| EmbeddedError::Inside { operation, path, source }
    };
    let inside = Inside::of(pid).map_err(failed("open", "/"))?;
    for (target, source) in pairs {
        match std::fs::symlink_metadata(source) {
            Ok(metadata) => inside
                .make(Path::new(target), source, &metadata)
                .map_err(failed("write", target))?,
            Err(error) if is_absent(&error) => {
                inside.remove(Path::new(target)).map_err(failed("remove", target))?;
            }
            Err(error) => return Err(failed("read", &source.to_string_lossy())(error)),
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Inside {
    fn of(pid: i32) -> io::Result<Self> {
        let root = format!("/proc/{pid}/root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        // Real, effective, saved, of the file system.
        let effective = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_ascii_whitespace().nth(1)?.parse().ok()
        };
        let owner = effective("Uid:").zip(effective("Gid:"));
        let (uid, gid) = owner.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { root, owner: (Uid::from_raw(uid), Gid::from_raw(gid)) })
    }

    /// A directory inside. The kernel takes the container's root for `/`, in
    /// `..` and symbolic links too.
    fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), within) {
                // The kernel's word that somebody renamed something on the way.
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
    }

    /// The same, made where it is missing.
    fn directory_made(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.directory(path) {
            Err(Errno::NOENT) => {}
            opened => return Ok(opened?),
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let above = self.directory_made(above)?;
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.own(&above, name)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.directory(path)?)
    }

    fn own(&self, directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let (uid, gid) = self.owner;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?)
    }

    fn make(&self, target: &Path, source: &Path, metadata: &Metadata) -> io::Result<()> {
        if metadata.is_dir() {
            return self.directory_made(target).map(drop);
        }
        let (Some(above), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let above = self.directory_made(above)?;
        let temporary = being_written();
        let written = if metadata.is_symlink() {
            let aim = std::fs::read_link(source)?;
            rustix::fs::symlinkat(&aim, &above, &temporary).map_err(io::Error::from)
        } else if metadata.is_file() {
            copy(source, &above, &temporary)
        } else {
            // A socket or a device means nothing elsewhere.
            return Ok(());
        };
        let placed = written.and_then(|()| self.place(&above, &temporary, name));
        let undone = match &placed {
            Ok(()) => Ok(()),
            Err(_) => rustix::fs::unlinkat(&above, &temporary, AtFlags::empty()),
        };
        match (placed, undone) {
            (Err(error), Err(left)) if left != Errno::NOENT => {
                let temporary = temporary.to_string_lossy();
                let text = format!("{error}; `{temporary}` could not be removed: {left}");
                Err(io::Error::new(error.kind(), text))
            }
            (placed, _) => placed,
        }
    }

    /// Gives it to whom it belongs and puts it where it belongs, at once.
    fn place(&self, above: &OwnedFd, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(above, name, nofollow) {
            Ok(before) => {
                let (uid, gid) = (Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid));
                rustix::fs::chownat(above, temporary, Some(uid), Some(gid), nofollow)?;
                if FileType::from_raw_mode(before.st_mode) == FileType::Directory {
                    remove_below(above, name)?;
                }
            }
            Err(Errno::NOENT) => self.own(above, temporary)?,
            Err(error) => return Err(error.into()),
        }
        Ok(rustix::fs::renameat(above, temporary, above, name)?)
    }

    fn remove(&self, target: &Path) -> io::Result<()> {
        let (Some(above), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(io::ErrorKind::PermissionDenied.into());
        };
        match self.directory(above) {
            Ok(above) => remove_below(&above, name),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn copy(source: &Path, above: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let mut from = File::open(source)?;
    let mode = Mode::from_raw_mode(from.metadata()?.mode() & 0o7777);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(above, name, flags, Mode::from_raw_mode(0o600))?;
    let mut to = File::from(to);
    io::copy(&mut from, &mut to)?;
    Ok(rustix::fs::fchmod(&to, mode)?)
}

/// Removes a file, or a directory with everything in it; no link is followed.
fn remove_below(above: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(above, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(above, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            remove_below(&directory, name)?;
        }
    }
    Ok(rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)?)
}

fn being_written() -> OsString {
    format!("{BEING_WRITTEN}{}", uuid::Uuid::new_v4().simple()).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory that stands for a container's root, and one outside of it.
    fn rooted() -> (tempfile::TempDir, Inside, PathBuf) {
        let whole = tempfile::tempdir().expect("a directory");
        let root = whole.path().join("root");
        let outside = whole.path().join("outside");
        fs::create_dir_all(root.join("srv")).expect("made");
        fs::create_dir_all(&outside).expect("made");
        let opened = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        let owner = (rustix::process::geteuid(), rustix::process::getegid());
        let inside = Inside { root: opened.expect("opened"), owner };
        (whole, inside, outside)
    }

    fn make(inside: &Inside, target: &str, source: &Path) -> io::Result<()> {
        inside.make(Path::new(target), source, &fs::symlink_metadata(source).expect("there"))
    }

    #[test]
    fn a_link_inside_never_leads_out() {
        let (whole, inside, outside) = rooted();
        let source = whole.path().join("file");
        fs::write(&source, "text").expect("written");
        fs::write(outside.join("precious"), "precious").expect("written");
        let root = whole.path().join("root");
        symlink(&outside, root.join("srv/absolute")).expect("linked");
        symlink("../../outside", root.join("srv/climbing")).expect("linked");
        symlink(outside.join("precious"), root.join("srv/file")).expect("linked");
        // Seen from inside, the first two lead to what is not there.
        assert!(make(&inside, "/srv/absolute/file", &source).is_err());
        assert!(make(&inside, "/srv/climbing/file", &source).is_err());
        make(&inside, "/srv/file", &source).expect("it replaces the link");
        assert_eq!(fs::read_to_string(root.join("srv/file")).expect("read"), "text");
        inside.remove(Path::new("/srv/absolute/precious")).expect("nothing there");
        inside.remove(Path::new("/srv/absolute")).expect("the link goes");
        let left: Vec<_> = fs::read_dir(&outside).expect("read").collect();
        assert_eq!(left.len(), 1);
        assert_eq!(fs::read_to_string(outside.join("precious")).expect("read"), "precious");
    }

    #[test]
    fn what_is_there_is_replaced_whatever_it_is() {
        let (whole, inside, _) = rooted();
        let root = whole.path().join("root");
        let source = whole.path().join("file");
        fs::write(&source, "text").expect("written");
        make(&inside, "/srv/new/deep/file", &source).expect("with its directories");
        make(&inside, "/srv/new", &source).expect("in place of a directory");
        assert_eq!(fs::read_to_string(root.join("srv/new")).expect("read"), "text");
        inside.remove(Path::new("/srv/new")).expect("removed");
        inside.remove(Path::new("/srv/new")).expect("again");
        inside.remove(Path::new("/no/such/thing")).expect("nothing there");
        assert_eq!(fs::read_dir(root.join("srv")).expect("read").count(), 0);
    }
}
