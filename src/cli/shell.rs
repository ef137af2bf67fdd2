//! `shell`: a login shell inside a workload; in a VM as the image's own user.

use super::arguments::Shell;
use super::{CommandError, Exit, Invocation, exec, instances};
use crate::engine::{ExecCommand, Streams};

pub(super) async fn run(invocation: &Invocation, arguments: &Shell) -> Result<Exit, CommandError> {
    let record = instances::running(invocation, &arguments.name)?;
    let of_the_image = record.vm.as_ref().map(|vm| vm.user.clone());
    let command = ExecCommand {
        user: arguments.user.clone().or(of_the_image),
        tty: exec::at_a_terminal(),
        streams: Streams::Inherit,
        ..ExecCommand::default()
    };
    exec::inside(invocation, &record, &command).await
}
