//! What is done to one container: made, started, changed, stopped, removed.
//! Blocking; every function may be repeated after it was cut short.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::error::EmbeddedError;
use super::look::note_limits;
use super::{Home, configuration, files, groups, mounts, signals};
use crate::image::ContainerImage;
use crate::plan::Desired;
use crate::shim::cgroup::Hierarchies;
use crate::shim::process::now;
use crate::shim::{
    Cgroup, ContainerPayload, Interface, Payload, Request, ShimError, ShimSpec, Status, VERSION,
    look, request, settle,
};
use crate::stack::{Container, InstanceId, Kind, Role, StackName};
use crate::state::{InstanceRecord, StateError, atomic, names, record};

type Result<T, E = EmbeddedError> = std::result::Result<T, E>;

/// How the present run wants to be stopped, in its run directory.
const STOP_FILE: &str = "stop.json";

/// How a container wants to be stopped. The record need not know: a container
/// that runs was started with this.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Stopping {
    version: u32,
    signal: i32,
    grace_milliseconds: u64,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { version: 1, signal: libc::SIGTERM, grace_milliseconds: 10_000 }
    }
}

fn container(desired: &Desired) -> Result<&Container> {
    match &desired.workload.role {
        Role::Container(container) => Ok(container),
        Role::Vm(_) => Err(EmbeddedError::NotAContainer),
    }
}

fn existing(directory: &Path) -> Result<InstanceRecord> {
    InstanceRecord::read(directory)?.ok_or(EmbeddedError::NotFound)
}

/// The record first, then the layers, then the word that it is whole. What an
/// attempt that was cut short left behind is taken away.
pub(super) fn create(home: &Home, desired: &Desired, image: &ContainerImage) -> Result<()> {
    container(desired)?;
    groups::sweep(home, &desired.stack);
    let directory = home.instance(&desired.stack, &desired.id);
    if let Some(record) = InstanceRecord::read(&directory)?
        && record.complete
    {
        return Ok(());
    }
    let mut record = new_record(desired, image);
    record.write(&directory)?;
    for layer in ["upper", "work"] {
        let path = directory.join(layer);
        remove_tree(&path)?;
        fs::create_dir(&path).map_err(StateError::io("create", &path))?;
    }
    // The root directory of the container is the writable layer's own.
    let upper = directory.join("upper");
    set_mode(&upper, 0o755)?;
    record.complete = true;
    record.write(&directory)?;
    Ok(())
}

fn new_record(desired: &Desired, image: &ContainerImage) -> InstanceRecord {
    InstanceRecord {
        version: record::VERSION,
        stack: desired.stack.clone(),
        id: desired.id.clone(),
        kind: Kind::Container,
        image: desired.workload.image.clone(),
        image_digest: image.digest.clone(),
        addresses: by_network(desired, |address| address.ipv4),
        macs: by_network(desired, |address| address.mac.clone()),
        definition: desired.definition.clone(),
        created: now(),
        complete: false,
        ever_ready: false,
        held: false,
        vm: None,
    }
}

fn by_network<T>(
    desired: &Desired,
    value: impl Fn(&crate::plan::Address) -> T,
) -> BTreeMap<String, T> {
    desired.addresses.iter().map(|address| (address.network.clone(), value(address))).collect()
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(StateError::io("set the permissions of", path))?;
    Ok(())
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StateError::io("remove", path)(error).into())
        }
        _ => Ok(()),
    }
}

/// Starts it under a shim; one that runs already is left as it is.
pub(super) fn start(home: &Home, desired: &Desired) -> Result<()> {
    groups::sweep(home, &desired.stack);
    let directory = home.instance(&desired.stack, &desired.id);
    let mut record = existing(&directory)?;
    if !record.complete {
        return Err(EmbeddedError::HalfMade);
    }
    let run = home.run(&desired.stack, &desired.id);
    // A command that was killed may have left a start behind that is under way.
    settle(&run).map_err(StateError::io("wait for the shim in", &run))?;
    if look(&run).is_none() {
        let image = home.images.container(&record.image_digest)?;
        let spec = shim_spec(home, desired, &image)?;
        clear_leftovers(&spec)?;
        if let Some(limits) = &spec.cgroup {
            note_limits(&run, limits)?;
        }
        atomic::write_cache(&run.join(STOP_FILE), &stopping(desired, &image)?)?;
        // The state before this run is not this run's.
        drop(fs::remove_file(home.exit_file(&desired.stack, &desired.id)));
        drop(fs::remove_file(directory.join(crate::health::FILE)));
        home.launcher.launch(&spec)?;
    }
    if record.held || !record.ever_ready {
        record.held = false;
        record.ever_ready = true;
        record.write(&directory)?;
    }
    Ok(())
}

