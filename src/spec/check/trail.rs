//! Where the checker is, and how that is said: `healthcheck` of service `web`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

/// The path from the root to a value.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    name: &'a str,
}

impl<'a> Trail<'a> {
    /// The file itself, by what kind it is.
    pub(super) fn root(kind: &'a str) -> Self {
        Self { parent: None, name: kind }
    }

    /// One step down.
    pub(super) fn child(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), name }
    }

    /// The names from the root.
    fn names(&self) -> Vec<&'a str> {
        let mut names = self.parent.map_or_else(Vec::new, Trail::names);
        if self.parent.is_some() {
            names.push(self.name);
        }
        names
    }

    /// What kind of file this is in.
    fn kind(&self) -> &'a str {
        self.parent.map_or(self.name, Trail::kind)
    }

    /// Whether this is `services.NAME` or `vms.NAME`.
    pub(super) fn is_workload(&self) -> bool {
        matches!(self.names()[..], ["services" | "containers" | "vms", _])
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let (kind, name, rest) = match &names[..] {
            [] => return write!(f, "the {}", self.kind()),
            [only] => return write!(f, "`{only}`"),
            [collection, name, rest @ ..] => match *collection {
                "services" | "containers" => ("service", name, rest),
                "vms" => ("vm", name, rest),
                "networks" => ("network", name, rest),
                "volumes" => ("volume", name, rest),
                "secrets" => ("secret", name, rest),
                "configs" => ("config", name, rest),
                _ => return write!(f, "`{}`", names.join(".")),
            },
        };
        if !rest.is_empty() {
            write!(f, "`{}` of ", rest.join("."))?;
        }
        write!(f, "{kind} `{name}`")
    }
}
