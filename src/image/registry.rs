//! Container images from a registry.
//!
//! Everything that comes is checked against the digest it was announced with,
//! blobs before they are unpacked and layers again after. Answers are waited
//! for with a deadline: a registry that is down is an error within seconds.

mod credential;

use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use oci_client::client::{
    BlobResponse, Client, ClientConfig, ClientProtocol, linux_amd64_resolver,
};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

use self::credential::Login;
use super::ImageError;
use super::configuration::Configuration;
use super::digest::{self, Hasher};
use super::fetch::blocking;
use super::http::{self, CONNECT, PAUSES, SILENCE};
use super::layers::{self, Claim, Held};
use super::layout::{Contents, Layout};
use super::progress::Progress;
use super::room::Room;

/// How long the first answer may take, from looking up the name on.
const FIRST_ANSWER: Duration = Duration::from_millis(4500);

/// The largest configuration document that is read.
const CONFIGURATION: i64 = 8 << 20;

/// How many layers of an image come at once.
const AT_ONCE: usize = 3;

/// What `name` means, with the registry and the tag that it leaves out.
pub(super) fn parse(name: &str) -> Result<Reference, ImageError> {
    let failed = |source| ImageError::Reference { text: name.to_owned(), source };
    name.parse::<Reference>().map_err(failed)
}

/// An image in a registry that has answered.
pub(super) struct Remote {
    name: String,
    reference: Reference,
    login: Login,
    client: Client,
}

