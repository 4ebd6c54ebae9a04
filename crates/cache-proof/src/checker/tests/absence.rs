//! H13.

use super::{
    MS, by, call, delete, exempted, fault, finds, get, history, invalidate, set, swap, unknown,
};
use crate::Fault;
use crate::history::{FaultSpan, History, Kind, Loss, Operation, name_of};
use crate::report::Rule;

fn span_of(kind: Fault, start: u64, end: u64) -> FaultSpan {
    FaultSpan {
        name: name_of(kind),
        ..fault(start, end)
    }
}

/// A read that finds nothing.
fn miss(process: u32, start: u64, end: u64) -> Operation {
    call(process, Kind::Get, start, end)
}

#[test]
fn h13_finds_what_was_acknowledged_and_is_gone() {
    // For its own process at once, for others after the bound.
    finds(&history([set(1, 0, 10), miss(0, 9, 20)]), &[]);
    finds(&history([set(1, 0, 10), miss(0, 11, 20)]), &[Rule::Absence]);
    finds(&history([set(1, 0, 10), miss(1, 1_110, 1_111)]), &[]);
    finds(
        &history([set(1, 0, 10), miss(1, 1_111, 1_112)]),
        &[Rule::Absence],
    );
    // A write that was refused, or of which nothing is known, removes nothing.
    let open = unknown(swap(2, 20, 30));
    finds(
        &history([set(1, 0, 10), open, miss(0, 40, 50)]),
        &[Rule::Absence],
    );
}

#[test]
fn h13_knows_what_removes() {
    let removed = [
        delete(2, 20, 30),
        unknown(delete(2, 20, 30)),
        invalidate(2, 20, 30),
        Operation {
            ttl: Some(19 * MS),
            ..set(2, 20, 30)
        },
    ];
    for call in removed {
        finds(&history([set(1, 0, 10), call, miss(0, 31, 39)]), &[]);
    }
    // Before its time is over it is there.
    let short = Operation {
        ttl: Some(20 * MS),
        ..set(2, 20, 30)
    };
    finds(
        &history([set(1, 0, 10), short, miss(0, 31, 39)]),
        &[Rule::Absence],
    );
}

#[test]
fn h13_lets_a_call_of_unknown_outcome_come_late() {
    let late = |call: Operation, write: Operation| {
        let report = finds(&history([call, write, miss(0, 9_000, 9_001)]), &[]);
        assert_eq!(exempted(&report), [Rule::Absence]);
    };
    late(unknown(delete(1, 0, 500)), set(2, 900, 910));
    let gone = [
        unknown(delete(1, 0, 500)),
        set(2, 1_001, 1_010),
        miss(0, 9_000, 9_001),
    ];
    finds(&history(gone.clone()), &[Rule::Absence]);
    // A fault may have held it up.
    let held_up = History {
        faults: vec![fault(400, 2_000)],
        ..history(gone)
    };
    assert_eq!(exempted(&finds(&held_up, &[])), [Rule::Absence]);
    // An invalidation is repeated, and takes what was written since if that has the tag.
    late(
        unknown(invalidate(1, 0, 500)),
        set(2, 9_000 - 20, 9_000 - 10),
    );
    let untagged = [
        unknown(invalidate(1, 0, 500)),
        swap(2, 8_000, 8_010),
        miss(0, 9_000, 9_001),
    ];
    finds(&history(untagged), &[Rule::Absence]);
    let later = [
        unknown(invalidate(1, 0, 500)),
        swap(2, 7_000, 7_010),
        set(3, 8_500, 8_510),
        miss(1, 9_000, 9_001),
    ];
    assert_eq!(exempted(&finds(&history(later), &[])), [Rule::Absence]);
}

#[test]
fn h13_knows_a_store_that_was_emptied_or_has_lost_something() {
    let gone = || history([set(1, 0, 10), miss(0, 3_000, 3_001)]);
    let emptied = History {
        faults: vec![span_of(Fault::Empty, 1_000, 1_001)],
        ..gone()
    };
    let lost = History {
        losses: vec![Loss {
            from: 5 * MS,
            until: 1_000 * MS,
            at: 900 * MS,
        }],
        ..gone()
    };
    for history in [emptied, lost] {
        assert_eq!(exempted(&finds(&history, &[])), [Rule::Absence]);
    }
    let damaged = History {
        faults: vec![span_of(Fault::FlipBytes, 0, 1)],
        ..history([set(1, 5, 10), miss(0, 3_000, 3_001)])
    };
    assert_eq!(exempted(&finds(&damaged, &[])), [Rule::Absence]);
    // What was to be found may be a later write, which has the tag.
    let later = History {
        faults: vec![span_of(Fault::FlipBytes, 0, 1)],
        ..history([swap(1, 5, 10), set(2, 2_000, 2_010), miss(1, 3_000, 3_001)])
    };
    assert_eq!(exempted(&finds(&later, &[])), [Rule::Absence]);
    let untagged = History {
        operations: vec![swap(1, 5, 10), swap(2, 2_000, 2_010), miss(1, 3_000, 3_001)],
        ..later
    };
    finds(&untagged, &[Rule::Absence]);
    // The answer itself is damaged while the fault is there.
    for (end, found) in [(2_999, Some(Rule::Absence)), (3_000, None)] {
        let flipped = History {
            faults: vec![span_of(Fault::FlipBytes, 2_500, end)],
            ..history([swap(1, 5, 10), miss(1, 3_000, 3_001)])
        };
        finds(&flipped, found.as_slice());
    }
    let before = History {
        faults: vec![span_of(Fault::Empty, 0, 1)],
        ..history([
            set(1, 2, 10),
            get(1, 20, 21),
            by(0, 1, 20, 21),
            miss(0, 30, 31),
        ])
    };
    finds(&before, &[Rule::Absence]);
}
