//! `schema`: the JSON schema of a stack file, for editors.

use super::{CommandError, Exit, Invocation};
use crate::spec::json_schema;

pub(super) fn run(invocation: &Invocation) -> Result<Exit, CommandError> {
    invocation.screen.raw(json_schema().as_bytes())?;
    Ok(Exit::Done)
}
