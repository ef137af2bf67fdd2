//! `windlass internal virtiofsd`: serves one directory, or one file, of the host
//! to one VM. In a process of its own, which sees nothing else of the host's
//! file systems once it runs; it ends when its VM hangs up.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use nix::sched::CloneFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};
use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use virtiofsd::filesystem::{FileSystem, SerializableFileSystem};
use virtiofsd::passthrough::read_only::PassthroughFsRo;
use virtiofsd::passthrough::{CachePolicy, Config, InodeFileHandlesMode, PassthroughFs};
use virtiofsd::sandbox::{Sandbox, SandboxMode};
use virtiofsd::vhost_user::VhostUserFsBackendBuilder;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

/// Descriptors that the vhost-user machinery itself may need.
const OWN_DESCRIPTORS: u64 = 700;

/// What the daemon keeps in order to act as any user of the guest.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP);

/// Why it serves nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("usage: SOCKET ro|rw PATH")]
    Usage,
    #[error("cannot {0}: {1}")]
    Kernel(&'static str, io::Error),
    #[error("{0}")]
    Daemon(String),
}

/// Arguments: `SOCKET ro|rw PATH`. Says `ok` where the shim listens, once the
/// socket is there.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let mut ready = ready_pipe();
    match serve(arguments, &mut ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(pipe) = &mut ready {
                drop(writeln!(pipe, "{failure}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[OsString], ready: &mut Option<File>) -> Result<(), Failure> {
    let [socket, access, path] = arguments else { return Err(Failure::Usage) };
    let kernel = |what| move |error: io::Error| Failure::Kernel(what, error);
    let mut path = PathBuf::from(path);
    if !fs::metadata(&path).map_err(kernel("find what is shared"))?.is_dir() {
        path = alone(&path).map_err(kernel("share a single file"))?;
    }
    let listener = Listener::new(Path::new(socket), true)
        .map_err(|error| Failure::Daemon(format!("cannot listen: {error}")))?;
    let descriptors = virtiofsd::limits::setup_rlimit_nofile(None).map_err(Failure::Daemon)?;

    let shared = path.to_string_lossy().into_owned();
    let mut sandbox = Sandbox::new(shared, SandboxMode::Namespace, Vec::new(), Vec::new());
    let prefix = sandbox.get_mountinfo_prefix().map_err(kernel("read the mounts"))?;
    let listener = sandbox
        .enter(listener)
        .map_err(|error| Failure::Daemon(format!("cannot close itself in: {error}")))?;
    let config = Config {
        root_dir: sandbox.get_root_dir(),
        mountinfo_prefix: prefix,
        proc_sfd_rawfd: sandbox.get_proc_self_fd(),
        proc_mountinfo_rawfd: sandbox.get_mountinfo_fd(),
        // Others write on the host: what the guest remembers is looked up again.
        cache_policy: CachePolicy::Auto,
        xattr: true,
        announce_submounts: true,
        inode_file_handles: InodeFileHandlesMode::Prefer,
        guest_fd_limit: descriptors.saturating_sub(OWN_DESCRIPTORS),
        ..Config::default()
    };
    drop_capabilities().map_err(kernel("give up privileges"))?;
    if access == "ro" {
        run(PassthroughFsRo::new(config).map_err(kernel("open what is shared"))?, listener, ready)
    } else {
        run(PassthroughFs::new(config).map_err(kernel("open what is shared"))?, listener, ready)
    }
}

fn run<F>(served: F, mut listener: Listener, ready: &mut Option<File>) -> Result<(), Failure>
where
    F: FileSystem + SerializableFileSystem + Send + Sync + 'static,
{
    let daemon = |error: &dyn std::fmt::Debug| Failure::Daemon(format!("cannot serve: {error:?}"));
    let backend =
        VhostUserFsBackendBuilder::default().build(served).map_err(|error| daemon(&error))?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut server = VhostUserDaemon::new("virtiofsd".to_owned(), Arc::new(backend), memory)
        .map_err(|error| daemon(&error))?;
    if let Some(mut pipe) = ready.take() {
        pipe.write_all(b"ok\n").map_err(|error| Failure::Kernel("say that it works", error))?;
    }
    server.start(&mut listener).map_err(|error| daemon(&error))?;
    // It ends with its VM, however that ends: hanging up is no failure.
    drop(server.wait());
    Ok(())
}

/// A directory that holds `file` and nothing else, in a mount namespace of our own.
fn alone(file: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let file = fs::canonicalize(file)?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    // Opened first: the mount may hide it.
    let opened: OwnedFd = File::open(&file)?.into();
    let around = Path::new("/tmp");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", around, "tmpfs", flags, Some(c"mode=0755,size=64k"))?;
    let inside = around.join(name);
    File::create(&inside)?;
    let source = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&opened));
    if let Err(error) = rustix::mount::mount_bind(source.as_str(), &inside) {
        drop(rustix::mount::unmount(around, UnmountFlags::DETACH));
        return Err(error.into());
    }
    Ok(around.to_owned())
}

fn drop_capabilities() -> io::Result<()> {
    let kept = CapabilitySets {
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, kept)?;
    Ok(())
}

/// The pipe on which the shim hears that we work, if there is a shim.
fn ready_pipe() -> Option<File> {
    let number: u32 = std::env::var(crate::shim::READY_FD).ok()?.parse().ok()?;
    File::options().write(true).open(format!("/proc/self/fd/{number}")).ok()
}
