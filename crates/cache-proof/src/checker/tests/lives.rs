//! Calls that are dropped, and processes that are killed.

use super::{
    LIMITS, MS, by, call, delete, exempted, finds, get, history, invalidate, observation, set,
    swap, unknown,
};
use crate::checker::{Limits, check};
use crate::history::{Death, History, Kind, Operation, Outcome, Record, append};
use crate::report::Rule;

fn dropped(mut call: Operation) -> Operation {
    call.outcome = Outcome::Dropped;
    call
}

fn died(operations: impl IntoIterator<Item = Operation>) -> History {
    History {
        deaths: vec![Death {
            process: 0,
            at: 30 * MS,
        }],
        ..history(operations)
    }
}

/// An update of one value into the next.
fn update(kind: Kind, version: u64, start: u64, end: u64) -> Operation {
    Operation {
        kind,
        found: by(0, version - 1, 0, 0).found,
        ..swap(version, start, end)
    }
}

#[test]
fn a_call_that_was_dropped_may_have_happened_and_is_no_failure() {
    let calls = [
        set(1, 0, 1),
        dropped(set(2, 2, 3)),
        get(2, 4, 5),
        by(2, 1, 6, 7),
    ];
    let report = finds(&history(calls), &[]);
    assert_eq!((report.failed, report.dropped), (0, 1));
    let late = [
        set(1, 0, 1),
        dropped(delete(2, 2, 3)),
        set(3, 1_400, 1_401),
        call(0, Kind::Get, 9_000, 9_001),
    ];
    assert_eq!(exempted(&finds(&history(late), &[])), [Rule::Absence]);
    let too_late = [
        dropped(delete(1, 2, 3)),
        set(2, 1_504, 1_505),
        call(0, Kind::Get, 9_000, 9_001),
    ];
    finds(&history(too_late), &[Rule::Absence]);
}

#[test]
fn nobody_repeats_a_delete_that_was_dropped_or_whose_process_has_died_or_that_takes_a_value() {
    let take = Operation {
        kind: Kind::Take,
        ..unknown(delete(2, 10, 20))
    };
    for delete in [dropped(delete(2, 10, 20)), take] {
        finds(&history([set(1, 0, 1), delete, by(0, 1, 21, 22)]), &[]);
    }
    let read = get(1, 20_000, 20_001);
    let calls = [set(1, 0, 1), unknown(delete(2, 10, 20)), read];
    finds(&history(calls.clone()), &[Rule::FailedDelete]);
    finds(&died(calls), &[]);
}

#[test]
fn who_takes_over_finds_what_was_written_before_within_the_bound() {
    let miss = |process, start| call(process, Kind::Get, start, start + 1);
    finds(&died([set(1, 0, 10), miss(4, 1_110)]), &[]);
    finds(&died([set(1, 0, 10), miss(4, 1_111)]), &[Rule::Absence]);
    let own = Operation {
        process: 4,
        ..set(2, 50, 60)
    };
    finds(&died([set(1, 0, 10), own, miss(4, 61)]), &[Rule::Absence]);
}

#[test]
fn h4_knows_that_messages_die_with_their_process_but_not_those_of_the_store() {
    let last = Operation {
        kind: Kind::Last,
        ..get(1, 9_000, 9_001)
    };
    let with = |second: Operation| History {
        settled: vec![observation(1, 2, 8_000)],
        ..died([set(1, 0, 1), second, last.clone()])
    };
    let untold = with(dropped(set(2, 10, 30)));
    finds(&untold, &[Rule::Convergence]);
    let limits = Limits {
        tells_of_dead: false,
        ..LIMITS
    };
    let report = check(&untold, &limits);
    assert_eq!(exempted(&report), [Rule::Convergence], "{report}");
    assert!(report.violations.is_empty(), "{report}");
    let acknowledged = check(&with(set(2, 10, 20)), &limits);
    assert!(acknowledged.count(Rule::Convergence) > 0, "{acknowledged}");
}

#[test]
fn what_the_store_itself_has_read_is_never_stale() {
    for kind in [Kind::Update, Kind::UpdateKeeping, Kind::Take, Kind::Swap] {
        let stale = [
            set(1, 0, 1),
            set(2, 2, 3),
            swap(3, 4, 5),
            update(kind, 4, 6, 7),
        ];
        finds(&history(stale.clone()), &[]);
        let [first, second, _, last] = stale;
        let early = Operation {
            wrote: Some(3),
            ..last
        };
        let stale = [first.clone(), second.clone(), early.clone()];
        finds(&history(stale), &[Rule::Integrity]);
        let older = Operation {
            found: by(0, 1, 0, 0).found,
            ..early
        };
        let stale = [first, second, older];
        finds(&history(stale), &[Rule::Staleness, Rule::Order]);
    }
}

#[test]
fn an_update_keeps_the_time_and_the_tags_of_what_it_replaces() {
    let short = Operation {
        ttl: Some(100 * MS),
        ..set(1, 0, 10)
    };
    let kept = || update(Kind::UpdateKeeping, 2, 20, 30);
    let read = |start| [short.clone(), kept(), get(2, start, start + 1)];
    finds(&history(read(115)), &[]);
    finds(&history(read(116)), &[Rule::Lifetime]);
    let miss = |start| call(0, Kind::Get, start, start + 1);
    finds(
        &history([short.clone(), kept(), miss(98)]),
        &[Rule::Absence],
    );
    finds(&history([short.clone(), kept(), miss(99)]), &[]);
    let tagged = [
        set(1, 0, 1),
        kept(),
        invalidate(3, 40, 50),
        by(0, 2, 51, 52),
    ];
    finds(&history(tagged), &[Rule::Order]);
    let untagged = [
        swap(1, 0, 1),
        kept(),
        invalidate(3, 40, 50),
        by(0, 2, 51, 52),
    ];
    finds(&history(untagged), &[]);
    // Of one that was not answered nothing is known.
    let open = [short, unknown(kept()), get(2, 5_000, 5_001), miss(6_000)];
    finds(&history(open), &[]);
}

#[test]
fn what_was_under_way_when_a_process_was_killed_is_dropped_and_half_a_line_is_left_out() {
    let dir = tempfile::tempdir().expect("a folder is made");
    let path = dir.path().join("history");
    let mut text = Vec::new();
    let records = [
        Record::Begun(unknown(set(1, 0, 0))),
        Record::Operation(set(1, 0, 1)),
        Record::Begun(set(2, 2, 2)),
        Record::Begun(set(3, 4, 4)),
    ];
    for record in &records {
        append(&mut text, record).expect("a record is JSON");
    }
    text.truncate(text.len() - 5);
    std::fs::write(&path, text).expect("a file is written");
    let mut read = History::default();
    read.read(&path, Some(9 * MS)).expect("a file is read");
    assert_eq!(read.operations, [set(1, 0, 1), dropped(set(2, 2, 9))]);
}
