//! What a workload is made from.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::PathBuf;

use super::field::{text, texts};
use super::{Resolver, Written};
use crate::diagnostic::Diagnostic;
use crate::spec::WRONG;
use crate::stack::{ImageSource, Recipe};
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn image(&mut self, written: Written<'_>) -> Option<ImageSource> {
        let node = written.node;
        if let Some(bootstrap) = node.get("build").and_then(|build| build.get("bootstrap")) {
            let mut packages = texts(bootstrap, "packages");
            packages.sort();
            packages.dedup();
            return Some(ImageSource::Bootstrap(Recipe {
                suite: text(bootstrap, "suite")?,
                mirror: text(bootstrap, "mirror"),
                packages,
                components: texts(bootstrap, "components"),
            }));
        }
        let Some(image) = node.get("image") else {
            let keys = node.as_mapping().into_iter().flatten();
            let image = keys.filter(|(key, _)| matches!(key.as_str(), "image" | "build"));
            let mut said = image.map(|(_, entry)| &entry.value).chain([node]);
            if said.any(|value| value.tag.as_deref() == Some(WRONG)) {
                return None;
            }
            let diagnostic = Diagnostic::error(format!("`{}` has no image", written.name));
            let example = if written.is_vm { "debian:12" } else { "nginx:1.27" };
            self.found.push(diagnostic.at(written.key).help(format!(
                "add `image: {example}`, or `build: {{ bootstrap: {{ suite: bookworm }} }}`"
            )));
            return None;
        };
        let (reference, sha256) = match image.as_text() {
            Some(reference) => (Some(reference.to_owned()), text(node, "sha256")),
            None => (
                text(image, "url").or_else(|| text(image, "path")),
                text(image, "sha256").or_else(|| text(node, "sha256")),
            ),
        };
        let Some(reference) = reference.filter(|reference| !reference.is_empty()) else {
            self.error(format!("the image of `{}` says nothing", written.name), image.span);
            return None;
        };
        if written.is_vm && reference.contains("://") {
            return self.url(reference, sha256, image);
        }
        if reference.starts_with('/') {
            let path = PathBuf::from(&reference);
            if !self.files.exists(&path) {
                let shown = self.sources.shown_path(&path);
                self.error(format!("there is no image `{shown}`"), image.span);
            }
            return Some(ImageSource::Path(path));
        }
        if reference.contains(char::is_whitespace) {
            self.error(format!("`{reference}` is not an image"), image.span);
            return None;
        }
        Some(ImageSource::Reference(reference))
    }

    fn url(&mut self, url: String, sha256: Option<String>, image: &Node) -> Option<ImageSource> {
        if !url.starts_with("https://") {
            self.error("an image comes over https", image.span);
            return None;
        }
        match sha256.map(|digest| digest.to_ascii_lowercase()) {
            Some(digest) if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Some(ImageSource::Url { url, sha256: digest })
            }
            Some(_) => {
                self.error("`sha256` is 64 hexadecimal digits", image.span);
                None
            }
            None => {
                self.found.push(
                    Diagnostic::error("an image from a URL needs its checksum")
                        .at(image.span)
                        .help("add `sha256: …` beside `image`, so that it means the same tomorrow"),
                );
                None
            }
        }
    }
}
