//! Counters: those of the second tier, for all nodes.

use cache_conformance::Fault;
use cache_core::{Cache, CounterGroup, ErrorKind};
use std::sync::Arc;

use super::{Fleet, Node};

fn requests(node: &Node) -> CounterGroup<String> {
    Cache::new(Arc::clone(&node.tiered)).counters("requests")
}

#[tokio::test(start_paused = true)]
async fn nodes_count_together_and_memory_has_no_part_in_it() {
    let fleet = Fleet::new();
    let nodes = [fleet.node().await, fleet.node().await];
    for expected in 1..=4 {
        let node = &nodes[expected % 2];
        let count = requests(node).add("client", 1, 60).await.unwrap();
        assert_eq!(count.value, expected as i64);
    }
    assert!(requests(&nodes[0]).reset("client").await.unwrap());
    assert_eq!(requests(&nodes[1]).get("client").await.unwrap(), None);
    for node in &nodes {
        assert_eq!(node.stats().l1_entries, Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_second_tier_is_no_absent_counter() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let requests = requests(&node);
    requests.add("client", 3, 60).await.unwrap();
    node.network.every(1, Fault::Fail(ErrorKind::Unavailable));
    for error in [
        requests.add("client", 1, 60).await.unwrap_err(),
        requests.get("client").await.unwrap_err(),
        requests.reset("client").await.unwrap_err(),
    ] {
        assert_eq!(*error.kind(), ErrorKind::Unavailable);
    }
    node.network.heal();
    assert_eq!(requests.add("client", 1, 60).await.unwrap().value, 4);
}
