//! What of a plan somebody must agree to first: too much that would be gone for
//! good, any data, a history that was rewritten. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::record::short;
use crate::plan::words::enumerate;
use crate::plan::{Consent, Loss, Plan, Resource, Verb};

/// What somebody must agree to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// Instances that would be gone, where those are too many.
    pub removed: BTreeSet<String>,
    /// Of how many.
    pub existing: usize,
    /// Workloads whose data is at stake, each with what would be lost.
    pub data: Vec<(String, String)>,
    /// The commit that is no longer in the history.
    pub rewrites: Option<String>,
}

/// What of `plan` somebody must agree to, where `max_removals` percent may go unasked.
pub fn gates(plan: &Plan, max_removals: u8, rewrites: Option<&str>) -> Gates {
    let instance = |resource: &Resource| match resource {
        Resource::Instance(_, id) => Some(id.to_string()),
        _ => None,
    };
    let changed = plan.changes.iter().filter(|change| change.verb != Verb::Create);
    let there = changed.map(|change| &change.resource);
    let there = there.chain(plan.kept.iter().map(|kept| &kept.resource)).chain(&plan.orphans);
    let existing = there.filter_map(instance).collect::<BTreeSet<_>>().len();
    let gone = plan.changes.iter().filter(|change| change.verb == Verb::Remove);
    let gone: BTreeSet<String> = gone.filter_map(|change| instance(&change.resource)).collect();
    let too_many = gone.len() * 100 > existing * usize::from(max_removals);
    let data = plan.changes.iter().filter_map(|change| match &change.loss {
        Loss::Data(what) => Some((words(&change.resource), what.clone())),
        _ => None,
    });
    Gates {
        removed: if too_many { gone } else { BTreeSet::new() },
        existing: if too_many { existing } else { 0 },
        data: data.collect(),
        rewrites: rewrites.map(str::to_owned),
    }
}

/// What a change of data is called: an instance by its name alone, as
/// `--replace-disk` takes it.
pub(super) fn words(resource: &Resource) -> String {
    match resource {
        Resource::Instance(_, id) => id.to_string(),
        Resource::Volume(name) => format!("volume {name}"),
        Resource::Network(name) => format!("network {name}"),
        Resource::Firewall => "firewall".to_owned(),
        Resource::Image(image) => format!("image {image}"),
    }
}

impl Gates {
    /// Whether nobody need agree.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.data.is_empty() && self.rewrites.is_none()
    }

    /// Whether whoever agreed to `self` has agreed to `asked` as well: to nothing
    /// more than was shown. How much data it is may have changed.
    pub fn covers(&self, asked: &Self) -> bool {
        let resources = |gates: &Self| -> BTreeSet<String> {
            gates.data.iter().map(|(resource, _)| resource.clone()).collect()
        };
        asked.removed.is_subset(&self.removed)
            && resources(asked).is_subset(&resources(self))
            && (asked.rewrites.is_none() || asked.rewrites == self.rewrites)
    }

    /// What was agreed to, as `up` takes it.
    pub fn consent(&self) -> Consent {
        Consent {
            replace_disks: self.data.iter().map(|(resource, _)| resource.clone()).collect(),
            volumes: false,
        }
    }

    /// Each reason, in words.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.removed.is_empty() {
            let names: Vec<String> = self.removed.iter().cloned().collect();
            let (count, existing) = (names.len(), self.existing);
            reasons.push(format!("it removes {count} of {existing}: {}", enumerate(&names, 8)));
        }
        reasons.extend(self.data.iter().map(|(resource, what)| format!("{resource}: {what}")));
        if let Some(before) = &self.rewrites {
            let before = short(before);
            reasons.push(format!("history was rewritten: {before} is no longer part of it"));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Cause, Change, Kept};
    use crate::stack::{InstanceId, Kind};

    fn instance(name: &str) -> Resource {
        Resource::Instance(Kind::Container, InstanceId::single(name))
    }

    fn change(name: &str, verb: Verb, loss: Loss) -> Change {
        Change { resource: instance(name), verb, causes: vec![Cause::Missing], loss }
    }

    fn plan(removed: &[&str], kept: &[&str], created: &[&str]) -> Plan {
        let removed = removed.iter().map(|name| change(name, Verb::Remove, Loss::Downtime));
        let created = created.iter().map(|name| change(name, Verb::Create, Loss::None));
        let kept = kept.iter().map(|name| Kept { resource: instance(name), reason: "so".into() });
        Plan { changes: removed.chain(created).collect(), kept: kept.collect(), ..Plan::default() }
    }

    #[test]
    fn more_than_the_limit_waits_and_what_is_made_anew_does_not_count() {
        let removed = |plan: &Plan, max| gates(plan, max, None).removed.len();
        assert_eq!(removed(&plan(&["a"], &["b"], &[]), 50), 0, "half is not more than half");
        assert_eq!(removed(&plan(&["a", "b"], &["c"], &[]), 50), 2);
        assert_eq!(removed(&plan(&["a", "b"], &["c"], &["d", "e", "f"]), 50), 2);
        assert_eq!(removed(&plan(&["a"], &["b", "c"], &[]), 0), 1);
        assert_eq!(removed(&plan(&["a", "b"], &[], &[]), 100), 0);
        assert_eq!(removed(&plan(&[], &[], &[]), 0), 0);
        let recreated =
            Plan { changes: vec![change("a", Verb::Recreate, Loss::Downtime)], ..Plan::default() };
        assert!(gates(&recreated, 0, None).is_empty());
    }

    #[test]
    fn data_always_waits_and_an_approval_covers_what_was_shown_alone() {
        let lost = |what: &str| Plan {
            changes: vec![change("db", Verb::ReplaceDisk, Loss::Data(what.into()))],
            ..Plan::default()
        };
        let shown = gates(&lost("3.1 GiB would be set aside"), 100, None);
        assert_eq!(shown.reasons(), ["db: 3.1 GiB would be set aside"]);
        assert!(shown.covers(&gates(&lost("3.2 GiB would be set aside"), 100, None)));
        assert!(shown.consent().replace_disks.contains("db"));
        let more = gates(&plan(&["a"], &[], &[]), 50, Some("0123456789abcdef"));
        assert!(!shown.covers(&more));
        assert_eq!(
            more.reasons(),
            ["it removes 1 of 1: a", "history was rewritten: 0123456789 is no longer part of it"]
        );
    }
}
