//! Forms that more than one table uses.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::spec::form::{Form, Object, key, later};

/// `[a, b]`.
pub(super) const TEXTS: Form = Form::List(&Form::Text);
/// `[80, "81"]`.
pub(super) const SCALARS: Form = Form::List(&Form::Scalar);
/// `a` or `[a, b]`.
pub(super) const TEXT_OR_TEXTS: Form = Form::Either(&[Form::Text, TEXTS]);
/// `A: b` or `[A=b]`.
pub(super) const PAIRS: Form = Form::Either(&[Form::Map(&Form::Scalar), TEXTS]);
/// A command: a line that is split as a shell does, or its words.
pub(super) const COMMAND: Form = Form::Either(&[Form::Text, SCALARS]);

/// `env_file:`.
pub(super) const ENV_FILE: Form = Form::Either(&[
    Form::Text,
    Form::List(&Form::Either(&[Form::Text, Form::Object(&ENV_FILE_ENTRY)])),
]);
static ENV_FILE_ENTRY: Object = Object {
    keys: &[key("path", Form::Text), key("required", Form::Bool), key("format", Form::Text)],
    required: &["path"],
};

/// `ports:`.
pub(super) const PORTS: Form = Form::List(&Form::Either(&[Form::Scalar, Form::Object(&PORT)]));
static PORT: Object = Object {
    keys: &[
        key("target", Form::Scalar),
        key("published", Form::Scalar),
        key("host_ip", Form::Text),
        key("protocol", Form::Text),
        key("mode", Form::Text),
        key("name", Form::Text),
        key("app_protocol", Form::Text),
    ],
    required: &["target"],
};

/// `volumes:` of a workload, `mounts:` of a VM.
pub(super) const MOUNTS: Form = Form::List(&Form::Either(&[Form::Text, Form::Object(&MOUNT)]));
static MOUNT: Object = Object {
    keys: &[
        key("type", Form::Words(&["bind", "volume", "tmpfs", "npipe", "cluster", "image"])),
        key("source", Form::Text),
        key("target", Form::Text),
        key("read_only", Form::Bool),
        key("bind", Form::Object(&MOUNT_BIND)),
        key("volume", Form::Object(&MOUNT_VOLUME)),
        key("tmpfs", Form::Object(&MOUNT_TMPFS)),
        later("consistency", Form::Text),
        later("image", Form::Any),
    ],
    required: &["type"],
};
static MOUNT_BIND: Object = Object {
    keys: &[
        key("create_host_path", Form::Bool),
        later("propagation", Form::Text),
        later("selinux", Form::Text),
        later("recursive", Form::Text),
    ],
    required: &[],
};
static MOUNT_VOLUME: Object = Object {
    keys: &[key("nocopy", Form::Bool), later("subpath", Form::Text), later("labels", PAIRS)],
    required: &[],
};
static MOUNT_TMPFS: Object =
    Object { keys: &[key("size", Form::Bytes), key("mode", Form::Scalar)], required: &[] };

/// `networks:` of a workload.
pub(super) const NETWORKS: Form = Form::Either(&[TEXTS, Form::Map(&Form::Object(&ATTACHMENT))]);
static ATTACHMENT: Object = Object {
    keys: &[
        key("aliases", TEXTS),
        key("ipv4_address", Form::Text),
        key("mac_address", Form::Text),
        later("ipv6_address", Form::Text),
        later("link_local_ips", TEXTS),
        later("priority", Form::Number),
        later("gw_priority", Form::Number),
        later("interface_name", Form::Text),
        later("driver_opts", Form::Map(&Form::Scalar)),
    ],
    required: &[],
};

/// `depends_on:`.
pub(super) const DEPENDS_ON: Form = Form::Either(&[TEXTS, Form::Map(&Form::Object(&DEPENDENCY))]);
static DEPENDENCY: Object = Object {
    keys: &[
        key("condition", Form::Words(CONDITIONS)),
        key("restart", Form::Bool),
        key("required", Form::Bool),
        key("on_unhealthy", Form::Words(&["keep", "stop", "restart"])),
    ],
    required: &[],
};
const CONDITIONS: &[&str] =
    &["service_started", "service_ready", "service_healthy", "service_completed_successfully"];

/// `healthcheck:`.
pub(super) const HEALTHCHECK: Form = Form::Object(&HEALTHCHECK_OBJECT);
static HEALTHCHECK_OBJECT: Object = Object {
    keys: &[
        key("test", COMMAND),
        key("tcp", Form::Integer),
        key("http", Form::Either(&[Form::Scalar, Form::Object(&PAGE)])),
        key("interval", Form::Duration),
        key("timeout", Form::Duration),
        key("retries", Form::Integer),
        key("start_period", Form::Duration),
        key("start_interval", Form::Duration),
        key("disable", Form::Bool),
    ],
    required: &[],
};

static PAGE: Object = Object {
    keys: &[key("port", Form::Integer), key("path", Form::Text), key("status", Form::Integer)],
    required: &["port"],
};

/// `secrets:` and `configs:` of a workload.
pub(super) const FILES: Form = Form::List(&Form::Either(&[Form::Text, Form::Object(&FILE)]));
static FILE: Object = Object {
    keys: &[
        key("source", Form::Text),
        key("target", Form::Text),
        key("uid", Form::Scalar),
        key("gid", Form::Scalar),
        key("mode", Form::Scalar),
    ],
    required: &["source"],
};

/// `build:`.
pub(super) const BUILD: Form = Form::Either(&[Form::Text, Form::Object(&BUILD_OBJECT)]);
static BUILD_OBJECT: Object = Object {
    keys: &[
        key("bootstrap", Form::Either(&[Form::Text, Form::Object(&BOOTSTRAP)])),
        later("context", Form::Text),
        later("dockerfile", Form::Text),
        later("dockerfile_inline", Form::Text),
        later("args", PAIRS),
        later("target", Form::Text),
        later("labels", PAIRS),
        later("tags", TEXTS),
        later("cache_from", TEXTS),
        later("cache_to", TEXTS),
        later("no_cache", Form::Bool),
        later("no_cache_filter", TEXT_OR_TEXTS),
        later("pull", Form::Bool),
        later("network", Form::Text),
        later("platforms", TEXTS),
        later("privileged", Form::Bool),
        later("secrets", FILES),
        later("shm_size", Form::Bytes),
        later("ssh", PAIRS),
        later("ulimits", Form::Any),
        later("entitlements", TEXTS),
        later("extra_hosts", Form::Any),
        later("isolation", Form::Text),
        later("additional_contexts", PAIRS),
        later("provenance", Form::Scalar),
        later("sbom", Form::Scalar),
    ],
    required: &[],
};
static BOOTSTRAP: Object = Object {
    keys: &[
        key("suite", Form::Text),
        key("mirror", Form::Text),
        key("packages", TEXTS),
        key("components", TEXTS),
    ],
    required: &["suite"],
};

/// `extends:`.
pub(super) const EXTENDS: Form = Form::Either(&[Form::Text, Form::Object(&EXTENDS_OBJECT)]);
static EXTENDS_OBJECT: Object =
    Object { keys: &[key("service", Form::Text), key("file", Form::Text)], required: &["service"] };
