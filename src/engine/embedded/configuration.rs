//! A container's OCI runtime configuration, as Docker would write it. Pure:
//! what the shim must see on the host to know (the user, namespaces) it adds.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image::Config;
use serde_json::{Value, json};

use super::error::EmbeddedError;
use crate::shim::Confinement;
use crate::shim::confine::NAMES;
use crate::stack::{Container, Workload};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Docker's fourteen.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The configuration; `mounts` are those of the workload, in order.
pub(super) fn configuration(
    workload: &Workload,
    container: &Container,
    image: &Config,
    hostname: &str,
    mounts: Vec<Value>,
) -> Result<Value, EmbeddedError> {
    let mut all = own_mounts(container.privileged);
    all.extend(mounts);
    let (masked, read_only): (&[&str], &[&str]) =
        if container.privileged { (&[], &[]) } else { (&MASKED, &READ_ONLY) };
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": hostname,
        "root": { "path": "", "readonly": container.read_only },
        "process": {
            "args": command(container, image)?,
            "env": environment(workload, container, image, hostname),
            "cwd": working_directory(container, image),
            "user": { "uid": 0, "gid": 0 },
        },
        "mounts": all,
        "linux": { "maskedPaths": masked, "readonlyPaths": read_only },
    }))
}

/// Docker's rule: an entrypoint in the file drops the image's command.
fn command(container: &Container, image: &Config) -> Result<Vec<String>, EmbeddedError> {
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (mut words, arguments) = match (&container.entrypoint, &container.command) {
        (Some(entrypoint), command) => (entrypoint.clone(), command.clone().unwrap_or_default()),
        (None, Some(command)) => (of_image(image.entrypoint()), command.clone()),
        (None, None) => (of_image(image.entrypoint()), of_image(image.cmd())),
    };
    words.extend(arguments);
    if words.is_empty() { Err(EmbeddedError::NoCommand) } else { Ok(words) }
}

/// The image's variables, then the file's, in a stable order.
pub(super) fn environment(
    workload: &Workload,
    container: &Container,
    image: &Config,
    hostname: &str,
) -> Vec<String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |text: &str| {
        if let Some((name, value)) = text.split_once('=') {
            variables.insert(name.to_owned(), value.to_owned());
        }
    };
    add(DEFAULT_PATH);
    add(&format!("HOSTNAME={hostname}"));
    if container.tty {
        add("TERM=xterm");
    }
    image.env().iter().flatten().for_each(|text| add(text));
    variables.extend(workload.environment.clone());
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn working_directory(container: &Container, image: &Config) -> String {
    let wanted = container.working_dir.clone().or_else(|| image.working_dir().clone());
    let wanted = wanted.unwrap_or_default();
    if wanted.starts_with('/') { wanted } else { format!("/{wanted}") }
}

/// What its processes may do.
pub(super) fn confinement(container: &Container) -> Result<Confinement, EmbeddedError> {
    let all = || NAMES.iter().map(|(name, _)| (*name).to_owned());
    if container.privileged {
        return Ok(Confinement { capabilities: all().collect(), filtered: false });
    }
    let mut capabilities: BTreeSet<String> =
        DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
    let has_all = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    if has_all(&container.cap_drop) {
        capabilities.clear();
    }
    if has_all(&container.cap_add) {
        capabilities.extend(all());
    }
    for name in container.cap_drop.iter().filter_map(|name| canonical(name).transpose()) {
        capabilities.remove(&name?);
    }
    for name in container.cap_add.iter().filter_map(|name| canonical(name).transpose()) {
        capabilities.insert(name?);
    }
    Ok(Confinement { capabilities, filtered: true })
}

/// `CAP_NET_ADMIN` for any spelling of it; `None` for `ALL`.
fn canonical(name: &str) -> Result<Option<String>, EmbeddedError> {
    let upper = name.to_ascii_uppercase();
    if upper == "ALL" {
        return Ok(None);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    if NAMES.iter().any(|(known, _)| *known == full) {
        Ok(Some(full))
    } else {
        Err(EmbeddedError::UnknownCapability { name: name.to_owned() })
    }
}

/// What every container has.
fn own_mounts(privileged: bool) -> Vec<Value> {
    let access = if privileged { "rw" } else { "ro" };
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let quiet = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&quiet[..], more].concat();
    vec![
        mount("/proc", "proc", "proc", &quiet),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777", "size=67108864"])),
        mount("/sys", "sysfs", "sysfs", &with(&[access])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["relatime", access])),
    ]
}

#[cfg(test)]
mod tests {
    use oci_spec::image::{Config, ConfigBuilder};

    use super::{command, confinement};
    use crate::stack::Container;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn image() -> Config {
        ConfigBuilder::default()
            .entrypoint(vec!["/entry".to_owned()])
            .cmd(vec!["image".to_owned()])
            .build()
            .expect("config")
    }

    #[test]
    fn commands_follow_docker() {
        for (entrypoint, arguments, expected) in [
            (None, None, "/entry image"),
            (None, Some(words("mine")), "/entry mine"),
            (Some(words("/own")), None, "/own"),
            (Some(words("/own")), Some(words("mine")), "/own mine"),
            (Some(Vec::new()), Some(words("mine")), "mine"),
        ] {
            let container = Container { entrypoint, command: arguments, ..Container::default() };
            assert_eq!(command(&container, &image()).expect("command").join(" "), expected);
        }
        let nothing = Container { entrypoint: Some(Vec::new()), ..Container::default() };
        assert!(command(&nothing, &image()).is_err());
    }

    #[test]
    fn capabilities_follow_docker() {
        let of = |add: &[&str], drop: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let container =
                Container { cap_add: list(add), cap_drop: list(drop), ..Container::default() };
            confinement(&container).map(|confinement| confinement.capabilities)
        };
        assert_eq!(of(&[], &[]).expect("set").len(), 14);
        let only: Vec<String> = of(&["net_admin"], &["ALL"]).expect("set").into_iter().collect();
        assert_eq!(only, ["CAP_NET_ADMIN"]);
        assert_eq!(of(&["ALL"], &["CAP_SYS_ADMIN"]).expect("set").len(), 40);
        assert!(of(&["FLY"], &[]).is_err());
    }
}