/// What a shim that was killed could not take away.
fn clear_leftovers(spec: &ShimSpec) -> Result<()> {
    let Some(cgroup) = &spec.cgroup else { return Ok(()) };
    let hierarchies = hierarchies()?;
    if hierarchies.exists(&cgroup.path) {
        hierarchies.kill(&cgroup.path);
        // One that is still being emptied is used again: nothing is lost by it.
        drop(hierarchies.remove(&cgroup.path));
    }
    Ok(())
}

fn hierarchies() -> Result<Hierarchies> {
    Ok(Hierarchies::find().map_err(StateError::io("look at", "/sys/fs/cgroup"))?)
}

fn shim_spec(home: &Home, desired: &Desired, image: &ContainerImage) -> Result<ShimSpec> {
    let container = container(desired)?;
    let directory = home.instance(&desired.stack, &desired.id);
    let run = home.run(&desired.stack, &desired.id);
    let (user_mounts, copy_up) = mounts::mounts(desired, &home.directories, container.privileged)?;
    let mut mounts = files::write(desired, &run)?;
    mounts.extend(user_mounts);
    let config = configuration::configuration(
        &desired.workload,
        container,
        &image.config,
        &desired.hostname,
        mounts,
    )?;
    let user = container.user.clone().or_else(|| image.config.user().clone());
    let payload = ContainerPayload {
        lower: image.layers.clone(),
        upper: directory.join("upper"),
        work: directory.join("work"),
        config,
        tty: container.tty,
        stdin_open: container.stdin_open,
        user: user.unwrap_or_default(),
        copy_up,
        confinement: configuration::confinement(container)?,
    };
    Ok(ShimSpec {
        version: VERSION,
        label: format!("container {}/{}", desired.stack, desired.id),
        run_directory: run,
        log_directory: Some(directory.join("log")),
        exit_file: home.exit_file(&desired.stack, &desired.id),
        cgroup: Some(limits(home, desired)?),
        interfaces: interfaces(home, desired),
        payload: Payload::Container(Box::new(payload)),
    })
}

fn limits(home: &Home, desired: &Desired) -> Result<Cgroup> {
    let container = container(desired)?;
    Ok(Cgroup {
        path: home.cgroup(&desired.stack, &desired.id),
        memory: container.mem_limit,
        milli_cpus: container.milli_cpus,
        pids: container.pids_limit,
    })
}

fn interfaces(home: &Home, desired: &Desired) -> Vec<Interface> {
    let label = |network: &str| {
        let what = format!("interface:{}:{network}", desired.id);
        names::label(&home.id, &desired.stack, &what)
    };
    desired
        .addresses
        .iter()
        .map(|address| Interface {
            host_name: address.host_interface.clone(),
            bridge: address.bridge.clone(),
            label: label(&address.network),
            ipv4: address.ipv4,
            prefix: address.subnet.prefix_len(),
            gateway: address.default_route.then_some(address.gateway),
            mac: address.mac.clone(),
            mtu: address.mtu,
        })
        .collect()
}

fn stopping(desired: &Desired, image: &ContainerImage) -> Result<Stopping> {
    let wanted = container(desired)?.stop_signal.as_deref();
    let signal = match wanted.or(image.config.stop_signal().as_deref()) {
        Some(text) => signals::parse(text)?,
        None => libc::SIGTERM,
    };
    let grace = desired.workload.stop_grace_period.as_millis();
    Ok(Stopping {
        signal,
        grace_milliseconds: u64::try_from(grace).unwrap_or(u64::MAX),
        ..Stopping::default()
    })
}

/// Sets the limits of a running container and records all that may change
/// without making it anew.
pub(super) fn update(home: &Home, desired: &Desired) -> Result<()> {
    let directory = home.instance(&desired.stack, &desired.id);
    let mut record = existing(&directory)?;
    let run = home.run(&desired.stack, &desired.id);
    if look(&run).is_some() {
        let limits = limits(home, desired)?;
        let set = hierarchies()?.limit(&limits);
        set.map_err(StateError::io("set the limits of", &limits.path))?;
        note_limits(&run, &limits)?;
        let image = home.images.container(&record.image_digest)?;
        atomic::write_cache(&run.join(STOP_FILE), &stopping(desired, &image)?)?;
    }
    record.id = desired.id.clone();
    record.addresses = by_network(desired, |address| address.ipv4);
    record.macs = by_network(desired, |address| address.mac.clone());
    record.definition = desired.definition.clone();
    record.write(&directory)?;
    Ok(())
}

