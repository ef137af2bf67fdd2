//! What a supervisor has running beside its own task: waits for ends of runs,
//! and the passing on of what others say. Nothing here decides.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;

use super::protocol::Said;
use super::{Message, SETTLE};
use crate::diagnostic::chain;
use crate::event::{Event, Events};
use crate::observed::{Health, Observed, Readiness, Restarts};
use crate::stack::{InstanceId, Kind, StackName};
use crate::state::{StateError, atomic};
use crate::world::World;

/// Who waits for the end of which run.
#[derive(Debug, Default)]
pub(super) struct Exits(BTreeMap<InstanceId, Exit>);

#[derive(Debug)]
struct Exit {
    pid: i32,
    wait: AbortHandle,
    /// Where a guest has not said yet how it is.
    first_word: Option<AbortHandle>,
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.wait.abort();
        if let Some(first_word) = &self.first_word {
            first_word.abort();
        }
    }
}

impl Exits {
    /// Has the end of every present run waited for, once, and the first word of guests.
    pub(super) fn follow(
        &mut self,
        world: &World,
        stack: &StackName,
        observed: &Observed,
        outbox: &mpsc::UnboundedSender<Message>,
    ) {
        self.0.retain(|id, _| observed.instances.contains_key(id));
        for (id, instance) in &observed.instances {
            let Some(pid) = instance.pid() else {
                self.0.remove(id);
                continue;
            };
            if self.0.get(id).is_some_and(|exit| exit.pid == pid) {
                continue;
            }
            let unheard = instance.kind == Kind::Vm && instance.ready == Readiness::Waiting;
            let first_word = unheard.then(|| {
                tokio::spawn(hear_guest(world.clone(), stack.clone(), id.clone(), outbox.clone()))
                    .abort_handle()
            });
            let (world, stack, ended) = (world.clone(), stack.clone(), id.clone());
            let (kind, outbox) = (instance.kind, outbox.clone());
            let wait = tokio::spawn(async move {
                // However it ended: it is looked at next.
                drop(world.workloads(kind).exited(&stack, &ended).await);
                drop(outbox.send(Message::Ended(ended)));
            });
            self.0.insert(id.clone(), Exit { pid, wait: wait.abort_handle(), first_word });
        }
    }

    /// Its end was heard of.
    pub(super) fn forget(&mut self, id: &InstanceId) {
        self.0.remove(id);
    }
}

/// Says that a guest has said how it is, whatever it said.
async fn hear_guest(
    world: World,
    stack: StackName,
    id: InstanceId,
    outbox: mpsc::UnboundedSender<Message>,
) {
    let (silent, _) = Events::channel();
    drop(world.vms.ready(&stack, &id, &silent).await);
    drop(outbox.send(Message::Spoke(id)));
}

/// Passes on what happens to whoever asked for it and to whoever listens, until
/// nobody can say anything more.
pub(super) async fn pass_on(
    mut said: mpsc::UnboundedReceiver<Event>,
    news: broadcast::Sender<Event>,
    replies: Option<mpsc::UnboundedSender<Said>>,
) {
    while let Some(event) = said.recv().await {
        // That nobody listens is no failure.
        drop(news.send(event.clone()));
        if let Some(replies) = &replies {
            drop(replies.send(Said::Event(event)));
        }
    }
}

/// Says that something of the stack was changed outside, whenever it was.
pub(super) async fn hear_host(
    world: World,
    stack: StackName,
    outbox: mpsc::UnboundedSender<Message>,
) {
    loop {
        match world.networks.changed(&stack).await {
            Ok(()) => {}
            Err(error) => {
                // The regular look finds it, later.
                tracing::warn!(error = %chain(&error).join(": "), "cannot hear of changes");
                return;
            }
        }
        if outbox.send(Message::HostChanged).is_err() {
            return;
        }
        // The rest of a burst is in what is looked at.
        tokio::time::sleep(SETTLE).await;
    }
}

/// Passes on what healthchecks say.
pub(super) async fn pass_on_health(
    mut changes: mpsc::UnboundedReceiver<(InstanceId, Health)>,
    outbox: mpsc::UnboundedSender<Message>,
) {
    while let Some((id, health)) = changes.recv().await {
        if outbox.send(Message::Health(id, health)).is_err() {
            return;
        }
    }
}

/// Writes down how often an instance was started again, and when it will be.
pub(super) fn write_down(
    directory: &Path,
    restarts: Restarts,
    pause: Option<Duration>,
) -> Result<(), StateError> {
    let seconds = |pause: Duration| i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
    let due = pause.map(|pause| jiff::Timestamp::now().as_second() + seconds(pause));
    atomic::write_cache(&directory.join(Restarts::FILE), &Restarts { due, ..restarts })
}
