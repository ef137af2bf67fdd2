//! One service or VM in its long form.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Canonical, pairs, set, set_text};
use crate::diagnostic::Diagnostic;
use crate::spec::{measure, path, shell};
use crate::yaml::{Entry, Mapping, Node, Value};

/// Which table a workload is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spec) enum Kind {
    /// `services.*`.
    Service,
    /// `vms.*`.
    Vm,
}

impl Canonical<'_> {
    /// One service or VM.
    pub(super) fn workload(&mut self, entries: &mut Mapping, kind: Kind) {
        if kind == Kind::Vm {
            one_mounts(entries);
        }
        for (name, entry) in entries.iter_mut() {
            // A tag with nothing behind it only takes away.
            if entry.value.is_null() && entry.value.tag.is_some() {
                continue;
            }
            self.value(name, &mut entry.value);
        }
        if kind == Kind::Vm {
            self.boot_files(entries);
        }
    }

    fn value(&mut self, name: &str, node: &mut Node) {
        match name {
            "image" => self.image(node),
            "command" | "entrypoint" => self.command(node),
            "environment" => pairs::to_environment(node),
            "labels" | "annotations" | "sysctls" => pairs::to_mapping(node),
            "extra_hosts" => pairs::hosts(node),
            "ports" => self.ports(node),
            "volumes" | "mounts" => self.mounts(node),
            "disks" => self.disks(node),
            "networks" | "models" => names_to_mapping(node, Node::null),
            "depends_on" => depends_on(node),
            "env_file" => self.env_file(node),
            "secrets" | "configs" => files(node),
            "build" => self.build(node),
            "healthcheck" => Self::healthcheck(node),
            "tmpfs" | "dns" | "dns_search" | "label_file" => to_list(node),
            "mem_limit" | "mem_reservation" | "shm_size" | "memswap_limit" | "memory" | "disk" => {
                size(node);
            }
            "stop_grace_period" | "ready_timeout" => time(node),
            "cap_add" | "cap_drop" | "expose" | "devices" | "group_add" => texts(node),
            "user" | "stop_signal" | "cpuset" => text(node),
            "deploy" => deploy(node),
            "develop" => self.develop(node),
            "cloud_init" => self.cloud_init(node),
            "extends" if node.as_text().is_some() => {
                let service = Node::new(node.span, node.value.clone());
                set(node, Node::mapping(node.span, [("service".to_owned(), service)]));
            }
            "ssh" if node.as_text().is_some() => {
                let user = Node::new(node.span, node.value.clone());
                set(node, Node::mapping(node.span, [("user".to_owned(), user)]));
            }
            _ => {}
        }
    }

    fn image(&self, node: &mut Node) {
        if node.as_text().is_some_and(path::is_path) {
            self.path(node);
        } else if let Some(image) = node.as_mapping_mut() {
            self.path_at(image, "path");
        }
    }

    fn command(&mut self, node: &mut Node) {
        if let Some(line) = node.as_text().map(str::to_owned) {
            match shell::words(&line) {
                Some(words) => {
                    let span = node.span;
                    let words = words.into_iter().map(|word| Node::text(span, word));
                    set(node, Node::sequence(span, words));
                }
                None => self.found.push(
                    Diagnostic::error("a quote in this command is never closed").at(node.span),
                ),
            }
        }
        texts(node);
    }

    fn env_file(&self, node: &mut Node) {
        to_list(node);
        let Value::Sequence(items) = &mut node.value else { return };
        for item in items {
            if item.as_text().is_some() {
                let path = Node::new(item.span, item.value.clone());
                set(item, Node::mapping(item.span, [("path".to_owned(), path)]));
            }
            let span = item.span;
            if let Some(entries) = item.as_mapping_mut() {
                self.path_at(entries, "path");
                default(entries, "required", || Node::plain(span, "true"));
            }
        }
    }

    fn build(&self, node: &mut Node) {
        if node.as_text().is_some() {
            let context = Node::new(node.span, node.value.clone());
            set(node, Node::mapping(node.span, [("context".to_owned(), context)]));
        }
        let span = node.span;
        let Some(entries) = node.as_mapping_mut() else { return };
        if let Some(bootstrap) = entries.get_mut("bootstrap") {
            if bootstrap.value.as_text().is_some() {
                let suite = bootstrap.value.clone();
                set(&mut bootstrap.value, Node::mapping(span, [("suite".to_owned(), suite)]));
            }
            return;
        }
        default(entries, "context", || Node::text(span, "."));
        if let Some(context) = entries.get_mut("context")
            && !context.value.as_text().is_some_and(|text| text.contains("://"))
        {
            self.path(&mut context.value);
        }
        if !entries.contains_key("dockerfile_inline") {
            default(entries, "dockerfile", || Node::text(span, "Dockerfile"));
        }
        for key in ["labels", "args"] {
            if let Some(entry) = entries.get_mut(key) {
                pairs::to_environment(&mut entry.value);
            }
        }
        if let Some(entry) = entries.get_mut("secrets") {
            files(&mut entry.value);
        }
        if let Some(entry) = entries.get_mut("shm_size") {
            size(&mut entry.value);
        }
    }

    fn healthcheck(node: &mut Node) {
        let Some(entries) = node.as_mapping_mut() else { return };
        for (name, entry) in entries {
            match name.as_str() {
                "test" if entry.value.as_text().is_some() => {
                    let span = entry.value.span;
                    let line = Node::new(span, entry.value.value.clone());
                    let test = if line.as_text() == Some("NONE") {
                        vec![line]
                    } else {
                        vec![Node::text(span, "CMD-SHELL"), line]
                    };
                    set(&mut entry.value, Node::sequence(span, test));
                }
                "test" => texts(&mut entry.value),
                "http" => page(&mut entry.value),
                "interval" | "timeout" | "start_period" | "start_interval" => {
                    time(&mut entry.value);
                }
                _ => {}
            }
        }
    }

    fn develop(&mut self, node: &mut Node) {
        let rules = node.as_mapping_mut().and_then(|entries| entries.get_mut("watch"));
        let Some(Value::Sequence(rules)) = rules.map(|entry| &mut entry.value.value) else {
            return;
        };
        for rule in rules {
            let span = rule.span;
            let Some(entries) = rule.as_mapping_mut() else { continue };
            self.path_at(entries, "path");
            for key in ["ignore", "include"] {
                if let Some(entry) = entries.get_mut(key) {
                    to_list(&mut entry.value);
                }
            }
            if let Some(exec) = entries.get_mut("exec").and_then(|it| it.value.as_mapping_mut()) {
                for (name, entry) in exec {
                    match name.as_str() {
                        "command" => self.command(&mut entry.value),
                        "environment" => pairs::to_environment(&mut entry.value),
                        "user" => text(&mut entry.value),
                        _ => {}
                    }
                }
            }
            default(entries, "exec", || {
                Node::mapping(span, [("command".to_owned(), Node::null(span))])
            });
        }
    }

    /// Paths that only a VM has.
    fn boot_files(&self, entries: &mut Mapping) {
        self.path_at(entries, "kernel");
        self.path_at(entries, "initrd");
    }
}

