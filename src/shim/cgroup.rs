//! Control groups on hosts with version 1, version 2 or both (hybrid): making,
//! freezing, killing, removing. It only ever touches what lies below
//! `windlass.slice`.

mod limits;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const ROOT: &str = "/sys/fs/cgroup";

/// All groups of ours lie in here.
const SLICE: &str = "windlass.slice";

/// Where shims themselves live: a leaf, for version 2 allows processes only there.
pub const SHIMS: &str = "windlass.slice/shims";

/// How often a group is made again that vanished while it was entered: often enough
/// for somebody who does nothing but take it away, on a busy host.
const JOININGS: usize = 10_000;

/// How often a group is cleared of what goes on entering it.
const CLEARINGS: usize = 10;

/// How long a killed process may take to be gone.
const END_PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// The hierarchies of this host.
#[derive(Debug, Clone)]
pub struct Hierarchies {
    /// Version 1: one directory per hierarchy, `name=systemd` among them.
    legacy: Vec<PathBuf>,
    /// Version 2, alone or beside version 1.
    unified: Option<PathBuf>,
}

impl Hierarchies {
    /// What is mounted on this host: looked at once by each process.
    pub fn find() -> io::Result<Self> {
        static FOUND: OnceLock<Hierarchies> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found.clone());
        }
        Self::look().map(|found| FOUND.get_or_init(|| found).clone())
    }

    fn look() -> io::Result<Self> {
        let root = Path::new(ROOT);
        if root.join("cgroup.controllers").exists() {
            return Ok(Self { legacy: Vec::new(), unified: Some(root.to_owned()) });
        }
        let mut found = Self { legacy: Vec::new(), unified: None };
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            // `cpu` is often a link to `cpu,cpuacct`: the same hierarchy.
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let path = entry.path();
            if path.join("cgroup.controllers").exists() {
                found.unified = Some(path);
            } else if path.join("cgroup.procs").exists() {
                found.legacy.push(path);
            }
        }
        Ok(found)
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.legacy.iter().chain(&self.unified)
    }

    /// Where `file` of `path` may lie in version 1, likeliest first.
    fn legacy_places(&self, path: &str, file: &str) -> impl Iterator<Item = PathBuf> {
        // Nearly always the hierarchy that has the controller's name.
        let controller = file.split('.').next().unwrap_or_default();
        let named = move |root: &&PathBuf| {
            let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.split(',').any(|name| name == controller)
        };
        let first = self.legacy.iter().filter(named);
        let others = self.legacy.iter().filter(move |root| !named(root));
        first.chain(others).map(move |root| root.join(path).join(file))
    }

    /// Where `file` of `path` lies in version 1.
    fn legacy_file(&self, path: &str, file: &str) -> Option<PathBuf> {
        self.legacy_places(path, file).find(|file| file.exists())
    }

    /// What it says there.
    fn read_legacy(&self, path: &str, file: &str) -> Option<String> {
        self.legacy_places(path, file).find_map(|file| read(&file))
    }

    /// What it says in version 2.
    fn read_unified(&self, path: &str, file: &str) -> Option<String> {
        self.unified.as_ref().and_then(|root| read(&root.join(path).join(file)))
    }

    fn unified_file(&self, path: &str, file: &str) -> Option<PathBuf> {
        self.unified.iter().map(|root| root.join(path).join(file)).find(|file| file.exists())
    }

    /// Makes the group in every hierarchy.
    pub fn make(&self, path: &str) -> io::Result<()> {
        self.all().try_for_each(|root| self.make_in(root, path))
    }

    fn make_in(&self, root: &Path, path: &str) -> io::Result<()> {
        let directory = root.join(path);
        if directory.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&directory)?;
        if self.unified.as_deref() == Some(root) {
            delegate(root, path);
            return Ok(());
        }
        inherit_cpuset(root, path)
    }

    /// Moves a process (0: the caller) into the group.
    pub fn enter(&self, path: &str, pid: i32) -> io::Result<()> {
        for root in self.all() {
            fs::write(root.join(path).join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Makes the group and moves the caller into it. A `down` may take the empty
    /// groups away at this very moment ([`Self::tidy`]): they are made again.
    pub fn join(&self, path: &str) -> io::Result<()> {
        self.all().try_for_each(|root| {
            let attempt = || {
                self.make_in(root, path)?;
                fs::write(root.join(path).join("cgroup.procs"), "0")
            };
            for _ in 0..JOININGS {
                match attempt() {
                    Err(error) if has_vanished(&error) => {}
                    // Somebody is just making it, or was killed over it: it has no processors yet.
                    Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                        // Where it has vanished meanwhile, the next attempt finds that out.
                        drop(inherit_cpuset(root, path));
                    }
                    result => return result,
                }
            }
            attempt()
        })
    }

    /// Removes what all stacks have in common, where nothing lives in it any more.
    pub fn tidy(&self) {
        for root in self.all() {
            // Whoever is in there is somebody's, and keeps it.
            if fs::remove_dir(root.join(SHIMS)).is_ok() {
                drop(fs::remove_dir(root.join(SLICE)));
            }
        }
    }

    /// Moves the caller into the group where libcontainer, which enters the
    /// controllers itself, does not: `name=systemd`, and version 2 beside
    /// version 1. The rest must be left to it: when it fails, it kills whatever
    /// is in the group, and the caller has yet to say why.
    pub fn enter_beside_libcontainer(&self, path: &str) -> io::Result<()> {
        let named = self.legacy.iter().filter(|root| root.ends_with("systemd"));
        let beside = self.unified.iter().filter(|_| !self.legacy.is_empty());
        for root in named.chain(beside) {
            fs::write(root.join(path).join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Freezes or thaws. Version 2's freezer where there is one: what it froze
    /// can still be killed.
    pub fn freeze(&self, path: &str, frozen: bool) -> io::Result<()> {
        let legacy = self.legacy_file(path, "freezer.state");
        let unified = self.unified_file(path, "cgroup.freeze");
        if let Some(file) = &unified {
            fs::write(file, if frozen { "1" } else { "0" })?;
        }
        match legacy {
            // Somebody else may have frozen it there: a thaw undoes both.
            Some(file) if !frozen => fs::write(file, "THAWED"),
            Some(file) if unified.is_none() => fs::write(file, "FROZEN"),
            None if unified.is_none() => Err(unsupported("freezer")),
            _ => Ok(()),
        }
    }

    /// Whether the group is frozen, by whomever.
    pub fn frozen(&self, path: &str) -> bool {
        self.read_unified(path, "cgroup.freeze").is_some_and(|text| text.trim() == "1")
            || self.read_legacy(path, "freezer.state").is_some_and(|text| text.trim() != "THAWED")
    }

    /// How many of the group's processes the kernel has killed for lack of memory.
    pub fn out_of_memory_kills(&self, path: &str) -> u64 {
        self.read_unified(path, "memory.events")
            .or_else(|| self.read_legacy(path, "memory.oom_control"))
            .and_then(|text| {
                text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            })
            .unwrap_or_default()
    }

    /// The processes in the group, in whichever hierarchy.
    pub fn processes(&self, path: &str) -> BTreeSet<i32> {
        let files = self.all().map(|root| root.join(path).join("cgroup.procs"));
        let texts: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect()
    }

    /// Kills whatever is left in the group, frozen or not.
    pub fn kill(&self, path: &str) {
        if let Some(file) = self.unified_file(path, "cgroup.kill") {
            drop(fs::write(file, "1"));
        }
        for pid in self.processes(path) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // It ended meanwhile: as it shall be.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        drop(self.freeze(path, false));
    }

    /// Whether the group exists anywhere.
    pub fn exists(&self, path: &str) -> bool {
        self.all().any(|root| root.join(path).is_dir())
    }

    /// The names of the groups right below this one, in whichever hierarchy.
    pub fn below(&self, path: &Path) -> BTreeSet<String> {
        let directories = self.all().filter_map(|root| fs::read_dir(root.join(path)).ok());
        let entries = directories.flatten().flatten();
        let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        groups.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Removes the group with whatever is still in it: a command that was just
    /// being run inside may enter while its container ends.
    pub fn clear(&self, path: &str) -> io::Result<()> {
        for _ in 0..CLEARINGS {
            match self.remove(path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => self.end_all(path)?,
                result => return result,
            }
        }
        self.remove(path)
    }

    /// Kills whatever is in the group and waits until it has ended.
    fn end_all(&self, path: &str) -> io::Result<()> {
        let running = self.processes(path).into_iter().filter_map(Pid::from_raw);
        let running = running.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let running: Vec<OwnedFd> = running.collect();
        self.kill(path);
        for process in &running {
            let mut ended = [PollFd::new(process, PollFlags::IN)];
            poll(&mut ended, Some(&END_PATIENCE))?;
        }
        Ok(())
    }

    /// Removes the group and, where it was the last, the group above it. A
    /// group that still holds a process stays.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let mut result = Ok(());
        for root in self.all() {
            let directory = root.join(path);
            remove_children(&directory);
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                _ => {}
            }
            if let Some(above) =
                Path::new(path).parent().filter(|above| above.components().count() > 1)
            {
                drop(fs::remove_dir(root.join(above)));
            }
        }
        result
    }
}

/// A file of a group: a value or a few lines, which the kernel gives in one piece.
fn read(file: &Path) -> Option<String> {
    let mut buffer = [0; 1024];
    let length = fs::File::open(file).ok()?.read(&mut buffer).ok()?;
    std::str::from_utf8(&buffer[..length]).ok().map(str::to_owned)
}

/// A group that is removed while it is written to has no such device.
fn has_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// A container with its own group namespace may have made groups below its own.
fn remove_children(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())) {
        remove_children(&entry.path());
        drop(fs::remove_dir(entry.path()));
    }
}

/// A new group of `cpuset` has no processors and takes no process until it is
/// told what its parent has.
fn inherit_cpuset(root: &Path, path: &str) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut directory = root.to_owned();
        if !directory.join(file).exists() {
            continue;
        }
        let mut value = fs::read_to_string(directory.join(file))?;
        for part in Path::new(path) {
            directory.push(part);
            let own = fs::read_to_string(directory.join(file))?;
            if own.trim().is_empty() {
                fs::write(directory.join(file), value.trim())?;
            } else {
                value = own;
            }
        }
    }
    Ok(())
}

/// Version 2: a group has the controllers that the one above hands down. What
/// the host does not have is found when a limit is set.
fn delegate(root: &Path, path: &str) {
    let mut directory = root.to_owned();
    let parts: Vec<_> = Path::new(path).iter().collect();
    for part in std::iter::once(None).chain(parts.iter().take(parts.len() - 1).map(Some)) {
        if let Some(part) = part {
            directory.push(part);
        }
        for controller in ["+cpu", "+memory", "+pids", "+cpuset"] {
            drop(fs::write(directory.join("cgroup.subtree_control"), controller));
        }
    }
}

fn unsupported(controller: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("this host has no `{controller}` controller for control groups"),
    )
}
