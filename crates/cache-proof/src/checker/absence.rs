//! H13: what was acknowledged and is gone.

use super::{Checker, DAMAGED, EMPTIED, LOST, OPEN};
use crate::Fault;
use crate::history::{Kind, Nanos, Operation};
use crate::report::Rule;

/// How long a command may still be carried out after nobody waits for it any more, or after the fault is over
/// that has held it up.
const LATE: Nanos = 500_000_000;
/// How long a clear or the invalidation of a tag that has failed may go on to be repeated. It takes what was
/// written since.
const REPEATED: Nanos = 30_000_000_000;

impl Checker<'_> {
    /// H13: a value that was acknowledged is there, for its own process at once and for others within the
    /// bound, until something removes it or its time is over.
    pub(super) fn absence(&mut self) {
        for read in &self.history.operations {
            let is_read = matches!(read.kind, Kind::Get | Kind::GetMany | Kind::Last);
            if !is_read || !read.is_done() || read.found.is_some() {
                continue;
            }
            let own = self.writes.owner(read.key) == Some(read.process);
            let bound = if own { 0 } else { self.limits.stale };
            let since = read.start.saturating_sub(bound);
            let Some(write) = self.writes.present(read.key, since, read.end) else {
                continue;
            };
            if self.is_taken_late(write) {
                self.report.exempt(Rule::Absence, OPEN);
            } else if write.tagged && self.is_damaged(read.end) {
                self.report.exempt(Rule::Absence, DAMAGED);
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

    /// Tells whether an earlier call of unknown outcome may have removed what this one wrote.
    fn is_taken_late(&self, write: &Operation) -> bool {
        let mut open = self.writes.open_before(write);
        open.any(|call| match call.kind {
            Kind::Invalidate => write.tagged && call.end + REPEATED > write.start,
            Kind::Clear => call.end + REPEATED > write.start,
            Kind::Delete => self.carried_out_until(call) > write.start,
            _ => call.ttl.is_some() && self.carried_out_until(call) > write.start,
        })
    }

    /// Returns until when a call of unknown outcome may take effect.
    fn carried_out_until(&self, call: &Operation) -> Nanos {
        let faults = self.history.faults.iter();
        let during = faults.filter(|fault| fault.start <= call.end && fault.end >= call.start);
        let ends = during.map(|fault| fault.end).chain([call.end]);
        ends.max().unwrap_or(call.end).saturating_add(LATE)
    }

    /// Tells whether a byte of an answer was flipped until here. It may have been one of the version of a tag, which
    /// its writer then keeps for a while, and which no reader finds in the store.
    fn is_damaged(&self, until: Nanos) -> bool {
        let mut faults = self.history.faults.iter();
        faults.any(|fault| fault.is(Fault::FlipBytes) && fault.start <= until)
    }

    /// Tells whether the store has lost all that it held at some time from here to there.
    fn is_emptied(&self, from: Nanos, until: Nanos) -> bool {
        let mut faults = self.history.faults.iter();
        faults.any(|fault| {
            let empties = fault.is(Fault::Empty) || fault.is(Fault::RestartEmpty);
            empties && fault.start <= until && fault.end >= from
        })
    }
}
