//! Buses on a cluster.

use std::time::Duration;

use cache_core::bus::{FlushCause, Invalidation};
use cache_redis::BusConfig;
use cache_testbed::{Cluster, Flavor, slot_of_key};

use crate::bus::invariant::Writers;
use crate::bus::{BOUND, Kind, LIMIT, Listening, bus, store};

fn set(cluster: &Cluster, key: &str) {
    let stored = format!("cache:{key}");
    cluster.command(&["SET", &stored, "1"]).assert_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_on_all_primaries_are_told() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let listening = Listening::start(Kind::Tracking, &cluster.url()).await;
    let recorder = &listening.recorder;
    let mut keys: Vec<String> = (0..50).map(|number| format!("k{number}")).collect();
    let before = recorder.elapsed();
    keys.iter().for_each(|key| set(&cluster, key));
    let took = recorder.caught_up().await;
    assert!(took <= BOUND, "{took:?}");
    keys.sort_unstable();
    assert_eq!(recorder.keys_since(before), keys);
    assert_eq!(recorder.flushes_since(before), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_primary_that_is_emptied_is_told() {
    let cluster = Cluster::builder(Flavor::Valkey9).replicas(0).start();
    for kind in [Kind::Tracking, Kind::PubSub] {
        let listening = Listening::start(kind, &cluster.url()).await;
        for node in cluster.nodes() {
            let before = listening.recorder.elapsed();
            node.command(&["FLUSHALL"]).assert_ok();
            listening.recorder.caught_up().await;
            let flushes = listening.recorder.flushes_since(before);
            // A connection may be lost at the same time when the machine is busy.
            assert!(!flushes.is_empty(), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_through_a_cluster() {
    let cluster = Cluster::builder(Flavor::Redis8).replicas(0).start();
    let listening = Listening::start(Kind::PubSub, &cluster.url()).await;
    let other = bus(Kind::PubSub, &store(&cluster.url()).await, BusConfig::new()).await;
    let before = listening.recorder.elapsed();
    let change = Invalidation::Keys(vec!["a".into()]);
    other.publish(&change).await.unwrap();
    listening.recorder.caught_up().await;
    assert_eq!(listening.recorder.keys_since(before), ["a"]);
}

/// Moves all slots of some keys, and of what the bus itself needs, from node to node.
async fn slots_move(kind: Kind, cluster: &Cluster) {
    let listening = Listening::start(kind, &cluster.url()).await;
    let writers = Writers::new(&listening.recorder);
    match kind {
        // Through a node each, of which every third key or so is.
        Kind::Tracking => {
            let nodes = cluster.nodes().iter();
            nodes.for_each(|node| writers.strange(node.address()));
        }
        Kind::PubSub => writers.publishing(&cluster.url()).await,
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let tags = ["0", "1", "2", "3", "4", "cache", "k1", "k2", "k3"];
    for tag in tags {
        let slot = slot_of_key(&format!("{{{tag}}}"));
        let from = cluster.master_of_slot(slot);
        let mut others = cluster
            .nodes()
            .iter()
            .filter(|node| node.port() != from.port());
        let to = others.next().expect("there are three");
        cluster.move_slots(from, to, slot..=slot);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = listening.recorder.caught_up().await;
    println!("{kind:?}, cluster: caught up {took:?} after the moves");
    writers.check(&format!("{kind:?}, slots that move"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_while_slots_move() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    slots_move(Kind::Tracking, &cluster).await;
    slots_move(Kind::PubSub, &cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_none_is_listened_to_from_its_first_slot_on() {
    let cluster = Cluster::start(Flavor::Valkey9);
    let listening = Listening::start(Kind::Tracking, &cluster.url()).await;
    let slot = slot_of_key("cache:a");
    let from = cluster.master_of_slot(slot);
    let mut replicas = cluster.nodes()[3..].iter();
    let to = replicas.find(|node| node.info("master_port") != from.port().to_string());
    let to = to.expect("two are of others");
    let alone = ["CLUSTER", "REPLICATE", "NO", "ONE"];
    to.command(&alone).assert_ok();
    cluster.move_slots(from, to, slot..=slot);
    let recorder = &listening.recorder;
    for _ in 0..3 {
        let before = recorder.elapsed();
        to.command(&["SET", "cache:a", "1"]).assert_ok();
        recorder.caught_up().await;
        let is_told = recorder.keys_since(before) == ["a"];
        assert!(is_told || !recorder.flushes_since(before).is_empty());
    }
    assert_eq!(recorder.keys_since(Duration::ZERO), ["a"]);
}

async fn failover(kind: Kind, is_killed: bool) {
    let cluster = Cluster::start(Flavor::Redis7);
    let listening = Listening::start(kind, &cluster.url()).await;
    // That of the channel, and one of those that have keys.
    let node = cluster.master_of_key("cache:@{cache}invalidations");
    if is_killed {
        node.kill();
    } else {
        node.pause();
    }
    let before = listening.recorder.elapsed();
    let start = std::time::Instant::now();
    while cluster.nodes()[3..]
        .iter()
        .all(|node| node.info("role") != "master")
    {
        assert!(start.elapsed() < LIMIT * 2);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = listening.recorder.caught_up().await;
    println!("{kind:?}, failover: caught up {took:?} after the promotion");
    let flushes = listening.recorder.flushes_since(before);
    assert!(flushes.contains(&FlushCause::Connected), "{flushes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_follows_a_cluster_to_the_successor_of_a_killed_primary() {
    failover(Kind::Tracking, true).await;
    failover(Kind::PubSub, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_follows_a_cluster_to_the_successor_of_a_frozen_primary() {
    failover(Kind::Tracking, false).await;
    failover(Kind::PubSub, false).await;
}
