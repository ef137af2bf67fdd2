//! The engines of a host in memory, as one value.
#![allow(missing_docs, unreachable_pub, reason = "part of the tests, documented by their use")]

use std::path::Path;
use std::sync::Arc;

use windlass::engine::fake::Fake;
use windlass::stack::Kind;
use windlass::state::Directories;
use windlass::world::World;

/// All engines are `fake`; what is written to disk goes to `home`.
pub fn world(fake: &Fake, home: &Path) -> World {
    World {
        directories: Directories::new(Some(home), None),
        home_id: "0123abcd".into(),
        containers: Arc::new(fake.workloads(Kind::Container)),
        vms: Arc::new(fake.workloads(Kind::Vm)),
        networks: Arc::new(fake.clone()),
        volumes: Arc::new(fake.clone()),
        images: Arc::new(fake.clone()),
        host: Arc::new(fake.clone()),
    }
}
