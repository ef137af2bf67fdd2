//! A workload and a VM with nothing but what they must have: each test says
//! what it adds, with `..workload(name, role)`.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "part of the tests, documented by their use")]

use std::collections::BTreeMap;
use std::time::Duration;

use windlass::stack::vm::Accel;
use windlass::stack::{Drift, ImageSource, Restart, Role, Vm, Workload};

/// One copy, of an image that bears its name, without anything.
pub fn workload(name: &str, role: Role) -> Workload {
    Workload {
        name: name.into(),
        role,
        image: ImageSource::Reference(name.into()),
        replicas: 1,
        hostname: None,
        environment: BTreeMap::new(),
        labels: BTreeMap::new(),
        depends_on: BTreeMap::new(),
        networks: BTreeMap::new(),
        ports: Vec::new(),
        mounts: Vec::new(),
        healthcheck: None,
        restart: Restart::No,
        drift: Drift::default(),
        stop_grace_period: Duration::from_secs(10),
        extra_hosts: BTreeMap::new(),
        secrets: Vec::new(),
        configs: Vec::new(),
        develop: Vec::new(),
    }
}

/// One processor, a gibibyte, no cloud-init.
pub fn vm() -> Vm {
    Vm {
        cpus: 1,
        memory: 1 << 30,
        disk: None,
        disks: Vec::new(),
        cloud_init: None,
        kernel: None,
        initrd: None,
        cmdline: None,
        accel: Accel::Auto,
        ssh_user: None,
        ready_timeout: None,
    }
}
