//! What the checker says of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::history::Nanos;

/// How many violations of a rule are shown in full.
pub(crate) const SHOWN: usize = 3;

/// What the checker says of a run. Its text is for people.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The keys of all calls.
    pub operations: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were dropped on their way.
    pub dropped: usize,
    /// How often each fault was made.
    pub faults: BTreeMap<String, usize>,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// What would be a violation but for a fault that may do this, by rule and reason.
    pub exemptions: BTreeMap<(Rule, &'static str), usize>,
    /// How long what was read had been overwritten, while nothing was wrong.
    pub healthy: Spread,
    /// The same while a fault was there, or had just ended.
    pub faulty: Spread,
    /// The longest time of a call, without what the machine itself took.
    pub slowest: Duration,
    /// The longest time in which the machine did not run a process.
    pub longest_stall: Duration,
    /// Reads that found a value, while nothing was wrong.
    pub hit_ratio: Option<f64>,
    /// Reads that the first tier answered, while nothing was wrong.
    pub l1_ratio: Option<f64>,
    /// The folder with the history of a run in which something was found.
    pub history: Option<PathBuf>,
}

/// A rule of the checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[non_exhaustive]
pub enum Rule {
    /// H1: a value is one that was written under its key.
    Integrity,
    /// H2: a process never goes back.
    Order,
    /// H3: nothing is stale for longer than the bound.
    Staleness,
    /// H4: after all faults, everybody agrees.
    Convergence,
    /// H5: the store never goes back.
    Store,
    /// H6: nothing outlives its time.
    Lifetime,
    /// H7: every call ends.
    Deadline,
    /// H11: the cache is one.
    HitRatio,
    /// H12: a delete that has failed is repeated, and its process serves nothing older meanwhile.
    FailedDelete,
    /// H13: what was acknowledged is there until something removes it.
    Absence,
}

/// Something that must not be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Violation {
    /// The rule that it breaks.
    pub rule: Rule,
    /// What was found; the first ones of each rule with the operations around them.
    pub text: String,
}

/// How times are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spread {
    /// How many there are, zeros included.
    pub count: usize,
    /// How many are above zero.
    pub above_zero: usize,
    /// The time that 99 % do not exceed.
    pub p99: Duration,
    /// The time that 99.9 % do not exceed.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    pub(crate) fn of(mut times: Vec<Nanos>) -> Self {
        times.sort_unstable();
        let at = |share: usize| {
            let place = (times.len() * share).div_ceil(1000);
            Duration::from_nanos(*times.get(place.saturating_sub(1)).unwrap_or(&0))
        };
        Self {
            count: times.len(),
            above_zero: times.iter().filter(|time| **time > 0).count(),
            p99: at(990),
            p999: at(999),
            max: at(1000),
        }
    }
}

impl Report {
    /// Returns how many violations of a rule there are.
    #[must_use]
    pub fn count(&self, rule: Rule) -> usize {
        let of = self.violations.iter().filter(|found| found.rule == rule);
        of.count()
    }

    /// Panics with the whole report if there is a violation.
    pub fn assert_no_violation(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }

    pub(crate) fn violate(&mut self, rule: Rule, text: String) {
        self.violations.push(Violation { rule, text });
    }

    pub(crate) fn exempt(&mut self, rule: Rule, reason: &'static str) {
        *self.exemptions.entry((rule, reason)).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operations,
            failed,
            dropped,
            slowest,
            longest_stall,
            ..
        } = self;
        writeln!(
            f,
            "  {operations} operations, {failed} failed, {dropped} dropped"
        )?;
        writeln!(f, "  faults: {:?}", self.faults)?;
        writeln!(f, "  stale while healthy: {}", self.healthy)?;
        writeln!(f, "  stale under faults:  {}", self.faulty)?;
        let percent = |ratio: Option<f64>| {
            ratio.map_or("unknown".to_owned(), |ratio| {
                format!("{:.1} %", ratio * 100.0)
            })
        };
        let (all, l1) = (percent(self.hit_ratio), percent(self.l1_ratio));
        writeln!(f, "  hits while healthy: {all}, of the first tier: {l1}")?;
        writeln!(
            f,
            "  slowest call {slowest:?}, longest stall {longest_stall:?}"
        )?;
        for ((rule, reason), count) in &self.exemptions {
            writeln!(f, "  exempt from {rule:?}: {count} ({reason})")?;
        }
        let mut by_rule = BTreeMap::<Rule, Vec<&Violation>>::new();
        for violation in &self.violations {
            by_rule.entry(violation.rule).or_default().push(violation);
        }
        for (rule, found) in by_rule {
            writeln!(f, "  {} violations of {rule:?}:", found.len())?;
            for violation in found.iter().take(SHOWN) {
                writeln!(f, "    {}", violation.text.replace('\n', "\n    "))?;
            }
        }
        if let Some(history) = &self.history {
            writeln!(f, "  the history is in {}", history.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            above_zero,
            p99,
            p999,
            max,
        } = self;
        write!(
            f,
            "{above_zero} of {count} reads, p99 {p99:?}, p99.9 {p999:?}, max {max:?}"
        )
    }
}