/// `volumes:` of a VM is another spelling of `mounts:`.
fn one_mounts(entries: &mut Mapping) {
    let Some(volumes) = entries.shift_remove("volumes") else { return };
    match entries.get_mut("mounts").map(|entry| &mut entry.value.value) {
        Some(Value::Sequence(mounts)) => {
            if let Value::Sequence(items) = volumes.value.value {
                mounts.extend(items);
            }
        }
        _ => {
            entries.insert("mounts".to_owned(), volumes);
        }
    }
}

fn default(entries: &mut Mapping, key: &str, value: impl FnOnce() -> Node) {
    if !entries.contains_key(key) {
        let value = value();
        entries.insert(key.to_owned(), Entry { key: value.span, value });
    }
}

fn to_list(node: &mut Node) {
    if node.as_text().is_some() {
        let only = Node::new(node.span, node.value.clone());
        set(node, Node::sequence(node.span, [only]));
    }
}

fn text(node: &mut Node) {
    if let Some(text) = node.as_text().map(str::to_owned) {
        set_text(node, text);
    }
}

fn texts(node: &mut Node) {
    if let Value::Sequence(items) = &mut node.value {
        items.iter_mut().for_each(text);
    }
}

fn size(node: &mut Node) {
    if let Some(bytes) = node.as_text().and_then(measure::bytes) {
        set_text(node, bytes.to_string());
    } else {
        text(node);
    }
}

