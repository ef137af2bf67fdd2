//! `autostart`: a systemd unit that stops a stack in order when the host goes
//! down and brings back what ran when it comes up; and the unit's own two
//! commands. What is to be started is the plan's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use super::arguments::{Autostart, AutostartCommand};
use super::carry_out::{Job, carry_out};
use super::report::{self, Attempt};
use super::{CommandError, Exit, Invocation, block_on, interrupt, project};
use crate::autostart::ran;
use crate::autostart::systemd::Systemd;
use crate::autostart::unit::{self, Unit};
use crate::plan::Consent;
use crate::reconcile::{Goal, ReconcileError, Report, Verb};
use crate::stack::{InstanceId, Stack, StackName};
use crate::supervisor::client::Client;
use crate::supervisor::intent::Intent;
use crate::supervisor::spawn;

/// Units are written there instead, and systemd is not spoken to: for tests, and
/// for images of hosts.
const ELSEWHERE: &str = "WINDLASS_SYSTEMD_DIR";

/// What the program is told in its environment and a unit passes on. `HOME` is
/// where credentials of registries lie; systemd sets none.
const PASSED_ON: [&str; 4] = ["HOME", "WINDLASS_ACCEL", "WINDLASS_CACHE", "WINDLASS_HOME"];

pub(super) fn run(invocation: &Invocation, arguments: &Autostart) -> Result<Exit, CommandError> {
    match arguments.command {
        AutostartCommand::On => on(invocation),
        AutostartCommand::Off => off(invocation),
        AutostartCommand::Status => status(invocation),
        AutostartCommand::HostUp => block_on(host_up(invocation)),
        AutostartCommand::HostDown => block_on(host_down(invocation)),
    }
}

pub(super) fn systemd() -> Systemd {
    let elsewhere = std::env::var_os(ELSEWHERE).filter(|value| !value.is_empty());
    Systemd::new(elsewhere.map(PathBuf::from).as_deref())
}

fn unit_name(invocation: &Invocation, stack: &StackName) -> String {
    unit::name(stack, other_home(invocation).as_deref())
}

/// The identity of the state directory, where that is not the usual one.
pub(super) fn other_home(invocation: &Invocation) -> Option<String> {
    let elsewhere = std::env::var_os("WINDLASS_HOME").is_some_and(|value| !value.is_empty());
    elsewhere.then(|| invocation.directories.home_id())
}

fn on(invocation: &Invocation) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let (systemd, name) = (systemd(), unit_name(invocation, &stack));
    let program = std::env::current_exe()
        .map_err(|source| CommandError::Setup { what: "the unit", source })?;
    let text = Unit {
        stack: &stack,
        program: &program,
        state: &invocation.directories.lib,
        environment: environment(),
    }
    .text();
    let news = systemd.install(&name, &text)?;
    let (screen, path) = (&invocation.screen, systemd.path(&name));
    match (news, systemd.runs()) {
        (_, false) => {
            screen.say(&format!("wrote {}", path.display()));
            screen.note(&format!(
                "systemd does not run here; where it does, `systemctl enable --now {name}` turns it on"
            ));
        }
        (true, true) => screen.say(&format!("{stack} comes back when the host starts ({name})")),
        (false, true) => screen.say(&format!("{name} is as it should be")),
    }
    Ok(Exit::Done)
}

/// A relative path would mean something else to a unit.
pub(super) fn environment() -> BTreeMap<String, String> {
    let set = PASSED_ON.into_iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        let absolute = std::path::absolute(&value).ok().filter(|_| name != "WINDLASS_ACCEL");
        Some((name.to_owned(), absolute.map_or(value, |path| path.display().to_string())))
    });
    set.collect()
}

fn off(invocation: &Invocation) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let name = unit_name(invocation, &stack);
    let said = if systemd().remove(&name)? {
        format!("{stack} no longer comes back when the host starts; what runs goes on")
    } else {
        format!("{stack} has no unit: nothing to do")
    };
    invocation.screen.say(&said);
    Ok(Exit::Done)
}

fn status(invocation: &Invocation) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let (systemd, name) = (systemd(), unit_name(invocation, &stack));
    let standing = systemd.standing(&name)?;
    let path = systemd.path(&name);
    let line = match (standing.written, standing.known) {
        (false, _) => "off".to_owned(),
        (true, None) => format!("written, but systemd does not run here: {}", path.display()),
        (true, Some((enabled, _))) if enabled != "enabled" => {
            format!("off: {} is {enabled}", path.display())
        }
        (true, Some((_, active))) => format!("on: {} ({active})", path.display()),
    };
    invocation.screen.data(&line)?;
    Ok(Exit::Done)
}

/// Brings back what ran when the host went down, and has it minded.
async fn host_up(invocation: &Invocation) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let directory = invocation.directories.stack(&stack);
    let Some(intent) = Intent::read(&directory)? else {
        invocation.screen.say(&format!("nothing of {stack} is to be up"));
        return Ok(Exit::Done);
    };
    let began = Instant::now();
    let ids = ran::read(&directory)?;
    // Without a supervisor it is done here: one that is started first would see
    // what was cut off, and restart it by its policy before its turn.
    let done = act(invocation, intent.stack, Verb::Resume, ids, began).await;
    spawn::ensure(&invocation.directories, &stack).await?;
    let (report, exit) = done?;
    if matches!(&report, Report::Done(_, walked) if !walked.interrupted) {
        ran::forget(&directory)?;
    }
    Ok(exit)
}

/// Remembers what runs and stops it, dependents first.
async fn host_down(invocation: &Invocation) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let directory = invocation.directories.stack(&stack);
    let Some(intent) = Intent::read(&directory)? else { return Ok(Exit::Done) };
    let began = Instant::now();
    // It would start again what ends now.
    spawn::dismiss(&Client::new(&invocation.directories, &stack)).await?;
    let observed = project::world(invocation)?.observe(&stack).await;
    let observed = observed.map_err(ReconcileError::Look)?;
    let alive = observed.instances.values().filter(|instance| instance.is_alive());
    let ids: BTreeSet<InstanceId> = alive.map(|instance| instance.id.clone()).collect();
    ran::write(&directory, &ids)?;
    act(invocation, intent.stack, Verb::Stop, ids, began).await.map(|(_, exit)| exit)
}

async fn act(
    invocation: &Invocation,
    stack: Stack,
    verb: Verb,
    ids: BTreeSet<InstanceId>,
    began: Instant,
) -> Result<(Report, Exit), CommandError> {
    let (name, files) = (stack.name.clone(), stack.files.clone());
    let job = Job {
        goal: Goal::Verb { stack: Box::new(stack), verb, ids },
        consent: Consent::default(),
        grace: None,
        stop: interrupt::listen(&invocation.screen)?,
        needs_minding: false,
    };
    let report = carry_out(invocation, job).await?;
    let verb = if verb == Verb::Stop { "stop" } else { "up" };
    let attempt = Attempt { verb, stack: &name, files: &files, began, deadline: None };
    let exit = report::say(invocation, attempt, &report);
    Ok((report, exit))
}
