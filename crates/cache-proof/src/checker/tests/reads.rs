//! H1, H2, H3 and H6.

use super::{
    MS, by, call, delete, exempted, fault, finds, get, history, invalidate, seen, set, swap,
    unknown,
};
use crate::history::{History, Kind, Loss, Operation, Outcome, Seen, Stall};
use crate::report::Rule;

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
fn h1_finds_a_swap_that_was_sent_twice() {
    let swap = Operation {
        found: seen(2),
        wrote: Some(2),
        ..call(0, Kind::Swap, 2, 3)
    };
    finds(&history([set(1, 0, 1), swap]), &[Rule::Integrity]);
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
fn h2_and_h3_find_a_tagged_value_that_is_served_after_its_tag_was_invalidated() {
    let operations = [
        set(1, 0, 1),
        invalidate(2, 10, 20),
        by(0, 1, 21, 22),
        get(1, 271, 272),
    ];
    finds(&history(operations), &[Rule::Staleness, Rule::Order]);
}

#[test]
fn an_invalidation_makes_no_value_old_that_carries_no_tag_even_if_a_snapshot_brings_it_back() {
    // The store forgets version 2; the writer invalidates its tag and knows of no value without it.
    let history = History {
        losses: vec![Loss {
            from: 20 * MS,
            until: 300 * MS,
            at: 200 * MS,
        }],
        ..history([
            swap(1, 0, 1),
            set(2, 100, 110),
            get(2, 120, 121),
            invalidate(3, 400, 410),
            get(1, 500, 501),
            by(0, 1, 5000, 5001),
            get(1, 5000, 5001),
        ])
    };
    let report = finds(&history, &[]);
    assert_eq!(exempted(&report), [Rule::Order, Rule::Staleness]);
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
fn h6_finds_a_value_that_outlives_its_time() {
    let short = Operation {
        ttl: Some(100 * MS),
        ..set(1, 0, 10)
    };
    let read = |start| history([short.clone(), get(1, start, start + 1)]);
    finds(&read(115), &[]);
    finds(&read(116), &[Rule::Lifetime]);
}
