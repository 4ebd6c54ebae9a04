//! H13: what was acknowledged and is gone.

use super::{Checker, DAMAGED, EMPTIED, FLIPPED, LOST, OPEN};
use crate::Fault;
use crate::history::{Kind, Nanos, Operation, Outcome};
use crate::report::Rule;

/// How long a command may still be carried out after nobody waits for it any more, or after the fault is over
/// that has held it up.
const LATE: Nanos = 500_000_000;
/// How long the library goes on with a call that nobody waits for any more.
const UNTIL_GIVEN_UP: Nanos = 1_000_000_000;
/// How long a clear or the invalidation of a tag that has failed may go on to be repeated. It takes what was
/// written since.
const REPEATED: Nanos = 30_000_000_000;

impl<'h> Checker<'h> {
    /// H13: a value that was acknowledged is there, for its own process at once and for others within the
    /// bound, until something removes it or its time is over.
    pub(super) fn absence(&mut self) {
        for read in &self.history.operations {
            if !read.kind.is_read() || !read.is_done() || read.found.is_some() {
                continue;
            }
            let Some(write) = self.expected(read) else {
                continue;
            };
            let is_tagged = self.may_have_tags(write, read.end);
            if self.is_taken_late(write, is_tagged) {
                self.report.exempt(Rule::Absence, OPEN);
            } else if is_tagged && self.is_damaged(read.end) {
                self.report.exempt(Rule::Absence, DAMAGED);
            } else if self.is_flipped(read) {
                self.report.exempt(Rule::Absence, FLIPPED);
            } else if self.is_emptied(write.start, read.end) {
                self.report.exempt(Rule::Absence, EMPTIED);
            } else if self.writes.has_lost_since(write, read.end) {
                self.report.exempt(Rule::Absence, LOST);
            } else {
                let story = self.story(Rule::Absence, read.key, write.start, read.end);
                let text = format!("{write:?} is gone: {read:?}{story}");
                self.report.violate(Rule::Absence, text);
            }
        }
    }

    /// Returns the acknowledged write that a read has to find.
    fn expected(&self, read: &Operation) -> Option<&'h Operation> {
        let present = |since| self.writes.present(read.key, since, read.end);
        let own = present(read.start).filter(|write| write.process == read.process);
        own.or_else(|| present(read.start.saturating_sub(self.limits.stale)))
    }

    /// Tells whether what a read should have found may carry tags: this write, or a later one.
    fn may_have_tags(&self, write: &Operation, until: Nanos) -> bool {
        let mut written = self.writes.written_since(write, until);
        written.any(|write| self.writes.nature(write).tagged != Some(false))
    }

    /// Tells whether an earlier call of unknown outcome may have removed what this one wrote, or a later one.
    fn is_taken_late(&self, write: &Operation, is_tagged: bool) -> bool {
        let mut open = self.writes.open_before(write);
        open.any(|call| match call.kind {
            Kind::Clear => call.end + REPEATED > write.start,
            kind if kind.is_of_tag() => is_tagged && call.end + REPEATED > write.start,
            kind => {
                let ends = kind.removes() || self.writes.nature(call).earliest_end.is_some();
                ends && self.carried_out_until(call) > write.start
            }
        })
    }

    /// Returns until when a call of unknown outcome may take effect. One that was dropped may have had all of its
    /// time before it.
    fn carried_out_until(&self, call: &Operation) -> Nanos {
        let end = match call.outcome {
            Outcome::Dropped => call.end + UNTIL_GIVEN_UP,
            _ => call.end,
        };
        let faults = self.history.faults.iter();
        let during = faults.filter(|fault| fault.was_there(call.start, end));
        let ends = during.map(|fault| fault.end).chain([end]);
        ends.max().unwrap_or(end).saturating_add(LATE)
    }

    /// Tells whether a byte of an answer was flipped until here. It may have been one of the version of a tag, which
    /// its writer then keeps for a while, and which no reader finds in the store.
    fn is_damaged(&self, until: Nanos) -> bool {
        let mut faults = self.history.faults.iter();
        faults.any(|fault| fault.is(Fault::FlipBytes) && fault.start <= until)
    }

    /// Tells whether a byte of the answer to this read may be flipped.
    fn is_flipped(&self, read: &Operation) -> bool {
        let mut faults = self.history.faults.iter();
        faults.any(|fault| fault.is(Fault::FlipBytes) && fault.was_there(read.start, read.end))
    }

    /// Tells whether the store has lost all that it held at some time from here to there.
    fn is_emptied(&self, from: Nanos, until: Nanos) -> bool {
        let mut faults = self.history.faults.iter();
        faults.any(|fault| {
            let empties = fault.is(Fault::Empty) || fault.is(Fault::RestartEmpty);
            empties && fault.was_there(from, until)
        })
    }
}
