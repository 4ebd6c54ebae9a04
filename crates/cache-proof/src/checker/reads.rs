//! H1, H2, H3 and H6: what was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::health::Health;
use super::{Checker, LOST, OPEN};
use crate::history::{Kind, Nanos, Operation, Seen};
use crate::report::{Rule, Spread};

/// How stale the reads were.
#[derive(Default)]
struct Ages {
    healthy: Vec<Nanos>,
    faulty: Vec<Nanos>,
}

/// The versions of a key that a process knows.
#[derive(Default)]
struct Known {
    written: BTreeSet<u64>,
    found: BTreeSet<u64>,
    /// By what the source said, and since when.
    loaded: BTreeMap<u64, Nanos>,
}

impl Known {
    fn note(&mut self, read: &Operation, version: u64) {
        if read.kind == Kind::Load {
            self.loaded.entry(version).or_insert(read.start);
        } else {
            self.found.insert(version);
        }
    }

    /// Returns the versions that are too new for a read of this one: of its process for a load, as it may join one
    /// that began before it read something else. What a load found may be ahead of the store if that was away.
    fn newer_than(&self, version: u64, read: &Operation, health: &Health<'_>) -> BTreeSet<u64> {
        let mut newer: BTreeSet<u64> = self.written.range(version + 1..).copied().collect();
        if read.kind != Kind::Load {
            newer.extend(self.found.range(version + 1..));
            let loaded = self.loaded.range(version + 1..);
            let loaded = loaded.filter(|(_, since)| health.is_healthy(**since, read.end));
            newer.extend(loaded.map(|(version, _)| version));
        }
        newer
    }
}

impl<'h> Checker<'h> {
    /// H1, H3 and H6, for each value that was returned.
    pub(super) fn reads(&mut self) {
        let mut ages = Ages::default();
        for read in &self.history.operations {
            let Some(seen) = read.found else {
                continue;
            };
            if let Some((version, write)) = self.integrity(read, seen) {
                self.lifetime(read, write);
                self.staleness(read, version, write.may_come_late(), &mut ages);
            }
        }
        self.report.healthy = Spread::of(ages.healthy);
        self.report.faulty = Spread::of(ages.faulty);
        let p99 = self.report.healthy.p99;
        let most = Duration::from_nanos(self.limits.stale_healthy_p99);
        if p99 > most {
            let text = format!("99 % of healthy reads are stale by {p99:?} at most, not {most:?}");
            self.report.violate(Rule::Staleness, text);
        }
    }

    /// H1: returns the version that was read, and the call that wrote it.
    fn integrity(&mut self, read: &Operation, seen: Seen) -> Option<(u64, &'h Operation)> {
        let problem = match seen {
            Seen::Broken => "a broken value",
            Seen::Whole { key, .. } if key != read.key => "the value of another key",
            Seen::Whole { version, .. } if read.wrote == Some(version) => "what it wrote itself",
            Seen::Whole { version, .. } => match self.writes.value(read.key, version) {
                None => "a value that was never written",
                Some(write) if write.start > read.end => "a value before it was written",
                Some(write) => return Some((version, write)),
            },
        };
        let text = format!("{problem}: {read:?}");
        self.report.violate(Rule::Integrity, text);
        None
    }

    /// H6: a value that is served when its time is over.
    fn lifetime(&mut self, read: &Operation, write: &Operation) {
        let Some(end) = self.writes.nature(write).latest_end else {
            return;
        };
        if read.start > end + self.limits.lifetime_slack {
            let late = Duration::from_nanos(read.start - end);
            let story = self.story(Rule::Lifetime, read.key, write.start, read.end);
            let text = format!("{late:?} after its time: {read:?}{story}");
            self.report.violate(Rule::Lifetime, text);
        }
    }

