//! Round after round: harms, the way back, and what must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::commands::{Ended, kill_if_there};
use crate::dice::Dice;
use crate::harm::{Blow, Harm, with_followers};
use crate::news::News;
use crate::records::Records;
use crate::stage::{STEADY, Stage};
use crate::story::Story;

/// The machine is struck at most so often: it takes the better part of a minute
/// to boot where there is no KVM.
const BETWEEN_BLOWS: Duration = Duration::from_secs(150);

/// One blow later than this before the end would not be seen to the end.
const LAST_BLOW: Duration = Duration::from_secs(40);

/// The machine's own record is read each time so many rounds have gone by.
const DISK_EVERY: usize = 6;

/// Everything, and what is known of it.
pub(crate) struct Rounds {
    // Dropped before the stage: its last lines belong above what clearing up says.
    story: Story,
    stage: Stage,
    dice: Dice,
    deck: Vec<Harm>,
    records: Records,
    count: usize,
    next_blow: Duration,
    blows: usize,
}

impl Rounds {
    /// Everything runs; it is checked once before anything is harmed.
    pub(crate) fn new(stage: Stage, story: Story, seed: u64) -> Self {
        let records = Records::note(&stage);
        let dice = Dice::new(seed);
        let deck = Vec::new();
        let next_blow = Duration::from_secs(10);
        let mut rounds = Self { story, stage, dice, deck, records, count: 0, next_blow, blows: 0 };
        rounds.check(&BTreeMap::new(), &BTreeSet::new());
        rounds.check_machine();
        rounds
    }

    /// Harms and mends for so long.
    pub(crate) fn go_on_for(&mut self, length: Duration) {
        self.story.starts();
        while self.story.elapsed() < length {
            let left = length.saturating_sub(self.story.elapsed());
            self.count += 1;
            let in_time = left > LAST_BLOW || self.blows == 0;
            if in_time && self.next_blow <= self.story.elapsed() {
                self.blow();
            } else if self.dice.one_in(4) {
                self.left_to_the_supervisor();
            } else {
                self.round();
            }
            if self.count.is_multiple_of(DISK_EVERY) && self.machine_is_ready() {
                self.check_machine();
            }
        }
    }

    /// Up to three harms at once, then an `up`.
    fn round(&mut self) {
        let before = self.stage.pids();
        let mut touched = BTreeSet::new();
        let began = Instant::now();
        for _ in 0..=self.dice.below(3) {
            let harm = self.draw();
            touched.extend(harm.strike(&self.stage, &mut self.dice, &mut self.story));
        }
        self.converge(began);
        self.check(&before, &touched);
    }

    fn draw(&mut self) -> Harm {
        if self.deck.is_empty() {
            self.deck = self.dice.shuffled(Harm::value_variants().to_vec());
        }
        self.deck.pop().expect("it was dealt anew")
    }

    /// One harm that the supervisor is to put right while nobody asks it to.
    fn left_to_the_supervisor(&mut self) {
        let Some(mut news) = News::listen(&self.stage) else { return self.round() };
        let before = self.stage.pids();
        let began = Instant::now();
        let whom = self.dice.pick(&["ledger", "web", "api"]);
        let (kind, about, touched) = match self.dice.below(4) {
            0 => ("firewall deleted", "firewall", BTreeSet::new()),
            1 => ("forwarder killed", "web", BTreeSet::new()),
            _ => ("process killed", whom, with_followers(&[whom])),
        };
        let named = if about == "firewall" { "the whole table" } else { about };
        self.story.harm(kind, &format!("{named}, left to the supervisor"));
        match kind {
            "firewall deleted" => crate::harm::delete_table(&self.stage),
            "forwarder killed" => kill_if_there(self.stage.parts("forward").first().copied()),
            _ => kill_if_there(before.get(whom).copied()),
        }
        news.until_done(about);
        self.story.converged(began.elapsed());
        self.story.checked("put right by the supervisor alone");
        self.check(&before, &touched);
    }

    /// Strikes the machine, and goes on without waiting for it.
    fn blow(&mut self) {
        self.await_machine();
        self.next_blow = self.story.elapsed() + BETWEEN_BLOWS;
        let blow = match self.blows % 4 {
            _ if !self.stage.machine => Blow::UpAndDown,
            0 => Blow::KillQemu,
            1 => Blow::UpAndDown,
            2 => Blow::KillVirtiofsd,
            _ => Blow::DeleteItsBridge,
        };
        self.blows += 1;
        let news = News::listen(&self.stage);
        let before = self.stage.pids();
        let began = Instant::now();
        let touched = blow.strike(&self.stage, &mut self.story);
        if let Blow::UpAndDown = blow {
            self.records.forget_log();
        }
        if let (Blow::KillQemu, Some(mut news)) = (blow, news) {
            news.until_done("db");
        }
        self.converge(began);
        self.check(&before, &touched);
    }

