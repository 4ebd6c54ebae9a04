//! What became of the operations of a load, and what must be true of all.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cache_core::ErrorKind;

use crate::faults::load::KEYS;
use crate::faults::{COMMAND_TIMEOUT, LIMIT};

/// How far over its time an operation may be, without what the machine itself took.
const SLACK: Duration = Duration::from_millis(50);

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) operation: &'static str,
    pub(crate) keys: std::ops::Range<usize>,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// With the text of its cause.
    Failed(ErrorKind, String),
    Wrong(String),
}

/// All operations of a load that has ended.
pub(crate) struct Report {
    pub(crate) records: Vec<Record>,
    pub(crate) stalls: Vec<(Instant, Instant)>,
}

impl Report {
    /// Asserts what holds in every fault: operations end in time, fail as `allowed`, and return
    /// no value that is not right.
    pub(crate) fn assert_sound(&self, allowed: &[ErrorKind]) {
        let mut problems = String::new();
        for record in &self.records {
            let took = record.end - record.start;
            let limit = COMMAND_TIMEOUT + SLACK + self.stalled(record);
            let bad = match &record.outcome {
                Outcome::Wrong(_) => true,
                Outcome::Failed(kind, _) => !allowed.contains(kind),
                Outcome::Done => false,
            };
            if bad || took > limit {
                writeln!(problems, "{took:?} (limit {limit:?}) {record:?}").expect("a string");
            }
        }
        let lines: Vec<&str> = problems.lines().collect();
        let shown = lines[..lines.len().min(10)].join("\n");
        assert!(problems.is_empty(), "{} problems:\n{shown}", lines.len());
    }

    /// Asserts that no operation failed.
    pub(crate) fn assert_unharmed(&self) {
        self.assert_sound(&[]);
    }

    /// Asserts that everything works again in time, and says how long after the fault that was.
    pub(crate) fn assert_recovered(&self, case: &str, fault: Instant) {
        let last = last_failure(&self.records);
        let took = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(fault));
        println!(
            "{case}: the last failure {took:?} after the fault; {}",
            summary(&self.records)
        );
        // It ended when all was well.
        let from = last.unwrap_or(self.records[0].start);
        assert!(
            works_from(&self.records, from),
            "{case}: not all keys are back"
        );
        assert!(
            took < LIMIT,
            "{case}: the last failure was {took:?} after the fault"
        );
    }

    pub(crate) fn first_failure(&self) -> Option<Instant> {
        let mut records = self.records.iter();
        let first = records.find(|record| record.outcome != Outcome::Done)?;
        Some(first.start)
    }

    /// Returns how many operations on these keys failed.
    pub(crate) fn failures(&self, keys: impl Fn(usize) -> bool) -> usize {
        let failed = self
            .records
            .iter()
            .filter(|record| record.outcome != Outcome::Done);
        failed
            .filter(|record| record.keys.clone().any(&keys))
            .count()
    }

    pub(crate) fn failures_of(&self, operation: &str) -> usize {
        let of = self
            .records
            .iter()
            .filter(|record| record.operation == operation);
        of.filter(|record| record.outcome != Outcome::Done).count()
    }

    /// Returns how long the machine did not run us while an operation was under way.
    fn stalled(&self, record: &Record) -> Duration {
        let overlaps = self.stalls.iter().map(|(start, end)| {
            let (start, end) = (*start.max(&record.start), *end.min(&record.end));
            end.saturating_duration_since(start)
        });
        overlaps.sum()
    }
}

pub(crate) fn last_failure(records: &[Record]) -> Option<Instant> {
    let failed = records
        .iter()
        .filter(|record| record.outcome != Outcome::Done);
    failed.map(|record| record.end).max()
}

/// Returns whether every key was read and written by operations that began after this moment.
pub(crate) fn works_from(records: &[Record], from: Instant) -> bool {
    let (mut read, mut written) = (vec![false; KEYS], vec![false; KEYS]);
    let done = records
        .iter()
        .filter(|record| record.start >= from && record.outcome == Outcome::Done);
    for record in done {
        for key in record.keys.clone() {
            match record.operation {
                "get" | "get_many" => read[key] = true,
                "set" | "set_many" => written[key] = true,
                _ => {}
            }
        }
    }
    read.into_iter().chain(written).all(|works| works)
}

pub(crate) fn summary(records: &[Record]) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for record in records {
        let outcome = match &record.outcome {
            Outcome::Done => "done".to_owned(),
            Outcome::Failed(kind, _) => format!("{kind:?}"),
            Outcome::Wrong(_) => "wrong".to_owned(),
        };
        *counts.entry(outcome).or_default() += 1;
    }
    format!("{counts:?}")
}