/// `8080/health` → `{port: 8080, path: /health}`.
fn page(node: &mut Node) {
    let Some(text) = node.as_text() else { return };
    let (port, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let span = node.span;
    // Nothing before the path is a wrong port, not an absent one.
    let port = if port.is_empty() { Node::text(span, port) } else { Node::plain(span, port) };
    let mut entries = vec![("port".to_owned(), port)];
    if !path.is_empty() {
        entries.push(("path".to_owned(), Node::text(span, path)));
    }
    set(node, Node::mapping(span, entries));
}

fn time(node: &mut Node) {
    if let Some(duration) = node.as_text().and_then(measure::duration) {
        set_text(node, measure::as_compose_writes(duration));
    }
}

fn names_to_mapping(node: &mut Node, value: fn(crate::diagnostic::Span) -> Node) {
    let Some(names) = node.as_sequence() else { return };
    let mut entries = Mapping::new();
    for name in names {
        let Some(text) = name.as_text() else { continue };
        let entry = Entry { key: name.span, value: value(name.span) };
        entries.insert(text.to_owned(), entry);
    }
    set(node, Node::new(node.span, Value::Mapping(entries)));
}

fn depends_on(node: &mut Node) {
    let short = node.as_sequence().is_some();
    names_to_mapping(node, |span| Node::mapping(span, []));
    let Some(entries) = node.as_mapping_mut() else { return };
    for entry in entries.values_mut() {
        let span = entry.key;
        if entry.value.is_null() {
            entry.value = Node::mapping(span, []);
        }
        let Some(dependency) = entry.value.as_mapping_mut() else { continue };
        // The short form's condition depends on the kind of what is waited for:
        // it is filled in when that is known.
        if short {
            default(dependency, "condition", || Node::null(span));
        } else {
            default(dependency, "condition", || Node::text(span, "service_started"));
        }
        default(dependency, "required", || Node::plain(span, "true"));
    }
}

/// `secrets:` and `configs:` of a workload.
fn files(node: &mut Node) {
    let Value::Sequence(items) = &mut node.value else { return };
    for item in items {
        if item.as_text().is_some() {
            let source = Node::new(item.span, item.value.clone());
            set(item, Node::mapping(item.span, [("source".to_owned(), source)]));
        }
        if let Some(entries) = item.as_mapping_mut() {
            entries.values_mut().for_each(|entry| text(&mut entry.value));
            if let Some(mode) = entries.get_mut("mode").map(|entry| &mut entry.value)
                && let Some(digits) = mode.as_text().and_then(|text| text.strip_prefix("0o"))
            {
                let octal = format!("0{digits}");
                set_text(mode, octal);
            }
        }
    }
}

fn deploy(node: &mut Node) {
    let Some(entries) = node.as_mapping_mut() else { return };
    if let Some(labels) = entries.get_mut("labels") {
        pairs::to_mapping(&mut labels.value);
    }
    for update in ["update_config", "rollback_config"] {
        if let Some(entries) =
            entries.get_mut(update).and_then(|entry| entry.value.as_mapping_mut())
        {
            for (name, entry) in entries {
                if matches!(name.as_str(), "delay" | "monitor") {
                    time(&mut entry.value);
                }
            }
        }
    }
    let resources = entries.get_mut("resources").and_then(|entry| entry.value.as_mapping_mut());
    for (_, entry) in resources.into_iter().flatten() {
        let Some(entries) = entry.value.as_mapping_mut() else { continue };
        if let Some(memory) = entries.get_mut("memory") {
            size(&mut memory.value);
        }
    }
}
