//! Digests of what flows past: `sha256:…` and, for checksum files, `sha512:…`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256, Sha512};

use super::ImageError;

/// An algorithm that is being fed.
#[derive(Debug, Clone)]
pub(super) enum Hasher {
    /// What OCI and we use.
    Sha256(Sha256),
    /// What some distributions publish.
    Sha512(Sha512),
}

impl Hasher {
    /// The algorithm of `digest`; `None` for one that we do not know or that
    /// is malformed.
    pub(super) fn of(digest: &str) -> Option<Self> {
        let (algorithm, hex) = digest.split_once(':')?;
        let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if !hex.chars().all(lower_hex) {
            return None;
        }
        match (algorithm, hex.len()) {
            ("sha256", 64) => Some(Self::sha256()),
            ("sha512", 128) => Some(Self::Sha512(Sha512::new())),
            _ => None,
        }
    }

    pub(super) fn sha256() -> Self {
        Self::Sha256(Sha256::new())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// `algorithm:hex`
    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex::encode(hasher.finalize())),
        }
    }
}

/// A reader that hashes what it reads.
#[derive(Debug)]
pub(super) struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R, hasher: Hasher) -> Self {
        Self { inner, hasher }
    }

    /// Reads what is left and gives the digest of everything.
    pub(super) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// The SHA-256 of a document.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    let mut hasher = Hasher::sha256();
    hasher.update(bytes);
    hasher.finish()
}

/// The SHA-256 of a file.
pub(super) fn of_file(path: &Path) -> Result<String, ImageError> {
    let file = File::open(path).map_err(ImageError::io("open", path))?;
    let hashing = Hashing::new(io::BufReader::with_capacity(1 << 20, file), Hasher::sha256());
    hashing.finish().map_err(ImageError::io("read", path))
}
