//! Histories made by hand: what each rule lets pass and what it finds.

mod absence;
mod calls;
mod deletes;
mod lives;
mod loads;
mod reads;
mod stories;

use super::{Limits, check};
use crate::history::{FaultSpan, History, Kind, Nanos, Observation, Operation, Outcome, Seen};
use crate::report::{Report, Rule};

const MS: Nanos = 1_000_000;

const LIMITS: Limits = Limits {
    stale: 1100 * MS,
    stale_loaded: 1100 * MS,
    stale_healthy: 250 * MS,
    stale_healthy_p99: Nanos::MAX,
    recovery: 2000 * MS,
    lifetime_slack: 5 * MS,
    deadline: 550 * MS,
    load_deadline: 10_000 * MS,
    repeat_deletes: Some(10_000 * MS),
    tells_of_dead: true,
    hit_reads: 100,
    hit_ratio: 0.5,
    l1_ratio: 0.3,
};

fn call(process: u32, kind: Kind, start: Nanos, end: Nanos) -> Operation {
    Operation {
        process,
        key: 1,
        kind,
        start: start * MS,
        end: end * MS,
        wrote: None,
        ttl: None,
        tagged: matches!(kind, Kind::Set | Kind::SetIfAbsent),
        found: None,
        outcome: Outcome::Done,
    }
}

fn set(version: u64, start: Nanos, end: Nanos) -> Operation {
    Operation {
        wrote: Some(version),
        ..call(0, Kind::Set, start, end)
    }
}

fn delete(version: u64, start: Nanos, end: Nanos) -> Operation {
    Operation {
        wrote: Some(version),
        ..call(0, Kind::Delete, start, end)
    }
}

/// A write without a tag.
fn swap(version: u64, start: Nanos, end: Nanos) -> Operation {
    Operation {
        wrote: Some(version),
        ..call(0, Kind::Swap, start, end)
    }
}

fn invalidate(version: u64, start: Nanos, end: Nanos) -> Operation {
    Operation {
        wrote: Some(version),
        ..call(0, Kind::Invalidate, start, end)
    }
}

fn unknown(mut call: Operation) -> Operation {
    call.outcome = Outcome::Unknown("Timeout".into());
    call
}

const fn seen(version: u64) -> Option<Seen> {
    Some(Seen::Whole { key: 1, version })
}

/// A read by another process than the writer.
fn get(version: u64, start: Nanos, end: Nanos) -> Operation {
    by(1, version, start, end)
}

fn by(process: u32, version: u64, start: Nanos, end: Nanos) -> Operation {
    Operation {
        found: seen(version),
        ..call(process, Kind::Get, start, end)
    }
}

fn history(operations: impl IntoIterator<Item = Operation>) -> History {
    History {
        operations: operations.into_iter().collect(),
        ..History::default()
    }
}

fn fault(start: Nanos, end: Nanos) -> FaultSpan {
    FaultSpan {
        name: "test".into(),
        start: start * MS,
        end: end * MS,
    }
}

fn observation(run: u64, version: u64, at: Nanos) -> Observation {
    Observation {
        run,
        key: 1,
        start: at * MS,
        end: at * MS,
        found: seen(version),
    }
}

#[track_caller]
fn finds(history: &History, expected: &[Rule]) -> Report {
    let report = check(history, &LIMITS);
    let found: Vec<Rule> = report.violations.iter().map(|found| found.rule).collect();
    assert_eq!(found, expected, "{report}");
    report
}

fn exempted(report: &Report) -> Vec<Rule> {
    report.exemptions.keys().map(|(rule, _)| *rule).collect()
}
