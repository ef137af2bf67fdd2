//! `schema`: the JSON schema of a stack file, or of a gitops file, for editors.

use super::arguments::Schema;
use super::{CommandError, Exit, Invocation};
use crate::schema::{gitops_json_schema, json_schema};

pub(super) fn run(invocation: &Invocation, arguments: &Schema) -> Result<Exit, CommandError> {
    let schema = if arguments.gitops { gitops_json_schema() } else { json_schema() };
    invocation.screen.raw(schema.as_bytes())?;
    Ok(Exit::Done)
}