impl Remote {
    /// Asks the registry who may come in, which tells whether it is there.
    pub(super) async fn open(name: &str) -> Result<Self, ImageError> {
        http::prepare_tls();
        let reference = parse(name)?;
        let registry = reference.registry().to_owned();
        let login = blocking(move || Ok(credential::of(&registry))).await?;
        let started = Instant::now();
        let mut error = None;
        for protocol in protocols(reference.resolve_registry()) {
            let remote = Self::new(name, &reference, &login, protocol.clone());
            let ask =
                remote.client.auth(&remote.reference, &remote.login.auth, RegistryOperation::Pull);
            let left = FIRST_ANSWER.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, ask).await {
                Ok(Ok(_)) => return Ok(remote),
                Ok(Err(found)) => {
                    let clear = speaks_in_the_clear(&found);
                    error = Some(remote.failed(found, started));
                    if !clear {
                        break;
                    }
                }
                Err(elapsed) => {
                    error = Some(ImageError::Unreachable {
                        name: remote.name,
                        how: http::after("no answer", started),
                        here: Vec::new(),
                        source: Box::new(elapsed),
                    });
                    break;
                }
            }
        }
        Err(error.unwrap_or_else(|| ImageError::NotHere { name: shown(name) }))
    }

    /// One client for each registry and login: it keeps what it was let in with.
    fn new(name: &str, reference: &Reference, login: &Login, protocol: ClientProtocol) -> Self {
        let client = Client::new(ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            platform_resolver: Some(Box::new(linux_amd64_resolver)),
            ..ClientConfig::default()
        });
        Self { name: shown(name), reference: reference.clone(), login: login.clone(), client }
    }

    /// The digest that the reference has now, for this platform.
    pub(super) async fn digest(&self) -> Result<String, ImageError> {
        Ok(self.manifest().await?.1)
    }

    async fn manifest(&self) -> Result<(OciImageManifest, String), ImageError> {
        let ask = || self.client.pull_image_manifest(&self.reference, &self.login.auth);
        self.patiently(ask).await
    }

    /// The configuration document.
    async fn configuration(
        &self,
        manifest: &OciImageManifest,
    ) -> Result<Configuration, ImageError> {
        let descriptor = &manifest.config;
        if descriptor.size > CONFIGURATION {
            let reason = format!("its configuration has {} bytes", descriptor.size);
            return Err(ImageError::Unusable { name: self.name.clone(), reason });
        }
        let ask = || async {
            let mut bytes = Vec::new();
            self.client.pull_blob(&self.reference, descriptor, &mut bytes).await.map(|()| bytes)
        };
        let bytes = self.patiently(ask).await?;
        self.check(&digest::of_bytes(&bytes), &descriptor.digest)?;
        Configuration::parse(&bytes, &self.name)
    }

    /// Asks again, after a pause, where that may help.
    async fn patiently<T, F: Future<Output = Result<T, OciDistributionError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, ImageError> {
        let mut pauses = PAUSES.iter();
        loop {
            let started = Instant::now();
            match (ask().await, pauses.next()) {
                (Ok(answer), _) => return Ok(answer),
                (Err(error), Some(pause)) if is_passing(&error) => {
                    tokio::time::sleep(*pause).await;
                }
                (Err(error), _) => return Err(self.failed(error, started)),
            }
        }
    }

    /// Downloads a blob to `path`, whole and checked. What an attempt got, the
    /// next one continues.
    async fn blob(
        &self,
        descriptor: &OciDescriptor,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let mut pauses = PAUSES.iter();
        loop {
            match (self.attempt(descriptor, path, progress).await, pauses.next()) {
                (Ok(()), _) => break,
                (Err(Broken::Off(_)), Some(pause)) => {
                    progress.said(format!("interrupted, again in {pause:?}"));
                    tokio::time::sleep(*pause).await;
                }
                (Err(Broken::Off(error) | Broken::ForGood(error)), _) => return Err(error),
            }
        }
        let (path, expected) = (path.to_owned(), descriptor.digest.clone());
        let found = blocking(move || digest_like(&path, &expected)).await?;
        self.check(&found, &descriptor.digest)
    }

    async fn attempt(
        &self,
        descriptor: &OciDescriptor,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), Broken> {
        let started = Instant::now();
        let size = u64::try_from(descriptor.size).unwrap_or(0);
        let io_failed = |source| Broken::ForGood(ImageError::io("write", path)(source));
        let mut file =
            OpenOptions::new().append(true).create(true).open(path).map_err(io_failed)?;
        let mut have = file.metadata().map_err(io_failed)?.len();
        if have >= size && have > 0 {
            return Ok(());
        }
        let mut room = Room::new(path);
        room.check(size - have).map_err(Broken::ForGood)?;
        let ask = self.client.pull_blob_stream_partial(&self.reference, descriptor, have, None);
        let stream = match ask.await {
            Ok(BlobResponse::Partial(stream)) => stream.stream,
            Ok(BlobResponse::Full(stream)) => {
                file.set_len(0).map_err(io_failed)?;
                have = 0;
                stream.stream
            }
            Err(error) if is_passing(&error) => {
                return Err(Broken::Off(self.failed(error, started)));
            }
            Err(error) => return Err(Broken::ForGood(self.failed(error, started))),
        };
        let mut stream = stream;
        let mut count = progress.bytes(Some(size));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Broken::Off(self.failed(error.into(), started)))?;
            have += chunk.len() as u64;
            if have > size {
                break;
            }
            room.take(chunk.len() as u64).map_err(Broken::ForGood)?;
            file.write_all(&chunk).map_err(io_failed)?;
            count.add(chunk.len() as u64);
        }
        if have == size {
            return Ok(());
        }
        let what = format!("a layer of `{}`", self.name);
        let (expected, found) = (format!("{size} bytes"), format!("{have} bytes"));
        let error = ImageError::Mismatch { what, expected, found };
        Err(if have < size { Broken::Off(error) } else { Broken::ForGood(error) })
    }

    fn check(&self, found: &str, expected: &str) -> Result<(), ImageError> {
        if found == expected {
            return Ok(());
        }
        Err(ImageError::Mismatch {
            what: format!("a part of `{}`", self.name),
            expected: expected.to_owned(),
            found: found.to_owned(),
        })
    }

    /// The registry's words in ours.
    fn failed(&self, error: OciDistributionError, started: Instant) -> ImageError {
        let (name, registry) = (self.name.clone(), self.reference.registry().to_owned());
        let why = match (&self.login.auth, &self.login.missing) {
            (RegistryAuth::Anonymous, None) => "it wants a login".to_owned(),
            (RegistryAuth::Anonymous, Some(missing)) => {
                format!("it wants a login, and none could be read from {missing}")
            }
            _ => "the login was not accepted".to_owned(),
        };
        if let Some(why) = http::distrust(&error) {
            return ImageError::Untrusted { name, why };
        }
        match &error {
            OciDistributionError::RequestError(source)
                if source.is_connect() || source.is_timeout() =>
            {
                let how = http::after("connect failed", started);
                ImageError::Unreachable { name, how, here: Vec::new(), source: Box::new(error) }
            }
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError { code: 401 | 403, .. } => {
                ImageError::Denied { name, registry, why }
            }
            OciDistributionError::ServerError { code: 404, .. } => {
                ImageError::Unknown { name, registry }
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let says = |codes: &[OciErrorCode]| {
                    envelope.errors.iter().any(|error| codes.contains(&error.code))
                };
                if says(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown]) {
                    ImageError::Unknown { name, registry }
                } else if says(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                    ImageError::Denied { name, registry, why }
                } else {
                    ImageError::Registry { name, source: Box::new(error) }
                }
            }
            OciDistributionError::ImageManifestNotFoundError(_) => ImageError::Platform { name },
            _ => ImageError::Registry { name, source: Box::new(error) },
        }
    }
}

/// How an attempt at a download ended.
enum Broken {
    /// It may be continued.
    Off(ImageError),
    /// It will not get better.
    ForGood(ImageError),
}

