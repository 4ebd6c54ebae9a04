//! Histories made by hand: what each rule lets pass and what it finds.

use super::{Limits, check};
use crate::history::{
    FaultSpan, History, Kind, Loss, Nanos, Observation, Operation, Outcome, Sample, Seen, Stall,
};
use crate::report::{Report, Rule};

const MS: Nanos = 1_000_000;

const LIMITS: Limits = Limits {
    stale: 1100 * MS,
    stale_healthy: 250 * MS,
    stale_healthy_p99: Nanos::MAX,
    recovery: 2000 * MS,
    lifetime_slack: 5 * MS,
    deadline: 550 * MS,
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

#[test]
fn reads_of_the_latest_version_and_misses_are_right() {
    let miss = call(1, Kind::Get, 30, 31);
    let report = finds(
        &history([set(1, 0, 1), get(1, 2, 3), set(2, 4, 5), get(2, 6, 7), miss]),
        &[],
    );
    assert_eq!((report.operations, report.healthy.count), (5, 2));
    assert_eq!(report.healthy.above_zero, 0);
}

#[test]
fn h1_finds_broken_foreign_invented_refused_deleted_and_early_values() {
    let wrong = |found| Operation {
        found: Some(found),
        ..call(1, Kind::Get, 2, 3)
    };
    let foreign = Seen::Whole { key: 9, version: 1 };
    let refused = Operation {
        outcome: Outcome::Refused,
        ..set(3, 20, 21)
    };
    let operations = [
        set(1, 0, 1),
        wrong(Seen::Broken),
        wrong(foreign),
        get(7, 4, 5),
        get(2, 6, 7),
        set(2, 10, 11),
        refused,
        get(3, 22, 23),
        delete(4, 24, 25),
        get(4, 26, 27),
    ];
    finds(&history(operations), &[Rule::Integrity; 6]);
}

#[test]
fn h1_allows_a_value_whose_write_is_still_under_way_or_has_failed() {
    let failed = unknown(set(2, 20, 30));
    finds(
        &history([
            set(1, 0, 10),
            get(1, 5, 6),
            failed,
            get(2, 25, 26),
            get(2, 40, 41),
        ]),
        &[],
    );
}

#[test]
fn h2_finds_a_process_that_reads_an_older_version_again() {
    let operations = [set(1, 0, 1), set(2, 2, 5), get(2, 6, 7), get(1, 8, 9)];
    finds(&history(operations), &[Rule::Order]);
}

#[test]
fn h2_finds_a_process_that_does_not_see_its_own_write_or_delete() {
    finds(
        &history([set(1, 0, 1), set(2, 2, 3), by(0, 1, 4, 5)]),
        &[Rule::Order],
    );
    finds(
        &history([set(1, 0, 1), delete(2, 2, 3), by(0, 1, 4, 5)]),
        &[Rule::Order],
    );
}

#[test]
fn h2_says_nothing_of_reads_that_overlap_or_of_other_processes() {
    finds(
        &history([
            set(1, 0, 1),
            set(2, 2, 5),
            get(2, 6, 9),
            get(1, 7, 8),
            by(2, 1, 10, 11),
        ]),
        &[],
    );
}

#[test]
fn h2_finds_what_is_older_than_an_unknown_write_that_was_seen() {
    let operations = [
        set(1, 0, 1),
        unknown(set(2, 2, 3)),
        get(2, 4, 5),
        get(1, 6, 7),
    ];
    finds(&history(operations), &[Rule::Order]);
}

#[test]
fn h3_measures_from_the_end_of_the_first_newer_write_that_was_acknowledged() {
    let operations = [
        set(1, 0, 1),
        set(2, 10, 20),
        set(3, 200, 210),
        get(1, 270, 271),
    ];
    let report = finds(&history(operations.clone()), &[]);
    assert_eq!(u128::from(250 * MS), report.healthy.max.as_nanos());
    let late = [get(1, 271, 272)];
    finds(
        &history(operations.into_iter().chain(late)),
        &[Rule::Staleness],
    );
}

#[test]
fn h3_finds_a_deleted_value_that_is_still_served() {
    let operations = [set(1, 0, 1), delete(2, 10, 20), get(1, 271, 272)];
    finds(&history(operations), &[Rule::Staleness]);
}

#[test]
fn h3_allows_more_under_a_fault_but_never_more_than_the_bound() {
    let faulty = |end| History {
        faults: vec![fault(5, 30)],
        ..history([set(1, 0, 1), set(2, 10, 20), get(1, end, end + 1)])
    };
    finds(&faulty(1120), &[]);
    finds(&faulty(1121), &[Rule::Staleness]);
}

#[test]
fn h3_takes_the_stalls_of_the_reader_from_the_time_while_healthy() {
    let stalled = |process| History {
        stalls: vec![Stall {
            process,
            start: 100 * MS,
            end: 200 * MS,
        }],
        ..history([set(1, 0, 1), set(2, 10, 20), get(1, 360, 361)])
    };
    finds(&stalled(1), &[]);
    finds(&stalled(2), &[Rule::Staleness]);
}

#[test]
fn h3_does_not_take_a_failed_write_for_one_that_overwrote() {
    let operations = [set(1, 0, 1), unknown(set(2, 10, 20)), get(1, 5000, 5001)];
    finds(&history(operations), &[]);
}

#[test]
fn h3_exempts_a_failed_write_that_takes_effect_late() {
    let operations = [
        set(1, 0, 1),
        unknown(set(2, 10, 20)),
        set(3, 30, 40),
        get(3, 50, 51),
        get(2, 5000, 5001),
    ];
    let report = finds(&history(operations.clone()), &[]);
    assert_eq!(exempted(&report), [Rule::Order, Rule::Staleness]);
    // It makes nothing else right.
    let older = [by(2, 1, 5002, 5003)];
    finds(
        &history(operations.into_iter().chain(older)),
        &[Rule::Staleness],
    );
}

#[test]
fn h3_allows_nothing_stale_where_the_store_itself_read() {
    let swap = |found| Operation {
        found: seen(found),
        wrote: Some(3),
        ..call(0, Kind::Swap, 12, 13)
    };
    finds(&history([set(1, 0, 1), set(2, 10, 11), swap(2)]), &[]);
    let stale = history([set(1, 0, 1), set(2, 10, 11), swap(1)]);
    finds(&stale, &[Rule::Staleness, Rule::Order]);
}

#[test]
fn a_loss_exempts_what_it_concerns_once_it_has_happened() {
    let with = |operations: Vec<Operation>| History {
        losses: vec![Loss {
            from: 100 * MS,
            until: 300 * MS,
            at: 290 * MS,
        }],
        ..history(operations)
    };
    let writes = vec![set(1, 0, 1), set(2, 110, 120)];
    let read = |start| vec![get(2, 130, 131), get(1, start, start + 1)];
    let report = finds(&with([writes.clone(), read(2000)].concat()), &[]);
    assert_eq!(exempted(&report), [Rule::Order, Rule::Staleness]);
    // Before the loss there is no excuse.
    finds(&with([writes.clone(), read(250)].concat()), &[Rule::Order]);
    // What was written before or after is not lost.
    let after = vec![set(3, 310, 320)];
    let late = [writes, after, vec![get(2, 2000, 2001)]].concat();
    finds(&with(late), &[Rule::Staleness]);
    let before = vec![
        set(1, 0, 1),
        set(2, 50, 60),
        set(3, 110, 120),
        get(1, 2000, 2001),
    ];
    finds(&with(before), &[Rule::Staleness]);
}

#[test]
fn h4_finds_a_cache_that_disagrees_with_the_store_or_still_fails() {
    let last = |found| Operation {
        found,
        ..call(1, Kind::Last, 9000, 9001)
    };
    let with = |operations: Vec<Operation>| History {
        settled: vec![observation(1, 2, 8000), observation(1, 2, 9500)],
        ..history(operations)
    };
    // The write of unknown outcome took effect, and the bound says nothing of that.
    let writes = vec![set(1, 0, 1), unknown(set(2, 10, 20))];
    for fine in [last(seen(2)), last(None)] {
        finds(&with([writes.clone(), vec![fine]].concat()), &[]);
    }
    for bad in [last(seen(1)), unknown(last(None))] {
        finds(
            &with([writes.clone(), vec![bad]].concat()),
            &[Rule::Convergence],
        );
    }
}

#[test]
fn h4_finds_a_store_that_lacks_an_acknowledged_write_at_the_end() {
    let end = History {
        settled: vec![observation(1, 1, 9000)],
        ..history([set(1, 0, 1), set(2, 10, 20)])
    };
    finds(&end, &[Rule::Convergence]);
}

#[test]
fn h5_finds_a_store_that_goes_back_in_one_life() {
    let with = |run, failed: bool| {
        let second = set(2, 10, 400);
        let first = set(1, 0, 1);
        let first = if failed { unknown(first) } else { first };
        History {
            observed: vec![observation(1, 2, 20), observation(run, 1, 30)],
            ..history([first, second])
        }
    };
    finds(&with(1, false), &[Rule::Store]);
    finds(&with(2, false), &[]);
    finds(&with(1, true), &[]);
}

#[test]
fn h5_finds_an_acknowledged_write_that_the_store_lacks() {
    let observed = |at| History {
        observed: vec![observation(1, 1, at)],
        ..history([set(1, 0, 1), set(2, 10, 20)])
    };
    finds(&observed(15), &[]);
    finds(&observed(21), &[Rule::Store]);
}

#[test]
fn h6_finds_a_value_that_outlives_its_time() {
    let short = Operation {
        ttl: Some(100 * MS),
        ..set(1, 0, 10)
    };
    let read = |start| history([short.clone(), get(1, start, start + 1)]);
    finds(&read(115), &[]);
    finds(&read(116), &[Rule::Lifetime]);
}

#[test]
fn h7_finds_calls_that_take_too_long_or_never_end_but_not_a_slow_machine() {
    let slow = history([call(1, Kind::Get, 0, 551)]);
    finds(&slow, &[Rule::Deadline]);
    let hung = Operation {
        outcome: Outcome::Hung,
        ..call(1, Kind::Get, 0, 1)
    };
    finds(&history([hung]), &[Rule::Deadline]);
    let stalls = vec![Stall {
        process: 1,
        start: 0,
        end: 10 * MS,
    }];
    let report = finds(&History { stalls, ..slow }, &[]);
    assert_eq!(report.slowest.as_millis(), 541);
}

#[test]
fn h11_finds_a_cache_that_hardly_hits_while_nothing_is_wrong() {
    let sample = |at: Nanos, l1_hits, l2_hits, misses| Sample {
        process: 1,
        at: at * MS,
        l1_hits,
        l2_hits,
        misses,
    };
    let with = |samples| History {
        samples,
        faults: vec![fault(3000, 3500)],
        ..history([])
    };
    // The bad time in the middle does not count.
    let good = vec![
        sample(0, 0, 0, 0),
        sample(1000, 40, 20, 40),
        sample(4000, 40, 20, 900),
    ];
    let report = finds(&with(good), &[]);
    assert_eq!((report.hit_ratio, report.l1_ratio), (Some(0.6), Some(0.4)));
    finds(
        &with(vec![sample(0, 0, 0, 0), sample(1000, 40, 0, 60)]),
        &[Rule::HitRatio],
    );
    finds(
        &with(vec![sample(0, 0, 0, 0), sample(1000, 20, 60, 20)]),
        &[Rule::HitRatio],
    );
}
