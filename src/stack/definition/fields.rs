//! Workload → fields. One function per group of keys; every value as a reader
//! of the file would recognise it. Secrets and documents appear as digests.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::stack::health::format_duration;
use crate::stack::workload::{SecretFile, SecretSource};
use crate::stack::{
    CloudInit, Condition, Container, Healthcheck, Mount, MountSource, OnChange, OnUnhealthy, Port,
    Probe, Restart, Role, Vm, Workload,
};

type Fields = BTreeMap<String, String>;
type Contents = BTreeMap<PathBuf, String>;

/// Every field that has a value.
pub(super) fn of(workload: &Workload, contents: &Contents) -> Fields {
    let mut fields = Fields::new();
    common(workload, &mut fields);
    attachments(workload, &mut fields);
    for mount in &workload.mounts {
        fields.insert(format!("mounts.{}", mount.target), mounted(mount));
    }
    if let Some(check) = &workload.healthcheck {
        healthcheck(check, &mut fields);
    }
    for (key, files) in [("secrets", &workload.secrets), ("configs", &workload.configs)] {
        for file in files {
            fields.insert(format!("{key}.{}", file.target), given_file(file, contents));
        }
    }
    match &workload.role {
        Role::Container(container) => of_container(container, &mut fields),
        Role::Vm(vm) => of_vm(vm, &mut fields),
    }
    fields
}

fn common(workload: &Workload, fields: &mut Fields) {
    fields.insert("image".into(), workload.image.to_string());
    put(fields, "hostname", workload.hostname.clone());
    for (name, value) in &workload.environment {
        fields.insert(format!("environment.{name}"), quoted(value));
    }
    for (name, value) in &workload.labels {
        fields.insert(format!("labels.{name}"), quoted(value));
    }
    for (name, address) in &workload.extra_hosts {
        fields.insert(format!("extra_hosts.{name}"), address.clone());
    }
    for (name, dependency) in &workload.depends_on {
        let restart = if dependency.restart { ", restart" } else { "" };
        let unhealthy = match dependency.on_unhealthy {
            OnUnhealthy::Keep => String::new(),
            policy => format!(", on_unhealthy: {policy}"),
        };
        let value = format!("{}{restart}{unhealthy}", condition(dependency.condition));
        fields.insert(format!("depends_on.{name}"), value);
    }
    if !workload.ports.is_empty() {
        let ports: Vec<String> = workload.ports.iter().map(port).collect();
        fields.insert("ports".into(), ports.join(", "));
    }
    put(fields, "restart", restart(workload.restart));
    fields.insert("stop_grace_period".into(), format_duration(workload.stop_grace_period));
}

fn attachments(workload: &Workload, fields: &mut Fields) {
    for (name, attachment) in &workload.networks {
        fields.insert(format!("networks.{name}"), "joined".into());
        if !attachment.aliases.is_empty() {
            fields.insert(format!("networks.{name}.aliases"), attachment.aliases.join(", "));
        }
        let address = attachment.ipv4_address.map(|address| address.to_string());
        put(fields, &format!("networks.{name}.ipv4_address"), address);
        put(fields, &format!("networks.{name}.mac_address"), attachment.mac_address.clone());
    }
}

fn of_container(container: &Container, fields: &mut Fields) {
    put(fields, "command", container.command.as_deref().map(words));
    put(fields, "entrypoint", container.entrypoint.as_deref().map(words));
    put(fields, "user", container.user.clone());
    put(fields, "working_dir", container.working_dir.clone());
    put(fields, "mem_limit", container.mem_limit.map(bytes));
    put(fields, "cpus", container.milli_cpus.map(cpus));
    put(fields, "pids_limit", container.pids_limit.map(|limit| limit.to_string()));
    put(fields, "cap_add", list(&container.cap_add));
    put(fields, "cap_drop", list(&container.cap_drop));
    put(fields, "stop_signal", container.stop_signal.clone());
    flag(fields, "privileged", container.privileged);
    flag(fields, "read_only", container.read_only);
    flag(fields, "tty", container.tty);
    flag(fields, "stdin_open", container.stdin_open);
}

fn of_vm(vm: &Vm, fields: &mut Fields) {
    fields.insert("cpus".into(), vm.cpus.to_string());
    fields.insert("memory".into(), bytes(vm.memory));
    put(fields, "disk", vm.disk.map(bytes));
    for disk in &vm.disks {
        let mode = if disk.read_only { ":ro" } else { "" };
        fields.insert(format!("disks.{}", disk.target), format!("{}{mode}", disk.volume));
    }
    put(fields, "kernel", vm.kernel.as_deref().map(path));
    put(fields, "initrd", vm.initrd.as_deref().map(path));
    put(fields, "cmdline", vm.cmdline.clone());
    put(fields, "ssh_user", vm.ssh_user.clone());
    put(fields, "ready_timeout", vm.ready_timeout.map(format_duration));
    let accel = serde_json::to_value(vm.accel).ok().and_then(|it| it.as_str().map(str::to_owned));
    put(fields, "accel", accel);
    match &vm.cloud_init {
        Some(cloud_init) => of_cloud_init(cloud_init, fields),
        None => {
            fields.insert("cloud_init".into(), "false".into());
        }
    }
}

