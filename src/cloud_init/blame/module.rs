//! Modules that failed: the keys they read, and the value under one of those
//! that the guest's words name.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Blame;
use super::complaint::{Complaint, mentions};
use super::reading::Reading;
use crate::yaml::{Node, Value};

/// Modules whose keys are not called as they are.
const KEYS: [(&str, &[&str]); 22] = [
    ("apk_configure", &["apk_repos"]),
    ("apt_configure", &["apt"]),
    ("apt_pipelining", &["apt_pipelining"]),
    ("ca_certs", &["ca_certs", "ca-certs"]),
    ("disk_setup", &["disk_setup", "fs_setup"]),
    ("fan", &["fan"]),
    ("mounts", &["mounts", "swap", "mount_default_fields"]),
    ("package_update_upgrade_install", &["packages", "package_update", "package_upgrade"]),
    ("power_state_change", &["power_state"]),
    ("resizefs", &["resize_rootfs"]),
    ("rh_subscription", &["rh_subscription"]),
    ("rsyslog", &["rsyslog"]),
    ("seed_random", &["random_seed"]),
    ("set_hostname", &["hostname", "fqdn", "preserve_hostname"]),
    ("set_passwords", &["chpasswd", "password", "ssh_pwauth"]),
    ("ssh", &["ssh_keys", "ssh_genkeytypes", "ssh_authorized_keys", "disable_root"]),
    ("ubuntu_advantage", &["ubuntu_advantage", "ubuntu_pro"]),
    ("update_etc_hosts", &["manage_etc_hosts"]),
    ("update_hostname", &["hostname", "fqdn", "preserve_hostname"]),
    ("users_groups", &["users", "groups", "user"]),
    ("write_files_deferred", &["write_files"]),
    ("yum_add_repo", &["yum_repos"]),
];

pub(super) fn find(readings: &[Reading<'_>], complaint: &Complaint, log: &str) -> Option<Blame> {
    let module = complaint.module.as_deref()?;
    let own = [module];
    let keys = KEYS.iter().find(|(name, _)| *name == module).map_or(&own[..], |(_, keys)| keys);
    let places: Vec<(&Reading<'_>, &str, &Node)> = keys
        .iter()
        .flat_map(|key| readings.iter().map(move |reading| (reading, *key)))
        .filter_map(|(reading, key)| Some((reading, key, reading.get(key)?)))
        .collect();
    named(&places, complaint, log).or_else(|| {
        let (reading, key, _) = places.first()?;
        reading.blame_key(key, complaint.message())
    })
}

/// The value that a line of complaint names.
fn named(
    places: &[(&Reading<'_>, &str, &Node)],
    complaint: &Complaint,
    log: &str,
) -> Option<Blame> {
    let of_log = log.lines().map(str::trim).filter(|line| complains(line));
    let own: Vec<String> = complaint.message().into_iter().collect();
    // The log's words are nearer to the cause than the exception's.
    let lines: Vec<&str> = of_log.chain(own.iter().map(String::as_str)).collect();
    for line in lines {
        for (reading, _, value) in places {
            let mut scalars = Vec::new();
            collect(value, &mut scalars);
            let longest = scalars
                .into_iter()
                .filter(|(_, text)| text.len() > 2 && mentions(line, text))
                .max_by_key(|(_, text)| text.len());
            let blame =
                longest.and_then(|(node, _)| reading.blame_node(node, Some(line.to_owned())));
            if blame.is_some() {
                return blame;
            }
        }
    }
    None
}

/// How package managers and others begin a line that is about a mistake.
fn complains(line: &str) -> bool {
    const WORDS: [&str; 8] = [
        "E: ",
        "ERROR: ",
        "Error: ",
        "error: ",
        "No match for argument",
        "No package ",
        "no such package",
        "not found in package names",
    ];
    WORDS.iter().any(|word| line.starts_with(word) || line.contains(&format!(" {word}")))
        || line.contains("(no such package)")
}

/// Every text below a value, without keys and truth values.
fn collect<'a>(node: &'a Node, found: &mut Vec<(&'a Node, &'a str)>) {
    match &node.value {
        Value::Scalar(scalar) if scalar.as_bool().is_none() && !scalar.is_null() => {
            found.push((node, scalar.text.trim()));
        }
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(entries) => {
            entries.values().for_each(|entry| collect(&entry.value, found));
        }
    }
}
