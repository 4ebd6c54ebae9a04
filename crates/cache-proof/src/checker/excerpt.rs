//! The part of a history that tells how something came to be.

use std::collections::HashMap;
use std::time::Duration;

use crate::history::{History, Nanos, Operation, Seen};

/// How many lines are shown, the latest.
const LINES: usize = 120;
/// What lies so little outside of a time belongs to it.
const AROUND: Nanos = 50_000_000;

/// What happened at a time.
type Line = (Nanos, String);

/// Shows what happened to a key, in times relative to `from`: all writes, the reads that returned
/// something else than the one before in the same process, and what the store held when that changed.
/// It begins with the last fault that was there by then, because that is where stories begin.
pub(super) fn excerpt(history: &History, key: u32, from: Nanos, until: Nanos) -> String {
    let faults = history.faults.iter().map(|fault| fault.start);
    let since = faults.filter(|start| *start <= from).max().unwrap_or(from);
    let near = |start: Nanos, end: Nanos| end + AROUND >= since && start <= until + AROUND;
    let lines = [
        calls(history, key, near),
        faults_in(history, near),
        held(history, key, near),
    ];
    let mut lines = lines.concat();
    lines.sort();
    let left_out = lines.len().saturating_sub(LINES);
    let head = (left_out > 0).then(|| format!("\n{left_out} earlier lines are left out"));
    let lines = lines[left_out..].iter().map(|(start, line)| {
        let sign = if *start < from { '-' } else { '+' };
        let time = Duration::from_nanos(start.abs_diff(from)).as_secs_f64() * 1e3;
        format!("\n{:>14} ms {line}", format!("{sign}{time:.3}"))
    });
    head.into_iter().chain(lines).collect()
}

fn calls(history: &History, key: u32, near: impl Fn(Nanos, Nanos) -> bool) -> Vec<Line> {
    let calls = history.operations.iter();
    let calls = calls.filter(|call| call.key == key && near(call.start, call.end));
    let mut calls: Vec<&Operation> = calls.collect();
    calls.sort_by_key(|call| call.start);
    let mut last = HashMap::new();
    calls.retain(|call| {
        let before = last.insert(call.process, (call.found, &call.outcome));
        call.wrote.is_some() || before != Some((call.found, &call.outcome))
    });
    let lines = calls.into_iter().map(|call| (call.start, line(call)));
    lines.collect()
}

fn faults_in(history: &History, near: impl Fn(Nanos, Nanos) -> bool) -> Vec<Line> {
    let faults = history.faults.iter();
    let faults = faults.filter(|fault| near(fault.start, fault.end));
    let lines = faults.map(|fault| {
        let took = Duration::from_nanos(fault.end - fault.start);
        (fault.start, format!("-- {} for {took:.3?}", fault.name))
    });
    lines.collect()
}

fn held(history: &History, key: u32, near: impl Fn(Nanos, Nanos) -> bool) -> Vec<Line> {
    let held = history.observed.iter().chain(&history.settled);
    let mut held: Vec<_> = held.filter(|seen| seen.key == key).collect();
    held.retain(|seen| near(seen.start, seen.end));
    held.sort_by_key(|seen| seen.start);
    held.dedup_by_key(|seen| (seen.run, seen.found));
    let lines = held.into_iter().map(|seen| {
        let what = found(key, seen.found).unwrap_or_else(|| "nothing".to_owned());
        (seen.start, format!("the store holds {what}"))
    });
    lines.collect()
}

/// Names a value that was found under a key.
fn found(key: u32, seen: Option<Seen>) -> Option<String> {
    Some(match seen? {
        Seen::Whole { key: of, version } if of == key => version.to_string(),
        other => format!("{other:?}"),
    })
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
    let tag = if call.tagged { " tagged" } else { "" };
    let ttl = call.ttl.map(Duration::from_nanos);
    let ttl = ttl.map_or(String::new(), |ttl| format!(" for {ttl:?}"));
    let found =
        found(call.key, call.found).map_or(String::new(), |found| format!(" found {found}"));
    format!("p{process} {kind:?}{wrote}{tag}{ttl}:{found} {outcome:?} in {took:.3?}")
}
