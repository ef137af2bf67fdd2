//! What an existing instance needs to become what it shall be: every reason
//! is collected, and the most costly one decides.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Chosen, Courses, changed};
use crate::observed::{ObservedInstance, Readiness, State};
use crate::plan::network::Fate;
use crate::plan::words::{what_happens, why_it_rests};
use crate::plan::{Blocked, Cause, Desired, Resource, Verb};
use crate::plan::{Initiative, Pull};
use crate::stack::definition::{ChangeClass, Difference, class, differences, parse_bytes};
use crate::stack::{Kind, OnChange, Role, VolumeKind, Workload};

/// What is needed, with every reason for it.
#[derive(Default)]
pub(super) struct Need {
    /// The most costly of all; `None`: nothing.
    pub(super) class: Option<ChangeClass>,
    pub(super) causes: Vec<Cause>,
    pub(super) blocked: Vec<Blocked>,
    /// Its record must be written anew.
    pub(super) record: bool,
    pub(super) rerun_cloud_init: bool,
    /// User-data changed and `on_change: ignore` says to leave it.
    pub(super) ignored_user_data: bool,
    /// Should it have completed, it runs again all the same.
    pub(super) run_again: bool,
}

impl Need {
    fn add(&mut self, class: ChangeClass, cause: Cause) {
        self.class = self.class.max(Some(class));
        self.causes.push(cause);
    }
}

/// Everything that speaks for a change.
pub(super) fn need(
    chosen: &Chosen<'_>,
    existing: &ObservedInstance,
    workload: &Workload,
    desired: &Desired,
    before: &Courses,
) -> Need {
    let mut need = Need::default();
    if existing.definition.0.is_empty() {
        // Nobody knows what it is: a stand-in for what cannot be read.
        need.add(ChangeClass::Recreate, Cause::Seen("its record is damaged".into()));
        return need;
    }
    for difference in differences(&existing.definition, &desired.definition) {
        of_field(&mut need, existing, workload, difference);
    }
    of_networks(&mut need, chosen, existing, desired);
    of_volumes(&mut need, chosen, existing, workload);
    of_image(&mut need, chosen, existing, workload);
    of_state(&mut need, existing);
    of_dependencies(&mut need, existing, workload, before);
    if existing.id.replicated != desired.id.replicated {
        need.add(ChangeClass::Noted, changed("name", &existing.id, &desired.id));
        need.record = true;
    }
    let asked = chosen.given.options.initiative == Initiative::User;
    if asked && existing.kind == Kind::Vm && !existing.ever_ready {
        of_untried_vm(&mut need, existing);
    }
    need
}

fn of_field(
    need: &mut Need,
    existing: &ObservedInstance,
    workload: &Workload,
    difference: Difference,
) {
    let mut cost = class(existing.kind, &difference.field);
    if let Role::Vm(vm) = &workload.role {
        if difference.field == "disk" {
            match disk_change(&difference) {
                Ok(class) => cost = class,
                Err(blocked) => {
                    need.blocked.push(blocked(existing));
                    return;
                }
            }
        }
        if is_given_to_cloud_init(&difference.field) {
            match vm.cloud_init.as_ref().map(|it| it.on_change).unwrap_or_default() {
                OnChange::Rerun => need.rerun_cloud_init = true,
                OnChange::Replace => cost = ChangeClass::Recreate,
                OnChange::Ignore => {
                    need.ignored_user_data = true;
                    return;
                }
            }
        }
    }
    need.record = true;
    need.run_again |= cost >= ChangeClass::Restart;
    need.add(cost, Cause::Field(difference));
}

/// Whether cloud-init must run again for a change of this field to arrive.
fn is_given_to_cloud_init(field: &str) -> bool {
    field == "cloud_init" || (field.starts_with("cloud_init.") && field != "cloud_init.on_change")
}

/// A root disk grows at the next start and never shrinks.
fn disk_change(
    difference: &Difference,
) -> Result<ChangeClass, impl FnOnce(&ObservedInstance) -> Blocked + use<>> {
    let size = |text: &Option<String>| text.as_deref().and_then(parse_bytes);
    match (size(&difference.from), size(&difference.to)) {
        (_, None) => Ok(ChangeClass::Noted),
        (Some(from), Some(to)) if to < from => {
            let (from, to) = (difference.from.clone(), difference.to.clone());
            Err(move |existing: &ObservedInstance| Blocked {
                resource: Resource::Instance(existing.kind, existing.id.clone()),
                reason: format!(
                    "its disk has {} and cannot shrink to {}",
                    from.unwrap_or_default(),
                    to.unwrap_or_default()
                ),
                help: Some(
                    "leave `disk:` as it was, or replace the VM by one of another name".into(),
                ),
            })
        }
        _ => Ok(ChangeClass::Restart),
    }
}

