//! An image's configuration document, as Docker and OCI write it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::time::Duration;

use oci_spec::image::Config;
use serde::Deserialize;
use serde_json::Value;

use super::ImageError;
use crate::stack::{Healthcheck, Probe};

/// What we need of it.
#[derive(Debug, PartialEq)]
pub(super) struct Configuration {
    /// Digests of the uncompressed layers, lowest first.
    pub(super) diff_ids: Vec<String>,
    /// How it is run.
    pub(super) config: Config,
    /// How it is checked: Docker's extension.
    pub(super) healthcheck: Option<Healthcheck>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Value,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// Docker's form of a healthcheck; durations are nanoseconds.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Check {
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    retries: u32,
    start_period: u64,
    start_interval: u64,
}

impl Configuration {
    /// Reads the document of the image called `name`.
    pub(super) fn parse(bytes: &[u8], name: &str) -> Result<Self, ImageError> {
        let document_of = |source| ImageError::Document {
            what: format!("the configuration of `{name}`"),
            source,
        };
        let document: Document = serde_json::from_slice(bytes).map_err(document_of)?;
        if document.os != "linux" || document.architecture != "amd64" {
            return Err(ImageError::Platform { name: name.to_owned() });
        }
        let mut config = document.config;
        let mut check = None;
        if let Value::Object(fields) = &mut config {
            // Go writes `null` for what is empty.
            fields.retain(|_, value| !value.is_null());
            check = fields.remove("Healthcheck");
        }
        let config = match config {
            Value::Null => Config::default(),
            config => serde_json::from_value(config).map_err(document_of)?,
        };
        let check: Option<Check> =
            check.map(serde_json::from_value).transpose().map_err(document_of)?;
        let healthcheck = check.and_then(Check::meant);
        Ok(Self { diff_ids: document.rootfs.diff_ids, config, healthcheck })
    }
}

impl Check {
    /// Zero means Docker's default.
    fn meant(self) -> Option<Healthcheck> {
        let (kind, words) = self.test.split_first()?;
        let test = match kind.as_str() {
            "NONE" => Probe::Disabled,
            "CMD" => Probe::Exec(words.to_vec()),
            "CMD-SHELL" => Probe::Shell(words.join(" ")),
            _ => return None,
        };
        let or = |nanoseconds: u64, default: u64| match nanoseconds {
            0 => Duration::from_secs(default),
            nanoseconds => Duration::from_nanos(nanoseconds),
        };
        Some(Healthcheck {
            test,
            interval: or(self.interval, 30),
            timeout: or(self.timeout, 30),
            retries: if self.retries == 0 { 3 } else { self.retries },
            start_period: or(self.start_period, 0),
            start_interval: or(self.start_interval, 5),
            defaulted: BTreeSet::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_document_with_its_nulls_is_read() {
        let text = br#"{"os": "linux", "architecture": "amd64", "config": {
            "Env": ["A=1"], "Cmd": null, "Volumes": null, "Entrypoint": ["/x"],
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2000000000}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}"#;
        let parsed = Configuration::parse(text, "x").unwrap();
        assert_eq!(parsed.diff_ids, ["sha256:1"]);
        assert_eq!(parsed.config.env().as_deref().unwrap_or_default(), ["A=1"]);
        assert_eq!(parsed.config.exposed_ports().as_deref().unwrap_or_default(), ["80/tcp"]);
        let check = parsed.healthcheck.unwrap();
        assert_eq!(check.test, Probe::Shell("true".into()));
        assert_eq!((check.interval.as_secs(), check.timeout.as_secs(), check.retries), (2, 30, 3));
    }

    #[test]
    fn an_image_for_other_machines_is_refused() {
        let text = br#"{"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}"#;
        let error = Configuration::parse(text, "x").unwrap_err();
        assert!(matches!(error, ImageError::Platform { .. }));
    }
}
