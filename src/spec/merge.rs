//! One long form over another: Compose's rules, `!reset` and `!override`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashSet;

use crate::yaml::{Mapping, Node, Value};

/// `over` on top of `below`.
pub(super) fn merge(below: Node, over: Node) -> Node {
    merge_at("", below, over)
}

fn merge_at(key: &str, below: Node, mut over: Node) -> Node {
    match over.tag.as_deref() {
        Some("!reset") => return over,
        Some("!override") => {
            over.tag = None;
            return over;
        }
        _ => {}
    }
    if over.is_null() {
        return below;
    }
    match (below.value, over.value) {
        (Value::Mapping(mut entries), Value::Mapping(above)) => {
            if key == "logging" && differs(&entries, &above, "driver") {
                return Node { value: Value::Mapping(above), ..over };
            }
            for (name, entry) in above {
                match entries.get_mut(&name) {
                    Some(slot) => {
                        let placeholder = Node::null(slot.value.span);
                        let old = std::mem::replace(&mut slot.value, placeholder);
                        slot.key = entry.key;
                        slot.value = merge_at(&name, old, entry.value);
                    }
                    None => {
                        entries.insert(name, entry);
                    }
                }
            }
            Node { value: Value::Mapping(entries), tag: below.tag, span: below.span }
        }
        (Value::Sequence(_), Value::Sequence(items)) if replaces(key) => {
            Node { value: Value::Sequence(items), ..over }
        }
        (Value::Sequence(mut items), Value::Sequence(more)) => {
            items.extend(more);
            Node { value: Value::Sequence(items), tag: below.tag, span: below.span }
        }
        (_, value) => Node { value, ..over },
    }
}

/// Lists that mean one thing as a whole.
fn replaces(key: &str) -> bool {
    matches!(key, "command" | "entrypoint" | "test")
}

fn differs(below: &Mapping, above: &Mapping, key: &str) -> bool {
    let text = |entries: &Mapping| {
        entries.get(key).and_then(|entry| entry.value.as_text()).map(str::to_owned)
    };
    matches!((text(below), text(above)), (Some(below), Some(above)) if below != above)
}

/// After the last layer: what was reset goes, and of list entries that stand
/// for the same thing the last one stays.
pub(super) fn settle(node: &mut Node) {
    settle_at("", node);
}

fn settle_at(key: &str, node: &mut Node) {
    if node.tag.as_deref() == Some("!override") {
        node.tag = None;
    }
    match &mut node.value {
        Value::Mapping(entries) => {
            entries.retain(|_, entry| entry.value.tag.as_deref() != Some("!reset"));
            for (name, entry) in entries {
                settle_at(name, &mut entry.value);
            }
        }
        Value::Sequence(items) => {
            items.retain(|item| item.tag.as_deref() != Some("!reset"));
            for item in items.iter_mut() {
                settle_at("", item);
            }
            if let Some(identity) = identity(key) {
                keep_last(items, identity);
            }
        }
        Value::Scalar(_) => {}
    }
}

type Identity = fn(&Node) -> Option<String>;

/// What makes two entries of a list the same thing; `None`: the list is kept as it is.
fn identity(key: &str) -> Option<Identity> {
    match key {
        "ports" => Some(|port| {
            let part = |key| port.get(key).and_then(Node::as_text).unwrap_or_default();
            port.as_mapping()?;
            let parts = ["host_ip", "published", "target", "protocol"].map(part);
            Some(parts.join("|"))
        }),
        "volumes" | "mounts" | "disks" | "devices" => {
            Some(|mount| Some(mount.get("target")?.as_text()?.to_owned()))
        }
        "secrets" | "configs" => Some(|file| {
            let target = file.get("target").or_else(|| file.get("source"))?;
            Some(target.as_text()?.to_owned())
        }),
        "env_file" => Some(|file| Some(file.get("path")?.as_text()?.to_owned())),
        "cap_add" | "cap_drop" | "expose" | "dns" | "dns_search" | "dns_opt" | "tmpfs"
        | "profiles" | "security_opt" | "extra_hosts" | "external_links" | "links"
        | "group_add" | "aliases" | "link_local_ips" | "volumes_from" => {
            Some(|item| Some(item.as_text()?.to_owned()))
        }
        _ => None,
    }
}

/// Keeps the place of the first and the value of the last of entries that are the same.
fn keep_last(items: &mut Vec<Node>, identity: Identity) {
    let mut first: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    let mut dropped = HashSet::new();
    for at in 0..items.len() {
        let Some(name) = identity(&items[at]) else { continue };
        if let Some(&earlier) = first.get(&name) {
            items.swap(earlier, at);
            dropped.insert(at);
        } else {
            first.insert(name, at);
        }
    }
    let mut at = 0;
    items.retain(|_| {
        at += 1;
        !dropped.contains(&(at - 1))
    });
}
