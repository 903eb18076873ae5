//! Times in which gmtrace did not run when it should have: the machine, or the container, stood still, or others had its CPUs. What
//! did not move then proves nothing.

use super::Session;
use crate::units::Nanos;
use std::collections::VecDeque;

/// So many are kept, the newest.
const KEPT: usize = 1000;

/// From when to when each was, the oldest first.
#[derive(Debug, Default)]
pub struct Lapses(VecDeque<(Nanos, Nanos)>);

impl Lapses {
    /// Takes in one of `length` that ends at `end`.
    pub(super) fn add(&mut self, end: Nanos, length: Nanos) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        let newest = self.0.back().map_or(Nanos(0), |(_, end)| *end);
        self.0.push_back((Nanos(end.since(length).0.max(newest.0)), end));
    }

    /// How much of the time between two moments counts for nothing: the longest of them, and half of the others. On a machine that never
    /// gives gmtrace a CPU in time a stall is told late, and not never.
    fn within(&self, from: Nanos, to: Nanos) -> Nanos {
        let newest = self.0.iter().rev().take_while(|(_, end)| *end > from);
        let each = newest.map(|(start, end)| (*end).min(to).since((*start).max(from)).0);
        let (sum, longest) = each.fold((0, 0), |(sum, longest), one| (sum + one, one.max(longest)));
        Nanos(longest + (sum - longest) / 2)
    }
}

impl Session {
    /// How much of the time between two moments was watched.
    pub fn watched(&self, from: Nanos, to: Nanos) -> Nanos {
        Nanos(to.since(from).0.saturating_sub(self.lapses.within(from, to).0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Nanos {
        Nanos::from_secs(n)
    }

    #[test]
    fn each_counts_for_what_of_it_lies_between() {
        let mut lapses = Lapses::default();
        lapses.add(seconds(10), seconds(4));
        lapses.add(seconds(20), seconds(1));
        assert_eq!(lapses.within(seconds(0), seconds(30)), Nanos::from_millis(4500));
        assert_eq!(lapses.within(seconds(8), seconds(30)), Nanos::from_millis(2500));
        assert_eq!(lapses.within(seconds(0), seconds(8)), seconds(2));
        assert_eq!(lapses.within(seconds(10), seconds(19)), seconds(0));
    }

    #[test]
    fn none_counts_twice() {
        let mut lapses = Lapses::default();
        lapses.add(seconds(10), seconds(4));
        lapses.add(seconds(11), seconds(4));
        lapses.add(seconds(11), seconds(30));
        assert_eq!(lapses.within(seconds(0), seconds(30)), Nanos::from_millis(4500));
    }

    #[test]
    fn the_newest_are_kept() {
        let mut lapses = Lapses::default();
        (1..=KEPT as u64 + 10).for_each(|n| lapses.add(seconds(10 * n), seconds(1)));
        assert_eq!(lapses.0.len(), KEPT);
        let half = Nanos::from_millis(500 * (KEPT as u64 + 1));
        assert_eq!(lapses.within(seconds(0), seconds(100_000)), half);
    }
}
