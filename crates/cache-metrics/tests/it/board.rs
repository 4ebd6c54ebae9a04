//! The board for Grafana asks for what there is.

use std::collections::BTreeSet;

/// Returns the words of a text that begin as our metrics do.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("cache_")).collect()
}

#[test]
fn every_name_on_the_board_is_one_of_a_metric_and_nearly_all_metrics_are_on_it() {
    let board = names(include_str!("../../../../docs/grafana.json"));
    let source = include_str!("../../src/lib.rs");
    let metrics = names(&source[source.find("const COUNTERS").expect("there are some")..]);
    assert!(
        board.is_subset(&metrics),
        "{:?}",
        board.difference(&metrics)
    );
    let left_out: Vec<_> = metrics.difference(&board).copied().collect();
    let expected = [
        "cache_lossy_writes_total",
        "cache_promotions_total",
        "cache_refused_total",
        "cache_unknown_writes_total",
        "cache_unreadable_total",
    ];
    assert_eq!(left_out, expected);
}
