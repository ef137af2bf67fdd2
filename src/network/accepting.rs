//! Accepting connections through bad luck.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The next connection. Most errors are about one connection that went away;
/// when the process has no descriptor left, asking again at once would only
/// burn the processor, and there is no event to wait for.
pub(super) async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_exhaustion(&error) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => {}
        }
    }
}

fn is_exhaustion(error: &std::io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}
