//! What happens in the course of supervisors' lives, made up by proptest.

use proptest::prelude::*;

use crate::damage::{Damage, any_damage};

/// What happens in the course of a supervisor's life.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Up,
    Down,
    Stop(usize),
    Start(usize),
    Restart(usize),
    /// A process ends by itself.
    Dies(usize, i32),
    Meddling(Damage),
    /// Its healthcheck passes, or fails, from now on.
    Health(usize, bool),
    /// So many seconds pass.
    Time(u64),
}

/// One supervisor's life, and when it is killed: after so many turns of the loop.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) happenings: Vec<Happening>,
    pub(crate) faults: Vec<(usize, u8)>,
    /// The last order is still being carried out then.
    pub(crate) killed_after: u8,
}

pub(crate) fn any_happening() -> impl Strategy<Value = Happening> {
    let n = 0_usize..20;
    prop_oneof![
        3 => Just(Happening::Up),
        1 => Just(Happening::Down),
        2 => n.clone().prop_map(Happening::Stop),
        1 => n.clone().prop_map(Happening::Start),
        1 => n.clone().prop_map(Happening::Restart),
        4 => (n, prop::sample::select(vec![0, 1, 137])).prop_map(|(n, code)| Happening::Dies(n, code)),
        2 => any_damage().prop_map(Happening::Meddling),
        3 => (0_usize..20, any::<bool>()).prop_map(|(n, well)| Happening::Health(n, well)),
        2 => (1_u64..20).prop_map(Happening::Time),
    ]
}

pub(crate) fn any_life() -> impl Strategy<Value = Life> {
    let happenings = prop::collection::vec(any_happening(), 1..7);
    let faults = prop::collection::vec((0_usize..60, 0_u8..2), 0..4);
    (happenings, faults, 0_u8..40).prop_map(|(happenings, faults, killed_after)| Life {
        happenings,
        faults,
        killed_after,
    })
}
