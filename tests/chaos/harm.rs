//! What is done to the stack: each harm with its name, whom it strikes, and whom
//! a plan may therefore restart. Everybody else keeps running as they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::Signal;

use crate::commands::{self, Running, kill, kill_if_there};
use crate::dice::Dice;
use crate::stage::{STEADY, Stage};
use crate::story::Story;

/// One of the things that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Harm {
    KillSupervisor,
    StopSupervisor,
    KillProcess,
    KillShim,
    KillNameServer,
    KillForwarder,
    Freeze,
    DeleteBridge,
    DeleteInterface,
    DeleteTable,
    DeleteRule,
    DamageLedger,
    DamageIntent,
    DamageNotes,
    FillDisk,
    UpsAtOnce,
    UpAndDown,
    KillUp,
    KillDown,
    Restart,
    StopAndStart,
}

use Harm::*;

/// A hung supervisor is named within this time, and the command ends.
const NAMED_WITHIN: Duration = Duration::from_secs(40);

/// Those that are struck, and whoever restarts with them (`restart: true`).
pub(crate) fn with_followers(names: &[&'static str]) -> BTreeSet<&'static str> {
    let mut touched: BTreeSet<&str> = names.iter().copied().collect();
    if touched.contains("web") {
        touched.insert("api");
    }
    touched
}

impl Harm {
    /// Does it; who may be restarted for it.
    pub(crate) fn strike(
        self,
        stage: &Stage,
        dice: &mut Dice,
        story: &mut Story,
    ) -> BTreeSet<&'static str> {
        let whom = dice.pick(&STEADY);
        match self {
            KillSupervisor if dice.one_in(4) => {
                story.harm("shim killed", "the supervisor's");
                let shim = stage.main.supervisor().and_then(commands::parent);
                kill_if_there(shim);
            }
            KillSupervisor => kill_supervisor(stage, story),
            StopSupervisor => stop_supervisor(stage, dice, story),
            KillProcess => {
                let whom = dice.pick(&["ledger", "web", "api", "plain", "batch"]);
                story.harm("process killed", whom);
                kill_if_there(stage.pids().get(whom).copied());
                return with_followers(&[whom]);
            }
            KillShim => {
                let whom = dice.pick(&["ledger", "web", "api", "plain", "db"]);
                story.harm("shim killed", whom);
                let shim = stage.pids().get(whom).and_then(|pid| commands::parent(*pid));
                kill_if_there(shim);
                // A machine does not end with its shim.
                return if whom == "db" { BTreeSet::new() } else { with_followers(&[whom]) };
            }
            KillNameServer => kill_part(stage, dice, story, "name server killed", "name-server"),
            KillForwarder => kill_part(stage, dice, story, "forwarder killed", "forward"),
            Freeze => {
                let whom = dice.pick(&["ledger", "web", "api", "plain", "db"]);
                story.harm("frozen", whom);
                if stage.pids().contains_key(whom) {
                    stage.main.freeze(whom);
                }
            }
            DeleteBridge => {
                let network = dice.pick(&["front", "back"]);
                story.harm("bridge deleted", network);
                delete_link(&stage.bridge(network));
                return match network {
                    "front" => with_followers(&["web", "api", "batch"]),
                    _ => with_followers(&["ledger", "api", "plain"]),
                };
            }
            DeleteInterface => {
                let network = if whom == "web" { "front" } else { "back" };
                story.harm("interface deleted", whom);
                delete_link(&stage.interface(whom, network));
                return with_followers(&[whom]);
            }
            DeleteTable => {
                story.harm("firewall deleted", "the whole table");
                delete_table(stage);
            }
            DeleteRule => delete_rule(stage, dice, story),
            DamageLedger => damage(story, dice, "ledger damaged", &stage.state_file("ledger.json")),
            DamageIntent => damage(story, dice, "intent damaged", &stage.state_file("intent.json")),
            DamageNotes => {
                let path = stage.instance_file("batch", "restarts.json");
                damage(story, dice, "restart notes damaged", &path);
            }
            FillDisk => return fill_disk(stage, dice, story),
            UpsAtOnce => {
                story.harm("commands at once", "three `up`s");
                let ups: Vec<Running> = (0..3).map(|_| stage.start(&["up", "-d"])).collect();
                for up in ups {
                    up.within(crate::stage::LIMIT).ok();
                }
            }
            UpAndDown => up_and_down(stage, dice, story),
            KillUp => return kill_up(stage, dice, story),
            KillDown => kill_down(stage, dice, story),
            Restart => {
                story.harm("restarted by hand", whom);
                stage.run(&["restart", whom]).ok();
                return with_followers(&[whom]);
            }
            StopAndStart => {
                story.harm("stopped and started by hand", whom);
                stage.run(&["stop", whom]).ok();
                assert!(!stage.pids().contains_key(whom), "{whom} was stopped");
                if dice.one_in(2) {
                    kill_supervisor(stage, story);
                }
                stage.run(&["start", whom]).ok();
                return with_followers(&[whom]);
            }
        }
        BTreeSet::new()
    }
}

fn kill_supervisor(stage: &Stage, story: &mut Story) {
    story.harm("supervisor killed", "the stack's");
    kill_if_there(stage.main.supervisor());
}

/// Stopped, it answers nobody: a command must say so, and what to do. Doing that
/// must help.
fn stop_supervisor(stage: &Stage, dice: &mut Dice, story: &mut Story) {
    let Some(pid) = stage.main.supervisor() else { return };
    story.harm("supervisor stopped (SIGSTOP)", &pid.to_string());
    commands::signal(pid, Signal::STOP);
    let up = stage.start(&["up", "-d"]).within(NAMED_WITHIN);
    assert_eq!(up.code, Some(1), "{up}");
    assert!(up.said.contains(&format!("(pid {pid}) does not answer")), "{up}");
    assert!(up.said.contains(&format!("kill -9 {pid}")), "{up}");
    if dice.one_in(2) {
        commands::signal(pid, Signal::CONT);
    } else {
        kill(pid);
    }
}

fn kill_part(stage: &Stage, dice: &mut Dice, story: &mut Story, kind: &'static str, part: &str) {
    let parts = stage.parts(part);
    if parts.is_empty() {
        return story.say(&format!("({kind}: there is none just now)"));
    }
    let pid = dice.pick(&parts);
    // One time in three the process that minds it.
    let shim = commands::parent(pid).filter(|_| dice.one_in(3));
    story.harm(kind, if shim.is_some() { "its shim" } else { "itself" });
    kill(shim.unwrap_or(pid));
}

fn delete_link(name: &str) {
    // One that is being made again just now has been struck already.
    drop(std::process::Command::new("ip").args(["link", "delete", name]).output());
}

fn nft(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("nft").args(arguments).output().expect("it runs");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn delete_table(stage: &Stage) {
    drop(nft(&["delete", "table", "inet", &stage.table()]));
}

fn delete_rule(stage: &Stage, dice: &mut Dice, story: &mut Story) {
    let table = stage.table();
    let listed = nft(&["-a", "list", "table", "inet", &table]).unwrap_or_default();
    let mut chain = "";
    let mut rules = Vec::new();
    for line in listed.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ").and_then(|rest| rest.split(' ').next()) {
            chain = name;
        } else if let Some((rule, handle)) = line.split_once(" # handle ")
            && !line.starts_with("table ")
        {
            rules.push((chain, rule, handle));
        }
    }
    if rules.is_empty() {
        return story.say("(no rule to delete just now)");
    }
    let (chain, rule, handle) = dice.pick(&rules);
    story.harm("rule deleted", rule);
    drop(nft(&["delete", "rule", "inet", &table, chain, "handle", handle]));
}