fn of_networks(
    need: &mut Need,
    chosen: &Chosen<'_>,
    existing: &ObservedInstance,
    desired: &Desired,
) {
    for (network, had) in &existing.addresses {
        let fate = chosen.networks.wanted.get(network).map(|it| &it.fate);
        let has = desired.addresses.iter().find(|it| it.network == *network).map(|it| it.ipv4);
        if let Some(cause) = chosen.networks.must_leave(network)
            && has.is_some()
        {
            let cause = match cause {
                Cause::Field(difference) => Cause::Field(Difference {
                    field: format!("networks.{network}.{}", difference.field),
                    ..difference.clone()
                }),
                other => other.clone(),
            };
            need.add(ChangeClass::Restart, cause);
            need.record |= has != Some(*had);
        } else if let Some(has) = has
            && has != *had
        {
            need.add(ChangeClass::Restart, changed(format!("address on {network}"), had, &has));
            need.record = true;
        } else if has.is_some() && fate == Some(&Fate::Create) && existing.is_alive() {
            // Its interfaces were ports of a bridge that is no more.
            let seen = format!("its network {network} is gone");
            need.add(ChangeClass::Restart, Cause::Seen(seen));
        }
    }
}

/// A block device grows only while nobody has it open.
fn of_volumes(
    need: &mut Need,
    chosen: &Chosen<'_>,
    existing: &ObservedInstance,
    workload: &Workload,
) {
    let Role::Vm(vm) = &workload.role else { return };
    for disk in &vm.disks {
        let Some(volume) = chosen.given.stack.volumes.get(&disk.volume) else { continue };
        let has = chosen.given.observed.volumes.get(&volume.resolved).map(|it| it.kind);
        if let (VolumeKind::Disk { size: to }, Some(VolumeKind::Disk { size: from })) =
            (volume.kind, has)
            && from < to
            && existing.is_alive()
        {
            let text = crate::stack::definition::bytes;
            let field = format!("volumes.{}.size", volume.name);
            need.add(ChangeClass::Restart, changed(field, &text(from), &text(to)));
        }
    }
}

fn of_image(
    need: &mut Need,
    chosen: &Chosen<'_>,
    existing: &ObservedInstance,
    workload: &Workload,
) {
    let given = chosen.given;
    if given.options.force_recreate {
        let class = match existing.kind {
            Kind::Container => ChangeClass::Recreate,
            // Its disk is data: what can be made again is the machine around it.
            Kind::Vm => ChangeClass::Restart,
        };
        need.add(class, Cause::Asked("--force-recreate".into()));
        need.record = true;
    }
    let fresh = given
        .facts
        .fresh_images
        .get(&workload.image)
        .filter(|_| given.options.pull == Pull::Always);
    if let Some(fresh) = fresh
        && existing.image == workload.image
        && *fresh != existing.image_digest
    {
        let short = |digest: &str| digest.chars().take("sha256:".len() + 12).collect::<String>();
        let cause = changed("image", &short(&existing.image_digest), &short(fresh));
        need.add(ChangeClass::Recreate, cause);
    }
}

fn of_state(need: &mut Need, existing: &ObservedInstance) {
    for (field, in_force) in &existing.drift {
        let to = existing.definition.get(field).map(str::to_owned);
        let difference = Difference { field: field.clone(), from: Some(in_force.clone()), to };
        need.add(ChangeClass::InPlace, Cause::Drift(difference));
        need.record = true;
    }
    if matches!(existing.state, State::Degraded { .. }) {
        need.add(ChangeClass::Restart, Cause::Seen(why_it_rests(existing)));
    }
}

fn of_dependencies(
    need: &mut Need,
    existing: &ObservedInstance,
    workload: &Workload,
    before: &Courses,
) {
    for (name, _) in workload.depends_on.iter().filter(|(_, it)| it.restart) {
        let interrupts =
            before.get(name).into_iter().flatten().find(|it| it.interrupts_dependents());
        let Some(verb) = interrupts.and_then(|it| it.verb) else { continue };
        let what = what_happens(verb).to_owned();
        let cause = Cause::DependsOn { on: name.clone(), what };
        if existing.is_alive() {
            need.add(ChangeClass::Restart, cause);
        } else if verb != Verb::Restart {
            need.causes.push(cause);
            need.run_again = true;
        }
    }
}

/// A VM that has never been ready holds nothing: any change that it would have
/// to restart for, and a failed cloud-init, make it afresh.
fn of_untried_vm(need: &mut Need, existing: &ObservedInstance) {
    if let Readiness::Failed { errors } = &existing.ready {
        let words = match errors.first() {
            Some(error) => format!("its cloud-init failed: {error}"),
            None => "its cloud-init failed".to_owned(),
        };
        need.add(ChangeClass::Recreate, Cause::Seen(words));
    }
    let by_field = need.causes.iter().any(|cause| matches!(cause, Cause::Field(_)));
    if by_field && need.class >= Some(ChangeClass::Restart) {
        need.class = Some(ChangeClass::Recreate);
    }
}
