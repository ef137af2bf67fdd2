//! From what a stack file names to an image in the store.
//!
//! One reference is fetched by one process at a time; the others wait and find
//! it there. What it leads to is pinned by a file in `refs/`, and changes only
//! when a refresh is asked for.

use std::fs;
use std::path::Path;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::catalogue::Entry;
use super::layout::{Contents, DiskRecord};
use super::progress::Progress;
use super::registry::Remote;
use super::{ImageError, Store, bootstrap, catalogue, disk, http, import, layers, registry};
use crate::engine::{Images, Result as EngineResult};
use crate::event::Events;
use crate::stack::{Healthcheck, ImageSource, Kind, Recipe};

#[async_trait]
impl Images for Store {
    async fn lookup(&self, source: &ImageSource, kind: Kind) -> EngineResult<Option<String>> {
        let looked_up = || self.layout.lookup(&canonical(source, kind)?, kind);
        looked_up().map_err(|error| error.of("find", source))
    }

    async fn healthcheck(&self, digest: &str) -> EngineResult<Option<Healthcheck>> {
        let read = self.container(digest).map(|image| image.healthcheck);
        read.map_err(|error| error.of("look at", &ImageSource::Reference(digest.to_owned())))
    }

    async fn resolve(&self, source: &ImageSource, kind: Kind) -> EngineResult<String> {
        let resolved = self.now(source, kind).await.map_err(|error| self.knowing(error));
        resolved.map_err(|error| error.of("look up", source))
    }

    async fn fetch(
        &self,
        source: &ImageSource,
        kind: Kind,
        refresh: bool,
        events: &Events,
    ) -> EngineResult<String> {
        let progress = Progress::new(events, source);
        let fetched = self.have(source, kind, refresh, &progress).await;
        fetched.map_err(|error| self.knowing(error).of("fetch", source))
    }
}

impl Store {
    /// Has a file's or directory's image in the store; its digest. What was
    /// imported from the same path before is replaced.
    pub async fn import(&self, path: &Path, kind: Kind, events: &Events) -> EngineResult<String> {
        let failed = |source| ImageError::io("find", path)(source);
        let source = ImageSource::Path(path.to_owned());
        let absolute =
            fs::canonicalize(path).map_err(|error| failed(error).of("import", &source))?;
        self.fetch(&ImageSource::Path(absolute), kind, true, events).await
    }

    /// Has a recipe's image in the store; its digest.
    pub async fn build(
        &self,
        recipe: &Recipe,
        kind: Kind,
        events: &Events,
    ) -> EngineResult<String> {
        self.fetch(&ImageSource::Bootstrap(recipe.clone()), kind, false, events).await
    }

    async fn have(
        &self,
        source: &ImageSource,
        kind: Kind,
        refresh: bool,
        progress: &Progress,
    ) -> Result<String, ImageError> {
        let source = canonical(source, kind)?;
        if !refresh && let Some(digest) = self.layout.lookup(&source, kind)? {
            return Ok(digest);
        }
        let (layout, locked) = (self.layout.clone(), source.clone());
        let _lock = blocking(move || layout.lock_reference(&locked, kind)).await?;
        let pinned = self.layout.lookup(&source, kind)?;
        if !refresh && let Some(digest) = pinned {
            return Ok(digest);
        }
        let digest = match (&source, kind) {
            (ImageSource::Reference(name), Kind::Container) => {
                registry::pull(&self.layout, name, progress).await?
            }
            (ImageSource::Reference(name), Kind::Vm) => {
                self.publication(entry(name)?, pinned, progress).await?
            }
            (ImageSource::Bootstrap(_), _) if pinned.is_some() => pinned.unwrap_or_default(),
            (ImageSource::Bootstrap(recipe), kind) => {
                self.bootstrapped(recipe.clone(), kind, progress).await?
            }
            (ImageSource::Path(path), kind) => {
                let (layout, path, progress) =
                    (self.layout.clone(), path.clone(), progress.clone());
                blocking(move || import::import(&layout, &path, kind, &progress)).await?
            }
            (ImageSource::Url { url, .. }, Kind::Container) => {
                return Err(super::wrong_kind(url, kind));
            }
            (ImageSource::Url { url, sha256 }, Kind::Vm) => {
                let digest = format!("sha256:{}", sha256.to_ascii_lowercase());
                self.downloaded(url, &digest, import::likely_user(url), progress).await?
            }
        };
        self.layout.write_reference(&source, kind, &digest)?;
        Ok(digest)
    }

    /// What `source` leads to at this moment, without fetching it.
    async fn now(&self, source: &ImageSource, kind: Kind) -> Result<String, ImageError> {
        let source = canonical(source, kind)?;
        match (&source, kind) {
            (ImageSource::Reference(name), Kind::Container) => {
                Remote::open(name).await?.digest().await
            }
            (ImageSource::Reference(name), Kind::Vm) => published(entry(name)?).await,
            (ImageSource::Url { sha256, .. }, _) => {
                Ok(format!("sha256:{}", sha256.to_ascii_lowercase()))
            }
            (ImageSource::Path(path), kind) => {
                let (layout, path) = (self.layout.clone(), path.clone());
                blocking(move || import::digest(&layout, &path, kind)).await
            }
            // A recipe means what was built from it; there is nobody to ask.
            (ImageSource::Bootstrap(_), kind) => self
                .layout
                .lookup(&source, kind)?
                .ok_or_else(|| ImageError::NotHere { name: source.to_string() }),
        }
    }

