//! Nodes of a cluster that go away, and slots that move.

use std::collections::BTreeSet;
use std::time::Instant;

use cache_testbed::{Cluster, Flavor, Server, slot_of_key};

use crate::load::{self, KEYS, Load, Loss, Work};
use crate::{AWAY, connect};

/// The slot of a key of the load, as the store names it.
fn slot(index: usize) -> u16 {
    slot_of_key(&format!("cache:{}", load::key(index)))
}

fn master(cluster: &Cluster) -> &Server {
    cluster.master_of_slot(slot(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_frozen_node_is_used_within_the_limit() {
    let cluster = Cluster::start(Flavor::Redis7);
    let store = connect(&cluster.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    let fault = Instant::now();
    master(&cluster).pause();
    load.until_felt(fault).await;
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("cluster, frozen", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_of_a_cluster_without_full_coverage_harms_its_own_keys_alone() {
    let cluster = Cluster::builder(Flavor::Valkey9);
    let cluster = cluster.require_full_coverage(false).start();
    let store = connect(&cluster.url()).await;
    let port = master(&cluster).port();
    let is_harmed: Vec<bool> = (0..KEYS)
        .map(|index| cluster.master_of_slot(slot(index)).port() == port)
        .collect();
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    let fault = Instant::now();
    master(&cluster).pause();
    load.until_felt(fault).await;
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("cluster without full coverage, frozen", fault);
    assert_eq!(report.failures(|index| !is_harmed[index]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_killed_node_is_used_within_the_limit() {
    let cluster = Cluster::start(Flavor::Redis8);
    let store = connect(&cluster.url()).await;
    let load = Load::start(&store, Work::Bulk, Loss::Allowed).await;
    let fault = Instant::now();
    master(&cluster).kill();
    load.until_felt(fault).await;
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("cluster, killed", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_harm_no_operation() {
    let cluster = Cluster::start(Flavor::Redis7);
    let store = connect(&cluster.url()).await;
    let load = Load::start(&store, Work::Bulk, Loss::Never).await;
    let begin = Instant::now();
    let from = master(&cluster);
    let to = cluster.nodes()[..3]
        .iter()
        .find(|node| node.port() != from.port());
    let to = to.expect("there are three masters");
    let slots = (0..KEYS)
        .map(slot)
        .filter(|slot| cluster.master_of_slot(*slot).port() == from.port());
    for slot in slots.collect::<BTreeSet<_>>() {
        // Every key is used in each stage.
        cluster.begin_move(from, to, slot);
        load.until_well(Instant::now()).await;
        cluster.move_keys(from, to, slot);
        load.until_well(Instant::now()).await;
        cluster.end_move(to, slot);
        load.until_well(Instant::now()).await;
    }
    let report = load.stop().await;
    println!("cluster, moved: took {:?}", begin.elapsed());
    report.assert_unharmed();
}
