//! Ctrl-C: the first asks to stop, the second ends the process at once. What a
//! process that ended at once leaves half done is finished by the next `up`.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::ui::Screen;
use super::{CommandError, Exit};

/// Listens from now on. The receiver becomes `true` with the first Ctrl-C (or
/// SIGTERM); the second ends the process with 130.
pub fn listen(screen: &Screen) -> Result<watch::Receiver<bool>, CommandError> {
    let setup = |source| CommandError::Setup { what: "the handler of Ctrl-C", source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(setup)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(setup)?;
    let (sender, receiver) = watch::channel(false);
    let screen = screen.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        sender.send_replace(true);
        screen.stopping();
        either(&mut interrupt, &mut terminate).await;
        leave();
    });
    Ok(receiver)
}

/// The same for a command whose end leaves everything as it is: there is nothing
/// to announce.
pub(super) fn listen_to_leave() -> Result<watch::Receiver<bool>, CommandError> {
    let setup = |source| CommandError::Setup { what: "the handler of Ctrl-C", source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(setup)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(setup)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        sender.send_replace(true);
        either(&mut interrupt, &mut terminate).await;
        leave();
    });
    Ok(receiver)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[expect(clippy::exit, reason = "the user asked twice: nothing may hold this up")]
fn leave() -> ! {
    std::process::exit(i32::from(Exit::Interrupted.code()))
}
