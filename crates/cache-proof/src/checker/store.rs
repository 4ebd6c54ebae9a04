//! H4 and H5: what the store holds, and whether the caches agree with it.

use std::collections::{BTreeSet, HashMap};

use super::{Checker, LOST, OPEN, TAKEN_ALONG};
use crate::history::{Kind, Nanos, Observation, Operation, Outcome, Seen};
use crate::report::Rule;

/// How much of the history before a finding is shown.
const BEFORE: Nanos = 2_000_000_000;

impl Checker<'_> {
    /// H4 and H5.
    pub(super) fn store(&mut self) {
        let mut known = HashMap::<(u64, u32), BTreeSet<u64>>::new();
        for seen in &self.history.observed {
            if let Some(version) = self.acceptable(seen, Rule::Store) {
                let known = known.entry((seen.run, seen.key)).or_default();
                if known.range(version + 1..).next().is_some()
                    && !self.may_come_late(seen.key, version)
                {
                    self.violate_at(Rule::Store, "the store went back", seen);
                }
                known.insert(version);
            }
        }
        let mut settled = HashMap::<u32, Vec<Option<Seen>>>::new();
        for seen in &self.history.settled {
            self.acceptable(seen, Rule::Convergence);
            settled.entry(seen.key).or_default().push(seen.found);
        }
        for read in &self.history.operations {
            if read.kind == Kind::Last {
                self.convergence(read, settled.get(&read.key));
            }
        }
    }

    /// H4: after all faults, each cache answers with what the store holds, or nothing.
    fn convergence(&mut self, read: &Operation, settled: Option<&Vec<Option<Seen>>>) {
        let problem = match (&read.outcome, settled) {
            (Outcome::Unknown(_) | Outcome::Hung | Outcome::Dropped, _) => "still fails".to_owned(),
            (_, Some(settled)) if read.found.is_some() && !settled.contains(&read.found) => {
                format!("the store holds {settled:?}")
            }
            _ => return,
        };
        let version = match read.found {
            Some(Seen::Whole { version, .. }) => Some(version),
            _ => None,
        };
        let write = version.and_then(|version| self.writes.value(read.key, version));
        if write.is_some_and(|write| self.is_last_of_source(write, read)) {
            // It may have been loaded since, or have expired.
            return;
        }
        let is_taken_along = |version| self.writes.are_taken_along(read.key, version);
        if !self.limits.tells_of_dead && !read.is_open() && version.is_some_and(is_taken_along) {
            self.report.exempt(Rule::Convergence, TAKEN_ALONG);
            return;
        }
        let from = write.map_or(read.start.saturating_sub(BEFORE), |write| write.start);
        let story = self.story(Rule::Convergence, read.key, from, read.end);
        let text = format!("{problem}: {read:?}{story}");
        self.report.violate(Rule::Convergence, text);
    }

    /// Tells whether a read has found what the source holds.
    fn is_last_of_source(&self, write: &Operation, read: &Operation) -> bool {
        let version = write.wrote.unwrap_or_default();
        let newer = self.writes.newer(read.key, version, read.start, read.end);
        write.kind.renews() && newer.kept.is_none() && !read.is_open()
    }

    /// Finds a store that lacks what it acknowledged, and returns the version that it holds.
    fn acceptable(&mut self, seen: &Observation, rule: Rule) -> Option<u64> {
        let version = match seen.found? {
            Seen::Whole { key, version } if key == seen.key => version,
            _ => {
                self.violate_at(Rule::Integrity, "the store holds a foreign value", seen);
                return None;
            }
        };
        let Observation { start, end, .. } = *seen;
        let newer = self.writes.newer_in_store(seen.key, version, start, end);
        match (newer.kept, newer.lost) {
            (None, None) => {}
            _ if self.may_come_late(seen.key, version) => self.report.exempt(rule, OPEN),
            (None, Some(_)) => self.report.exempt(rule, LOST),
            (Some(_), _) => {
                self.violate_at(rule, "the store lacks an acknowledged write", seen);
            }
        }
        Some(version)
    }

    fn may_come_late(&self, key: u32, version: u64) -> bool {
        let write = self.writes.value(key, version);
        write.is_some_and(Operation::may_come_late)
    }

    fn violate_at(&mut self, rule: Rule, problem: &str, seen: &Observation) {
        let from = seen.start.saturating_sub(BEFORE);
        let story = self.story(rule, seen.key, from, seen.end);
        self.report
            .violate(rule, format!("{problem}: {seen:?}{story}"));
    }
}
