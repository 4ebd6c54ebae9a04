//! H4, H5, H7 and H11.

use super::{MS, call, fault, finds, history, observation, seen, set, unknown};
use crate::history::{History, Kind, Nanos, Operation, Outcome, Sample, Stall};
use crate::report::Rule;

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
    finds(&with([writes.clone(), vec![last(seen(2))]].concat()), &[]);
    let nothing = vec![unknown(set(2, 10, 20)), last(None)];
    finds(&with(nothing), &[]);
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

const fn sample(at: Nanos, l1_hits: u64, l2_hits: u64, misses: u64) -> Sample {
    Sample {
        process: 1,
        at: at * MS,
        l1_hits,
        l2_hits,
        misses,
    }
}

#[test]
fn h11_finds_a_cache_that_hardly_hits_while_nothing_is_wrong() {
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

#[test]
fn h11_says_nothing_of_a_few_reads() {
    let few = vec![sample(0, 0, 0, 0), sample(1000, 1, 0, 98)];
    let few = History {
        samples: few,
        ..history([])
    };
    assert_eq!(finds(&few, &[]).l1_ratio, Some(1.0 / 99.0));
}

#[test]
fn h11_counts_no_misses_in_a_store_that_was_emptied_for_good() {
    let emptied = History {
        samples: vec![
            sample(0, 0, 0, 0),
            sample(1000, 40, 20, 40),
            sample(2000, 80, 40, 80),
            sample(3000, 80, 40, 900),
        ],
        ..history([set(1, 2400, 2500)])
    };
    let report = finds(&emptied, &[]);
    assert_eq!((report.hit_ratio, report.l1_ratio), (Some(0.6), Some(0.4)));
}

#[test]
fn h11_takes_hits_that_the_second_tier_has_counted_before_the_facade() {
    let uneven = History {
        samples: vec![
            sample(0, 0, 0, 0),
            sample(1000, 50, 20, 30),
            sample(2000, 48, 22, 30),
        ],
        ..history([])
    };
    let report = finds(&uneven, &[]);
    assert_eq!((report.hit_ratio, report.l1_ratio), (Some(0.7), Some(0.48)));
}