fn damage(story: &mut Story, dice: &mut Dice, kind: &'static str, path: &Path) {
    let Ok(text) = fs::read(path) else { return story.say(&format!("({kind}: there is none)")) };
    let done = match dice.below(3) {
        0 => ("cut short", fs::write(path, &text[..text.len() / 2])),
        1 => ("garbage", fs::write(path, [0xfe; 512])),
        _ => ("deleted", fs::remove_file(path)),
    };
    story.harm(kind, done.0);
    done.1.expect("damaged");
}

/// Full while an `up` has something to do, and while somebody dies.
fn fill_disk(stage: &Stage, dice: &mut Dice, story: &mut Story) -> BTreeSet<&'static str> {
    let whom = dice.pick(&STEADY);
    let pid = stage.pids().get(whom).copied();
    stage.disk.fill();
    story.harm("disk filled", &format!("during an `up`, with {whom} killed"));
    kill_if_there(pid);
    let up = stage.run(&["up", "-d", "--no-deps", "--force-recreate", "plain"]);
    let last = up.said.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
    story.say(&format!("  the `up` ended with {:?}: {last}", up.code));
    stage.disk.release();
    with_followers(&[whom, "plain", "batch"])
}

/// The one beside it is taken up and down at once, more than once.
fn up_and_down(stage: &Stage, dice: &mut Dice, story: &mut Story) {
    story.harm("commands at once", "two `up`s and two `down`s of the stack beside it");
    let order = dice.shuffled(vec![["up", "-d"].as_slice(), &["down"], &["up", "-d"], &["down"]]);
    let running: Vec<Running> =
        order.iter().map(|line| Running::start(stage.side_command(line))).collect();
    for command in running {
        let ended = command.within(crate::stage::LIMIT);
        // Whoever was given up for a `down` says so.
        assert!(matches!(ended.code, Some(0 | 130)), "{ended}");
    }
}

