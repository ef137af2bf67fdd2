//! `windlass events`: what happens to a stack, as its supervisor sees it, until
//! Ctrl-C or until there is nothing left to see.

use serde::Deserialize;

use super::arguments::Events;
use super::ui::progress;
use super::{CommandError, Exit, Invocation, interrupt, project};
use crate::event::Event;
use crate::supervisor::client::{Client, ClientError};

/// A line of data of the stream.
#[derive(Deserialize)]
struct Dated {
    at: jiff::Timestamp,
    event: Event,
}

/// What to do when it cannot be heard any more.
const AGAIN: &str = "what it minds goes on; `windlass up -d` starts another one, \
                     which `windlass events` then listens to";

/// Shows events until there are no more.
pub(super) async fn run(invocation: &Invocation, arguments: &Events) -> Result<Exit, CommandError> {
    let name = project::name(invocation)?;
    let client = Client::new(&invocation.directories, &name);
    let failed = |source| CommandError::Supervisor { source, stack: name.clone() };
    let mut answer = match client.events().await {
        Err(ClientError::Gone(_)) => {
            return Err(CommandError::Refused {
                reason: format!("nobody minds `{name}`: it has no supervisor"),
                help: Some(
                    "`windlass up -d` starts one; `windlass ps` shows how things are".into(),
                ),
            });
        }
        answer => answer.map_err(failed)?,
    };
    let mut stop = interrupt::listen(&invocation.screen)?;
    invocation.screen.note(&format!("what happens to {name} from now on; Ctrl-C ends this"));
    loop {
        let line = tokio::select! {
            line = answer.line() => line,
            _ = stop.wait_for(|stop| *stop) => return Ok(Exit::Interrupted),
        };
        if let Err(ClientError::Broken(_)) = line {
            let said = format!("the supervisor of {name} ended");
            invocation.screen.failure(&[said], Some(AGAIN));
            return Ok(Exit::Failed);
        }
        let Some(line) = line.map_err(failed)? else { return Ok(Exit::Done) };
        let Some(data) = line.strip_prefix(b"data: ") else { continue };
        if arguments.json {
            invocation.screen.raw(data)?;
            continue;
        }
        // What was missed comes as a number.
        let Ok(dated) = serde_json::from_slice::<Dated>(data) else { continue };
        let at = jiff::tz::TimeZone::system().to_datetime(dated.at);
        if let Some(line) = progress::dated(&dated.event, at, invocation.screen.stdout) {
            invocation.screen.data(&line)?;
        }
    }
}
