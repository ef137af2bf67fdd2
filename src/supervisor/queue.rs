//! What is asked of a supervisor, in line: one at a time is at work. A `down`
//! takes the place of all that was asked before it; something urgent of the
//! supervisor's own cuts short what may be done again.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;

/// Names one order for as long as the supervisor lives.
pub type Ticket = u64;

/// How an order bears company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// An `up`: cut short and begun again it comes to the same end.
    Converges,
    /// A `restart`, or an `up --force-recreate`: begun again it would do it twice.
    Once,
    /// A `down`: whatever was asked before is not wanted any more.
    Ends,
    /// The supervisor's own, and short.
    Own,
}

/// The line. Pure: it only says what is to happen.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<(Ticket, Nature)>,
    working: Option<Working>,
    next: Ticket,
}

#[derive(Debug)]
struct Working {
    ticket: Ticket,
    nature: Nature,
    /// It was told to stop, and is begun again afterwards.
    set_back: bool,
}

impl Queue {
    /// Puts an order at the end of the line. Those that are given up for it: whoever
    /// waits, and, told to stop, whoever is at work.
    pub fn add(&mut self, nature: Nature) -> (Ticket, Vec<Ticket>) {
        let ticket = self.next;
        self.next += 1;
        let mut given_up = Vec::new();
        if nature == Nature::Ends {
            let asked = |(_, nature): &(Ticket, Nature)| *nature != Nature::Ends;
            given_up.extend(self.waiting.iter().filter(|it| asked(it)).map(|(ticket, _)| *ticket));
            self.waiting.retain(|it| !asked(it));
            if let Some(working) = &mut self.working
                && working.nature != Nature::Ends
            {
                working.set_back = false;
                given_up.push(working.ticket);
            }
        }
        self.waiting.push_back((ticket, nature));
        (ticket, given_up)
    }

    /// Puts something of the supervisor's own at the head of the line. Who has to
    /// be told to stop for it; it is begun again afterwards.
    pub fn urge(&mut self) -> (Ticket, Option<Ticket>) {
        let ticket = self.next;
        self.next += 1;
        self.waiting.push_front((ticket, Nature::Own));
        let cut = self.working.as_mut().filter(|it| it.nature == Nature::Converges && !it.set_back);
        let cut = cut.map(|working| {
            working.set_back = true;
            working.ticket
        });
        (ticket, cut)
    }

    /// The next to be begun, if nobody is at work.
    pub fn begin(&mut self) -> Option<Ticket> {
        if self.working.is_some() {
            return None;
        }
        let (ticket, nature) = self.waiting.pop_front()?;
        self.working = Some(Working { ticket, nature, set_back: false });
        Some(ticket)
    }

    /// Who was at work has ended; whether it stands in line again because it
    /// was only `interrupted` for something urgent.
    pub fn ended(&mut self, interrupted: bool) -> bool {
        let Some(working) = self.working.take() else { return false };
        let again = working.set_back && interrupted;
        if again {
            let own = self.waiting.iter().take_while(|(_, nature)| *nature == Nature::Own).count();
            self.waiting.insert(own, (working.ticket, working.nature));
        }
        again
    }

    /// Takes an order that waits out of the line; whether it waited.
    pub fn give_up(&mut self, ticket: Ticket) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
        if let Some(working) = self.working.as_mut().filter(|it| it.ticket == ticket) {
            working.set_back = false;
        }
        self.waiting.len() < before
    }

    /// Whether nobody is at work and nobody waits.
    pub fn is_idle(&self) -> bool {
        self.working.is_none() && self.waiting.is_empty()
    }

    /// Whether something of the supervisor's own waits or is at work.
    pub fn has_own(&self) -> bool {
        let own = |nature: Nature| nature == Nature::Own;
        self.working.as_ref().is_some_and(|it| own(it.nature))
            || self.waiting.iter().any(|(_, nature)| own(*nature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_carried_out_one_at_a_time_as_they_came() {
        let mut queue = Queue::default();
        let (first, _) = queue.add(Nature::Converges);
        let (second, given_up) = queue.add(Nature::Once);
        assert!(given_up.is_empty());
        assert_eq!(queue.begin(), Some(first));
        assert_eq!(queue.begin(), None);
        assert!(!queue.ended(false));
        assert_eq!(queue.begin(), Some(second));
        queue.ended(false);
        assert!(queue.is_idle());
    }

    #[test]
    fn a_down_takes_the_place_of_all_that_was_asked_before() {
        let mut queue = Queue::default();
        let (first, _) = queue.add(Nature::Converges);
        queue.begin();
        let (second, _) = queue.add(Nature::Once);
        let (down, given_up) = queue.add(Nature::Ends);
        assert_eq!(given_up, [second, first]);
        assert!(!queue.ended(true), "it is not wanted any more");
        assert_eq!(queue.begin(), Some(down));
    }

    #[test]
    fn an_up_makes_way_for_a_restart_and_goes_on_after_it() {
        let mut queue = Queue::default();
        let (up, _) = queue.add(Nature::Converges);
        queue.begin();
        let (later, _) = queue.add(Nature::Once);
        let (own, cut) = queue.urge();
        assert_eq!(cut, Some(up));
        assert!(queue.ended(true));
        assert_eq!(queue.begin(), Some(own));
        queue.ended(false);
        assert_eq!(queue.begin(), Some(up));
        queue.ended(false);
        assert_eq!(queue.begin(), Some(later));
    }

    #[test]
    fn an_up_that_ended_before_it_heard_is_not_begun_again() {
        let mut queue = Queue::default();
        queue.add(Nature::Converges);
        queue.begin();
        let (own, _) = queue.urge();
        assert!(!queue.ended(false));
        assert_eq!(queue.begin(), Some(own));
    }

    #[test]
    fn a_restart_the_user_asked_for_is_not_cut_short() {
        let mut queue = Queue::default();
        queue.add(Nature::Once);
        queue.begin();
        assert_eq!(queue.urge().1, None);
    }

    #[test]
    fn what_is_given_up_while_it_was_set_back_does_not_come_again() {
        let mut queue = Queue::default();
        let (up, _) = queue.add(Nature::Converges);
        queue.begin();
        queue.urge();
        assert!(!queue.give_up(up));
        assert!(!queue.ended(true));
    }
}
