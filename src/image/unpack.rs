//! Layers: an archive's entries as a directory that overlayfs can lie on.
//!
//! Archives come from strangers. Every name is resolved as if the directory
//! were the root of the world (`openat2`, `RESOLVE_IN_ROOT`), one component is
//! ever written at a time, and nothing that already lies there is followed.
//! Whiteouts become overlayfs' own. Device nodes are left out: a container
//! gets its devices from its engine.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use tar::{Archive, Entry, EntryType};

use super::ImageError;
use super::room::Room;

/// What unpacking an archive came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Device nodes that were left out.
    pub(super) devices: u64,
}

/// Unpacks `archive` into `directory`, which is empty.
pub(super) fn unpack(archive: impl Read, directory: &Path) -> Result<Unpacked, ImageError> {
    let failed = |source| ImageError::io("unpack into", directory)(source);
    let mut layer = Layer::open(directory).map_err(failed)?;
    let mut archive = Archive::new(archive);
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        layer.add(&mut entry)?;
    }
    layer.finish().map_err(failed)
}

struct Layer {
    path: PathBuf,
    root: OwnedFd,
    room: Room,
    /// The directory that was written to last: archives come sorted.
    last: Option<(PathBuf, OwnedFd)>,
    /// Their times are set last: writing into a directory changes them.
    directories: Vec<(PathBuf, Timestamps)>,
    unpacked: Unpacked,
}

/// Where an entry goes: a directory that is open, and one name in it.
struct Place<'a> {
    parent: &'a OwnedFd,
    name: &'a OsStr,
}

