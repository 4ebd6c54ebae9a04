//! H12: what a failed delete has left.

use super::{Checker, LOST, OPEN};
use crate::history::{Operation, Seen};
use crate::report::Rule;

impl Checker<'_> {
    /// H12: a process that could not delete a key does not serve what was there before, at any time, and
    /// nobody does when it had the time to repeat the delete.
    pub(super) fn failed_deletes(&mut self) {
        let Some(time) = self.limits.repeat_deletes else {
            return;
        };
        for read in &self.history.operations {
            let Some(Seen::Whole { key, version }) = read.found else {
                continue;
            };
            let Some(write) = self.writes.value(key, version) else {
                continue;
            };
            let is_over = |delete: &&Operation| {
                let by_itself = delete.process == read.process && delete.end < read.start;
                let begin = read.start.saturating_sub(time);
                let is_done_by_now = delete.end < begin && self.health.is_healthy(begin, read.end);
                // Who has died repeats nothing.
                by_itself || (is_done_by_now && !self.writes.has_died(delete.process))
            };
            let mut failed = self.writes.failed_deletes(key, version);
            let Some(delete) = failed.find(is_over) else {
                continue;
            };
            if write.may_come_late() {
                self.report.exempt(Rule::FailedDelete, OPEN);
            } else if self.writes.has_lost_since(delete, read.end) {
                self.report.exempt(Rule::FailedDelete, LOST);
            } else {
                let story = self.story(Rule::FailedDelete, key, delete.start, read.end);
                let text = format!("what {delete:?} has left: {read:?}{story}");
                self.report.violate(Rule::FailedDelete, text);
            }
        }
    }
}
