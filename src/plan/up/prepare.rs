//! Third phase: networks, their names, the firewall and volumes: everything
//! that an instance needs before it runs.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use super::end::Leaving;
use super::{Layout, Marks};
use crate::network::NetworkPlan;
use crate::network::ruleset::Ruleset;
use crate::plan::network::{Fate, Rules, ruleset, zones};
use crate::plan::steps::Steps;
use crate::plan::volume;
use crate::plan::{Action, Cause, Change, Forward, Loss, Resource, Verb};
use crate::stack::InstanceId;

/// What was mended although no instance changed for it.
#[derive(Default)]
pub(super) struct Repairs {
    /// Networks whose names are served anew, and why.
    pub(super) names: BTreeMap<String, Cause>,
    /// Why the firewall is applied, where that is drift.
    pub(super) firewall: Option<Cause>,
    /// The table is replaced, for whatever reason.
    pub(super) firewall_applied: bool,
}

impl Layout<'_> {
    pub(super) fn prepare(
        &self,
        steps: &mut Steps,
        marks: &mut Marks,
        leaving: &Leaving,
    ) -> Repairs {
        let mut repairs = Repairs::default();
        self.remove_networks(steps, marks);
        self.make_networks(steps, marks);
        // The firewall needs bridges and no names: both are set up side by side.
        let bridges: Vec<usize> = marks.networks.values().flatten().copied().collect();
        self.serve_names(steps, marks, leaving, &mut repairs);
        marks.firewall = self.apply_firewall(steps, bridges, leaving, &mut repairs);
        self.make_volumes(steps, marks);
        repairs
    }

    /// The ends of all who are on a network now.
    fn everybody_left(&self, network: &str, marks: &Marks) -> Vec<usize> {
        let observed = self.chosen.given.observed;
        let on_it = observed.instances.values().filter(|it| it.addresses.contains_key(network));
        on_it.filter_map(|it| marks.ended.get(&it.id).copied()).collect()
    }

    /// Those nobody is on any more, and the old form of those that get other
    /// addresses.
    fn remove_networks(&self, steps: &mut Steps, marks: &mut Marks) {
        let networks = &self.chosen.networks;
        let renumbered = networks.wanted.values().filter_map(|wanted| match &wanted.fate {
            Fate::Renumber(_, old) => Some(&**old),
            _ => None,
        });
        for old in networks.unused.values().chain(renumbered) {
            let after = self.everybody_left(&old.name, marks);
            let resource = Resource::Network(old.name.clone());
            let index = steps.add(resource, Action::RemoveNetwork(old.clone()), after);
            marks.networks.entry(old.name.clone()).or_default().push(index);
        }
    }

    fn make_networks(&self, steps: &mut Steps, marks: &mut Marks) {
        // A subnet may be free only when its former network has gone.
        let removed: Vec<usize> = marks.networks.values().flatten().copied().collect();
        for (name, wanted) in &self.chosen.networks.wanted {
            if wanted.fate == Fate::Keep {
                continue;
            }
            let mut after = removed.clone();
            if wanted.fate == Fate::Create {
                // Instances that held on to a bridge that is gone.
                after.extend(self.everybody_left(name, marks));
            }
            let action = Action::CreateNetwork(wanted.plan.clone());
            let index = steps.add(Resource::Network(name.clone()), action, after);
            marks.networks.insert(name.clone(), vec![index]);
        }
    }

    fn serve_names(
        &self,
        steps: &mut Steps,
        marks: &mut Marks,
        leaving: &Leaving,
        repairs: &mut Repairs,
    ) {
        let chosen = self.chosen;
        let mut zones = zones(chosen.given, &chosen.networks, &chosen.addresses, leaving);
        for network in chosen.networks.all() {
            let Some(zone) = zones.remove(&network.name) else { continue };
            let existing = chosen.given.observed.networks.get(&network.name);
            let made_anew = marks.networks.contains_key(&network.name);
            let cause = match existing {
                Some(it) if !it.names_alive => "its name server is not running",
                Some(it) if it.zone != zone => "its names are not up to date",
                Some(_) if !made_anew => continue,
                _ => "",
            };
            if !cause.is_empty() {
                repairs.names.insert(network.name.clone(), Cause::Seen(cause.into()));
            }
            let after = marks.networks.get(&network.name).cloned().unwrap_or_default();
            let action = Action::ServeNames(network.clone(), zone);
            let index = steps.add(Resource::Network(network.name.clone()), action, after);
            marks.networks.entry(network.name.clone()).or_default().push(index);
        }
    }

    fn apply_firewall(
        &self,
        steps: &mut Steps,
        after: Vec<usize>,
        leaving: &Leaving,
        repairs: &mut Repairs,
    ) -> Option<usize> {
        let chosen = self.chosen;
        let given = chosen.given;
        let rules = self.rules(leaving);
        let table = ruleset(&given.stack.name, &given.facts.home_id, &chosen.networks, &rules);
        let Some(table) = table else {
            if given.observed.firewall.is_some() && given.options.only.is_none() {
                steps.add(Resource::Firewall, Action::RemoveFirewall, after);
                repairs.firewall_applied = true;
            }
            return None;
        };
        let dropped = |it: &crate::observed::ObservedNetwork| it.docker_accepts == Some(false);
        let docker_drops = given.observed.networks.values().any(dropped);
        let there = given.observed.firewall.as_ref();
        if there == Some(&table.rule_ids()) && !docker_drops {
            return None;
        }
        repairs.firewall_applied = true;
        repairs.firewall = self.firewall_drift(&table, docker_drops);
        Some(steps.add(Resource::Firewall, Action::ApplyFirewall(table), after))
    }

    /// The ports that lead somewhere afterwards: of those in the plan, and of
    /// those it leaves alone.
    fn rules(&self, leaving: &Leaving) -> Rules {
        let of_courses = self.courses.values().flatten();
        let mut rules: Rules =
            of_courses.map(|course| (course.id.clone(), course.forwards.clone())).collect();
        for other in self.chosen.given.observed.instances.values() {
            if rules.contains_key(&other.id) || leaving.contains(&other.id) || !other.is_alive() {
                continue;
            }
            if let Some(to) = other.addresses.values().next() {
                let to = *to;
                let forward = |port: &crate::stack::Port| Forward { port: port.clone(), to };
                rules.insert(other.id.clone(), other.forwarded.iter().map(forward).collect());
            }
        }
        rules
    }

    /// Whether rules are missing that earlier plans must have put there.
    fn firewall_drift(&self, table: &Ruleset, docker_drops: bool) -> Option<Cause> {
        if docker_drops {
            let words = "Docker's firewall drops its frames: our rule in DOCKER-USER is missing";
            return Some(Cause::Seen(words.into()));
        }
        let networks = &self.chosen.networks;
        let stays = |network: &NetworkPlan| {
            let fate = networks.wanted.get(&network.name).map(|it| &it.fate);
            matches!(fate, None | Some(Fate::Keep | Fate::Mend(_)))
        };
        let bridges: BTreeSet<&str> =
            networks.all().filter(|it| stays(it)).map(|it| it.bridge.as_str()).collect();
        if bridges.is_empty() {
            return None;
        }
        let unchanged = self.courses.values().flatten().filter(|course| course.verb.is_none());
        let targets: BTreeSet<_> =
            unchanged.flat_map(|course| &course.forwards).map(|forward| forward.to).collect();
        let before = Ruleset {
            table: table.table.clone(),
            networks: table
                .networks
                .iter()
                .filter(|it| bridges.contains(it.bridge.as_str()))
                .cloned()
                .collect(),
            published: table
                .published
                .iter()
                .filter(|it| targets.contains(&it.to))
                .cloned()
                .collect(),
        };
        let there = self.chosen.given.observed.firewall.clone().unwrap_or_default();
        let missing = before.rule_ids().difference(&there).count();
        match missing {
            0 => None,
            1 => Some(Cause::Seen("a rule of it is missing".into())),
            count => Some(Cause::Seen(format!("{count} rules of it are missing"))),
        }
    }

    fn make_volumes(&self, steps: &mut Steps, marks: &mut Marks) {
        for fate in self.volumes {
            let (volume, after) = match fate {
                volume::Fate::Create(volume) => (*volume, Vec::new()),
                volume::Fate::Grow(volume, _) => (*volume, self.ends_of_users(&volume.name, marks)),
                volume::Fate::Keep(_) | volume::Fate::Blocked(_) => continue,
            };
            let resource = Resource::Volume(volume.resolved.clone());
            let index = steps.add(resource, Action::CreateVolume(volume.clone()), after);
            marks.volumes.insert(volume.name.clone(), index);
        }
    }

    fn ends_of_users(&self, name: &str, marks: &Marks) -> Vec<usize> {
        let users = self.courses.values().flatten();
        users
            .filter(|course| volume::used_by(&course.desired.workload).contains(name))
            .filter_map(|course| marks.ended.get(&course.id).copied())
            .collect()
    }
}

