//! Bind mounts, volumes and tmpfs of a workload.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::field::{bytes, items, text, truth};
use super::{Resolver, Written};
use crate::diagnostic::Diagnostic;
use crate::spec;
use crate::stack::{Mount, MountSource, Volume, VolumeKind};
use crate::yaml::{Node, Style};

impl Resolver<'_> {
    pub(super) fn mounts(
        &mut self,
        written: Written<'_>,
        volumes: &mut BTreeMap<String, Volume>,
    ) -> Vec<Mount> {
        let key = if written.is_vm { "mounts" } else { "volumes" };
        let mut mounts: Vec<Mount> = Vec::new();
        for item in items(written.node, key) {
            let Some(target) = text(item, "target").filter(|target| target.starts_with('/')) else {
                self.error("a mount needs an absolute `target`", item.span);
                continue;
            };
            let read_only = truth(item, "read_only");
            if let Some(source) = self.source(written, item, &target, volumes) {
                mounts.push(Mount { source, target, read_only });
            }
        }
        for item in items(written.node, "tmpfs") {
            if let Some(mount) = self.tmpfs_line(item) {
                mounts.push(mount);
            }
        }
        mounts
    }

    fn source(
        &mut self,
        written: Written<'_>,
        item: &Node,
        target: &str,
        volumes: &mut BTreeMap<String, Volume>,
    ) -> Option<MountSource> {
        match text(item, "type").as_deref() {
            Some("bind") => self.bind(item),
            Some("tmpfs") => {
                let details = item.get("tmpfs");
                let mode = details.and_then(|details| details.get("mode"));
                Some(MountSource::Tmpfs {
                    size: details.and_then(|details| bytes(details, "size")),
                    mode: mode.and_then(|mode| self.mode(mode)),
                })
            }
            Some("volume") => {
                let nocopy = item.get("volume").is_some_and(|details| truth(details, "nocopy"));
                let name = match item.get("source") {
                    Some(source) => {
                        let name = source.as_text()?.to_owned();
                        self.volume_fits(written, &name, source, volumes);
                        name
                    }
                    None => self.unnamed(written.name, target, volumes),
                };
                Some(MountSource::Volume { name, nocopy })
            }
            Some(other) => {
                let other = other.to_owned();
                self.error(format!("mounts of type `{other}` are not carried out yet"), item.span);
                None
            }
            None => None,
        }
    }

    fn bind(&mut self, item: &Node) -> Option<MountSource> {
        let Some(source) = item.get("source") else {
            self.error("a bind mount needs a `source`", item.span);
            return None;
        };
        let path = PathBuf::from(source.as_text()?);
        let details = item.get("bind").and_then(|bind| bind.get("create_host_path"));
        let create = details.and_then(Node::as_scalar).and_then(crate::yaml::Scalar::as_bool);
        let create = create.unwrap_or(true);
        if !create && !self.files.exists(&path) {
            let shown = self.sources.shown_path(&path);
            self.found.push(
                Diagnostic::error(format!("there is no `{shown}` to mount"))
                    .at(source.span)
                    .help("make it, or leave `create_host_path: false` out"),
            );
        }
        Some(MountSource::Bind { path, create })
    }

    fn volume_fits(
        &mut self,
        written: Written<'_>,
        name: &str,
        source: &Node,
        volumes: &BTreeMap<String, Volume>,
    ) {
        match volumes.get(name).map(|volume| volume.kind) {
            Some(VolumeKind::Disk { .. }) if written.is_vm => self.found.push(
                Diagnostic::error(format!("volume `{name}` is a disk, not a directory"))
                    .at(source.span)
                    .help("move the line from `mounts` to `disks`"),
            ),
            Some(VolumeKind::Disk { .. }) => self.found.push(
                Diagnostic::error(format!("volume `{name}` is a disk, which only a VM can have"))
                    .at(source.span)
                    .help("a container mounts a volume without `driver: disk`"),
            ),
            Some(VolumeKind::Directory) => {}
            None if self.section("volumes").is_some_and(|all| all.contains_key(name)) => {}
            None => {
                let title = format!("there is no volume `{name}`");
                self.unknown(title, name, "volumes", "volume", source.span);
            }
        }
    }

    /// A volume without a name is known by where it is mounted: it survives `up` like any other.
    fn unnamed(
        &self,
        workload: &str,
        target: &str,
        volumes: &mut BTreeMap<String, Volume>,
    ) -> String {
        let mut name = format!("{workload}{}", target.trim_end_matches('/').replace('/', "-"));
        // Never somebody else's data: a declared volume may have this very name.
        while self.section("volumes").is_some_and(|declared| declared.contains_key(&name)) {
            name.push_str("-unnamed");
        }
        volumes.entry(name.clone()).or_insert_with(|| Volume {
            resolved: format!("{}_{name}", self.spec.name),
            name: name.clone(),
            kind: VolumeKind::Directory,
            external: false,
            labels: BTreeMap::new(),
        });
        name
    }

    /// `/run:size=64m,mode=1777`.
    fn tmpfs_line(&mut self, item: &Node) -> Option<Mount> {
        let line = item.as_text()?;
        let (target, options) = line.split_once(':').unwrap_or((line, ""));
        let (mut size, mut mode, mut read_only) = (None, None, false);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("size", value) => size = spec::bytes(value),
                ("mode", value) => mode = u32::from_str_radix(value, 8).ok(),
                ("ro", _) => read_only = true,
                _ => {}
            }
        }
        if !target.starts_with('/') {
            self.error(format!("`{target}` is not an absolute path"), item.span);
            return None;
        }
        let source = MountSource::Tmpfs { size, mode };
        Some(Mount { source, target: target.to_owned(), read_only })
    }

    /// Permission bits, octal as everybody writes them.
    pub(super) fn mode(&mut self, node: &Node) -> Option<u32> {
        let scalar = node.as_scalar()?;
        let text = &scalar.text;
        // Bare, YAML says what the number is (`0440` is octal there); as text it is octal.
        let number = match scalar.style {
            Style::Plain => scalar.as_integer().and_then(|mode| mode.try_into().ok()),
            Style::Quoted => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        };
        let mode = number.filter(|mode| *mode <= 0o7777);
        if mode.is_none() {
            self.found.push(
                Diagnostic::error(format!("`{text}` are not permission bits"))
                    .at(node.span)
                    .help("write them in octal: `0440`"),
            );
        }
        mode
    }
}
