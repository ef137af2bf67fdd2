//! `graph`: who waits for whom, as text or for Graphviz.

use super::arguments::{Graph, GraphFormat};
use super::{CommandError, Exit, Invocation, project};
use crate::graph::{dot, tree};

pub(super) fn run(invocation: &Invocation, arguments: &Graph) -> Result<Exit, CommandError> {
    let stack = project::load(invocation)?;
    let picture = match arguments.format {
        GraphFormat::Text => tree(&stack),
        GraphFormat::Dot => dot(&stack),
    };
    invocation.screen.raw(picture.as_bytes())?;
    Ok(Exit::Done)
}
