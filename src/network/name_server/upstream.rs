//! Asks the host's resolvers, each in turn, and takes only an answer to what
//! was asked. The packet goes through as it is but for its number.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::question_end;

/// How long one resolver is waited for; a client's own patience is five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How many resolvers are asked, as the C library does.
const RESOLVERS: usize = 3;

/// Over what a question came, and is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// UDP.
    Datagram,
    /// TCP.
    Stream,
}

/// The first answer that any resolver gives; `None`: none does.
pub(super) async fn ask(
    resolvers: &[SocketAddr],
    question: &[u8],
    transport: Transport,
) -> Option<Vec<u8>> {
    for resolver in resolvers.iter().take(RESOLVERS) {
        let asked = renumbered(question, number());
        let answer = async {
            match transport {
                Transport::Datagram => over_udp(*resolver, &asked).await,
                Transport::Stream => over_tcp(*resolver, &asked).await,
            }
        };
        if let Ok(Ok(answer)) = timeout(PATIENCE, answer).await {
            let id = question.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
            return Some(renumbered(&answer, id));
        }
    }
    None
}

async fn over_udp(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; 65535];
    loop {
        let length = socket.recv(&mut answer).await?;
        if answers(question, &answer[..length]) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn over_tcp(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_framed(&mut stream, question).await?;
    let answer = read_framed(&mut stream).await?;
    if answers(question, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// One message of a stream: two bytes of length, then the message.
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message to a stream.
pub(super) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length =
        u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Whether it is the answer to that very question: number, name, type, class.
fn answers(question: &[u8], answer: &[u8]) -> bool {
    let Some(end) = question_end(question) else { return false };
    let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let same = answer
        .get(12..end)
        .is_some_and(|asked| asked.eq_ignore_ascii_case(question.get(12..end).unwrap_or_default()));
    is_response && answer.get(..2) == question.get(..2) && same
}

fn renumbered(message: &[u8], number: u16) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(id) = message.first_chunk_mut() {
        *id = number.to_be_bytes();
    }
    message
}

/// A number that cannot be guessed.
fn number() -> u16 {
    let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::answers;

    #[test]
    fn only_the_same_number_and_question_is_an_answer() {
        let question = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        let mut answer = question;
        assert!(!answers(&question, &answer), "a question is no answer");
        answer[2] = 0x81;
        assert!(answers(&question, &answer));
        answer[13] = b'A';
        assert!(answers(&question, &answer), "case does not matter");
        answer[13] = b'b';
        assert!(!answers(&question, &answer));
        answer[13] = b'a';
        answer[0] = 8;
        assert!(!answers(&question, &answer));
    }
}