    fn converge(&mut self, began: Instant) {
        self.stage.run(&["up", "-d"]).ok();
        self.stage.side(&["up", "-d"]).ok();
        self.story.converged(began.elapsed());
    }

    /// Everything that must hold while nobody does harm.
    fn check(&mut self, before: &BTreeMap<String, i32>, touched: &BTreeSet<&str>) {
        self.stage.run(&["up", "-d", "--wait", "web"]).ok();
        let now = self.stage.pids();
        self.nothing_to_do();
        for name in STEADY.into_iter().chain(self.stage.machine.then_some("db")) {
            let pid = now.get(name);
            assert!(pid.is_some(), "{name} does not run: {:#?}", self.stage.ps());
            if let Some(was) = before.get(name).filter(|_| !touched.contains(name)) {
                assert_eq!(pid, Some(was), "{name} was restarted, and nobody had struck it");
            }
        }
        self.story.checked("who was not struck kept running");
        assert!(self.stage.main.supervisor().is_some(), "somebody minds it");
        self.check_published();
        self.records.check_things();
        self.records.check_volume(&self.stage);
        self.story.checked("volumes, record and log whole");
        if let Some(bystanders) = &self.stage.bystanders {
            bystanders.check();
        }
        self.story.checked("bystanders exactly as they were");
    }

    /// A second `up` finds nothing to do: of the stack, and of the one beside it.
    fn nothing_to_do(&mut self) {
        // One of the stack ends by itself now and then, and is started again.
        let quiet = |up: &Ended| up.said.contains("nothing to do");
        let mut up = self.stage.run(&["up", "-d"]).ok();
        for _ in 0..3 {
            if !quiet(&up) && only_about(&up, "batch") {
                up = self.stage.run(&["up", "-d"]).ok();
            }
        }
        assert!(quiet(&up), "{up}\n{:#?}", self.stage.ps());
        let up = self.stage.side(&["up", "-d"]).ok();
        assert!(quiet(&up), "{up}");
        self.story.checked("a second `up` does nothing");
    }

    /// What is published answers.
    fn check_published(&mut self) {
        let row = &self.stage.ps()["web"];
        let port = row["Publishers"][0]["PublishedPort"].as_u64();
        let port = port.and_then(|port| u16::try_from(port).ok());
        let port = port.unwrap_or_else(|| panic!("web publishes nothing: {row:#}"));
        let mut answer = String::new();
        let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.write_all(b"GET /from-image HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        assert!(answer.contains("the image's own"), "port {port}: {asked:?} {answer}");
        self.story.checked("the published port answers");
    }

    fn machine_is_ready(&self) -> bool {
        // In words: JSON has Compose's, which knows no readiness.
        let table = self.stage.run(&["ps", "-a"]).ok().said;
        table.lines().any(|line| line.starts_with("db ") && line.contains(" ready"))
    }

    fn await_machine(&mut self) {
        if !self.stage.machine {
            return;
        }
        self.stage.run(&["up", "-d", "--wait", "db"]).ok();
        self.check_machine();
    }

    fn check_machine(&mut self) {
        if !self.stage.machine {
            return;
        }
        self.records.check_disk(&self.stage);
        self.story.checked("the machine's disk whole");
    }

    /// The way out: `down` keeps data, `up` finds it, `down -v` leaves nothing.
    pub(crate) fn finish(mut self) -> String {
        self.await_machine();
        self.check(&BTreeMap::new(), &BTreeSet::new());
        self.story.say(&format!("everything is there: {}", self.records.in_words()));
        self.stage.run(&["down"]).ok();
        self.stage.side(&["down"]).ok();
        for stack in [self.stage.side_name(), self.stage.main.name().to_owned()] {
            let left = self.stage.leftovers(&stack);
            assert!(left.is_empty(), "left after `down`: {left:#?}");
        }
        self.records.check_things();
        self.records.forget_log();
        self.story.say("`down` kept volumes and disks, and nothing else");
        self.stage.run(&["up", "-d"]).ok();
        self.stage.side(&["up", "-d"]).ok();
        self.await_machine();
        self.check(&BTreeMap::new(), &BTreeSet::new());
        self.story.say(&format!("`up` found them: {}", self.records.in_words()));
        self.stage.clear();
        let volumes = self.stage.main.home().join("lib/volumes");
        let left = fs::read_dir(&volumes).into_iter().flatten().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["nobodys"], "volumes after `down -v`");
        let bystanders = self.stage.bystanders.take().expect("they stood by");
        bystanders.check();
        bystanders.finish();
        self.story.say("`down -v` left nothing");
        self.story.report()
    }
}

/// Whether an `up` did something about nobody else.
fn only_about(up: &Ended, name: &str) -> bool {
    let others = STEADY.into_iter().chain(["db", "network", "firewall"]);
    up.said.contains(name) && others.into_iter().all(|other| !up.said.contains(other))
}
