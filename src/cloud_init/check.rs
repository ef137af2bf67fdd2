//! cloud-init's rules for user-data, as far as they can be checked before a
//! guest has booted for nothing: what a document is, and whether a cloud-config
//! is a mapping. It never judges the keys within.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::stack::vm::Document;

/// First words by which cloud-init tells documents apart, the longer ones first.
const KINDS: [(&str, &str); 9] = [
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", "text/cloud-config"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#part-handler", "text/part-handler"),
    ("## template: jinja", "text/jinja2"),
    ("#!", "text/x-shellscript"),
];

/// Why cloud-init would not do what a document says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// It begins with none of the words that cloud-init knows.
    #[error("`{origin}` begins with `{first}`, which cloud-init ignores")]
    UnknownKind {
        /// The document.
        origin: String,
        /// Its first line.
        first: String,
    },
    /// It is not YAML.
    #[error("`{origin}` is not YAML: {reason}")]
    NotYaml {
        /// The document.
        origin: String,
        /// What the reader says, with the place.
        reason: String,
    },
    /// A cloud-config that is a list or a word.
    #[error("`{origin}` is a cloud-config without keys")]
    NotMapping {
        /// The document.
        origin: String,
    },
}

impl Complaint {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => {
                "make `#cloud-config` its first line, or `#!/bin/sh` for a script"
            }
            Self::NotYaml { .. } | Self::NotMapping { .. } => {
                "`cloud-init schema --config-file FILE` checks it further"
            }
        }
    }
}

/// The MIME type that cloud-init would find; `None`: it would ignore the document.
pub fn kind(body: &str) -> Option<&'static str> {
    let head = body.trim_start();
    if head.to_ascii_lowercase().lines().take(20).any(|line| line.starts_with("mime-version:")) {
        return Some("multipart/mixed");
    }
    KINDS.iter().find(|(prefix, _)| head.starts_with(prefix)).map(|(_, kind)| *kind)
}

/// The first thing that is wrong with `document`.
pub fn document(document: &Document) -> Result<(), Complaint> {
    let origin = || document.origin.clone();
    let Some(kind) = kind(&document.body) else {
        let first = document.body.trim_start().lines().next().unwrap_or_default().to_owned();
        return Err(Complaint::UnknownKind { origin: origin(), first });
    };
    if kind != "text/cloud-config" {
        return Ok(());
    }
    let value: serde_json::Value = match serde_saphyr::from_str(&document.body) {
        Ok(value) => value,
        // cloud-init takes the last of two equal keys.
        Err(error) if error.to_string().contains("duplicate") => return Ok(()),
        Err(error) => {
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            return Err(Complaint::NotYaml { origin: origin(), reason });
        }
    };
    match value {
        serde_json::Value::Object(_) | serde_json::Value::Null => Ok(()),
        _ => Err(Complaint::NotMapping { origin: origin() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Complaint, document, kind};
    use crate::stack::vm::Document;

    fn check(body: &str) -> Result<(), Complaint> {
        document(&Document::new("db.yaml", body))
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(kind("#cloud-config\n"), Some("text/cloud-config"));
        assert_eq!(kind("#cloud-config-archive\n"), Some("text/cloud-config-archive"));
        assert_eq!(kind("## template: jinja\n#cloud-config\n"), Some("text/jinja2"));
        assert_eq!(kind("#!/bin/bash\n"), Some("text/x-shellscript"));
        assert_eq!(
            kind("Content-Type: multipart/mixed\nMIME-Version: 1.0\n"),
            Some("multipart/mixed")
        );
        assert_eq!(kind("packages: [ git ]\n"), None);
    }

    #[test]
    fn what_cloud_init_would_ignore_is_named() {
        assert!(check("#cloud-config\nruncmd: [ ls ]\n").is_ok());
        assert!(check("#cloud-config\n").is_ok());
        assert!(check("#!/bin/sh\n[ -e : }\n").is_ok());
        assert!(matches!(check("runcmd: [ ls ]"), Err(Complaint::UnknownKind { .. })));
        assert!(matches!(check("#cloud-config\n- a\n"), Err(Complaint::NotMapping { .. })));
        assert!(matches!(check("#cloud-config\na: [ b\n"), Err(Complaint::NotYaml { .. })));
        assert!(check("#cloud-config\na: 1\na: 2\n").is_ok());
    }
}
