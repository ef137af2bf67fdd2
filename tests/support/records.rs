//! The record of an instance that has been brought up.
#![allow(missing_docs, unreachable_pub, reason = "part of the tests, documented by their use")]

use std::collections::BTreeMap;

use windlass::stack::{Definition, ImageSource, InstanceId, Kind, StackName};
use windlass::state::{InstanceRecord, record};

pub fn record(stack: StackName, id: InstanceId, kind: Kind) -> InstanceRecord {
    InstanceRecord {
        version: record::VERSION,
        stack,
        image: ImageSource::Reference(id.workload.clone()),
        id,
        kind,
        image_digest: String::new(),
        addresses: BTreeMap::new(),
        macs: BTreeMap::new(),
        definition: Definition::default(),
        created: 0,
        complete: true,
        ever_ready: true,
        held: false,
        vm: None,
    }
}
