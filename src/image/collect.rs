//! Taking images away: by name, or all that nothing uses. What something is
//! made from stays; a layer stays while an image or a fetch has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::layout::{Contents, RefRecord};
use super::{ImageError, Store, StoredImage, canonical, layout, scratch, shown};
use crate::stack::{ImageSource, Kind};
use crate::state::file_lock;

/// Digests that something is made from → what: `vm db of shop`.
pub type Users = BTreeMap<String, Vec<String>>;

/// What was taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The images.
    pub images: Vec<StoredImage>,
    /// Bytes that are free again.
    pub bytes: u64,
}

/// The fewest digits of a digest that name an image.
const DIGITS: usize = 6;

impl Store {
    /// Takes away the image with this name or (start of a) digest. A name goes
    /// alone while the image has others.
    pub fn remove(&self, name: &str, users: &Users) -> Result<Pruned, ImageError> {
        let before = self.bytes()?;
        let references = self.layout.list_references()?;
        let meant: Vec<&RefRecord> =
            references.iter().filter(|record| is_called(record, name)).collect();
        let image = self.find(name, &meant)?;
        let others = references
            .iter()
            .filter(|record| record.digest == image.digest && !meant.contains(record))
            .count();
        if !meant.is_empty() && others > 0 {
            for record in meant {
                self.layout.remove_reference(record)?;
            }
            return Ok(Pruned::default());
        }
        if let Some(users) = users.get(&image.digest).filter(|users| !users.is_empty()) {
            return Err(ImageError::InUse { name: name.to_owned(), users: users.clone() });
        }
        self.take_away(&image, &references)?;
        self.take_layers_away()?;
        Ok(Pruned { images: vec![image], bytes: before.saturating_sub(self.bytes()?) })
    }

    /// Takes away every image that nothing is made from.
    pub fn prune(&self, users: &Users) -> Result<Pruned, ImageError> {
        scratch::sweep(&self.layout.scratches());
        let before = self.bytes()?;
        let references = self.layout.list_references()?;
        let mut images = self.list()?;
        images.retain(|image| users.get(&image.digest).is_none_or(Vec::is_empty));
        for image in &images {
            self.take_away(image, &references)?;
        }
        self.take_layers_away()?;
        Ok(Pruned { images, bytes: before.saturating_sub(self.bytes()?) })
    }

    fn find(&self, name: &str, meant: &[&RefRecord]) -> Result<StoredImage, ImageError> {
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        let is_meant = |image: &StoredImage| {
            let (_, hex) = image.digest.split_once(':').unwrap_or_default();
            meant.iter().any(|record| record.digest == image.digest)
                || image.digest == name
                || (digits.len() >= DIGITS && hex.starts_with(digits))
        };
        let missing = || ImageError::NotHere { name: name.to_owned() };
        self.list()?.into_iter().find(is_meant).ok_or_else(missing)
    }

    /// Names first: an image without them is only unused, names without an
    /// image would lead nowhere.
    fn take_away(&self, image: &StoredImage, references: &[RefRecord]) -> Result<(), ImageError> {
        for record in references.iter().filter(|record| record.digest == image.digest) {
            self.layout.remove_reference(record)?;
        }
        self.discard(&self.layout.image(&image.digest))
    }

    fn take_layers_away(&self) -> Result<(), ImageError> {
        let mut used = BTreeSet::new();
        for record in self.layout.list_images()? {
            if let Contents::Container { layers, .. } = record.contents {
                used.extend(layers.into_iter().map(|layer| self.layout.layer(&layer.diff_id)));
            }
        }
        for path in layout::entries(&self.layout.layers())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let lock = self.layout.layer_lock(&name);
            let failed = |source| ImageError::io("lock", &lock)(source);
            // Somebody holds it: a fetch whose image is not recorded yet.
            let Some(_lock) = file_lock::try_exclusive(&lock).map_err(failed)? else { continue };
            if !used.contains(&path) && !self.has_layer(&path)? {
                self.discard(&path)?;
            }
        }
        Ok(())
    }

    /// Whether an image that came meanwhile has the layer.
    fn has_layer(&self, path: &Path) -> Result<bool, ImageError> {
        let records = self.layout.list_images()?;
        Ok(records.iter().any(|record| match &record.contents {
            Contents::Container { layers, .. } => {
                layers.iter().any(|layer| self.layout.layer(&layer.diff_id) == path)
            }
            Contents::Disk(_) => false,
        }))
    }

    /// Out of sight at once, then away: a removal that is cut short is swept.
    fn discard(&self, path: &Path) -> Result<(), ImageError> {
        let scratch = self.layout.scratch()?;
        fs::rename(path, scratch.path().join("discarded")).map_err(ImageError::io("remove", path))
    }
}

fn is_called(record: &RefRecord, name: &str) -> bool {
    let canonical = canonical(&ImageSource::Reference(name.to_owned()), Kind::Container).ok();
    shown(&record.source) == name
        || record.source.to_string() == name
        || (record.kind == Kind::Container && Some(&record.source) == canonical.as_ref())
}
