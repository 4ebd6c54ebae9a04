//! When nothing is wrong.

use std::collections::HashMap;

use crate::history::{History, Nanos, RUNNER, Stall};

/// The times of faults and stalls.
pub(super) struct Health<'h> {
    /// From the start of a fault until it can no longer be felt.
    wrong: Vec<(Nanos, Nanos)>,
    /// By process, in their order.
    stalls: HashMap<u32, Vec<&'h Stall>>,
}

impl<'h> Health<'h> {
    pub(super) fn of(history: &'h History, recovery: Nanos) -> Self {
        let faults = history.faults.iter();
        let mut stalls = HashMap::<u32, Vec<&Stall>>::new();
        for stall in &history.stalls {
            stalls.entry(stall.process).or_default().push(stall);
        }
        for of_process in stalls.values_mut() {
            of_process.sort_by_key(|stall| stall.start);
        }
        Self {
            wrong: faults
                .map(|fault| (fault.start, fault.end.saturating_add(recovery)))
                .collect(),
            stalls,
        }
    }

    /// Tells whether nothing was wrong in all of this time.
    pub(super) fn is_healthy(&self, from: Nanos, until: Nanos) -> bool {
        let mut wrong = self.wrong.iter();
        wrong.all(|(start, end)| *start > until || *end < from)
    }

    /// Returns how long the machine did not run a process in this time.
    pub(super) fn stalled(&self, process: u32, from: Nanos, until: Nanos) -> Nanos {
        let Some(stalls) = self.stalls.get(&process) else {
            return 0;
        };
        let first = stalls.partition_point(|stall| stall.end <= from);
        let within = stalls[first..]
            .iter()
            .take_while(|stall| stall.start < until);
        within
            .map(|stall| stall.end.min(until) - stall.start.max(from))
            .sum()
    }

    /// Returns how much later the machine itself may have made a message to a process.
    pub(super) fn held_up(&self, process: u32, from: Nanos, until: Nanos) -> Nanos {
        self.stalled(process, from, until) + self.stalled(RUNNER, from, until)
    }
}
