//! Secrets and configs: files with content from elsewhere.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::field::{items, text};
use super::{Resolver, Written};
use crate::diagnostic::Diagnostic;
use crate::stack::workload::{SecretFile, SecretSource};
use crate::yaml::Node;

impl Resolver<'_> {
    /// `section` is `secrets` or `configs`, here and at the top level.
    pub(super) fn workload_files(
        &mut self,
        written: Written<'_>,
        section: &str,
    ) -> Vec<SecretFile> {
        let mut files = Vec::new();
        for item in items(written.node, section) {
            let Some(source) = item.get("source") else { continue };
            let name = source.as_text().unwrap_or_default().to_owned();
            let kind = section.trim_end_matches('s');
            let Some(declared) = self.section(section).and_then(|all| all.get(&name)) else {
                let title = format!("there is no {kind} `{name}`");
                self.unknown(title, &name, section, kind, source.span);
                continue;
            };
            let Some(content) = self.content(kind, &name, &declared.value) else { continue };
            let directory = if section == "secrets" { "/run/secrets/" } else { "/" };
            let target = text(item, "target").unwrap_or_else(|| name.clone());
            let target =
                if target.starts_with('/') { target } else { format!("{directory}{target}") };
            let default = if written.is_vm && section == "secrets" { 0o400 } else { 0o444 };
            let mode = item.get("mode").and_then(|mode| self.mode(mode)).unwrap_or(default);
            let (uid, gid) = (self.number(item, "uid"), self.number(item, "gid"));
            files.push(SecretFile { target, source: content, uid, gid, mode });
        }
        files
    }

    fn content(&mut self, kind: &str, name: &str, node: &Node) -> Option<SecretSource> {
        if let Some(file) = node.get("file") {
            let path = PathBuf::from(file.as_text()?);
            if !self.files.exists(&path) {
                let shown = self.sources.shown_path(&path);
                self.error(format!("there is no file `{shown}` for {kind} `{name}`"), file.span);
            }
            return Some(SecretSource::File(path));
        }
        if let Some(variable) = node.get("environment") {
            let wanted = variable.as_text()?;
            let value = self.spec.variables.get(wanted);
            if value.is_none() {
                let title = format!("variable `{wanted}` for {kind} `{name}` is not set");
                self.found.push(
                    Diagnostic::error(title)
                        .at(variable.span)
                        .help(format!("set it in the environment or in `.env`: `{wanted}=…`")),
                );
            }
            return value.cloned().map(SecretSource::Content);
        }
        if let Some(content) = text(node, "content") {
            return Some(SecretSource::Content(content));
        }
        self.found.push(
            Diagnostic::error(format!("{kind} `{name}` has no content"))
                .at(node.span)
                .help("give it a `file`, an `environment` variable or `content`"),
        );
        None
    }

    fn number(&mut self, item: &Node, key: &str) -> Option<u32> {
        let written = item.get(key)?;
        let number = written.as_text()?.parse().ok();
        if number.is_none() {
            self.error(format!("`{key}` is a number here"), written.span);
        }
        number
    }
}
