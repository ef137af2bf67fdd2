//! `SOURCE:TARGET[:OPTIONS]` → a mount's mapping; `tmpfs:` and `disks:` lines.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Canonical, set, set_text};
use crate::diagnostic::{Diagnostic, Span, did_you_mean};
use crate::spec::{measure, path};
use crate::yaml::{Node, Value};

const OPTIONS: &[&str] = &[
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "cached",
    "delegated",
    "consistent",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
];

impl Canonical<'_> {
    /// The list of mounts.
    pub(super) fn mounts(&mut self, node: &mut Node) {
        let Value::Sequence(items) = &mut node.value else { return };
        items.retain_mut(|item| {
            if let Some(text) = item.as_text().map(str::to_owned) {
                match self.short_mount(&text, item.span) {
                    Ok(mount) => set(item, mount),
                    Err(diagnostic) => {
                        self.found.push(diagnostic);
                        return false;
                    }
                }
            } else {
                self.long_mount(item);
            }
            true
        });
    }

    fn short_mount(&self, text: &str, span: Span) -> Result<Node, Diagnostic> {
        let wrong = |what: &str| {
            Diagnostic::error(format!("`{text}` is not a mount: {what}"))
                .at(span)
                .help("write `./here:/there`, `volume:/there` or either with `:ro`")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [target, "ro" | "rw"] if target.starts_with('/') => (None, target, parts[1]),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(wrong("it has too many parts")),
        };
        if target.is_empty() || source.is_some_and(str::is_empty) {
            return Err(wrong("a part of it is empty"));
        }
        if !target.starts_with('/') {
            return Err(wrong(&format!("`{target}` is not an absolute path")));
        }
        let options: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
        if let Some(unknown) = options.iter().find(|option| !OPTIONS.contains(option)) {
            return Err(wrong(&format!("there is no option `{unknown}`"))
                .maybe_help(did_you_mean(unknown, OPTIONS.iter().copied())));
        }
        let bind = source.filter(|source| path::is_path(source));
        let mut entries = Vec::new();
        let mut add = |key: &str, value: Node| entries.push((key.to_owned(), value));
        add("type", Node::text(span, if bind.is_some() { "bind" } else { "volume" }));
        if let Some(source) = source {
            let source = match bind {
                Some(bind) => path::absolute(self.base, bind, self.home).display().to_string(),
                None => source.to_owned(),
            };
            add("source", Node::text(span, source));
        }
        add("target", Node::text(span, target.trim_end_matches('/').to_owned() + root(target)));
        if options.contains(&"ro") {
            add("read_only", Node::plain(span, "true"));
        }
        if bind.is_some() {
            let selinux = options.iter().find(|option| option.eq_ignore_ascii_case("z"));
            let propagation = options.iter().find(|option| {
                option.ends_with("private")
                    || option.ends_with("shared")
                    || option.ends_with("slave")
            });
            let details = selinux
                .map(|word| ("selinux".to_owned(), Node::text(span, *word)))
                .into_iter()
                .chain(propagation.map(|word| ("propagation".to_owned(), Node::text(span, *word))));
            add("bind", Node::mapping(span, details));
        } else {
            let nocopy = options.contains(&"nocopy").then(|| Node::plain(span, "true"));
            let details = nocopy.map(|yes| ("nocopy".to_owned(), yes));
            add("volume", Node::mapping(span, details));
        }
        Ok(Node::mapping(span, entries))
    }

    fn long_mount(&self, item: &mut Node) {
        let is_bind = item.get("type").and_then(Node::as_text) == Some("bind");
        let Some(entries) = item.as_mapping_mut() else { return };
        if is_bind && let Some(source) = entries.get_mut("source") {
            self.path(&mut source.value);
        }
        if let Some(size) = entries
            .get_mut("tmpfs")
            .and_then(|tmpfs| tmpfs.value.as_mapping_mut())
            .and_then(|tmpfs| tmpfs.get_mut("size"))
            && let Some(bytes) = size.value.as_text().and_then(measure::bytes)
        {
            set_text(&mut size.value, bytes.to_string());
        }
        // Zero is no limit, as if it were not written.
        if let Some(tmpfs) = entries.get_mut("tmpfs").and_then(|tmpfs| tmpfs.value.as_mapping_mut())
            && tmpfs.get("size").and_then(|size| size.value.as_text()) == Some("0")
        {
            tmpfs.shift_remove("size");
        }
    }

    /// `VOLUME:TARGET[:ro]` of a VM's own block devices.
    pub(super) fn disks(&mut self, node: &mut Node) {
        let Value::Sequence(items) = &mut node.value else { return };
        items.retain_mut(|item| {
            let Some(text) = item.as_text().map(str::to_owned) else { return true };
            let parts: Vec<&str> = text.split(':').collect();
            let (source, target, read_only) = match parts[..] {
                [source, target] | [source, target, "rw"] => (source, target, false),
                [source, target, "ro"] => (source, target, true),
                _ => ("", "", false),
            };
            if source.is_empty() || !target.starts_with('/') {
                self.found.push(
                    Diagnostic::error(format!("`{text}` is not a disk"))
                        .at(item.span)
                        .help("write `volume:/path/in/the/guest`"),
                );
                return false;
            }
            let span = item.span;
            let mut entries = vec![
                ("source".to_owned(), Node::text(span, source)),
                ("target".to_owned(), Node::text(span, target)),
            ];
            if read_only {
                entries.push(("read_only".to_owned(), Node::plain(span, "true")));
            }
            set(item, Node::mapping(span, entries));
            true
        });
    }
}

/// The root directory is the one path that keeps its slash.
fn root(target: &str) -> &'static str {
    if target.trim_end_matches('/').is_empty() { "/" } else { "" }
}
