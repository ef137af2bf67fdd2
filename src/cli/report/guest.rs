//! A VM that came up and whose cloud-init failed: the place in the user's file
//! where that can be known, the guest's own words where it cannot, and what to
//! do next.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::ui::Screen;
use crate::cloud_init;
use crate::cloud_init::blame::{self, Blame, Verdict};
use crate::diagnostic::{Diagnostic, FileId, Sources};
use crate::plan::{Action, Desired, Plan, Resource};
use crate::reconcile::report::Trouble;
use crate::stack::vm::Document;
use crate::stack::{InstanceId, Role};

/// What a guest said of its cloud-init, if that is how the step failed.
pub(super) fn failure_of<'a>(
    resource: &'a Resource,
    trouble: &'a Trouble,
) -> Option<(&'a InstanceId, &'a cloud_init::Failure)> {
    let Resource::Instance(_, id) = resource else { return None };
    trouble.cloud_init.as_ref().map(|said| (id, said))
}

/// Says it. `plan`: what the guest was made from.
pub(super) fn say(
    screen: &Screen,
    (id, said): (&InstanceId, &cloud_init::Failure),
    plan: &Plan,
    help: Option<&str>,
) {
    let verdict = blame::find(documents(plan, id), said);
    let (mut diagnostic, sources, words) = explained(id, said, verdict);
    diagnostic = diagnostic.maybe_help(help.map(str::to_owned));
    screen.verdict(&diagnostic, &sources, &words, &next(id, said));
}

/// The error at its places, and the guest's words where those say too little.
fn explained(
    id: &InstanceId,
    said: &cloud_init::Failure,
    verdict: Verdict,
) -> (Diagnostic, Sources, Vec<String>) {
    // The log adds nothing to places that the guest gave a reason for.
    let told = verdict.places.iter().all(|place| place.said.is_some());
    let words = if told && !verdict.places.is_empty() { verdict.elsewhere } else { said.words() };
    let title = format!("vm `{id}` came up, but its cloud-init failed");
    let mut diagnostic = Diagnostic::error(title);
    let mut sources = Sources::default();
    let mut files: BTreeMap<PathBuf, FileId> = BTreeMap::new();
    for Blame { path, text, range, said } in verdict.places {
        let file = *files.entry(path).or_insert_with_key(|path| sources.add(path, text));
        let span = sources.span(file, range.start, range.end);
        diagnostic = diagnostic.label(span, said.as_deref().unwrap_or("this failed"));
    }
    (diagnostic, sources, words)
}

fn next(id: &InstanceId, said: &cloud_init::Failure) -> String {
    let afresh =
        if said.ever_ready { "" } else { " (it has never been ready, so it is made afresh)" };
    format!("{id} is left running; fix the file and `windlass up`{afresh}")
}

/// What the plan gave to the guest.
fn documents<'a>(plan: &'a Plan, id: &InstanceId) -> &'a [Document] {
    let given = plan.steps.iter().find_map(|step| match &step.action {
        Action::Start(desired) if desired.id == *id => user_data(desired),
        _ => None,
    });
    given.unwrap_or_default()
}

fn user_data(desired: &Desired) -> Option<&[Document]> {
    match &desired.workload.role {
        Role::Vm(vm) => vm.cloud_init.as_ref().map(|given| given.user_data.as_slice()),
        Role::Container(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ui::words;

    const FILE: &str = "#cloud-config\npackages:\n  - git\n  - postgresql-99\n";

    fn screen(errors: &[&str], log: &str, ever_ready: bool) -> String {
        let errors = errors.iter().map(|error| (*error).to_owned()).collect();
        let said = cloud_init::Failure { errors, log: log.to_owned(), ever_ready };
        let id = InstanceId::single("db");
        let verdict = blame::find(&[Document::new("db.yaml", FILE)], &said);
        let (diagnostic, sources, words) = explained(&id, &said, verdict);
        let diagnostic = diagnostic.help("`windlass logs db` shows all of it");
        let look = crate::cli::ui::Look::ASCII;
        words::verdict(look, &diagnostic, &sources, &words, &next(&id, &said))
    }

    #[test]
    fn the_place_in_the_users_file_is_shown() {
        let error = "('package-update-upgrade-install', ProcessExecutionError(\"Unexpected error \
                     while running command.\\nExit code: 100\\nStderr: -\"))";
        let log = "Reading package lists...\nE: Unable to locate package postgresql-99\n";
        insta::assert_snapshot!(screen(&[error], log, false));
    }

    #[test]
    fn without_a_place_the_logs_own_lines_stand_there() {
        insta::assert_snapshot!(screen(&["cloud-init left no result"], "first\nlast\n", true));
    }
}
