//! `start`: starts what is at rest, as it was made. Applying the file is `up`'s work.

use super::arguments::Start;
use super::verb::{self, Asked};
use super::{CommandError, Exit, Invocation};
use crate::reconcile::Verb;

pub(super) async fn run(invocation: &Invocation, arguments: &Start) -> Result<Exit, CommandError> {
    let names = &arguments.names;
    verb::run(invocation, Asked { word: "start", verb: Verb::Start, names, grace: None }).await
}
