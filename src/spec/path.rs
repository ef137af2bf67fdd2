//! Paths as the file writes them → absolute ones. Lexical: no disk is asked.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Component, Path, PathBuf};

/// Whether `text` is a path and not a name: it starts with `./`, `../`, `/` or `~`.
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~'])
}

/// `text` seen from `base`; `~` is `home`.
pub(crate) fn absolute(base: &Path, text: &str, home: Option<&str>) -> PathBuf {
    let expanded = match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{home}{rest}")
        }
        _ => text.to_owned(),
    };
    clean(&base.join(expanded))
}

/// Without `.` and `..`.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !matches!(cleaned.components().next_back(), None | Some(Component::ParentDir)) {
                    cleaned.pop();
                } else if !cleaned.has_root() {
                    cleaned.push("..");
                }
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}
