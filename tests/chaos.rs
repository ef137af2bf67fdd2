//! Minutes of bad luck: everything that Windlass has made is killed, deleted,
//! filled and damaged, commands are given all at once and killed half-way, and
//! after each blow everything comes back and nothing was lost.
//!
//! - no volume and no disk is gone, and no record on them has a gap;
//! - nobody is restarted but those whom a blow struck;
//! - what is not ours is exactly as it was;
//! - the next `up` brings everything there, and the one after it does nothing.
//!
//! `WINDLASS_CHAOS_SECONDS` is how long (120), `WINDLASS_CHAOS_SEED` which choices
//! are made (another every time); with `WINDLASS_CHAOS_VM=no` there is no virtual
//! machine, whose boots take most of the time where there is no KVM. `make chaos` takes ten minutes and tells the story.

#![expect(clippy::print_stderr, reason = "the story is what it is for")]

#[path = "chaos/bystanders.rs"]
mod bystanders;
#[path = "chaos/commands.rs"]
mod commands;
#[path = "chaos/dice.rs"]
mod dice;
#[path = "chaos/harm.rs"]
mod harm;
#[path = "chaos/news.rs"]
mod news;
#[path = "support/oci.rs"]
mod oci;
#[path = "chaos/records.rs"]
mod records;
#[path = "chaos/rounds.rs"]
mod rounds;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;
#[path = "chaos/small_disk.rs"]
mod small_disk;
#[path = "chaos/stage.rs"]
mod stage;
#[path = "chaos/story.rs"]
mod story;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rounds::Rounds;
use stage::Stage;

/// What CI gives it.
const SECONDS: u64 = 120;

#[test]
fn nothing_is_lost_whatever_is_killed_deleted_filled_or_damaged() {
    let number = |name: &str| std::env::var(name).ok().map(|it| it.parse().expect("a number"));
    let length = Duration::from_secs(number("WINDLASS_CHAOS_SECONDS").unwrap_or(SECONDS));
    let seed = number("WINDLASS_CHAOS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos())
    });
    let mut story = story::Story::new(seed);
    let machine = std::env::var("WINDLASS_CHAOS_VM").as_deref() != Ok("no");
    story.say(&format!("seed {seed}; everything comes up"));
    let Some(stage) = Stage::set(machine) else { return };
    let mut rounds = Rounds::new(stage, story, seed);
    rounds.go_on_for(length);
    eprintln!("\n{}", rounds.finish());
}
