//! H12.

use super::{MS, by, delete, exempted, fault, finds, get, history, invalidate, set, swap, unknown};
use crate::checker::{Limits, check};
use crate::history::{History, Loss};
use crate::report::Rule;

#[test]
fn h12_finds_what_a_failed_delete_has_left_in_its_own_process() {
    let failed = || unknown(delete(2, 10, 500));
    // A read that began before it ended may see what was there.
    let early = by(0, 1, 499, 510);
    finds(&history([set(1, 0, 1), failed(), early]), &[]);
    let late = by(0, 1, 501, 510);
    finds(
        &history([set(1, 0, 1), failed(), late.clone()]),
        &[Rule::FailedDelete],
    );
    // Without tiers nothing is repeated.
    let limits = Limits {
        repeat_deletes: None,
        ..super::LIMITS
    };
    let report = check(&history([set(1, 0, 1), failed(), late]), &limits);
    assert_eq!(report.violations.len(), 0, "{report}");
}

#[test]
fn h12_finds_what_a_failed_delete_has_left_in_others_when_it_had_its_time() {
    let failed = || unknown(delete(2, 10, 500));
    let with_fault = |read| History {
        faults: vec![fault(0, 1000)],
        ..history([set(1, 0, 1), failed(), read])
    };
    // A fault is felt for 2 s, and repeating takes 10 s.
    finds(&with_fault(get(1, 12_999, 13_000)), &[]);
    finds(&with_fault(get(1, 13_001, 13_002)), &[Rule::FailedDelete]);
}

#[test]
fn h12_finds_what_a_failed_invalidation_has_left_if_it_has_the_tag() {
    let failed = || unknown(invalidate(2, 10, 500));
    finds(
        &history([set(1, 0, 1), failed(), by(0, 1, 501, 510)]),
        &[Rule::FailedDelete],
    );
    finds(&history([swap(1, 0, 1), failed(), by(0, 1, 501, 510)]), &[]);
}

#[test]
fn h12_allows_later_writes_late_writes_and_what_a_snapshot_brought_back() {
    let failed = || unknown(delete(2, 10, 500));
    finds(
        &history([set(1, 0, 1), failed(), set(3, 501, 502), by(0, 3, 503, 504)]),
        &[],
    );
    let late = unknown(set(1, 0, 1));
    let report = finds(&history([late, failed(), by(0, 1, 501, 510)]), &[]);
    assert_eq!(exempted(&report), [Rule::FailedDelete]);
    let back = Loss {
        from: 0,
        until: 600 * MS,
        at: 600 * MS,
    };
    let lost = History {
        losses: vec![back],
        ..history([set(1, 0, 1), failed(), by(0, 1, 601, 610)])
    };
    assert_eq!(exempted(&finds(&lost, &[])), [Rule::FailedDelete]);
}