/// An `up` that makes one anew is killed, with or without the supervisor that does it.
fn kill_up(stage: &Stage, dice: &mut Dice, story: &mut Story) -> BTreeSet<&'static str> {
    let moment = Duration::from_millis(u64::try_from(dice.below(700)).expect("small"));
    let up = stage.start(&["up", "-d", "--no-deps", "--force-recreate", "plain"]);
    up.killed_after(moment);
    let both = dice.one_in(2);
    let whom = if both { "it and the supervisor" } else { "it alone" };
    story.harm("`up` killed half-way", &format!("{whom}, after {} ms", moment.as_millis()));
    if both {
        kill_if_there(stage.main.supervisor());
    }
    BTreeSet::from(["plain"])
}

/// A `down` of the one beside it is killed, and whoever carries it out.
fn kill_down(stage: &Stage, dice: &mut Dice, story: &mut Story) {
    let moment = Duration::from_millis(u64::try_from(dice.below(700)).expect("small"));
    Running::start(stage.side_command(&["down"])).killed_after(moment);
    let whom = format!("of the stack beside it, after {} ms", moment.as_millis());
    story.harm("`down` killed half-way", &whom);
    let supervises = format!("--project-name {} supervise", stage.side_name());
    for (pid, _) in commands::processes(&supervises) {
        kill(pid);
    }
}

/// What costs a boot of the machine, and is therefore done seldom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    KillQemu,
    KillVirtiofsd,
    DeleteItsBridge,
    UpAndDown,
}

impl Blow {
    /// Does it; everybody whom it touches.
    pub(crate) fn strike(self, stage: &Stage, story: &mut Story) -> BTreeSet<&'static str> {
        match self {
            Self::KillQemu => {
                story.harm("QEMU killed", "db");
                kill_if_there(stage.pids().get("db").copied());
            }
            Self::KillVirtiofsd => {
                story.harm("virtiofsd killed", "db's");
                let home = stage.main.home();
                let all = commands::processes(&home.to_string_lossy()).into_iter();
                for (pid, _) in all.filter(|(_, line)| line.contains("internal virtiofsd ")) {
                    kill(pid);
                }
            }
            Self::DeleteItsBridge => {
                story.harm("bridge deleted", "deep");
                delete_link(&stage.bridge("deep"));
            }
            Self::UpAndDown => {
                story.harm("commands at once", "`down` during an `up`, of everything");
                let up = stage.start(&["up", "-d", "--no-deps", "--force-recreate", "plain"]);
                let down = stage.start(&["down"]);
                let (up, down) = (up.within(crate::stage::LIMIT), down.within(crate::stage::LIMIT));
                assert!(matches!(up.code, Some(0 | 130)), "{up}");
                down.ok();
                return STEADY.into_iter().chain(["db", "batch"]).collect();
            }
        }
        BTreeSet::from(["db"])
    }
}