    /// A published image, or the same system from the mirror where its host
    /// cannot be reached. A pinned one stays then: there is nothing newer.
    async fn publication(
        &self,
        entry: &Entry,
        pinned: Option<String>,
        progress: &Progress,
    ) -> Result<String, ImageError> {
        progress.doing(format!("asking {}", entry.host()));
        match published(entry).await {
            Ok(digest) => self.downloaded(entry.url, &digest, entry.user, progress).await,
            Err(error) if error.kind() != crate::engine::ErrorKind::Unavailable => Err(error),
            Err(error) => {
                if let Some(digest) = pinned {
                    progress.note(format!("{} cannot be reached: kept as it is", entry.host()));
                    return Ok(digest);
                }
                let recipe = entry.recipe();
                progress.note(format!(
                    "{} cannot be reached: built from {}'s package mirror instead",
                    entry.host(),
                    recipe.suite
                ));
                match self.bootstrapped(recipe, Kind::Vm, progress).await {
                    // Neither works: what the user named is what is missing.
                    Err(ImageError::Unreachable { .. }) => Err(error),
                    built => built,
                }
            }
        }
    }

    async fn bootstrapped(
        &self,
        recipe: Recipe,
        kind: Kind,
        progress: &Progress,
    ) -> Result<String, ImageError> {
        let (store, progress) = (self.clone(), progress.clone());
        blocking(move || {
            let base = bootstrap::base(&store.cache, &recipe, kind, &progress)?;
            progress.doing("taking it into the store");
            store.take_base(&base)?;
            Ok(base.digest)
        })
        .await
    }

    /// Bases are never changed, so their files are shared where that is possible.
    fn take_base(&self, base: &bootstrap::Base) -> Result<(), ImageError> {
        let scratch = self.layout.scratch()?;
        let prepared = scratch.path().join("image");
        fs::create_dir(&prepared).map_err(ImageError::io("create", &prepared))?;
        let mut held = Vec::new();
        match &base.contents {
            Contents::Container { layers, .. } => {
                for layer in layers {
                    let from = base.path.join("fs");
                    held.push(layers::make(&self.layout, &layer.diff_id, |to| {
                        disk::link_or_copy_tree(&from, to).map(|()| layer.bytes)
                    })?);
                }
            }
            Contents::Disk(disk) => {
                let kernel = disk.kernel.iter();
                let files = kernel.flat_map(|kernel| [Some(&kernel.file), kernel.initrd.as_ref()]);
                for file in files.flatten().chain([&disk.file]) {
                    disk::link_or_copy(&base.path.join(file), &prepared.join(file))?;
                }
            }
        }
        self.layout.place_image(&prepared, &base.digest, base.contents.clone())
    }

    async fn downloaded(
        &self,
        url: &str,
        digest: &str,
        user: &str,
        progress: &Progress,
    ) -> Result<String, ImageError> {
        if self.layout.image(digest).is_dir() {
            return Ok(digest.to_owned());
        }
        http::reach(url, url).await?;
        progress.doing("downloading");
        let (cache, address, expected) = (self.cache.clone(), url.to_owned(), digest.to_owned());
        let download = blocking(move || http::Download::new(&cache, &address, &expected)).await?;
        let path = download.fetch(progress).await?.to_owned();
        let (layout, digest, user) = (self.layout.clone(), digest.to_owned(), user.to_owned());
        blocking(move || {
            let taken = import::take_disk(&layout, &path, &digest, &user);
            drop(fs::remove_file(&path));
            taken
        })
        .await
    }

    /// An error about somebody who cannot be reached says what is here.
    fn knowing(&self, error: ImageError) -> ImageError {
        match error {
            ImageError::Unreachable { name, how, source, .. } => {
                let images = self.list().unwrap_or_default().into_iter();
                let here = images.flat_map(|image| image.names).collect();
                ImageError::Unreachable { name, how, here, source }
            }
            error => error,
        }
    }
}

/// One spelling for what means the same.
pub(super) fn canonical(source: &ImageSource, kind: Kind) -> Result<ImageSource, ImageError> {
    Ok(match source {
        ImageSource::Reference(name) if kind == Kind::Container => {
            ImageSource::Reference(registry::parse(name)?.whole())
        }
        ImageSource::Bootstrap(recipe) => {
            bootstrap::check(recipe)?;
            let mut recipe = recipe.clone();
            recipe.packages.sort_unstable();
            recipe.packages.dedup();
            ImageSource::Bootstrap(recipe)
        }
        source => source.clone(),
    })
}

fn entry(name: &str) -> Result<&'static Entry, ImageError> {
    catalogue::find(name).ok_or_else(|| {
        let meant = catalogue::nearest(name, catalogue::names());
        ImageError::NotInCatalogue { name: name.to_owned(), meant }
    })
}

/// The digest that the catalogue's host has for an image now.
async fn published(entry: &Entry) -> Result<String, ImageError> {
    http::reach(entry.checksums, entry.name).await?;
    let list = http::document(entry.checksums).await?;
    entry.digest_in(&list).ok_or_else(|| ImageError::Unusable {
        name: entry.checksums.to_owned(),
        reason: format!("it has no checksum for `{}`", entry.name),
    })
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    Handle::current().spawn_blocking(work).await.map_err(ImageError::Interrupted)?
}

/// A disk's record, for one that brings its own boot loader.
pub(super) fn firmware_disk(file: &str, info: &disk::DiskInfo, user: &str) -> Contents {
    Contents::Disk(DiskRecord {
        file: file.to_owned(),
        format: info.format,
        virtual_size: info.virtual_size,
        bytes: info.bytes,
        kernel: None,
        user: user.to_owned(),
        os: None,
    })
}
