//! The volumes that the file declares.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::Resolver;
use super::field::{bytes, pairs, text, truth};
use crate::diagnostic::{Diagnostic, Span};
use crate::stack::{Volume, VolumeKind};
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn volumes(&mut self) -> BTreeMap<String, Volume> {
        let declared = self.section("volumes").into_iter().flatten();
        let mut volumes = BTreeMap::new();
        for (name, entry) in declared {
            let node = &entry.value;
            let Some(kind) = self.volume_kind(name, node, entry.key) else { continue };
            let resolved = text(node, "name").unwrap_or_else(|| name.clone());
            if resolved.starts_with('.') || resolved.contains('/') {
                self.error(
                    format!("`{resolved}` is not a name for a volume"),
                    node.key_span("name"),
                );
            }
            let volume = Volume {
                name: name.clone(),
                resolved,
                kind,
                external: truth(node, "external"),
                labels: pairs(node, "labels"),
            };
            volumes.insert(name.clone(), volume);
        }
        volumes
    }

    fn volume_kind(&mut self, name: &str, node: &Node, key: Span) -> Option<VolumeKind> {
        let options = node.get("driver_opts");
        match text(node, "driver").as_deref() {
            None | Some("local") => {
                if options.and_then(Node::as_mapping).is_some_and(|options| !options.is_empty()) {
                    let title =
                        "`driver_opts` of a local volume are not carried out yet, and ignored";
                    self.found.push(Diagnostic::warning(title).at(node.key_span("driver_opts")));
                }
                Some(VolumeKind::Directory)
            }
            Some("disk") => {
                let size = options.and_then(|options| bytes(options, "size"));
                if size.is_none_or(|size| size == 0) {
                    let place = options.and_then(|options| options.get("size"));
                    self.found.push(
                        Diagnostic::error(format!("disk volume `{name}` has no size"))
                            .at(place.map_or(key, |size| size.span))
                            .help("write `driver_opts: { size: 20GiB }`"),
                    );
                    return None;
                }
                size.map(|size| VolumeKind::Disk { size })
            }
            Some(other) => {
                let driver = node.get("driver").map_or(key, |driver| driver.span);
                self.found.push(
                    Diagnostic::error(format!("there is no volume driver `{other}`"))
                        .at(driver)
                        .help("`local` is a directory, `disk` a block device for a VM")
                        .maybe_help(super::among(other, &["local", "disk"])),
                );
                None
            }
        }
    }
}
