//! The last steps before a container's program runs, shared by its first
//! process and by those that `exec` adds: system calls, capabilities, signals.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

use super::{Refusal, fork, seccomp};

/// How many interpreters deep a script may be, as in the kernel.
const INTERPRETERS: usize = 5;

/// What a process in a container may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The most that it can ever have, as in [`NAMES`], with `CAP_`.
    pub capabilities: BTreeSet<String>,
    /// Whether its system calls are filtered.
    pub filtered: bool,
}

impl Confinement {
    /// Whether it is allowed everything.
    pub(super) fn is_privileged(&self) -> bool {
        !self.filtered
    }
}

/// Gives up what the process shall not have. `root`: its user is.
pub(super) fn confine(confinement: &Confinement, root: bool) -> Result<(), Refusal> {
    let kept = parse(&confinement.capabilities);
    if confinement.filtered {
        // Before the capabilities go: without `no_new_privs` it needs one.
        seccomp::install(kept).map_err(Refusal::system("install the system call filter"))?;
    }
    for (_, capability) in NAMES {
        if !kept.contains(*capability) {
            // An older kernel does not know the newest ones: then it has none to give.
            let _ = rustix::thread::remove_capability_from_bounding_set(*capability);
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    // As Docker has it: a user other than root starts with none.
    let own = if root { kept } else { CapabilitySet::empty() };
    let sets =
        CapabilitySets { effective: own, permitted: own, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(Refusal::system("set the capabilities"))
}

/// Becomes the program. Returns only with a reason.
pub(super) fn become_program(argv: &[String], path: &str) -> Refusal {
    let name = argv.first().map_or("", String::as_str);
    let program = match find(name, path) {
        Ok(program) => program,
        Err(refusal) => return refusal,
    };
    if let Some(refusal) = refuse_self(&program, name) {
        return refusal;
    }
    let arguments: Result<Vec<CString>, _> =
        argv.iter().map(|argument| CString::new(argument.as_bytes())).collect();
    let file = CString::new(program.as_os_str().as_bytes());
    let (Ok(arguments), Ok(file)) = (arguments, file) else {
        return Refusal::system(format!("execute `{name}`"))("it holds a zero byte");
    };
    if let Err(error) = fork::default_signals() {
        return Refusal::system("set the signals")(error);
    }
    let Err(error) = nix::unistd::execv(&file, &arguments);
    Refusal::of_exec(name, "in the image", &error.into())
}

/// Looks a name without a slash up in `path`.
fn find(name: &str, path: &str) -> Result<PathBuf, Refusal> {
    let missing =
        || Refusal::NotFound { program: name.to_owned(), place: "in the image".to_owned() };
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    if name.is_empty() {
        return Err(missing());
    }
    let mut refused = missing();
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match candidate.metadata() {
            Ok(found) if found.is_file() && found.mode() & 0o111 != 0 => return Ok(candidate),
            Ok(found) if found.is_file() => {
                refused = Refusal::NotExecutable { program: name.to_owned() };
            }
            _ => {}
        }
    }
    Err(refused)
}

/// The program, or an interpreter that it names, must not be the very file
/// that this process runs: that is the host's.
fn refuse_self(program: &Path, name: &str) -> Option<Refusal> {
    let own = std::fs::metadata("/proc/self/exe").ok()?;
    let mut program = program.to_owned();
    for _ in 0..INTERPRETERS {
        let found = program.metadata().ok()?;
        if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
            return Some(Refusal::SelfExecutable { program: name.to_owned() });
        }
        program = interpreter(&program)?;
    }
    None
}

/// The program behind `#!`.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    File::open(script).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().next().map(PathBuf::from)
}

/// Every capability by name.
pub const NAMES: &[(&str, CapabilitySet)] = &[
    ("CAP_AUDIT_CONTROL", CapabilitySet::AUDIT_CONTROL),
    ("CAP_AUDIT_READ", CapabilitySet::AUDIT_READ),
    ("CAP_AUDIT_WRITE", CapabilitySet::AUDIT_WRITE),
    ("CAP_BLOCK_SUSPEND", CapabilitySet::BLOCK_SUSPEND),
    ("CAP_BPF", CapabilitySet::BPF),
    ("CAP_CHECKPOINT_RESTORE", CapabilitySet::CHECKPOINT_RESTORE),
    ("CAP_CHOWN", CapabilitySet::CHOWN),
    ("CAP_DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
    ("CAP_DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH),
    ("CAP_FOWNER", CapabilitySet::FOWNER),
    ("CAP_FSETID", CapabilitySet::FSETID),
    ("CAP_IPC_LOCK", CapabilitySet::IPC_LOCK),
    ("CAP_IPC_OWNER", CapabilitySet::IPC_OWNER),
    ("CAP_KILL", CapabilitySet::KILL),
    ("CAP_LEASE", CapabilitySet::LEASE),
    ("CAP_LINUX_IMMUTABLE", CapabilitySet::LINUX_IMMUTABLE),
    ("CAP_MAC_ADMIN", CapabilitySet::MAC_ADMIN),
    ("CAP_MAC_OVERRIDE", CapabilitySet::MAC_OVERRIDE),
    ("CAP_MKNOD", CapabilitySet::MKNOD),
    ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
    ("CAP_NET_BIND_SERVICE", CapabilitySet::NET_BIND_SERVICE),
    ("CAP_NET_BROADCAST", CapabilitySet::NET_BROADCAST),
    ("CAP_NET_RAW", CapabilitySet::NET_RAW),
    ("CAP_PERFMON", CapabilitySet::PERFMON),
    ("CAP_SETFCAP", CapabilitySet::SETFCAP),
    ("CAP_SETGID", CapabilitySet::SETGID),
    ("CAP_SETPCAP", CapabilitySet::SETPCAP),
    ("CAP_SETUID", CapabilitySet::SETUID),
    ("CAP_SYSLOG", CapabilitySet::SYSLOG),
    ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ("CAP_SYS_BOOT", CapabilitySet::SYS_BOOT),
    ("CAP_SYS_CHROOT", CapabilitySet::SYS_CHROOT),
    ("CAP_SYS_MODULE", CapabilitySet::SYS_MODULE),
    ("CAP_SYS_NICE", CapabilitySet::SYS_NICE),
    ("CAP_SYS_PACCT", CapabilitySet::SYS_PACCT),
    ("CAP_SYS_PTRACE", CapabilitySet::SYS_PTRACE),
    ("CAP_SYS_RAWIO", CapabilitySet::SYS_RAWIO),
    ("CAP_SYS_RESOURCE", CapabilitySet::SYS_RESOURCE),
    ("CAP_SYS_TIME", CapabilitySet::SYS_TIME),
    ("CAP_SYS_TTY_CONFIG", CapabilitySet::SYS_TTY_CONFIG),
    ("CAP_WAKE_ALARM", CapabilitySet::WAKE_ALARM),
];

/// What the names mean, as far as this process has it to give.
fn parse(names: &BTreeSet<String>) -> CapabilitySet {
    let wanted = NAMES.iter().filter(|(name, _)| names.contains(*name));
    let wanted = wanted.fold(CapabilitySet::empty(), |set, (_, capability)| set | *capability);
    let own =
        rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    wanted & own
}