/// Has the image called `name` in the store; its digest.
pub(super) async fn pull(
    layout: &Layout,
    name: &str,
    progress: &Progress,
) -> Result<String, ImageError> {
    progress.doing("asking the registry");
    let remote = Remote::open(name).await?;
    let (manifest, digest) = remote.manifest().await?;
    if layout.image(&digest).is_dir() {
        return Ok(digest);
    }
    let configuration = remote.configuration(&manifest).await?;
    if configuration.diff_ids.len() != manifest.layers.len() {
        let reason = "its manifest and its configuration differ in their layers".to_owned();
        return Err(ImageError::Unusable { name: remote.name, reason });
    }
    progress.doing("pulling");
    let (remote, store) = (&remote, layout);
    let pairs = configuration.diff_ids.clone().into_iter().zip(manifest.layers.clone());
    let layers: Vec<Held> = futures_util::stream::iter(pairs)
        .map(|(diff_id, descriptor)| layer(store, remote, diff_id, descriptor, progress))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let (layout, placed) = (layout.clone(), digest.clone());
    blocking(move || place(&layout, &placed, configuration, &layers)).await?;
    Ok(digest)
}

/// Has one layer in the store.
async fn layer(
    layout: &Layout,
    remote: &Remote,
    diff_id: String,
    descriptor: OciDescriptor,
    progress: &Progress,
) -> Result<Held, ImageError> {
    loop {
        let (store, id) = (layout.clone(), diff_id.clone());
        let alone = match blocking(move || layers::claim(&store, &id)).await? {
            Claim::There(held) => return Ok(held),
            Claim::Missing(alone) => alone,
        };
        let scratch = layout.scratch()?;
        let blob = scratch.path().join("blob");
        remote.blob(&descriptor, &blob, progress).await?;
        let (store, id) = (layout.clone(), diff_id.clone());
        let unpacked = blocking(move || {
            let open = File::open(&blob).map_err(ImageError::io("open", &blob))?;
            let prepared = scratch.path().join("layer");
            fs::create_dir(&prepared).map_err(ImageError::io("create", &prepared))?;
            let unpacked = layers::unpack_blob(open, &id, &prepared.join("fs"))?;
            store.place_layer(&prepared, &id, unpacked.bytes)?;
            Ok(unpacked)
        });
        note_devices(unpacked.await?.devices, progress);
        drop(alone);
    }
}

/// Says that an image is not all there, where that may matter.
pub(super) fn note_devices(devices: u64, progress: &Progress) {
    if devices > 0 {
        progress.note(format!("{devices} device nodes in it were left out"));
    }
}

/// Writes the record of an image whose layers are held.
pub(super) fn place(
    layout: &Layout,
    digest: &str,
    configuration: Configuration,
    layers: &[Held],
) -> Result<(), ImageError> {
    let scratch = layout.scratch()?;
    let prepared = scratch.path().join("image");
    fs::create_dir(&prepared).map_err(ImageError::io("create", &prepared))?;
    let contents = Contents::Container {
        layers: layers.iter().map(|layer| layer.id.clone()).collect(),
        config: Box::new(configuration.config),
        healthcheck: configuration.healthcheck,
    };
    layout.place_image(&prepared, digest, contents)
}

/// The digest of a file, by the algorithm of the expected one.
pub(super) fn digest_like(path: &Path, expected: &str) -> Result<String, ImageError> {
    let hasher = Hasher::of(expected).ok_or_else(|| ImageError::Unusable {
        name: expected.to_owned(),
        reason: "it is no digest".to_owned(),
    })?;
    let file = File::open(path).map_err(ImageError::io("open", path))?;
    let mut hashing = digest::Hashing::new(file, hasher);
    std::io::copy(&mut hashing.by_ref(), &mut std::io::sink())
        .map_err(ImageError::io("read", path))?;
    hashing.finish().map_err(ImageError::io("read", path))
}

/// As Docker does: registries on this machine may speak plain HTTP, and are
/// asked in the clear where they do not understand TLS.
fn protocols(registry: &str) -> Vec<ClientProtocol> {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let is_here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    let in_the_clear = is_here.then_some(ClientProtocol::Http);
    [ClientProtocol::Https].into_iter().chain(in_the_clear).collect()
}

/// Whether what answered a TLS greeting was not TLS.
fn speaks_in_the_clear(error: &OciDistributionError) -> bool {
    matches!(http::tls_error(error), Some(rustls::Error::InvalidMessage(_))) || http::hung_up(error)
}

fn is_passing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(source) => !source.is_connect() && !source.is_builder(),
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

/// The name without what parsing added.
fn shown(name: &str) -> String {
    super::shown(&crate::stack::ImageSource::Reference(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_mean_to_docker() {
        assert_eq!(parse("nginx").unwrap().whole(), "docker.io/library/nginx:latest");
        assert_eq!(parse("docker.io/a/b:1").unwrap().whole(), "docker.io/a/b:1");
        assert_eq!(parse("localhost:5000/x").unwrap().whole(), "localhost:5000/x:latest");
        assert!(matches!(parse("Not An Image"), Err(ImageError::Reference { .. })));
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (registry, expected) in
            [("127.0.0.1:5000", 2), ("localhost", 2), ("localhost.example.org", 1), ("ghcr.io", 1)]
        {
            let protocols = protocols(registry);
            assert!(matches!(protocols[0], ClientProtocol::Https));
            assert_eq!(protocols.len(), expected, "{registry}");
        }
    }
}