impl Layer {
    fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())?;
        Ok(Self {
            path: directory.to_owned(),
            root,
            room: Room::new(directory),
            last: None,
            directories: Vec::new(),
            unpacked: Unpacked::default(),
        })
    }

    fn add(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), ImageError> {
        let written = entry.path_bytes().into_owned();
        let path = beneath(&written)?;
        let failed = |layer: &Path| {
            let path = layer.join(&path);
            move |source| ImageError::io("unpack", &path)(source)
        };
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return self.add_root(entry).map_err(failed(&self.path));
        };
        let parent = self.parent(&path).map_err(failed(&self.path))?;
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return whiteout(&parent, OsStr::from_bytes(hidden), &written)?
                .map_err(failed(&self.path));
        }
        let place = Place { parent: &parent, name: &name };
        match entry.header().entry_type() {
            EntryType::Link => {
                let target = link_target(entry)?;
                self.hard_link(&place, &target, &written)
            }
            EntryType::Block | EntryType::Char => {
                self.unpacked.devices += 1;
                Ok(())
            }
            EntryType::Directory => {
                self.directory(&place, &path, entry).map_err(failed(&self.path))
            }
            EntryType::Symlink => {
                let target = link_target(entry)?;
                symlink(&place, &target, entry).map_err(failed(&self.path))
            }
            EntryType::Fifo => fifo(&place, entry).map_err(failed(&self.path)),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&place, entry)
            }
            _ => Ok(()),
        }?;
        self.last = Some((path.parent().unwrap_or(Path::new("")).to_owned(), parent));
        Ok(())
    }

    /// The entry for `./` itself.
    fn add_root(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        if entry.header().entry_type().is_dir() {
            own(&self.root, entry)?;
            self.directories.push((PathBuf::from("."), times(entry)));
        }
        Ok(())
    }

    /// The directory that `path` lies in, open; made where it is missing.
    fn parent(&mut self, path: &Path) -> io::Result<OwnedFd> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match self.last.take() {
            Some((last, open)) if last == parent => Ok(open),
            _ => self.open_directory(parent),
        }
    }

    fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.resolve(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        // The root itself resolves, so there is a parent and a name.
        let name = path.file_name().unwrap_or_default();
        let above = self.open_directory(path.parent().unwrap_or(Path::new("")))?;
        rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755))?;
        self.resolve(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags, Mode::empty(), within)?)
    }

    fn directory(
        &mut self,
        place: &Place<'_>,
        path: &Path,
        entry: &mut Entry<'_, impl Read>,
    ) -> io::Result<()> {
        let before = place.found()?;
        if before != Some(FileType::Directory) {
            place.clear(before)?;
            rustix::fs::mkdirat(place.parent, place.name, Mode::from_raw_mode(0o700))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(place.parent, place.name, flags, Mode::empty())?;
        if before == Some(FileType::CharacterDevice) {
            // It was whited out before it came again: nothing below shines through.
            make_opaque(&open)?;
        }
        own(&open, entry)?;
        self.directories.push((path.to_owned(), times(entry)));
        Ok(())
    }

    fn file(
        &mut self,
        place: &Place<'_>,
        entry: &mut Entry<'_, impl Read>,
    ) -> Result<(), ImageError> {
        let failed = |source| ImageError::io("unpack", Path::new(place.name))(source);
        let open = || -> io::Result<File> {
            place.clear(place.found()?)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o600);
            Ok(rustix::fs::openat(place.parent, place.name, flags, mode)?.into())
        };
        let mut file = open().map_err(failed)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = entry.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            self.room.take(count as u64)?;
            io::Write::write_all(&mut file, &buffer[..count]).map_err(failed)?;
            self.unpacked.bytes += count as u64;
        }
        own(&file, entry).map_err(failed)?;
        rustix::fs::futimens(&file, &times(entry)).map_err(|error| failed(error.into()))
    }

    fn hard_link(&self, place: &Place<'_>, target: &Path, entry: &[u8]) -> Result<(), ImageError> {
        let target = beneath(target.as_os_str().as_bytes())?;
        let missing = || ImageError::Hostile {
            reason: format!(
                "`{}` is a hard link to `{}`, which the archive does not have",
                String::from_utf8_lossy(entry),
                target.display()
            ),
        };
        let name = target.file_name().ok_or_else(missing)?;
        let link = || -> io::Result<()> {
            let directory = self.resolve(target.parent().unwrap_or(Path::new("")))?;
            let from = Place { parent: &directory, name };
            if from.is_same_as(place)? {
                return Ok(());
            }
            from.found()?.ok_or(io::ErrorKind::NotFound)?;
            place.clear(place.found()?)?;
            Ok(rustix::fs::linkat(&directory, name, place.parent, place.name, AtFlags::empty())?)
        };
        link().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => ImageError::io("link", Path::new(place.name))(error),
        })
    }

    fn finish(self) -> io::Result<Unpacked> {
        for (path, times) in self.directories.iter().rev() {
            // It may have been replaced or hidden by a later entry.
            if let Ok(open) = self.resolve(path) {
                rustix::fs::futimens(&open, times)?;
            }
        }
        Ok(self.unpacked)
    }
}

impl Place<'_> {
    /// What lies there now, without following it.
    fn found(&self) -> io::Result<Option<FileType>> {
        match rustix::fs::statat(self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes room for an entry that replaces what an earlier one put there.
    fn clear(&self, found: Option<FileType>) -> io::Result<()> {
        match found {
            None => Ok(()),
            Some(FileType::Directory) => {
                let parent = format!("/proc/self/fd/{}", self.parent.as_raw_fd());
                std::fs::remove_dir_all(Path::new(&parent).join(self.name))
            }
            Some(_) => Ok(rustix::fs::unlinkat(self.parent, self.name, AtFlags::empty())?),
        }
    }

    fn is_same_as(&self, other: &Place<'_>) -> io::Result<bool> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let here = rustix::fs::statat(self.parent, self.name, flags);
        let there = rustix::fs::statat(other.parent, other.name, flags);
        match (here, there) {
            (Ok(here), Ok(there)) => Ok((here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)),
            (Err(error), _) => Err(error.into()),
            (Ok(_), Err(_)) => Ok(false),
        }
    }
}

/// An entry's name as a path that starts at the layer's root. A name that
/// climbs is refused, not mended: no honest archive has one.
fn beneath(written: &[u8]) -> Result<PathBuf, ImageError> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(written)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let written = String::from_utf8_lossy(written);
                let reason = format!("`{written}` leads out of it");
                return Err(ImageError::Hostile { reason });
            }
        }
    }
    Ok(path)
}

