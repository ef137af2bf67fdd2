//! `supervise`: minds a stack until there is nothing left to mind. `up` starts
//! it by itself, in the background; by hand it stays in the foreground and says
//! what happens.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::ui::{Screen, progress};
use super::{CommandError, Exit, Invocation, interrupt, project};
use crate::event::Event;
use crate::shim::ready;
use crate::supervisor::server::{self, Office};
use crate::supervisor::{Supervisor, client};

/// How long a last answer may take once everything is done.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) async fn run(invocation: &Invocation) -> Result<Exit, CommandError> {
    let result = supervise(invocation).await;
    if let Err(error) = &result {
        ready::refuse(&error.to_string());
    }
    result
}

async fn supervise(invocation: &Invocation) -> Result<Exit, CommandError> {
    let name = project::name(invocation)?;
    let directory = client::directory(&invocation.directories, &name);
    let setup = |what| move |source| CommandError::Setup { what, source };
    let _only = only_one(&directory)?;
    let listener = server::listen(&directory).map_err(setup("the supervisor's socket"))?;
    let world = project::world(invocation)?;
    let stop = interrupt::listen(&invocation.screen)?;
    let (supervisor, messages, news) = Supervisor::new(world.clone(), name.clone())?;
    let hello = server::hello(name).map_err(setup("the supervisor"))?;
    tokio::spawn(narrate(invocation.screen.clone(), news.subscribe()));
    let (left, mut leaving) = watch::channel(false);
    let office = Office { hello, world, messages, news };
    let door = tokio::spawn(server::serve(listener, office, async move {
        // Its sender is dropped when the supervisor has ended, however it did.
        drop(leaving.wait_for(|left| *left).await);
    }));
    ready::ready();
    supervisor.run(stop).await;
    left.send_replace(true);
    // Whoever still reads an answer gets the end of it.
    drop(tokio::time::timeout(LAST_WORDS, door).await);
    Ok(Exit::Done)
}

/// One supervisor a stack: the kernel keeps the lock for as long as this one lives.
fn only_one(directory: &Path) -> Result<File, CommandError> {
    let path = directory.join("lock");
    let failed = |source| CommandError::File { operation: "lock", path: path.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CommandError::Refused {
            reason: "this stack has a supervisor already".into(),
            help: Some("`windlass events` shows what it sees".into()),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Says what happens, a line an event.
async fn narrate(screen: Screen, mut news: broadcast::Receiver<Event>) {
    loop {
        match news.recv().await {
            Ok(event) => {
                if let Some(line) = progress::dated(&event, now(), screen.stderr) {
                    screen.say(&line);
                }
            }
            // What was missed is in nobody's way.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// The time of day here.
fn now() -> jiff::civil::DateTime {
    jiff::tz::TimeZone::system().to_datetime(jiff::Timestamp::now())
}
