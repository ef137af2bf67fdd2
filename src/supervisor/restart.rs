//! Restart policies: whether and when one that ended runs again. Docker's rules
//! (<https://docs.docker.com/engine/containers/start-containers-automatically/>):
//! the first pause is 100 ms and doubles up to a minute; a run of ten seconds
//! starts the count of pauses anew. What the user stopped stays stopped, under
//! every policy.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use crate::observed::Exit;
use crate::stack::Restart;

/// The pause before the first restart in a row.
const FIRST: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST: Duration = Duration::from_mins(1);
/// One that ran so long is taken to have worked.
const STEADY: Duration = Duration::from_secs(10);

/// How often an instance was started again since the user last started it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In all.
    pub count: u32,
    /// Since it last ran for ten seconds: what the pause grows with.
    pub in_a_row: u32,
}

/// What follows from an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays at rest.
    Rest,
    /// It stays at rest although its policy would start it: the limit is reached.
    GiveUp {
        /// The limit.
        limit: u32,
    },
    /// It is started again.
    Again {
        /// After this pause.
        pause: Duration,
        /// What is counted then.
        counts: Counts,
    },
}

/// What the policy makes of an end. `ran`: how long it had run.
pub fn verdict(policy: Restart, exit: &Exit, held: bool, ran: Duration, counts: Counts) -> Verdict {
    let failed = exit.code != Some(0) || exit.out_of_memory;
    let limit = match policy {
        _ if held => return Verdict::Rest,
        Restart::No => return Verdict::Rest,
        Restart::OnFailure(_) if !failed => return Verdict::Rest,
        Restart::OnFailure(limit) => limit,
        Restart::Always | Restart::UnlessStopped => None,
    };
    if let Some(limit) = limit.filter(|limit| counts.count >= *limit) {
        return Verdict::GiveUp { limit };
    }
    let in_a_row = if ran >= STEADY { 0 } else { counts.in_a_row };
    Verdict::Again {
        pause: pause(in_a_row),
        counts: Counts { count: counts.count + 1, in_a_row: in_a_row + 1 },
    }
}

/// The pause after so many counts in a row.
fn pause(in_a_row: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(in_a_row)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32) -> Exit {
        Exit { code: Some(code), out_of_memory: false, at: 0 }
    }

    fn first(policy: Restart, code: i32) -> Verdict {
        verdict(policy, &ended(code), false, Duration::ZERO, Counts::default())
    }

    #[test]
    fn each_policy_judges_an_end_as_docker_does() {
        assert_eq!(first(Restart::No, 1), Verdict::Rest);
        assert_eq!(first(Restart::OnFailure(None), 0), Verdict::Rest);
        for policy in [Restart::Always, Restart::UnlessStopped, Restart::OnFailure(None)] {
            assert!(matches!(first(policy, 1), Verdict::Again { .. }), "{policy:?}");
        }
        assert!(matches!(first(Restart::Always, 0), Verdict::Again { .. }));
        let killed_for_memory = Exit { code: Some(0), out_of_memory: true, at: 0 };
        let counts = Counts::default();
        let after = verdict(Restart::OnFailure(None), &killed_for_memory, false, STEADY, counts);
        assert!(matches!(after, Verdict::Again { .. }));
    }

    #[test]
    fn what_the_user_stopped_stays_stopped() {
        for policy in [Restart::Always, Restart::UnlessStopped, Restart::OnFailure(None)] {
            let after = verdict(policy, &ended(137), true, STEADY, Counts::default());
            assert_eq!(after, Verdict::Rest, "{policy:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_start_anew_after_a_steady_run() {
        let mut counts = Counts::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let after = verdict(Restart::Always, &ended(1), false, Duration::ZERO, counts);
            let Verdict::Again { pause, counts: next } = after else { panic!("{after:?}") };
            pauses.push(pause.as_millis());
            counts = next;
        }
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]
        );
        assert_eq!(counts, Counts { count: 12, in_a_row: 12 });
        let after = verdict(Restart::Always, &ended(1), false, STEADY, counts);
        let next = Counts { count: 13, in_a_row: 1 };
        assert_eq!(after, Verdict::Again { pause: FIRST, counts: next });
    }

    #[test]
    fn on_failure_gives_up_at_its_limit() {
        let counts = Counts { count: 3, in_a_row: 3 };
        let policy = Restart::OnFailure(Some(3));
        let after = verdict(policy, &ended(1), false, Duration::ZERO, counts);
        assert_eq!(after, Verdict::GiveUp { limit: 3 });
    }
}