/// Hides a lower layer's `hidden` (or with `.wh..opq` all of them).
fn whiteout(
    parent: &OwnedFd,
    hidden: &OsStr,
    written: &[u8],
) -> Result<io::Result<()>, ImageError> {
    match hidden.as_bytes() {
        b".wh..opq" => return Ok(make_opaque(parent)),
        b"" | b"." | b".." => {
            let reason = format!("`{}` hides no file", String::from_utf8_lossy(written));
            return Err(ImageError::Hostile { reason });
        }
        // Notes of an older layering file system, meaningless to others.
        name if name.starts_with(b".wh.") => return Ok(Ok(())),
        _ => {}
    }
    let made = rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0);
    Ok(match made {
        // What this layer itself has there hides the lower one's already.
        Err(rustix::io::Errno::EXIST) => Ok(()),
        made => made.map_err(io::Error::from),
    })
}

fn make_opaque(directory: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::XattrFlags::empty();
    Ok(rustix::fs::fsetxattr(directory, c"trusted.overlay.opaque", b"y", flags)?)
}

fn link_target(entry: &Entry<'_, impl Read>) -> Result<PathBuf, ImageError> {
    let target = entry.link_name_bytes().filter(|target| !target.is_empty());
    target.map(|target| PathBuf::from(OsStr::from_bytes(&target))).ok_or_else(|| {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        ImageError::Hostile { reason: format!("`{name}` is a link to nothing") }
    })
}

/// A symbolic link keeps what it says, wherever that leads: it is resolved
/// within the container, and never by us.
fn symlink(place: &Place<'_>, target: &Path, entry: &Entry<'_, impl Read>) -> io::Result<()> {
    place.clear(place.found()?)?;
    rustix::fs::symlinkat(target, place.parent, place.name)?;
    own_without_following(place, entry)
}

fn fifo(place: &Place<'_>, entry: &Entry<'_, impl Read>) -> io::Result<()> {
    place.clear(place.found()?)?;
    let mode = Mode::from_raw_mode(entry.header().mode()? & 0o777);
    rustix::fs::mknodat(place.parent, place.name, FileType::Fifo, mode, 0)?;
    own_without_following(place, entry)
}

fn own_without_following(place: &Place<'_>, entry: &Entry<'_, impl Read>) -> io::Result<()> {
    let (uid, gid) = owner(entry)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(place.parent, place.name, Some(uid), Some(gid), flags)?;
    Ok(rustix::fs::utimensat(place.parent, place.name, &times(entry), flags)?)
}

/// Owner, then mode (a change of owner clears setuid), then attributes.
fn own(file: &impl std::os::fd::AsFd, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let (uid, gid) = owner(entry)?;
    rustix::fs::fchown(file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.header().mode()? & 0o7777))?;
    for (name, value) in attributes(entry)? {
        rustix::fs::fsetxattr(file, name, &value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

/// The attributes that a layer may set. Others steer the host: overlayfs' own
/// would point anywhere, labels belong to the host's policy.
fn attributes(entry: &mut Entry<'_, impl Read>) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut attributes = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
        let of_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if of_user || name == b"security.capability" {
            attributes.push((OsStr::from_bytes(name).to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(attributes)
}

fn owner(entry: &Entry<'_, impl Read>) -> io::Result<(Uid, Gid)> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "an owner that cannot be");
    let uid = u32::try_from(entry.header().uid()?).map_err(invalid)?;
    let gid = u32::try_from(entry.header().gid()?).map_err(invalid)?;
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

fn times(entry: &Entry<'_, impl Read>) -> Timestamps {
    let seconds = entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok());
    let time = Timespec { tv_sec: seconds.unwrap_or(0), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
