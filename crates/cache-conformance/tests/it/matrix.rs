//! What is skipped is said.

use cache_conformance::{Erased, Matrix, Skipped, suite};

use crate::reference::{RealTime, ReferenceFixture};

#[tokio::test]
async fn the_row_of_a_fixture_with_all_abilities_skips_nothing() {
    let fixture = ReferenceFixture::<String>::correct();
    let matrix = Matrix::of("reference", &fixture).await;
    assert_eq!(matrix.skipped(), []);
    let row = "| reference | yes | no | yes | 1ms |  | get_entries, get_ex, take |";
    assert_eq!(matrix.to_string(), row);
    let erased = Matrix::of("reference", &Erased::new(fixture)).await;
    assert_eq!(erased.to_string(), row);
}

#[tokio::test]
async fn the_row_of_a_fixture_without_abilities_names_what_is_skipped() {
    let matrix = Matrix::of("plain", &RealTime).await;
    let clauses: Vec<&str> = matrix
        .skipped()
        .iter()
        .map(|(clauses, _)| *clauses)
        .collect();
    assert_eq!(clauses, ["C26", "C27", "C12 and C14 in part"]);
    assert_eq!(
        matrix.to_string(),
        "| plain | yes | no | no | 20ms | \
         C26: the fixture builds no bounded backend; \
         C27: the fixture has no value that never fits; \
         C12 and C14 in part: the time of the fixture is not exact | get_entries, get_ex, take |"
    );
    assert_eq!(
        Matrix::HEADER
            .lines()
            .next()
            .map(|head| head.matches('|').count()),
        Some(matrix.to_string().matches('|').count()),
        "the row fits its head"
    );
}

#[tokio::test]
async fn the_row_of_a_backend_without_tags_names_their_clauses() {
    let fixture = ReferenceFixture::<String>::correct().without_tags();
    let matrix = Matrix::of("tagless", &fixture).await;
    assert_eq!(
        matrix.to_string(),
        "| tagless | yes | no | yes | 1ms | C32-C35: the backend keeps no tags | get_entries, get_ex, take |"
    );
}

#[tokio::test]
async fn the_row_of_a_backend_without_counters_names_their_clauses() {
    let fixture = ReferenceFixture::<String>::correct().without_counters();
    let matrix = Matrix::of("countless", &fixture).await;
    assert_eq!(
        matrix.to_string(),
        "| countless | yes | no | yes | 1ms | C44-C49: the backend has no counters | get_entries, get_ex, take |"
    );
}

#[tokio::test]
async fn a_test_that_lacks_an_ability_returns_why() {
    let reason = |outcome: Result<(), Skipped>| outcome.err().map(|skipped| skipped.reason());
    let no_scan = ReferenceFixture::<String>::correct().without_scan();
    let outcome = suite::keyspace::c19_a_scan_ends_and_returns_every_key(&no_scan).await;
    assert_eq!(reason(outcome), Some("the backend cannot scan"));
    let outcome = suite::capacity::c26_an_entry_that_fits_is_held(&no_scan).await;
    assert_eq!(reason(outcome), None);
    let outcome = suite::capacity::c26_an_entry_that_fits_is_held(&RealTime).await;
    assert_eq!(
        reason(outcome),
        Some("the fixture builds no bounded backend")
    );
    let no_tags = ReferenceFixture::<String>::correct().without_tags();
    let outcome = suite::tags::c33_set_expiry_keeps_the_tags(&no_tags).await;
    assert_eq!(reason(outcome), Some("the backend keeps no tags"));
    let outcome = suite::expiry::c14_times_are_kept_to_the_millisecond(&RealTime).await;
    assert_eq!(
        reason(outcome),
        Some("the time of the fixture is not exact")
    );
}
