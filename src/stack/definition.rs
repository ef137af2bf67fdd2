//! A workload as a flat list of fields, so that two of them can be compared
//! field by field and each difference named in the user's words.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Field path (`environment.CACHE`, `memory`, `command`) → value as the user
/// would write it. Absent and `null` are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(pub BTreeMap<String, String>);

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The field's path.
    pub field: String,
    /// The value it has; `None`: unset.
    pub from: Option<String>,
    /// The value it shall have; `None`: unset.
    pub to: Option<String>,
}

/// What a changed field costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeClass {
    /// Nothing to do but to note it: it acts on what Windlass does next.
    Noted,
    /// Changed while it runs.
    InPlace,
    /// Stopped and started; what it has written stays.
    Restart,
    /// Made again from its image.
    Recreate,
}