/// Asks it to end; how long that may take. `None`: it does not run.
pub(super) fn ask_to_stop(
    home: &Home,
    stack: &StackName,
    id: &InstanceId,
    held: bool,
) -> Result<Option<Duration>> {
    let directory = home.instance(stack, id);
    let Some(mut record) = InstanceRecord::read_or_stand_in(&directory)? else {
        return Ok(None);
    };
    if held && !record.held && !record.is_stand_in() {
        record.held = true;
        record.write(&directory)?;
    }
    let run = home.run(stack, id);
    if look(&run).is_none() {
        return Ok(None);
    }
    let stopping: Stopping =
        atomic::read_versioned(&run.join(STOP_FILE), 1).ok().flatten().unwrap_or_default();
    match request(&run, &Request::Signal { signal: stopping.signal }) {
        // It ended meanwhile.
        Ok(_) | Err(ShimError::Gone { .. } | ShimError::Denied { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Thawed after the signal: it must not run on between the two.
    hierarchies()?.freeze(&home.cgroup(stack, id), false).unwrap_or_default();
    Ok(Some(Duration::from_millis(stopping.grace_milliseconds)))
}

/// Kills whatever of it is alive, frozen or not.
pub(super) fn kill_all(home: &Home, stack: &StackName, id: &InstanceId) {
    let run = home.run(stack, id);
    if let Some(alive) = look(&run) {
        drop(request(&run, &Request::Signal { signal: libc::SIGKILL }));
        kill_orphan(&alive.status, alive.shim);
    }
    if let Ok(hierarchies) = hierarchies() {
        hierarchies.kill(&home.cgroup(stack, id));
    }
}

/// A process without a shim gets its signal from us.
fn kill_orphan(status: &Status, shim: bool) {
    use rustix::process::{Signal, pidfd_send_signal};
    if shim {
        return;
    }
    if let Ok(Some(process)) = crate::shim::process::watch(status.pid, status.start_time) {
        // It ended meanwhile: as it shall be.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// Its status, if it runs.
pub(super) fn running(home: &Home, stack: &StackName, id: &InstanceId) -> Result<Status> {
    let alive = look(&home.run(stack, id)).filter(|alive| alive.process);
    alive.map(|alive| alive.status).ok_or(EmbeddedError::NotRunning)
}

/// Sends a signal; one that ends it is the user's own wish.
pub(super) fn signal(home: &Home, stack: &StackName, id: &InstanceId, signal: i32) -> Result<()> {
    running(home, stack, id)?;
    let directory = home.instance(stack, id);
    let mut record = existing(&directory)?;
    if matches!(signal, libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) {
        record.held = true;
        record.write(&directory)?;
    }
    request(&home.run(stack, id), &Request::Signal { signal })?;
    if signal == libc::SIGKILL {
        // Version 1's freezer holds back even this signal.
        hierarchies()?.freeze(&home.cgroup(stack, id), false).unwrap_or_default();
    }
    Ok(())
}

/// Lets it run on.
pub(super) fn thaw(home: &Home, stack: &StackName, id: &InstanceId) -> Result<()> {
    running(home, stack, id)?;
    request(&home.run(stack, id), &Request::Resume)?;
    Ok(())
}

/// Removes everything of it, the record last. It does not run any more.
pub(super) fn remove(home: &Home, stack: &StackName, id: &InstanceId) -> Result<()> {
    groups::sweep(home, stack);
    let directory = home.instance(stack, id);
    let cgroup = home.cgroup(stack, id);
    let hierarchies = hierarchies()?;
    if hierarchies.exists(&cgroup) {
        hierarchies
            .clear(&cgroup)
            .map_err(StateError::io("remove the cgroup", Path::new(&cgroup)))?;
    }
    remove_tree(&home.run(stack, id))?;
    for part in ["upper", "work", "log"] {
        remove_tree(&directory.join(part))?;
    }
    remove_tree(&directory)?;
    if let Some(workload) = directory.parent() {
        // Goes when no other copy is in it.
        drop(fs::remove_dir(workload));
    }
    Ok(())
}
