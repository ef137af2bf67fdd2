//! The top-level `networks`, `volumes`, `secrets`, `configs` and `include`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::shared::{PAIRS, TEXT_OR_TEXTS};
use crate::spec::form::{Form, Object, key, later};

pub(super) static INCLUDE: Object = Object {
    keys: &[
        key("path", TEXT_OR_TEXTS),
        key("project_directory", Form::Text),
        key("env_file", TEXT_OR_TEXTS),
    ],
    required: &["path"],
};

/// `true`, or Compose's older `{name: …}`.
const EXTERNAL: Form = Form::Either(&[Form::Bool, Form::Object(&EXTERNAL_OBJECT)]);
static EXTERNAL_OBJECT: Object = Object { keys: &[key("name", Form::Text)], required: &[] };

pub(super) static NETWORK: Object = Object {
    keys: &[
        key("name", Form::Text),
        key("driver", Form::Text),
        key("internal", Form::Bool),
        key("labels", PAIRS),
        key("ipam", Form::Object(&IPAM)),
        later("external", EXTERNAL),
        later("attachable", Form::Bool),
        later("driver_opts", Form::Map(&Form::Scalar)),
        later("enable_ipv4", Form::Bool),
        later("enable_ipv6", Form::Bool),
    ],
    required: &[],
};
static IPAM: Object = Object {
    keys: &[
        key("driver", Form::Text),
        key("config", Form::List(&Form::Object(&IPAM_CONFIG))),
        later("options", Form::Map(&Form::Scalar)),
    ],
    required: &[],
};
static IPAM_CONFIG: Object = Object {
    keys: &[
        key("subnet", Form::Text),
        key("gateway", Form::Text),
        later("ip_range", Form::Text),
        later("aux_addresses", Form::Map(&Form::Text)),
    ],
    required: &[],
};

pub(super) static VOLUME: Object = Object {
    keys: &[
        key("name", Form::Text),
        key("driver", Form::Text),
        key("driver_opts", Form::Map(&Form::Scalar)),
        key("external", EXTERNAL),
        key("labels", PAIRS),
    ],
    required: &[],
};

pub(super) static SECRET: Object = Object {
    keys: &[
        key("file", Form::Text),
        key("environment", Form::Text),
        key("content", Form::Text),
        key("name", Form::Text),
        later("external", EXTERNAL),
        later("labels", PAIRS),
        later("driver", Form::Text),
        later("driver_opts", Form::Map(&Form::Scalar)),
        later("template_driver", Form::Text),
    ],
    required: &[],
};

pub(super) static CONFIG: Object = Object {
    keys: &[
        key("file", Form::Text),
        key("environment", Form::Text),
        key("content", Form::Text),
        key("name", Form::Text),
        later("external", EXTERNAL),
        later("labels", PAIRS),
        later("template_driver", Form::Text),
    ],
    required: &[],
};
