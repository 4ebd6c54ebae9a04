//! The part of a history that tells how something came to be.

use std::collections::HashMap;
use std::time::Duration;

use crate::history::{History, Nanos, Operation, Seen};

/// How many lines are shown, the latest.
const LINES: usize = 40;
/// What lies so little outside of a time belongs to it.
const AROUND: Nanos = 50_000_000;

/// Shows what happened to a key in a time, relative to its start: all writes, and the reads that
/// returned something else than the one before in the same process.
pub(super) fn excerpt(history: &History, key: u32, from: Nanos, until: Nanos) -> String {
    let near = |start: Nanos, end: Nanos| end + AROUND >= from && start <= until + AROUND;
    let calls = history.operations.iter();
    let calls = calls.filter(|call| call.key == key && near(call.start, call.end));
    let mut calls: Vec<&Operation> = calls.collect();
    calls.sort_by_key(|call| call.start);
    let mut last = HashMap::new();
    calls.retain(|call| {
        let before = last.insert(call.process, (call.found, &call.outcome));
        call.wrote.is_some() || before != Some((call.found, &call.outcome))
    });
    let calls = calls.into_iter().map(|call| (call.start, line(call)));
    let faults = history.faults.iter();
    let faults = faults.filter(|fault| near(fault.start, fault.end));
    let faults = faults.map(|fault| {
        let took = Duration::from_nanos(fault.end - fault.start);
        (fault.start, format!("-- {} for {took:.3?}", fault.name))
    });
    let mut lines: Vec<(Nanos, String)> = calls.chain(faults).collect();
    lines.sort();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    let lines = shown.iter().map(|(start, line)| {
        let sign = if *start < from { '-' } else { '+' };
        let time = Duration::from_nanos(start.abs_diff(from)).as_secs_f64() * 1e3;
        format!("\n{:>14} ms {line}", format!("{sign}{time:.3}"))
    });
    lines.collect()
}

fn line(call: &Operation) -> String {
    let Operation {
        process,
        kind,
        outcome,
        ..
    } = call;
    let took = Duration::from_nanos(call.end - call.start);
    let wrote = call
        .wrote
        .map_or(String::new(), |wrote| format!(" {wrote}"));
    let ttl = call.ttl.map(Duration::from_nanos);
    let ttl = ttl.map_or(String::new(), |ttl| format!(" for {ttl:?}"));
    let found = match call.found {
        Some(Seen::Whole { key, version }) if key == call.key => format!(" found {version}"),
        Some(other) => format!(" found {other:?}"),
        None => String::new(),
    };
    format!("p{process} {kind:?}{wrote}{ttl}:{found} {outcome:?} in {took:.3?}")
}
