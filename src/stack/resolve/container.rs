//! What only services have.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Resolver;
use super::field::{bytes, integer, maybe_texts, text, texts, truth};
use crate::diagnostic::Diagnostic;
use crate::spec::milli;
use crate::stack::Container;
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn container(&mut self, node: &Node) -> Container {
        let limits = node.get("deploy").and_then(|deploy| deploy.get("resources"));
        let limits = limits.and_then(|resources| resources.get("limits"));
        let pids = limits.and_then(|limits| integer(limits, "pids"));
        Container {
            command: maybe_texts(node, "command"),
            entrypoint: maybe_texts(node, "entrypoint"),
            user: text(node, "user"),
            working_dir: text(node, "working_dir"),
            mem_limit: bytes(node, "mem_limit")
                .or_else(|| limits.and_then(|limits| bytes(limits, "memory"))),
            milli_cpus: self
                .milli_cpus(node.get("cpus"))
                .or_else(|| self.milli_cpus(limits.and_then(|limits| limits.get("cpus")))),
            pids_limit: integer(node, "pids_limit").or(pids).filter(|limit| *limit > 0),
            cap_add: self.capabilities(node, "cap_add"),
            cap_drop: self.capabilities(node, "cap_drop"),
            privileged: truth(node, "privileged"),
            read_only: truth(node, "read_only"),
            stop_signal: text(node, "stop_signal"),
            tty: truth(node, "tty"),
            stdin_open: truth(node, "stdin_open"),
        }
    }

    /// Zero is no limit, as in Compose.
    fn milli_cpus(&mut self, node: Option<&Node>) -> Option<u64> {
        let node = node?;
        let parsed = milli(node.as_text()?);
        if parsed.is_none() {
            self.error("a number of processors, like `0.5`, is expected", node.span);
        }
        parsed.filter(|milli| *milli > 0)
    }

    /// Without `CAP_`, in capitals.
    fn capabilities(&mut self, node: &Node, key: &str) -> Vec<String> {
        let names = texts(node, key).into_iter().map(|name| {
            let upper = name.to_ascii_uppercase();
            upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
        });
        let names: Vec<String> = names.collect();
        for (name, item) in names.iter().zip(super::field::items(node, key)) {
            if !CAPABILITIES.contains(&name.as_str()) {
                self.found.push(
                    Diagnostic::error(format!("there is no capability `{name}`"))
                        .at(item.span)
                        .maybe_help(super::among(name, CAPABILITIES)),
                );
            }
        }
        names
    }
}

const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];
