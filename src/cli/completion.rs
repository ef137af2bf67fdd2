//! `completion`: a script that teaches a shell our commands and flags.

use clap::CommandFactory;

use super::arguments::{Arguments, Completion};
use super::{CommandError, Exit, Invocation};

pub(super) fn run(invocation: &Invocation, arguments: &Completion) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "windlass", &mut script);
    invocation.screen.raw(&script)?;
    Ok(Exit::Done)
}
