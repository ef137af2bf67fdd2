//! The loop: fetch, judge, act, rest. What is next is said by
//! [`super::decide`]; it is written down before it is done, so that a loop that
//! was killed at any instant is gone on with by the next one.

use std::io;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::decide::{Line, News, Next, Outcome, Trouble, Verdict, learn, next};
use super::file::Settings;
use super::git::{Git, GitError};
use super::record::{Act, Intention, Record, Revision, Wishes};
use super::source;
use super::store::Store;
use crate::diagnostic::chain;
use crate::state::StateError;

/// What the loop cannot do by itself.
#[async_trait(?Send)]
pub trait Hands {
    /// What the candidate would do.
    async fn judge(&self, rewrites: Option<String>) -> Verdict;
    /// Has the tree's stack up, within the deadline.
    async fn up(&self, intention: &Intention) -> Outcome;
    /// Says something.
    fn say(&self, line: &Line);
}

/// Why a loop has ended that nobody told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What it knows cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// It cannot hear what is asked of it.
    #[error("cannot hear what is asked of the loop")]
    Deaf(#[source] io::Error),
}

/// A stack's loop.
pub struct Loop<'a> {
    settings: &'a Settings,
    store: &'a Store,
    git: &'a dyn Git,
    hands: &'a dyn Hands,
    record: Record,
    /// What is in place was brought up since the loop began.
    settled: bool,
    fetch_at: Instant,
    /// Once it was fetched, what is in place is brought up as well.
    afresh: bool,
    /// What is in place is only looked at, for somebody asked: nothing is said
    /// where nothing is amiss.
    quietly: bool,
    stop: watch::Receiver<bool>,
}

/// What is followed, in words.
pub fn follows(settings: &Settings) -> String {
    let repo = source::shown(&settings.repo);
    match &settings.reference {
        Some(reference) if source::is_commit(reference) => {
            format!("{} of {repo}", super::record::short(reference))
        }
        Some(reference) => format!("{reference} of {repo}"),
        None => format!("HEAD of {repo}"),
    }
}

impl<'a> Loop<'a> {
    /// A loop that goes on where the last one ended. The caller holds the store's lock.
    pub fn new(
        settings: &'a Settings,
        store: &'a Store,
        git: &'a dyn Git,
        hands: &'a dyn Hands,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, StateError> {
        let follows = follows(settings);
        let mut record = store.record()?.unwrap_or_else(|| Record::new(follows.clone()));
        if record.follows != follows {
            // What was fetched from elsewhere says nothing of this.
            record.head = None;
            record.fetch = None;
            record.follows = follows;
        }
        let policy = &settings.policy;
        learn(&mut record, policy, Timestamp::now(), News::Afresh);
        let fetch_at = Instant::now();
        let (settled, afresh, quietly) = (false, false, false);
        Ok(Self { settings, store, git, hands, record, settled, fetch_at, afresh, quietly, stop })
    }