    /// H3: how long before the read its version had been overwritten.
    fn staleness(&mut self, read: &Operation, version: u64, is_open: bool, ages: &mut Ages) {
        let newer = self.writes.newer(read.key, version, read.start, read.end);
        let age_by = |write: Option<&Operation>| write.map_or(0, |write| read.start - write.end);
        let age = age_by(newer.kept);
        let since = newer.kept.map_or(read.start, |write| write.end);
        let is_healthy = self.health.is_healthy(since, read.end);
        let most = match read.kind {
            kind if kind.reads_store() => 0,
            // A tag takes no lease away: a load that began before is joined until it ends.
            Kind::Load if newer.kept.is_some_and(|write| write.kind.is_of_tag()) => {
                self.limits.stale_loaded * 2
            }
            Kind::Load => self.limits.stale_loaded,
            _ if is_healthy => {
                let held_up = self.health.held_up(read.process, since, read.end);
                self.limits
                    .stale_healthy
                    .saturating_add(held_up)
                    .min(self.limits.stale)
            }
            _ => self.limits.stale,
        };
        if is_open {
            if age > most {
                self.report.exempt(Rule::Staleness, OPEN);
            }
            return;
        }
        if age <= most && age_by(newer.lost) > most {
            self.report.exempt(Rule::Staleness, LOST);
        }
        let of_class = if is_healthy {
            &mut ages.healthy
        } else {
            &mut ages.faulty
        };
        if read.kind != Kind::Load {
            of_class.push(age);
        }
        if age > most {
            let (age, most) = (Duration::from_nanos(age), Duration::from_nanos(most));
            let story = self.story(Rule::Staleness, read.key, since, read.end);
            let class = if is_healthy { "healthy" } else { "faulty" };
            let text = format!("stale by {age:?}, the most is {most:?} ({class}): {read:?}{story}");
            self.report.violate(Rule::Staleness, text);
        }
    }

    /// H2: no process reads something older than what it has read or written before.
    pub(super) fn order(&mut self) {
        let mut sides = HashMap::<(u32, u32), Vec<&Operation>>::new();
        for call in &self.history.operations {
            let side = sides.entry((call.process, call.key)).or_default();
            side.push(call);
        }
        for mut calls in sides.into_values() {
            let mut ended = calls.clone();
            ended.sort_by_key(|call| call.end);
            calls.sort_by_key(|call| call.start);
            self.order_of(&calls, &ended);
        }
    }

    fn order_of(&mut self, calls: &[&Operation], ended: &[&Operation]) {
        let mut ended = ended.iter().peekable();
        let mut known = Known::default();
        for read in calls {
            while let Some(before) = ended.next_if(|before| before.end < read.start) {
                known
                    .written
                    .extend(before.wrote.filter(|_| before.is_done()));
                if let Some(version) = self.written_version(before) {
                    known.note(before, version);
                }
            }
            let Some(version) = self.written_version(read) else {
                continue;
            };
            let newer = known.newer_than(version, read, &self.health);
            let newer = self.writes.concerning(read.key, version, newer.into_iter());
            let Some(&newest) = newer.last() else {
                continue;
            };
            let write = self.writes.value(read.key, version);
            if write.is_some_and(Operation::may_come_late) {
                self.report.exempt(Rule::Order, OPEN);
            } else if self.writes.are_lost(read.key, newer, read.end) {
                self.report.exempt(Rule::Order, LOST);
            } else {
                let from = read.start.saturating_sub(20_000_000);
                let story = self.story(Rule::Order, read.key, from, read.end);
                let text = format!("older than {newest}, which it knew: {read:?}{story}");
                self.report.violate(Rule::Order, text);
            }
        }
    }

    /// Returns the version that was read, if it is one that H1 lets pass.
    fn written_version(&self, read: &Operation) -> Option<u64> {
        match read.found? {
            Seen::Whole { key, version } if key == read.key => {
                self.writes.value(key, version).map(|_| version)
            }
            _ => None,
        }
    }
}
