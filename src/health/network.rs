//! Asking from the host: whether a port takes a connection, whether a page is
//! there. One question, one answer; how often and how long is not decided here.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The most that is read of what should be a status line.
const LONGEST_LINE: u64 = 4096;

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is well.
    pub healthy: bool,
    /// What it said.
    pub output: String,
}

impl Answer {
    /// It did not come in time.
    pub fn late(limit: Duration) -> Self {
        let limit = crate::stack::health::format_duration(limit);
        Self { healthy: false, output: format!("no answer within {limit}") }
    }

    fn no(output: String) -> Self {
        Self { healthy: false, output }
    }
}

/// Whether something takes connections there.
pub async fn probe_tcp(address: SocketAddr) -> Answer {
    match TcpStream::connect(address).await {
        Ok(_) => Answer { healthy: true, output: format!("{address} answers") },
        Err(error) => Answer::no(format!("{address}: {error}")),
    }
}

/// Whether the page is there with this status, or with any below 400. Nothing
/// is followed and the page itself is not read.
pub async fn probe_http(address: SocketAddr, path: &str, expected: Option<u16>) -> Answer {
    let line = match status_line(address, path).await {
        Ok(line) => line,
        Err(error) => return Answer::no(format!("{address}: {error}")),
    };
    let said = line.trim_end();
    let Some(status) = status(said) else {
        return Answer::no(format!("{address} does not speak HTTP: {said:?}"));
    };
    let healthy = expected.map_or(status < 400, |expected| status == expected);
    Answer { healthy, output: format!("{path}: {said}") }
}

async fn status_line(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let question = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: windlass\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(question.as_bytes()).await?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// `HTTP/1.1 204 No Content` → 204.
fn status(line: &str) -> Option<u16> {
    let (_, rest) = line.strip_prefix("HTTP/1.")?.split_once(' ')?;
    let status = rest.split(' ').next()?;
    status.parse().ok().filter(|status| (100..600).contains(status))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that says this to whoever asks; what it was asked.
    async fn says(words: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody asks");
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.expect("a question");
            stream.write_all(words.as_bytes()).await.expect("an answer");
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        (address, served)
    }

    #[tokio::test]
    async fn a_page_is_there_below_400_or_with_the_status_that_was_named() {
        for (words, expected, healthy) in [
            ("HTTP/1.1 200 OK\r\n\r\n", None, true),
            ("HTTP/1.0 302 Found\r\n\r\n", None, true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", None, false),
            ("HTTP/1.1 503\r\n\r\n", Some(503), true),
            ("HTTP/1.1 200 OK\r\n\r\n", Some(204), false),
            ("SSH-2.0-OpenSSH_9.2\r\n", None, false),
            ("", None, false),
        ] {
            let (address, served) = says(words).await;
            let answer = probe_http(address, "/health?deep=1", expected).await;
            assert_eq!(answer.healthy, healthy, "{words:?} {answer:?}");
            let asked = served.await.expect("it served");
            assert!(asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{asked}");
        }
    }

    #[tokio::test]
    async fn a_port_answers_when_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        assert!(probe_tcp(address).await.healthy);
        drop(listener);
        let answer = probe_tcp(address).await;
        assert!(!answer.healthy && answer.output.contains("refused"), "{answer:?}");
    }
}
