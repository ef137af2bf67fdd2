//! Carries connections. Each is a task on the one thread; either side may
//! finish speaking before the other does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::network::accepting;

/// How long an instance that says nothing at all is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries every connection to `to`, for good.
pub(super) async fn serve(listener: TcpListener, to: SocketAddr) {
    loop {
        let client = accepting::next(&listener).await;
        spawn_local(carry(client, to));
    }
}

/// An instance that refuses the connection ends the client's at once.
async fn carry(mut client: TcpStream, to: SocketAddr) {
    let Ok(Ok(mut server)) = timeout(PATIENCE, TcpStream::connect(to)).await else { return };
    for stream in [&client, &server] {
        // What was written small was meant to arrive early.
        drop(stream.set_nodelay(true));
    }
    drop(copy_bidirectional(&mut client, &mut server).await);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::LocalSet;

    use super::*;

    async fn forwarded_to(to: SocketAddr) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        spawn_local(serve(listener, to));
        TcpStream::connect(address).await.expect("connect")
    }

    #[tokio::test]
    async fn one_side_may_finish_before_the_other() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let to = upstream.local_addr().expect("address");
        let server = async {
            let (mut stream, _) = upstream.accept().await.expect("accept");
            let mut question = String::new();
            stream.read_to_string(&mut question).await.expect("until its end");
            stream.write_all(format!("{question} heard").as_bytes()).await.expect("answer");
        };
        let client = async {
            let mut client = forwarded_to(to).await;
            client.write_all(b"all").await.expect("ask");
            client.shutdown().await.expect("finish");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("answer");
            answer
        };
        let (answer, ()) = LocalSet::new().run_until(async { tokio::join!(client, server) }).await;
        assert_eq!(answer, "all heard");
    }

    #[tokio::test]
    async fn a_refused_connection_closes_at_once() {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let to = gone.local_addr().expect("address");
        drop(gone);
        let read = async { forwarded_to(to).await.read(&mut [0; 8]).await };
        let read = LocalSet::new().run_until(timeout(PATIENCE / 2, read)).await;
        assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    }
}
