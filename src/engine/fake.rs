//! Engines in memory: all four traits over one shared host that keeps only
//! what can be observed. For tests, and to see a plan carried out without
//! touching anything. It refuses what a real host would refuse (a start
//! without its network, an address given twice), so that a plan in the wrong
//! order is found out. It never sleeps.

mod host;
mod neighbours;
mod script;
mod traits;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::engine::Result;
use crate::observed::{Observed, State};
use crate::plan::Action;
use crate::stack::{ImageSource, InstanceId, StackName};
use crate::state::Directories;

use host::Host;
use neighbours::Whose;
pub use script::{Fault, Guest, Script};

/// The host in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Fake(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    host: Host,
    /// What other stacks have here, and what is nobody's.
    neighbours: BTreeMap<StackName, Host>,
    /// Where supervisors write down what they did.
    notes: Option<Directories>,
    script: Script,
    /// Calls so far; faults are scripted by this number.
    calls: usize,
    crashed: bool,
    /// Told of every change, and of every one that was nobody's call.
    changed: watch::Sender<()>,
    meddled: watch::Sender<()>,
}

impl Fake {
    /// An empty host that follows a script.
    pub fn new(script: Script) -> Self {
        Self(Arc::new(Mutex::new(Inner { script, ..Inner::default() })))
    }

    /// A host on which this exists already.
    pub fn with(observed: Observed) -> Self {
        let fake = Self::default();
        fake.inner().host = Host::of(observed);
        fake
    }

    /// Everything that exists.
    pub fn observed(&self) -> Observed {
        self.inner().host.observed.clone()
    }

    /// Changes what exists behind everybody's back.
    pub fn meddle(&self, change: impl FnOnce(&mut Observed)) {
        let mut inner = self.inner();
        change(&mut inner.host.observed);
        inner.changed.send_replace(());
        inner.meddled.send_replace(());
    }

    /// Another script from here on: after a crash, the next command.
    pub fn follow(&self, script: Script) {
        let mut inner = self.inner();
        inner.script = script;
        inner.calls = 0;
        inner.crashed = false;
    }

    /// How many calls there were since the script began.
    pub fn calls(&self) -> usize {
        self.inner().calls
    }

    /// Images that were fetched, in order.
    pub fn fetched(&self) -> Vec<ImageSource> {
        self.inner().host.fetched.clone()
    }

    /// Disks that were set aside, in order.
    pub fn set_aside(&self) -> Vec<InstanceId> {
        self.inner().host.set_aside.clone()
    }

    /// Instances that run and hold on to a bridge that is gone.
    pub fn cut_off(&self) -> Vec<InstanceId> {
        self.inner().host.cut_off()
    }

    /// Performs one step, as [`crate::apply`] would have it performed.
    pub fn perform(&self, action: &Action) -> Result<()> {
        self.call(|host, script| host.perform(action, script))
    }

    /// One call, subject to the script's faults.
    fn call<T>(&self, act: impl FnOnce(&mut Host, &Script) -> Result<T>) -> Result<T> {
        self.call_on(Whose::Ours, act)
    }

    /// One call on what somebody has.
    fn call_on<T>(
        &self,
        whose: Whose<'_>,
        act: impl FnOnce(&mut Host, &Script) -> Result<T>,
    ) -> Result<T> {
        let mut inner = self.inner();
        let Inner { host, neighbours, script, calls, crashed, changed, .. } = &mut *inner;
        let host = whose.of(neighbours).unwrap_or(host);
        changed.send_replace(());
        let fault =
            script.fault(*calls).filter(|_| !*crashed).or((*crashed).then_some(Fault::Crash));
        *calls += 1;
        match fault {
            None => act(host, script),
            Some(Fault::Fail(kind)) => Err(script::scripted(kind)),
            Some(Fault::LostReply(kind)) => act(host, script).and(Err(script::scripted(kind))),
            Some(Fault::Crash) => {
                *crashed = true;
                Err(script::scripted(crate::engine::ErrorKind::Unavailable))
            }
        }
    }

    /// How one run ended; `None`: it runs.
    fn ended(&self, stack: &StackName, id: &InstanceId) -> Option<i32> {
        match self.observed_of(stack).instances.get(id).map(|it| &it.state) {
            Some(State::Exited(exit)) => Some(exit.code.unwrap_or(255)),
            None => Some(255),
            Some(_) => None,
        }
    }

    /// Hears of every change from now on.
    fn changes(&self) -> watch::Receiver<()> {
        self.inner().changed.subscribe()
    }

    /// Hears of what happens behind everybody's back from now on.
    fn meddling(&self) -> watch::Receiver<()> {
        self.inner().meddled.subscribe()
    }

    /// A test that panicked within a call leaves nothing half written here.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
