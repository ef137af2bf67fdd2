//! `vms.*` and the top-level `cloud_init.*`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::service::{DEPLOY, DEVELOP, EXTRA_HOSTS};
use super::shared::{
    BUILD, DEPENDS_ON, ENV_FILE, EXTENDS, FILES, HEALTHCHECK, MOUNTS, NETWORKS, PAIRS, PORTS,
};
use crate::spec::form::{Form, Object, key};

/// One VM.
pub(crate) static VM: Object = Object {
    keys: &[
        key("image", Form::Either(&[Form::Text, Form::Object(&IMAGE)])),
        key("sha256", Form::Text),
        key("build", BUILD),
        key("cpus", Form::Integer),
        key("memory", Form::Bytes),
        key("disk", Form::Bytes),
        key("disks", DISKS),
        key("cloud_init", CLOUD_INIT),
        key("mounts", MOUNTS),
        key("volumes", MOUNTS),
        key("networks", NETWORKS),
        key("ports", PORTS),
        key("depends_on", DEPENDS_ON),
        key("healthcheck", HEALTHCHECK),
        key("environment", PAIRS),
        key("env_file", ENV_FILE),
        key("secrets", FILES),
        key("configs", FILES),
        key("labels", PAIRS),
        key("hostname", Form::Text),
        key("mac_address", Form::Text),
        key("restart", Form::Text),
        key("drift", super::DRIFT),
        key("stop_grace_period", Form::Duration),
        key("extra_hosts", EXTRA_HOSTS),
        key("deploy", Form::Object(&DEPLOY)),
        key("scale", Form::Integer),
        key("profiles", Form::List(&Form::Text)),
        key("extends", EXTENDS),
        key("kernel", Form::Text),
        key("initrd", Form::Text),
        key("cmdline", Form::Text),
        key("accel", Form::Words(&["auto", "kvm", "tcg"])),
        key("engine", Form::Words(&["qemu"])),
        key("ssh", Form::Either(&[Form::Text, Form::Object(&SSH)])),
        key("ready_timeout", Form::Duration),
        key("develop", Form::Object(&DEVELOP)),
    ],
    required: &[],
};

static IMAGE: Object = Object {
    keys: &[key("url", Form::Text), key("sha256", Form::Text), key("path", Form::Text)],
    required: &[],
};

static SSH: Object = Object { keys: &[key("user", Form::Text)], required: &[] };

const DISKS: Form = Form::List(&Form::Either(&[Form::Text, Form::Object(&DISK)]));
static DISK: Object = Object {
    keys: &[key("source", Form::Text), key("target", Form::Text), key("read_only", Form::Bool)],
    required: &["source", "target"],
};

/// A cloud-config: a name, a path, the text itself or the mapping itself.
pub(super) const DOCUMENT: Form = Form::Either(&[Form::Text, Form::Map(&Form::Any)]);
const DOCUMENTS: Form = Form::Either(&[Form::Text, Form::List(&DOCUMENT), Form::Map(&Form::Any)]);
const CLOUD_INIT: Form =
    Form::Either(&[Form::Scalar, Form::List(&DOCUMENT), Form::Object(&CLOUD_INIT_OBJECT)]);
static CLOUD_INIT_OBJECT: Object = Object {
    keys: &[
        key("user_data", DOCUMENTS),
        key("vendor_data", DOCUMENTS),
        key("meta_data", Form::Map(&Form::Any)),
        key("network_config", DOCUMENT),
        key("on_change", Form::Words(&["rerun", "replace", "ignore"])),
    ],
    required: &[],
};
