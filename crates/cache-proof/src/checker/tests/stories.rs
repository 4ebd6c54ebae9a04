//! What is shown of a finding, and what is kept of its history.

use super::{MS, call, fault, finds, get, history, observation, set};
use crate::history::{History, Kind, Loss, Record, Sample, Stall, write};
use crate::report::Rule;

#[test]
fn a_finding_is_told_from_the_last_fault_on_with_what_the_store_held() {
    let history = History {
        faults: vec![fault(100, 200), fault(1000, 1100), fault(9000, 9100)],
        observed: vec![
            observation(1, 1, 900),
            observation(1, 2, 1200),
            observation(1, 2, 1225),
            observation(2, 1, 3000),
        ],
        ..history([
            set(1, 0, 1),
            get(1, 900, 901),
            set(2, 1150, 1160),
            get(2, 1400, 1401),
            get(1, 8000, 8001),
        ])
    };
    let report = finds(&history, &[Rule::Staleness, Rule::Order, Rule::Store]);
    let (_, story) = report.violations[0].text.split_once('\n').expect("a story");
    let told: Vec<&str> = story.lines().map(|line| &line[18..]).collect();
    assert_eq!(
        told,
        [
            "-- test for 100.000ms",
            "p0 Set 2 tagged: Done in 10.000ms",
            "the store holds 2",
            "p1 Get: found 2 Done in 1.000ms",
            "the store holds 1",
            "p1 Get: found 1 Done in 1.000ms",
        ],
        "{story}"
    );
    assert!(story.starts_with("      -160.000 ms"), "{story}");
}

#[test]
fn a_long_story_says_how_much_of_it_is_left_out() {
    let writes = (2..=200).map(|version| set(version, version * 10, version * 10 + 1));
    let late = get(1, 5000, 5001);
    let operations = std::iter::once(set(1, 0, 1)).chain(writes).chain([late]);
    let report = finds(&history(operations), &[Rule::Staleness]);
    let text = &report.violations[0].text;
    assert!(text.contains("\n81 earlier lines are left out\n"), "{text}");
    assert_eq!(text.lines().count(), 1 + 1 + 120);
}

#[test]
fn a_history_that_is_kept_is_the_one_that_was_checked() {
    let whole = History {
        stalls: vec![Stall {
            process: crate::history::RUNNER,
            start: 1,
            end: 2,
        }],
        faults: vec![fault(1, 2)],
        losses: vec![Loss {
            from: 1,
            until: 2,
            at: 3,
        }],
        observed: vec![observation(1, 1, 5)],
        settled: vec![observation(1, 2, 6)],
        ..History::default()
    };
    let of_a_worker = [
        Record::Operation(call(1, Kind::Get, 3, 4)),
        Record::Sample(Sample {
            process: 1,
            at: 5,
            l1_hits: 6,
            l2_hits: 7,
            misses: 8,
        }),
        Record::Stall(Stall {
            process: 1,
            start: 3 * MS,
            end: 4 * MS,
        }),
    ];
    let dir = tempfile::tempdir().expect("a folder is made");
    let (runner, worker) = (dir.path().join("runner"), dir.path().join("worker"));
    write(&runner, whole.of_the_runner()).expect("a file is written");
    write(&worker, of_a_worker).expect("a file is written");
    let mut read = History::default();
    read.read(&runner, None).expect("a file is read");
    read.read(&worker, None).expect("a file is read");
    let expected = History {
        operations: vec![call(1, Kind::Get, 3, 4)],
        samples: read.samples.clone(),
        stalls: read.stalls.clone(),
        ..whole
    };
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    assert_eq!((read.samples.len(), read.stalls.len()), (1, 2));
}
