//! HTTP as images need it: who answers at all, documents, and large files that
//! are resumed. It checks digests; what a file means is others' business.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::header::RANGE;
use reqwest::{Client, Response, StatusCode};

use super::digest::Hasher;
use super::error::{Distrust, ImageError};
use super::progress::Progress;
use super::room::Room;
use crate::state::{file_lock, names};

/// Nobody waits longer for somebody who does not answer.
pub(super) const CONNECT: Duration = Duration::from_secs(3);

/// Silence in the middle of an answer that counts as its end.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// Pauses before the second and the third attempt.
pub(super) const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// The largest document (a list of checksums) that is read.
const DOCUMENT: u64 = 4 << 20;

/// Chooses the TLS implementation of this process; the first choice stands.
pub(super) fn prepare_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

fn client() -> Result<Client, reqwest::Error> {
    prepare_tls();
    Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build()
}

/// `connect failed after 3 s`
pub(super) fn after(what: &str, started: Instant) -> String {
    match started.elapsed().as_secs() {
        0 => what.to_owned(),
        seconds => format!("{what} after {seconds} s"),
    }
}

/// Whether somebody answers at `url`, within seconds; what it says is all the
/// same. Addresses that are no HTTP are taken to answer.
pub(super) async fn reach(url: &str, name: &str) -> Result<(), ImageError> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Ok(());
    }
    let started = Instant::now();
    let asked = async { client()?.head(url).timeout(CONNECT).send().await };
    asked.await.map(drop).map_err(|error| unreachable(name, started, error))
}

/// An error and what led to it. An `io::Error` hides what it carries from the
/// usual chain of causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => (**error).source(),
        }
    })
}

/// What TLS itself said, where it was that which failed.
pub(super) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Whether the other side went away in the middle of a sentence.
pub(super) fn hung_up(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(|error| error.downcast_ref::<io::Error>()).any(|error| {
        matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    })
}

/// Why a server's certificate was not accepted; `None`: something else failed.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<Distrust> {
    use rustls::CertificateError as Why;
    let rustls::Error::InvalidCertificate(why) = tls_error(error)? else { return None };
    Some(match why {
        Why::UnknownIssuer => Distrust::Unknown,
        Why::Expired | Why::ExpiredContext { .. } => Distrust::Expired,
        Why::NotValidForName | Why::NotValidForNameContext { .. } => Distrust::OtherName,
        other => Distrust::Damaged(other.clone()),
    })
}

fn unreachable(name: &str, started: Instant, error: reqwest::Error) -> ImageError {
    if let Some(why) = distrust(&error) {
        return ImageError::Untrusted { name: name.to_owned(), why };
    }
    ImageError::Unreachable {
        name: name.to_owned(),
        how: after("connect failed", started),
        here: Vec::new(),
        source: Box::new(error),
    }
}

/// A small document.
pub(super) async fn document(url: &str) -> Result<String, ImageError> {
    let failed = |source| ImageError::Download { url: url.to_owned(), source };
    let client = client().map_err(failed)?;
    let response = client.get(url).send().await.map_err(failed)?;
    let mut body = checked(response, url)?.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(failed)?);
        if bytes.len() as u64 > DOCUMENT {
            return Err(ImageError::Url { url: url.to_owned() });
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn checked(response: Response, url: &str) -> Result<Response, ImageError> {
    if response.status().is_success() {
        return Ok(response);
    }
    Err(ImageError::Status { url: url.to_owned(), status: response.status().as_u16() })
}

/// A file that is being downloaded into the cache.
#[derive(Debug)]
pub(super) struct Download {
    url: String,
    digest: String,
    path: PathBuf,
    /// Held, so that two processes do not write one file.
    _lock: File,
}

impl Download {
    /// Prepares to fetch `url`, whose contents have `digest`; what an earlier
    /// attempt got is kept. Waits for another process that does the same.
    pub(super) fn new(cache: &Path, url: &str, digest: &str) -> Result<Self, ImageError> {
        let directory = cache.join("downloads");
        fs::create_dir_all(&directory).map_err(ImageError::io("create", &directory))?;
        let path = directory.join(format!("{}.part", names::hash(&[url, digest], 32)));
        let lock = path.with_extension("lock");
        let lock = file_lock::exclusive(&lock).map_err(ImageError::io("lock", &lock))?;
        Ok(Self { url: url.to_owned(), digest: digest.to_owned(), path, _lock: lock })
    }

    /// Fetches it, whole and checked, or fails. The file is the caller's to
    /// move away.
    pub(super) async fn fetch(&self, progress: &Progress) -> Result<&Path, ImageError> {
        let mut pauses = PAUSES.iter();
        loop {
            match (self.attempt(progress).await, pauses.next()) {
                (Ok(()), _) => return Ok(&self.path),
                (Err(error), Some(pause)) if is_passing(&error) => {
                    progress.said(format!("interrupted, again in {pause:?}"));
                    tokio::time::sleep(*pause).await;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    async fn attempt(&self, progress: &Progress) -> Result<(), ImageError> {
        let failed = |source| ImageError::Download { url: self.url.clone(), source };
        let io_failed = |source| ImageError::io("write", &self.path)(source);
        let mut hasher = Hasher::of(&self.digest)
            .ok_or_else(|| ImageError::Url { url: format!("{} {}", self.url, self.digest) })?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(io_failed)?;
        let have = feed(&mut file, &mut hasher).map_err(io_failed)?;

        let mut request = client().map_err(failed)?.get(&self.url);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            // There is nothing after what we have: it is whole, or it is wrong.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return self.verify(hasher),
            StatusCode::PARTIAL_CONTENT => {}
            _ => {
                file.set_len(0).map_err(io_failed)?;
                hasher = Hasher::of(&self.digest).unwrap_or_else(Hasher::sha256);
            }
        }
        let response = checked(response, &self.url)?;
        let mut room = Room::new(&self.path);
        room.check(response.content_length().unwrap_or(0))?;
        let mut count = progress.bytes(response.content_length());
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(failed)?;
            room.take(chunk.len() as u64)?;
            hasher.update(&chunk);
            file.write_all(&chunk).map_err(io_failed)?;
            count.add(chunk.len() as u64);
        }
        self.verify(hasher)
    }

    /// What has the wrong digest is of no use to the next attempt either.
    fn verify(&self, hasher: Hasher) -> Result<(), ImageError> {
        let found = hasher.finish();
        if found == self.digest {
            return Ok(());
        }
        fs::remove_file(&self.path).map_err(ImageError::io("remove", &self.path))?;
        let (what, expected) = (self.url.clone(), self.digest.clone());
        Err(ImageError::Mismatch { what, expected, found })
    }
}

/// Whether the same might work a second later.
fn is_passing(error: &ImageError) -> bool {
    match error {
        ImageError::Download { source, .. } => !source.is_builder() && !source.is_connect(),
        ImageError::Status { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}

fn feed(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        hasher.update(&buffer[..count]);
        total += count as u64;
    }
}
