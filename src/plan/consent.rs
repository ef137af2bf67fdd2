//! Consent: asked between plan and apply, inside neither. Interruptions are
//! told and not asked about; data is never taken for granted.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Loss, Plan, Resource, Verb};

/// What the user has agreed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// `--replace-disk NAME`: workloads or instances whose disk may be set aside.
    pub replace_disks: BTreeSet<String>,
    /// `down -v`: volumes and disks may be deleted.
    pub volumes: bool,
}

/// A plan that would lose data nobody agreed to lose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("this plan {}", if self.deletes { "deletes data" } else { "replaces data" })]
pub struct Refused {
    /// What lacks consent, and what would be lost.
    pub lacking: Vec<(Resource, String)>,
    /// Whether data would be gone, and not just set aside.
    pub deletes: bool,
    /// What to say instead.
    pub help: String,
}

/// Everything that the plan would lose, in its order.
pub fn losses(plan: &Plan) -> impl Iterator<Item = (&Resource, &Loss)> {
    let changes = plan.changes.iter().filter(|change| change.loss != Loss::None);
    changes.map(|change| (&change.resource, &change.loss))
}

impl Consent {
    /// Whether the plan may be applied.
    pub fn check(&self, plan: &Plan) -> Result<(), Refused> {
        let lacking: Vec<_> = plan
            .changes
            .iter()
            .filter_map(|change| match &change.loss {
                Loss::Data(what) if !self.covers(&change.resource, change.verb) => {
                    Some((change, what.clone()))
                }
                _ => None,
            })
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let disks: Vec<String> = lacking
            .iter()
            .filter(|(change, _)| change.verb == Verb::ReplaceDisk)
            .filter_map(|(change, _)| instance_name(&change.resource))
            .collect();
        let deletes = disks.len() < lacking.len();
        let help = if deletes {
            "`windlass down -v` deletes volumes and disks, and lists them first".to_owned()
        } else {
            help(&disks)
        };
        let lacking =
            lacking.into_iter().map(|(change, what)| (change.resource.clone(), what)).collect();
        Err(Refused { lacking, deletes, help })
    }

    fn covers(&self, resource: &Resource, verb: Verb) -> bool {
        match (resource, verb) {
            (Resource::Instance(_, id), Verb::ReplaceDisk) => {
                self.replace_disks.contains(&id.workload)
                    || self.replace_disks.contains(&id.to_string())
            }
            (Resource::Instance(..) | Resource::Volume(_), Verb::Remove) => self.volumes,
            _ => false,
        }
    }
}

fn instance_name(resource: &Resource) -> Option<String> {
    match resource {
        Resource::Instance(_, id) => Some(id.to_string()),
        _ => None,
    }
}

fn help(disks: &[String]) -> String {
    let flags: Vec<String> = disks.iter().map(|name| format!("--replace-disk {name}")).collect();
    let flags = flags.join(" ");
    match disks {
        [name] => format!(
            "`windlass up {flags}` does it and keeps the old disk as `{name}.old-1` until \
             `windlass volume rm {name}.old-1`"
        ),
        _ => format!(
            "`windlass up {flags}` does it and keeps each old disk as `NAME.old-1` until \
             `windlass volume rm NAME.old-1`"
        ),
    }
}
