//! `restart`: stops and starts, as it was made.

use super::arguments::Restart;
use super::verb::{self, Asked};
use super::{CommandError, Exit, Invocation};
use crate::reconcile::Verb;

pub(super) async fn run(
    invocation: &Invocation,
    arguments: &Restart,
) -> Result<Exit, CommandError> {
    let (names, grace) = (&arguments.names, arguments.timeout);
    verb::run(invocation, Asked { word: "restart", verb: Verb::Restart, names, grace }).await
}
