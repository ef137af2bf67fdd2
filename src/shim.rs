//! The shim: a re-exec of Windlass that minds one process — a container, QEMU,
//! virtiofsd, a port forwarder, a network's name server — and outlives the
//! command that made it. Single-threaded, no async runtime, small.
//!
//! This file is the contract: what a shim is told ([`ShimSpec`]), what it leaves
//! on disk ([`Status`], the exit record) and how to ask it for something. It
//! holds no knowledge of stacks or plans.

mod account;
pub mod cgroup;
pub mod confine;
mod container;
mod devices;
mod door;
pub mod enter;
mod error;
mod follow;
mod fork;
mod inside;
mod interfaces;
pub mod launch;
mod log_file;
pub mod look;
mod minder;
pub mod process;
mod program;
pub mod protocol;
pub mod ready;
mod reexec;
mod rootfs;
mod seccomp;
mod settle;
mod start;
mod syscalls;
mod terminal;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use confine::Confinement;
pub use error::{Refusal, ShimError};
pub use launch::Launcher;
pub use look::{Alive, ended, look, wait_until_unminded};
pub use program::READY_FD;
pub use protocol::{Attached, Reply, Request, request};
pub use settle::settle;
pub use start::main;

use serde::{Deserialize, Serialize};

use crate::observed::Exit;

/// Version of the spec and of the socket's protocol.
pub const VERSION: u32 = 1;

/// What a shim is told, as `shim.json` in its run directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// [`VERSION`] of whoever wrote it.
    pub version: u32,
    /// For messages and process lists: `container shop/web`.
    pub label: String,
    /// Holds `shim.json`, `status.json`, `shim.sock`.
    pub run_directory: PathBuf,
    /// Directory of CRI-format log files; `None`: output is dropped.
    pub log_directory: Option<PathBuf>,
    /// Where the exit record goes: data, survives a reboot.
    pub exit_file: PathBuf,
    /// The cgroup the process enters.
    pub cgroup: Option<Cgroup>,
    /// Interfaces it gets, in order.
    pub interfaces: Vec<Interface>,
    /// What it minds.
    pub payload: Payload,
}

/// A cgroup with its limits; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Below the hierarchy's root, without a leading slash.
    pub path: String,
    /// Bytes.
    pub memory: Option<u64>,
    /// Processors, in thousandths.
    pub milli_cpus: Option<u64>,
    /// Number of processes.
    pub pids: Option<i64>,
}

/// An interface. A container gets the inner end of a veth pair as `ethN`, with
/// address and route; QEMU gets an open tap. Both are on `bridge`, both go away
/// with the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Name of the host's end.
    pub host_name: String,
    /// The bridge it is a port of.
    pub bridge: String,
    /// Goes into the host's end's `ifalias`.
    pub label: String,
    /// Address with prefix, for containers.
    pub ipv4: std::net::Ipv4Addr,
    /// Length of the prefix.
    pub prefix: u8,
    /// Default route, if it goes here.
    pub gateway: Option<std::net::Ipv4Addr>,
    /// Hardware address.
    pub mac: String,
    /// Maximum transmission unit.
    pub mtu: u32,
}

/// What a shim minds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// A container, by libcontainer. The container dies with its shim.
    Container(Box<ContainerPayload>),
    /// Any other program.
    Program(ProgramPayload),
    /// A program that lost its shim and is already running.
    Adopted {
        /// Its process.
        pid: i32,
        /// Field 22 of `/proc/<pid>/stat`.
        start_time: u64,
        /// As in [`ProgramPayload::follow`]: goes on where the lost shim stopped.
        #[serde(default)]
        follow: Option<PathBuf>,
    },
}

/// A container to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPayload {
    /// Overlay's lower directories, topmost first.
    pub lower: Vec<PathBuf>,
    /// Its writable layer.
    pub upper: PathBuf,
    /// Overlay's work directory.
    pub work: PathBuf,
    /// The OCI runtime configuration, `root.path` and namespaces' paths left to the shim.
    pub config: serde_json::Value,
    /// Give it a terminal.
    pub tty: bool,
    /// Keep standard input open (attachable).
    pub stdin_open: bool,
    /// `user[:group]`, looked up in the image's own files; empty: root.
    /// `process.user` of the configuration is left out.
    pub user: String,
    /// Volumes that, when empty, receive what the image has there.
    pub copy_up: Vec<CopyUp>,
    /// What its processes may do; `process.capabilities` and `linux.seccomp`
    /// of the configuration are left out.
    pub confinement: Confinement,
}

/// A volume that may have to be filled from the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyUp {
    /// Where the image has it, absolute.
    pub path: PathBuf,
    /// The volume's directory on the host.
    pub volume: PathBuf,
}

/// A program to run on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramPayload {
    /// Program and arguments. `{tap0}`, `{tap1}` … become the descriptors of the
    /// interfaces' taps. `argv[0] == "windlass"` means this very binary.
    pub argv: Vec<String>,
    /// Variables; nothing is inherited but `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Working directory.
    pub working_directory: PathBuf,
    /// User and group to run as.
    pub user: Option<(u32, u32)>,
    /// A file the program appends to; copied into the log line by line (a VM's console).
    pub follow: Option<PathBuf>,
    /// The program says on the descriptor in `WINDLASS_READY_FD` that it works: `ok\n`,
    /// or why it does not and ends. Otherwise it counts as up once it is running.
    pub says_ready: bool,
    /// Ends with its shim (virtiofsd: no; QEMU: no; forwarders and name servers: no).
    pub dies_with_shim: bool,
}

/// `status.json`: written by the shim when its process runs, removed when it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`] of the shim.
    pub version: u32,
    /// The shim's own process.
    pub shim_pid: i32,
    /// Field 22 of its `/proc/<pid>/stat`.
    pub shim_start_time: u64,
    /// The process it minds, in the host's numbering.
    pub pid: i32,
    /// Field 22 of that one's.
    pub start_time: u64,
    /// The boot these numbers belong to.
    pub boot_id: String,
    /// Seconds since the epoch.
    pub started: i64,
    /// Path of the cgroup it is in, below the hierarchy's root.
    #[serde(default)]
    pub cgroup: Option<String>,
}

/// `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Form of this file.
    pub version: u32,
    /// The process that ended.
    pub pid: i32,
    /// Its start time.
    pub start_time: u64,
    /// The boot these numbers belong to.
    pub boot_id: String,
    /// How it ended.
    pub exit: Exit,
}
