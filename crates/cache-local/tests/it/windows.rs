//! Counters: the bound, and what it pushes out.

use std::time::Duration;

use cache_core::{CounterGroup, ErrorKind, Window};
use cache_local::LocalConfig;

use super::Rig;

async fn values<const N: usize>(counters: &CounterGroup<u32>, keys: [&str; N]) -> [Option<i64>; N] {
    let mut values = [None; N];
    for (value, key) in values.iter_mut().zip(keys) {
        *value = counters.get(key).await.unwrap().map(|count| count.value);
    }
    values
}

#[tokio::test]
async fn the_counter_whose_window_ends_first_makes_room() {
    let rig: Rig<u32> = Rig::new(LocalConfig::new().max_counters(4));
    let counters = rig.cache.counters("requests");
    for (key, window) in [("long", 300), ("short", 100), ("middle", 200)] {
        counters.add(key, 1, window).await.unwrap();
    }
    counters.add("endless", 1, Window::ENDLESS).await.unwrap();
    let keys = ["long", "short", "middle", "endless"];
    assert_eq!(values(&counters, keys).await, [Some(1); 4]);

    assert_eq!(counters.add("new", 5, 400).await.unwrap().value, 5);
    let left = [Some(1), None, Some(1), Some(1)];
    assert_eq!(values(&counters, keys).await, left);

    // It counts from zero, in a window of its own, and pushes out the next one.
    assert_eq!(counters.add("short", 1, 500).await.unwrap().value, 1);
    let left = [Some(1), Some(1), None, Some(1)];
    assert_eq!(values(&counters, keys).await, left);
}

#[tokio::test]
async fn a_counter_whose_window_has_ended_makes_room_before_all_others() {
    let rig: Rig<u32> = Rig::new(LocalConfig::new().max_counters(2));
    let counters = rig.cache.counters("requests");
    counters.add("ended", 1, 1).await.unwrap();
    counters.add("lives", 1, 2).await.unwrap();
    rig.hand.advance(Duration::from_secs(1));
    counters.add("new", 1, 60).await.unwrap();
    assert_eq!(values(&counters, ["lives", "new"]).await, [Some(1); 2]);
}

#[tokio::test]
async fn a_full_table_counts_on_and_refuses_new_counters_alone() {
    let rig: Rig<u32> = Rig::new(LocalConfig::new().max_counters(2));
    let counters = rig.cache.counters("visits");
    for key in ["a", "b"] {
        counters.add(key, 1, Window::ENDLESS).await.unwrap();
    }
    let refused = counters.add("c", 1, 60).await.unwrap_err();
    let full = ErrorKind::Full {
        what: "max_counters".into(),
        limit: 2,
    };
    assert_eq!(*refused.kind(), full);
    assert_eq!(refused.operation(), Some("counter add"));
    assert_eq!(
        counters.add("a", 1, Window::ENDLESS).await.unwrap().value,
        2
    );
    assert!(counters.reset("b").await.unwrap());
    assert_eq!(counters.add("c", 1, 60).await.unwrap().value, 1);
}

#[tokio::test]
async fn counters_and_entries_take_no_room_from_each_other() {
    let rig: Rig<u32> = Rig::new(LocalConfig::new().max_entries(1));
    let counters = rig.cache.counters("requests");
    rig.cache.set("entry", 7_u32).await.unwrap();
    for number in 0..100 {
        counters.add(number.to_string(), 1, 60).await.unwrap();
    }
    assert_eq!(rig.cache.get("entry").await.unwrap(), Some(7));
    assert_eq!(rig.entries(), 1);
    assert_eq!(values(&counters, ["0", "99"]).await, [Some(1); 2]);
}
