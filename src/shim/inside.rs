//! Files inside a container's root, reached so that no link of the image leads
//! out of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

/// A file of `/etc` is not larger than this.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The root directory of a container.
#[derive(Debug)]
pub(super) struct Inside(OwnedFd);

impl Inside {
    pub(super) fn open_root(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(root, flags, Mode::empty())?))
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?)
    }

    /// A text file; `None` where there is none.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<String>> {
        let file = match self.open(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Makes a directory and those above it.
    pub(super) fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut made = PathBuf::from("/");
        for part in path.components() {
            let Component::Normal(part) = part else { continue };
            let above = self.open(&made, OFlags::PATH | OFlags::DIRECTORY)?;
            match rustix::fs::mkdirat(&above, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            made.push(part);
        }
        Ok(())
    }

    /// Fills an empty volume with what the image has at `path`. It is whole or
    /// not there at all, whenever this is cut short.
    pub(super) fn copy_up(&self, path: &Path, volume: &Path) -> io::Result<()> {
        if std::fs::read_dir(volume)?.next().is_some() {
            return Ok(());
        }
        let from = match self.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(from) => from,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let above = volume.parent().unwrap_or(Path::new("/"));
        let aside = tempfile::Builder::new().prefix(".filling-").tempdir_in(above)?;
        let to = aside.path().join("data");
        std::fs::create_dir(&to)?;
        let target = rustix::fs::open(&to, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        copy_directory(&from, &target)?;
        match std::fs::rename(&to, volume) {
            // Another container was faster.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(from)? {
        let entry = entry?;
        let name = OsStr::new(entry.file_name().to_str().unwrap_or_default());
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            copy_entry(from, to, entry.file_name()).map_err(|error| {
                io::Error::new(error.kind(), format!("copy {}: {error}", name.display()))
            })?;
        }
    }
    let found = rustix::fs::fstat(from)?;
    let (user, group) = owner(&found);
    rustix::fs::fchown(to, user, group)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(found.st_mode))?;
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &std::ffi::CStr) -> io::Result<()> {
    let found = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(found.st_mode);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let kind = FileType::from_raw_mode(found.st_mode);
    match kind {
        FileType::Directory => {
            let inner = rustix::fs::openat(from, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            let target = rustix::fs::openat(to, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            return copy_directory(&inner, &target);
        }
        FileType::RegularFile => {
            let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
            let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, name, new, Mode::from_raw_mode(0o600))?;
            let mut target = File::from(target);
            io::copy(&mut source, &mut target)?;
        }
        FileType::Symlink => {
            let leads_to = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&leads_to, to, name)?;
        }
        FileType::Fifo => {
            rustix::fs::mknodat(to, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        }
        // Devices and sockets are nobody's data.
        _ => return Ok(()),
    }
    let (user, group) = owner(&found);
    rustix::fs::chownat(to, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
    if kind != FileType::Symlink {
        // After the owner, whose change takes the set-user-id bit away.
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    Ok(())
}

fn owner(of: &rustix::fs::Stat) -> (Option<rustix::fs::Uid>, Option<rustix::fs::Gid>) {
    (Some(rustix::fs::Uid::from_raw(of.st_uid)), Some(rustix::fs::Gid::from_raw(of.st_gid)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::Inside;

    #[test]
    fn no_link_leads_out() {
        let home = tempfile::tempdir().expect("directory");
        let root = home.path().join("root");
        fs::create_dir_all(root.join("etc")).expect("etc");
        fs::write(home.path().join("secret"), "outside").expect("file");
        symlink("../../secret", root.join("etc/passwd")).expect("link");
        symlink(home.path(), root.join("out")).expect("link");
        let inside = Inside::open_root(&root).expect("root");
        assert_eq!(inside.read("etc/passwd").expect("read"), None);
        assert!(inside.make_directory(Path::new("/out/made")).is_err());
        assert!(!home.path().join("made").exists());
    }

    #[test]
    fn an_empty_volume_is_filled_once() {
        let home = tempfile::tempdir().expect("directory");
        let root = home.path().join("root");
        fs::create_dir_all(root.join("data/sub")).expect("data");
        fs::write(root.join("data/sub/file"), "from the image").expect("file");
        symlink("sub/file", root.join("data/link")).expect("link");
        let volume = home.path().join("volume");
        fs::create_dir(&volume).expect("volume");
        let inside = Inside::open_root(&root).expect("root");
        inside.copy_up(Path::new("/data"), &volume).expect("copy");
        let text = fs::read_to_string(volume.join("link")).expect("file");
        assert_eq!(text, "from the image");
        fs::remove_file(volume.join("sub/file")).expect("remove");
        inside.copy_up(Path::new("/data"), &volume).expect("copy");
        assert!(!volume.join("sub/file").exists());
    }
}