impl Repairs {
    /// What was mended, as changes of their own, where nothing else tells it.
    pub(super) fn changes(self, told: &[Change], touched: &BTreeSet<String>) -> Vec<Change> {
        let mend = |resource, cause| Change {
            resource,
            verb: Verb::InPlace,
            causes: vec![cause],
            loss: Loss::None,
        };
        let mut changes = Vec::new();
        for (name, cause) in self.names {
            let resource = Resource::Network(name.clone());
            let known = told.iter().any(|change| change.resource == resource);
            let outdated = cause == Cause::Seen("its names are not up to date".into());
            let told_by_another = known || (outdated && touched.contains(&name));
            if !told_by_another {
                changes.push(mend(resource, cause));
            }
        }
        let cause = self.firewall.or_else(|| {
            let silent = told.is_empty() && changes.is_empty() && self.firewall_applied;
            silent.then(|| Cause::Seen("its rules are not up to date".into()))
        });
        changes.extend(cause.map(|cause| mend(Resource::Firewall, cause)));
        changes
    }
}

/// The networks that instances with these ids are on, before or after.
pub(super) fn touched_networks(
    layout: &Layout<'_>,
    changed: &BTreeSet<InstanceId>,
) -> BTreeSet<String> {
    let before = layout.chosen.given.observed.instances.values();
    let before = before.filter(|it| changed.contains(&it.id)).flat_map(|it| it.addresses.keys());
    let after = layout.chosen.addresses.iter();
    let after = after.filter(|(id, _)| changed.contains(id)).flat_map(|(_, on)| on.keys());
    before.chain(after).cloned().collect()
}
