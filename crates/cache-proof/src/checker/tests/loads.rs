//! What is loaded from a source.

use super::{
    MS, by, call, delete, exempted, fault, finds, get, history, observation, set, unknown,
};
use crate::history::{History, Kind, Observation, Operation};
use crate::report::Rule;

/// A new version in the source, and a delete of the key.
fn renew(version: u64, start: u64, end: u64) -> Operation {
    Operation {
        kind: Kind::Renew,
        ..delete(version, start, end)
    }
}

fn renew_by_tag(version: u64, start: u64, end: u64) -> Operation {
    Operation {
        kind: Kind::RenewByTag,
        ..delete(version, start, end)
    }
}

fn load(process: u32, version: u64, start: u64, end: u64) -> Operation {
    Operation {
        kind: Kind::Load,
        ..by(process, version, start, end)
    }
}

#[test]
fn what_a_change_has_put_into_the_source_is_there_from_its_start_whatever_becomes_of_its_delete() {
    for change in [renew(2, 10, 20), unknown(renew(2, 10, 20))] {
        finds(
            &history([renew(1, 0, 1), change.clone(), load(1, 2, 11, 12)]),
            &[],
        );
        let early = history([renew(1, 0, 1), change, load(1, 2, 8, 9)]);
        finds(&early, &[Rule::Integrity]);
    }
}

#[test]
fn what_was_loaded_before_a_change_is_right_elsewhere_for_the_bound_alone() {
    let late =
        |change: Operation, start| history([renew(1, 0, 1), change, load(1, 1, start, start + 1)]);
    finds(&late(renew(2, 10, 20), 1_120), &[]);
    finds(&late(renew(2, 10, 20), 1_121), &[Rule::Staleness]);
    finds(&late(renew_by_tag(2, 10, 20), 2_220), &[]);
    finds(&late(renew_by_tag(2, 10, 20), 2_221), &[Rule::Staleness]);
    // Others that read it find what is stored.
    let stored = history([renew(1, 0, 1), renew(2, 10, 20), get(1, 271, 272)]);
    finds(&stored, &[Rule::Staleness]);
}

#[test]
fn what_was_loaded_before_a_change_never_comes_late_though_that_has_failed() {
    let changes = [renew(1, 0, 1), unknown(renew(2, 10, 20)), renew(3, 30, 40)];
    let late = [get(2, 2_000, 2_001)];
    finds(
        &history(changes.into_iter().chain(late)),
        &[Rule::Staleness],
    );
}

#[test]
fn a_load_goes_behind_no_write_of_its_own_process_but_may_join_one_that_began_before_a_read() {
    let own = history([renew(1, 0, 1), renew(2, 10, 20), load(0, 1, 21, 22)]);
    finds(&own, &[Rule::Order]);
    let joined = history([
        renew(1, 0, 1),
        renew(2, 10, 20),
        get(2, 21, 22),
        load(1, 1, 23, 24),
    ]);
    finds(&joined, &[]);
}

#[test]
fn nobody_reads_what_is_older_than_a_load_while_nothing_is_wrong() {
    let older = || {
        history([
            renew(1, 0, 1),
            renew(2, 10, 400),
            load(1, 2, 21, 22),
            get(1, 23, 24),
        ])
    };
    finds(&older(), &[Rule::Order]);
    // The store may have been away, and the load past it.
    let faulty = History {
        faults: vec![fault(0, 15)],
        ..older()
    };
    finds(&faulty, &[]);
}

#[test]
fn a_change_of_the_source_removes_what_was_written_and_is_repeated_when_it_has_failed() {
    let miss = |process, start| call(process, Kind::Get, start, start + 1);
    finds(&history([set(1, 0, 1), renew(2, 10, 20), miss(0, 21)]), &[]);
    let left = history([set(1, 0, 1), unknown(renew(2, 10, 20)), by(0, 1, 21, 22)]);
    finds(&left, &[Rule::FailedDelete]);
    let late = history([unknown(renew(1, 0, 1)), set(2, 10, 20), miss(0, 2_000)]);
    assert_eq!(exempted(&finds(&late, &[])), [Rule::Absence]);
}

#[test]
fn a_load_may_wait_for_longer_than_other_calls() {
    let within = |start, end| history([renew(1, 0, 1), load(1, 1, start, start + end)]);
    finds(&within(10, 10_000), &[]);
    finds(&within(10, 10_001), &[Rule::Deadline]);
    let report = finds(&within(10, 9_000), &[]);
    assert_eq!(u128::from(MS), report.slowest.as_nanos());
}

#[test]
fn h4_lets_what_the_source_holds_expire_or_be_loaded_when_all_is_over() {
    let last = |version| Operation {
        kind: Kind::Last,
        ..get(version, 200, 201)
    };
    let with = |version| History {
        settled: vec![Observation {
            found: None,
            ..observation(1, version, 190)
        }],
        ..history([renew(1, 0, 1), renew(2, 10, 20), last(version)])
    };
    finds(&with(2), &[]);
    finds(&with(1), &[Rule::Convergence]);
}