fn of_cloud_init(cloud_init: &CloudInit, fields: &mut Fields) {
    let documents = [
        ("user_data", cloud_init.user_data.as_slice()),
        ("vendor_data", cloud_init.vendor_data.as_slice()),
        ("network_config", cloud_init.network_config.as_slice()),
    ];
    for (key, documents) in documents {
        let origins: Vec<&str> = documents.iter().map(|it| it.origin.as_str()).collect();
        // Their order matters: later documents add to earlier ones.
        if origins.len() > 1 {
            fields.insert(format!("cloud_init.{key}"), origins.join(", "));
        }
        for document in documents {
            fields
                .entry(format!("cloud_init.{key} ({})", document.origin))
                .and_modify(|before| *before = format!("{before}, {}", digest(&document.body)))
                .or_insert_with(|| digest(&document.body));
        }
    }
    for (key, value) in &cloud_init.meta_data {
        fields.insert(format!("cloud_init.meta_data.{key}"), value.to_string());
    }
    let on_change = match cloud_init.on_change {
        OnChange::Rerun => None,
        OnChange::Replace => Some("replace".to_owned()),
        OnChange::Ignore => Some("ignore".to_owned()),
    };
    put(fields, "cloud_init.on_change", on_change);
}

fn healthcheck(check: &Healthcheck, fields: &mut Fields) {
    let test = match &check.test {
        Probe::Exec(argv) => words(argv),
        test => test.to_string(),
    };
    fields.insert("healthcheck.test".into(), test);
    let times = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start_period", check.start_period),
        ("start_interval", check.start_interval),
    ];
    for (key, duration) in times {
        fields.insert(format!("healthcheck.{key}"), format_duration(duration));
    }
    fields.insert("healthcheck.retries".into(), check.retries.to_string());
}

fn mounted(mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Bind { path: source, .. } => path(source),
        MountSource::Volume { name, nocopy: false } => name.clone(),
        MountSource::Volume { name, nocopy: true } => format!("{name}:nocopy"),
        MountSource::Tmpfs { size, mode } => {
            let size = size.map(|size| format!(" {}", bytes(size))).unwrap_or_default();
            let mode = mode.map(|mode| format!(" {mode:04o}")).unwrap_or_default();
            format!("tmpfs{size}{mode}")
        }
    };
    if mount.read_only { format!("{source}:ro") } else { source }
}

/// Never the content: its path, its digest, and who may read it.
fn given_file(file: &SecretFile, contents: &Contents) -> String {
    let source = match &file.source {
        SecretSource::File(source) => match contents.get(source) {
            Some(digest) => format!("{} ({})", path(source), short(digest)),
            None => path(source),
        },
        SecretSource::Content(text) => digest(text),
    };
    let owner = match (file.uid, file.gid) {
        (None, None) => String::new(),
        (uid, gid) => format!(" {}:{}", uid.unwrap_or(0), gid.unwrap_or(0)),
    };
    format!("{source} {:04o}{owner}", file.mode)
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "service_started",
        Condition::ServiceReady => "service_ready",
        Condition::ServiceHealthy => "service_healthy",
        Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
    }
}

fn restart(restart: Restart) -> Option<String> {
    Some(match restart {
        Restart::No => return None,
        Restart::Always => "always".into(),
        Restart::OnFailure(None) => "on-failure".into(),
        Restart::OnFailure(Some(times)) => format!("on-failure:{times}"),
        Restart::UnlessStopped => "unless-stopped".into(),
    })
}

/// A port in the file's own short form.
fn port(port: &Port) -> String {
    let host = port.host_ip.map(|address| format!("{address}:")).unwrap_or_default();
    let published = port.published.map(|number| format!("{number}:")).unwrap_or_default();
    let protocol = match port.protocol {
        crate::stack::Protocol::Tcp => "",
        crate::stack::Protocol::Udp => "/udp",
    };
    format!("{host}{published}{}{protocol}", port.target)
}

/// `2GiB`, `512MiB`, `1000`: the largest unit that divides it.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in units {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

/// Reads what [`bytes`] wrote.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1_u64 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Thousandths of a processor as the file has them: `0.5`, `2`.
pub(crate) fn cpus(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn digest(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text.as_bytes()));
    digest.truncate(12);
    format!("sha256:{digest}")
}

fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

fn words(words: &[String]) -> String {
    serde_json::Value::from(words).to_string()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn list(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

fn put(fields: &mut Fields, field: &str, value: Option<String>) {
    if let Some(value) = value {
        fields.insert(field.to_owned(), value);
    }
}

fn flag(fields: &mut Fields, field: &str, value: bool) {
    if value {
        fields.insert(field.to_owned(), "true".into());
    }
}
