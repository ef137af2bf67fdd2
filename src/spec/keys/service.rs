//! `services.*`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::shared::{
    BUILD, COMMAND, DEPENDS_ON, ENV_FILE, EXTENDS, FILES, HEALTHCHECK, MOUNTS, NETWORKS, PAIRS,
    PORTS, SCALARS, TEXT_OR_TEXTS, TEXTS,
};
use crate::spec::form::{Form, Object, key, later};

/// One service.
pub(crate) static SERVICE: Object = Object {
    keys: &[
        key("image", Form::Text),
        key("build", BUILD),
        key("command", COMMAND),
        key("entrypoint", COMMAND),
        key("environment", PAIRS),
        key("env_file", ENV_FILE),
        key("ports", PORTS),
        key("volumes", MOUNTS),
        key("networks", NETWORKS),
        key("depends_on", DEPENDS_ON),
        key("healthcheck", HEALTHCHECK),
        key("restart", Form::Text),
        key("drift", super::DRIFT),
        key("labels", PAIRS),
        key("hostname", Form::Text),
        key("user", Form::Scalar),
        key("working_dir", Form::Text),
        key("mem_limit", Form::Bytes),
        key("cpus", Form::Number),
        key("pids_limit", Form::Integer),
        key("cap_add", TEXTS),
        key("cap_drop", TEXTS),
        key("privileged", Form::Bool),
        key("read_only", Form::Bool),
        key("tmpfs", TEXT_OR_TEXTS),
        key("stop_signal", Form::Scalar),
        key("stop_grace_period", Form::Duration),
        key("extra_hosts", EXTRA_HOSTS),
        key("tty", Form::Bool),
        key("stdin_open", Form::Bool),
        key("scale", Form::Integer),
        key("deploy", Form::Object(&DEPLOY)),
        key("secrets", FILES),
        key("configs", FILES),
        key("profiles", TEXTS),
        key("extends", EXTENDS),
        key("expose", SCALARS),
        key("mac_address", Form::Text),
        later("container_name", Form::Text),
        later("annotations", PAIRS),
        later("attach", Form::Bool),
        later("blkio_config", Form::Any),
        later("cgroup", Form::Text),
        later("cgroup_parent", Form::Text),
        later("cpu_count", Form::Integer),
        later("cpu_percent", Form::Number),
        later("cpu_period", Form::Scalar),
        later("cpu_quota", Form::Scalar),
        later("cpu_rt_period", Form::Scalar),
        later("cpu_rt_runtime", Form::Scalar),
        later("cpu_shares", Form::Number),
        later("cpuset", Form::Scalar),
        later("credential_spec", Form::Any),
        key("develop", Form::Object(&DEVELOP)),
        later("device_cgroup_rules", TEXTS),
        later("devices", Form::List(&Form::Any)),
        later("dns", TEXT_OR_TEXTS),
        later("dns_opt", TEXTS),
        later("dns_search", TEXT_OR_TEXTS),
        later("domainname", Form::Text),
        later("external_links", TEXTS),
        later("gpus", Form::Any),
        later("group_add", SCALARS),
        later("init", Form::Bool),
        later("ipc", Form::Text),
        later("isolation", Form::Text),
        later("label_file", TEXT_OR_TEXTS),
        later("links", TEXTS),
        later("logging", Form::Any),
        later("mem_reservation", Form::Bytes),
        later("mem_swappiness", Form::Integer),
        later("memswap_limit", Form::Bytes),
        later("models", Form::Any),
        later("network_mode", Form::Text),
        later("oom_kill_disable", Form::Bool),
        later("oom_score_adj", Form::Integer),
        later("pid", Form::Text),
        later("platform", Form::Text),
        later("post_start", Form::List(&Form::Any)),
        later("pre_start", Form::List(&Form::Any)),
        later("pre_stop", Form::List(&Form::Any)),
        later("provider", Form::Any),
        later("pull_policy", Form::Text),
        later("pull_refresh_after", Form::Text),
        later("runtime", Form::Text),
        later("security_opt", TEXTS),
        later("shm_size", Form::Bytes),
        later("storage_opt", Form::Any),
        later("sysctls", PAIRS),
        later("ulimits", Form::Map(&Form::Either(&[Form::Integer, Form::Object(&ULIMIT)]))),
        later("use_api_socket", Form::Bool),
        later("userns_mode", Form::Text),
        later("uts", Form::Text),
        later("volumes_from", TEXTS),
    ],
    required: &[],
};

/// `extra_hosts:`; a name may have several addresses.
pub(super) const EXTRA_HOSTS: Form =
    Form::Either(&[TEXTS, Form::Map(&Form::Either(&[Form::Text, TEXTS]))]);

static ULIMIT: Object = Object {
    keys: &[later("soft", Form::Integer), later("hard", Form::Integer)],
    required: &["soft", "hard"],
};

/// `deploy:`.
pub(super) static DEPLOY: Object = Object {
    keys: &[
        key("replicas", Form::Integer),
        key("resources", Form::Object(&RESOURCES)),
        later("mode", Form::Text),
        later("labels", PAIRS),
        later("endpoint_mode", Form::Text),
        later("placement", Form::Any),
        later("restart_policy", Form::Any),
        later("update_config", Form::Object(&UPDATE)),
        later("rollback_config", Form::Object(&UPDATE)),
    ],
    required: &[],
};
static RESOURCES: Object = Object {
    keys: &[
        key("limits", Form::Object(&LIMITS)),
        later("reservations", Form::Object(&RESERVATIONS)),
    ],
    required: &[],
};
static LIMITS: Object = Object {
    keys: &[
        key("cpus", Form::Number),
        key("memory", Form::Bytes),
        key("pids", Form::Integer),
        later("devices", Form::Any),
        later("generic_resources", Form::Any),
    ],
    required: &[],
};
static RESERVATIONS: Object = Object {
    keys: &[
        later("cpus", Form::Number),
        later("memory", Form::Bytes),
        later("devices", Form::List(&Form::Object(&DEVICE))),
        later("generic_resources", Form::Any),
    ],
    required: &[],
};
static DEVICE: Object = Object {
    keys: &[
        later("capabilities", TEXTS),
        later("count", Form::Scalar),
        later("device_ids", TEXTS),
        later("driver", Form::Text),
        later("options", PAIRS),
    ],
    required: &["capabilities"],
};
static UPDATE: Object = Object {
    keys: &[
        later("parallelism", Form::Integer),
        later("delay", Form::Duration),
        later("failure_action", Form::Text),
        later("monitor", Form::Duration),
        later("max_failure_ratio", Form::Number),
        later("order", Form::Text),
    ],
    required: &[],
};

/// `develop:`.
pub(super) static DEVELOP: Object =
    Object { keys: &[key("watch", Form::List(&Form::Object(&WATCH)))], required: &[] };
static WATCH: Object = Object {
    keys: &[
        key("action", Form::Text),
        key("path", Form::Text),
        key("target", Form::Text),
        key("ignore", TEXT_OR_TEXTS),
        key("include", TEXT_OR_TEXTS),
        key("initial_sync", Form::Bool),
        key("exec", Form::Object(&HOOK)),
    ],
    required: &["action", "path"],
};
static HOOK: Object = Object {
    keys: &[
        key("command", COMMAND),
        key("user", Form::Scalar),
        key("working_dir", Form::Text),
        key("environment", PAIRS),
        later("privileged", Form::Bool),
    ],
    required: &["command"],
};
