//! Looks for what must not be in a history.
//!
//! Each key has one writer, which numbers its writes and does one at a time. So its acknowledged
//! writes have taken effect in the order of their versions, each before it ended, and a read that
//! starts later and returns an older version was stale. All else that may happen is a write of
//! which the outcome is unknown: it takes effect at any moment after its start, or never, so its
//! own version is right at any later time, and it makes no other version wrong. A call that was dropped is one
//! of these, and so is what was under way in a process that was killed.
//!
//! Of some keys the cache is filled by loads, from a source that the writer of a key changes before it deletes
//! the key. The version of such a change is there to be loaded from its start on, whatever becomes of
//! the delete, and is wrong once the next change was acknowledged: it cannot come late, as a load that
//! began before is not stored.

mod absence;
mod deletes;
mod excerpt;
mod health;
mod reads;
mod store;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::BTreeMap;
use std::time::Duration;

use self::excerpt::excerpt;
use self::health::Health;
use self::writes::Writes;
use crate::history::{History, Kind, Nanos, Outcome};
use crate::report::{Report, Rule, SHOWN};

/// What the checker calls too much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How stale a read may be whatever happens.
    pub(crate) stale: Nanos,
    /// How stale a load may be in a process other than the one that has changed its key.
    pub(crate) stale_loaded: Nanos,
    /// How stale a read may be while nothing is wrong, at most and for 99 %.
    pub(crate) stale_healthy: Nanos,
    pub(crate) stale_healthy_p99: Nanos,
    /// How long after the end of a fault it may still be felt.
    pub(crate) recovery: Nanos,
    /// How much longer than its time to live a value may be served.
    pub(crate) lifetime_slack: Nanos,
    /// How long a call may take, without what the machine itself takes.
    pub(crate) deadline: Nanos,
    /// The same for a load.
    pub(crate) load_deadline: Nanos,
    /// How long a process may take to repeat a failed delete while nothing is wrong, if it does that.
    pub(crate) repeat_deletes: Option<Nanos>,
    /// Whether others are told of what a process has written that died before it was answered.
    pub(crate) tells_of_dead: bool,
    /// Of how many reads at the least the shares are taken that find a value.
    pub(crate) hit_reads: u64,
    /// The least share of reads that find a value, and find it in the first tier.
    pub(crate) hit_ratio: f64,
    pub(crate) l1_ratio: f64,
}

/// What the rules share.
struct Checker<'h> {
    history: &'h History,
    limits: &'h Limits,
    writes: Writes<'h>,
    health: Health<'h>,
    report: Report,
}

/// Why a version that looks too old is right after all.
const OPEN: &str = "written by a call of unknown outcome, which may take effect later";
const LOST: &str = "what overwrote it was lost by the store";
/// Why a value that is gone is rightly so.
const EMPTIED: &str = "the store was emptied";
const TAKEN_ALONG: &str = "who wrote it has died before it could tell";
const FLIPPED: &str = "the answer may be damaged, which is a miss";
const DAMAGED: &str = "the version of its tag may be damaged";

/// Checks all rules.
pub(crate) fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report {
        operations: history.operations.len(),
        ..Report::default()
    };
    for fault in &history.faults {
        *report.faults.entry(fault.name.clone()).or_default() += 1;
    }
    let mut checker = Checker {
        history,
        limits,
        writes: Writes::of(history),
        health: Health::of(history, limits.recovery),
        report,
    };
    checker.deadlines();
    checker.reads();
    checker.order();
    checker.failed_deletes();
    checker.absence();
    checker.store();
    checker.hit_ratios();
    checker.report
}

impl Checker<'_> {
    /// H7: every call ends, in time.
    fn deadlines(&mut self) {
        let mut slowest = 0;
        for call in &self.history.operations {
            let is_dropped = call.outcome == Outcome::Dropped;
            self.report.dropped += usize::from(is_dropped);
            self.report.failed += usize::from(call.is_open() && !is_dropped);
            if is_dropped {
                // Nobody has waited for its end.
                continue;
            }
            let stalled = self.health.stalled(call.process, call.start, call.end);
            let took = (call.end - call.start).saturating_sub(stalled);
            let deadline = match call.kind {
                Kind::Load => self.limits.load_deadline,
                _ => {
                    slowest = slowest.max(took);
                    self.limits.deadline
                }
            };
            if took > deadline || call.outcome == Outcome::Hung {
                let took = Duration::from_nanos(took);
                let text = format!("a call took {took:?}: {call:?}");
                self.report.violate(Rule::Deadline, text);
            }
        }
        self.report.slowest = Duration::from_nanos(slowest);
        let stalls = self.history.stalls.iter();
        let longest = stalls.map(|stall| stall.end - stall.start).max();
        self.report.longest_stall = Duration::from_nanos(longest.unwrap_or(0));
    }

    /// Tells how a finding came to be, if it is one of those that are shown: a story takes a look at the whole
    /// history, and there may be thousands.
    fn story(&self, rule: Rule, key: u32, from: Nanos, until: Nanos) -> String {
        if self.report.count(rule) >= SHOWN {
            return String::new();
        }
        excerpt(self.history, key, from, until)
    }

    /// H11: a cache that always misses breaks no other rule.
    ///
    /// It counts for as long as somebody writes: after a fault that empties the store at the end there is
    /// nothing to find.
    fn hit_ratios(&mut self) {
        let writes = self.history.operations.iter();
        let writes = writes.filter(|operation| operation.wrote.is_some());
        let last_write = writes.map(|operation| operation.end).max();
        let mut last = BTreeMap::new();
        // The hits of the first tier are all hits less those of the second, which counts its own earlier:
        // from one sample to the next they may go back.
        let (mut l1, mut l2, mut misses) = (0_i64, 0, 0);
        for now in &self.history.samples {
            if let Some(before) = last.insert(now.process, now)
                && self.health.is_healthy(before.at, now.at)
                && last_write.is_none_or(|last| now.at <= last)
            {
                l1 += now.l1_hits.cast_signed() - before.l1_hits.cast_signed();
                l2 += now.l2_hits - before.l2_hits;
                misses += now.misses - before.misses;
            }
        }
        let l1 = u64::try_from(l1).unwrap_or_default();
        let reads = l1 + l2 + misses;
        let share = |part: u64| (reads > 0).then(|| ratio(part, reads));
        self.report.hit_ratio = share(l1 + l2);
        self.report.l1_ratio = share(l1);
        let floors = [
            ("hits", self.report.hit_ratio, self.limits.hit_ratio),
            (
                "hits of the first tier",
                self.report.l1_ratio,
                self.limits.l1_ratio,
            ),
        ];
        for (what, found, floor) in floors {
            if reads >= self.limits.hit_reads && found.is_some_and(|found| found < floor) {
                let text = format!("{what} are {found:?} of {reads} reads, the least is {floor}");
                self.report.violate(Rule::HitRatio, text);
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than 52 bits"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
