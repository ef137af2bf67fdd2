//! `stop`: stops workloads, dependents first, and keeps them stopped until they
//! are asked for again.

use super::arguments::Stop;
use super::verb::{self, Asked};
use super::{CommandError, Exit, Invocation};
use crate::reconcile::Verb;

pub(super) async fn run(invocation: &Invocation, arguments: &Stop) -> Result<Exit, CommandError> {
    let (names, grace) = (&arguments.names, arguments.timeout);
    verb::run(invocation, Asked { word: "stop", verb: Verb::Stop, names, grace }).await
}