    /// Goes on until it is told to end. `hurry`: a signal that has it fetch now.
    pub async fn run(mut self, mut hurry: Signal) -> Result<(), RunError> {
        let watch = self.store.watch()?;
        let mut suspended = false;
        loop {
            let wishes = self.store.wishes()?;
            if wishes.suspended != suspended {
                suspended = wishes.suspended;
                self.say_whether(suspended);
            }
            self.hear(&wishes);
            if self.step(&wishes).await? {
                continue;
            }
            if *self.stop.borrow() {
                return Ok(());
            }
            if !suspended && self.fetch_at <= Instant::now() {
                self.fetch().await?;
                continue;
            }
            // Only what is new is written, for the loop hears of that as well.
            if self.record.heard != wishes.serial {
                self.record.heard = wishes.serial;
                self.store.write(&self.record)?;
            }
            if self.store.wishes()? != wishes {
                continue;
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                changed = watch.changed() => changed.map_err(RunError::Deaf)?,
                _ = hurry.recv() => self.again(),
                () = sleep_until(self.fetch_at), if !suspended => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    fn say_whether(&mut self, suspended: bool) {
        if suspended {
            let line = "suspended: nothing is fetched or changed until `windlass gitops resume`";
            self.say([Line::Said(line.to_owned())]);
        } else {
            self.say([Line::Said(format!("going on with {}", self.record.follows))]);
            self.again();
        }
    }

    /// Everything is looked at again: the ref, what this host could not do, what
    /// is in place.
    fn again(&mut self) {
        self.fetch_at = Instant::now();
        self.afresh = true;
    }

    /// Takes in what was asked since the last time.
    fn hear(&mut self, wishes: &Wishes) {
        let taken = self.record.taken;
        if wishes.serial <= taken {
            return;
        }
        if wishes.sync > taken {
            self.again();
        }
        let approval = wishes.approval.as_ref().filter(|approval| approval.serial > taken);
        if let Some(approval) = approval {
            let lines = self.learn(News::Approved(approval.clone()));
            self.say(lines);
        }
        self.record.taken = wishes.serial;
    }

    /// Does what is next; whether there was anything.
    async fn step(&mut self, wishes: &Wishes) -> Result<bool, RunError> {
        if *self.stop.borrow() {
            return Ok(false);
        }
        match next(&self.record, wishes, self.settled) {
            Next::Rest => return Ok(false),
            Next::Judge(revision) => self.judge(&revision).await?,
            Next::Act(intention) => self.act(intention).await?,
        }
        Ok(true)
    }

    async fn fetch(&mut self) -> Result<(), RunError> {
        let mut stop = self.stop.clone();
        let fetched = tokio::select! {
            fetched = self.fetched() => Some(fetched),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(fetched) = fetched else { return Ok(()) };
        self.fetch_at = Instant::now() + self.settings.interval;
        let news = match fetched {
            Ok((revision, rewrites)) => News::Fetched { revision, rewrites },
            Err(error) => News::NotFetched(trouble(&error)),
        };
        let lines = self.learn(news);
        if std::mem::take(&mut self.afresh) {
            self.learn(News::Afresh);
            (self.settled, self.quietly) = (false, true);
        }
        self.keep().await?;
        self.say(lines);
        Ok(())
    }

    async fn fetched(&self) -> Result<(Revision, Option<String>), GitError> {
        let revision = self.git.fetch().await?;
        // Another ref or repository was chosen on purpose: its history is another one.
        let chosen_anew = self.record.head.is_none();
        let running = self.record.running.as_ref().filter(|_| !chosen_anew);
        let rewrites = match running.map(|running| &running.revision.commit) {
            Some(running) if !self.git.descends(&revision.commit, running).await? => {
                Some(running.clone())
            }
            _ => None,
        };
        Ok((revision, rewrites))
    }

    async fn judge(&mut self, revision: &Revision) -> Result<(), RunError> {
        let rewrites = self.record.head.as_ref().and_then(|head| head.rewrites.clone());
        let verdict = match self.git.check_out(&revision.commit, &self.store.candidate()).await {
            Ok(()) => self.hands.judge(rewrites).await,
            Err(error) => Verdict::Blocked(trouble(&error)),
        };
        let lines = self.learn(News::Judged(verdict));
        self.store.write(&self.record)?;
        self.say(lines);
        Ok(())
    }

    async fn act(&mut self, intention: Intention) -> Result<(), RunError> {
        self.announce(&intention).await;
        self.record.intention = Some(intention.clone());
        self.store.write(&self.record)?;
        let commit = &intention.revision.commit;
        let outcome = match self.git.check_out(commit, &self.store.tree()).await {
            Ok(()) if intention.act == Act::Restore => Outcome::Healthy,
            Ok(()) => self.hands.up(&intention).await,
            // Its files are there already: a lost mirror keeps no stack down.
            Err(error) if intention.act == Act::BringUp => {
                self.say([Line::Failed(trouble(&error))]);
                self.hands.up(&intention).await
            }
            Err(error) => Outcome::Failed(trouble(&error).line()),
        };
        if outcome != Outcome::Stopped && intention.act != Act::Restore {
            self.settled = true;
        }
        let lines = self.learn(News::Acted(intention, outcome));
        self.keep().await?;
        self.say(lines);
        Ok(())
    }

    async fn announce(&self, intention: &Intention) {
        let Intention { revision, why, .. } = intention;
        let line = match intention.act {
            Act::Deploy => format!("deploying {revision}: {why}"),
            Act::BringUp if !self.quietly => format!("bringing up {revision}: {why}"),
            Act::BringUp | Act::RollBack | Act::Restore => return,
        };
        self.say([Line::Said(line)]);
        if intention.act != Act::Deploy {
            return;
        }
        // What cannot be told is no reason not to deploy.
        let left_out = self.git.left_out(&revision.commit).await.unwrap_or_default();
        self.say(left_out.into_iter().map(Line::Warned));
    }

    /// What there is to say is said once the record is written: who hears it may
    /// look there.
    fn learn(&mut self, news: News) -> Vec<Line> {
        learn(&mut self.record, &self.settings.policy, Timestamp::now(), news)
    }

    fn say(&self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            self.hands.say(&line);
        }
    }

    /// Writes down what is known, and keeps the commits it speaks of.
    async fn keep(&mut self) -> Result<(), RunError> {
        self.store.write(&self.record)?;
        let kept = self.record.kept();
        if kept.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.git.keep(&kept).await {
            self.say([Line::Failed(trouble(&error))]);
        }
        Ok(())
    }
}

/// An error of git's, in words.
pub fn trouble(error: &GitError) -> Trouble {
    Trouble { chain: chain(error), help: error.help() }
}
