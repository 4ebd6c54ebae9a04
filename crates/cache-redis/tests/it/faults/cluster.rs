//! Nodes of a cluster that go away, and slots that move.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{CacheBackend, Cursor, Expiry, Scope};
use cache_redis::{ConnectionState, RedisStore};
use cache_testbed::{Cluster, Flavor, Server, slot_of_key};
use tokio::time::{sleep, timeout};

use crate::faults::load::{self, KEYS, Load, Loss, Work};
use crate::faults::{AWAY, LIMIT, config, connect, eventually};

/// The slot of a key of the load, as the store names it.
fn slot(index: usize) -> u16 {
    slot_of_key(&format!("cache:{}", load::key(index)))
}

fn master(cluster: &Cluster) -> &Server {
    cluster.master_of_slot(slot(0))
}

/// Connects so that no operation fails when the machine alone does not run it for a moment.
async fn connect_patiently(cluster: &Cluster) -> RedisStore {
    let config = config(&cluster.url()).command_timeout(LIMIT);
    RedisStore::connect(config).await.unwrap()
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
    let is_degraded = ConnectionState::Degraded {
        silent: 1,
        servers: 3,
    };
    eventually(|| async { store.state() == is_degraded }).await;
    load.until_well(fault).await;
    eventually(|| async { store.state() == ConnectionState::Connected }).await;
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
    let store = connect_patiently(&cluster).await;
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

/// Returns the keys that a walk finds, with the number of pages that failed.
async fn walk(store: &RedisStore) -> (BTreeSet<String>, usize) {
    let (mut found, mut failures) = (BTreeSet::new(), 0);
    let mut cursor = Some(Cursor::Start);
    let begin = Instant::now();
    while let Some(place) = cursor.clone() {
        assert!(begin.elapsed() < LIMIT * 2, "the walk ends");
        match store.scan(&Scope::root(), place, 20).await {
            Ok(page) => {
                found.extend(page.keys);
                cursor = page.next;
            }
            Err(error) => {
                assert!(AWAY.contains(error.kind()), "{error:?}");
                failures += 1;
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    (found, failures)
}

/// Writes keys of many slots and waits until the replicas have them.
async fn fill(cluster: &Cluster, store: &RedisStore) -> BTreeSet<String> {
    let keys: BTreeSet<String> = (0..1_000).map(|number| format!("k{number}")).collect();
    let entries = keys.iter().map(|key| (key.as_str(), Bytes::from("v")));
    store
        .set_many(entries.collect(), Expiry::Never)
        .await
        .unwrap();
    for node in cluster
        .nodes()
        .iter()
        .filter(|node| node.info("role") == "master")
    {
        node.command(&["WAIT", "1", "5000"]);
    }
    keys
}

async fn clear(store: &RedisStore) {
    let all = async {
        while let Err(error) = store.clear(&Scope::root()).await {
            assert!(AWAY.contains(error.kind()), "{error:?}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT * 2, all).await.expect("it is cleared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_finds_all_while_slots_move() {
    const TAGS: usize = 20;
    let cluster = Cluster::builder(Flavor::Redis8).replicas(0).start();
    let store = connect(&cluster.url()).await;
    let tag = |number: usize| format!("{{{}}}", number % TAGS);
    let keys: BTreeSet<String> = (0..20_000)
        .map(|number| tag(number) + &number.to_string())
        .collect();
    let entries = keys.iter().map(|key| (key.as_str(), Bytes::from("v")));
    store
        .set_many(entries.collect(), Expiry::Never)
        .await
        .unwrap();
    let (mut found, mut cursor, mut pages) = (BTreeSet::new(), Some(Cursor::Start), 0);
    while let Some(place) = cursor {
        let page = store.scan(&Scope::root(), place, 20).await.unwrap();
        found.extend(page.keys);
        cursor = page.next;
        // Each moves once round all servers, from ahead of the walk to behind it too.
        if pages < 3 * TAGS {
            let slot = slot_of_key(&format!("cache:{}", tag(pages)));
            let from = cluster.master_of_slot(slot);
            let place = cluster
                .nodes()
                .iter()
                .position(|node| node.port() == from.port());
            let to = &cluster.nodes()[(place.expect("it is one") + 1) % 3];
            cluster.move_slots(from, to, slot..=slot);
        }
        pages += 1;
        assert!(pages < 10_000, "the walk ends");
    }
    println!("cluster, walk while slots move: {pages} pages");
    let missed = keys.difference(&found).count();
    assert_eq!(missed, 0, "{pages} pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_clear_find_all_across_a_failover() {
    let cluster = Cluster::start(Flavor::Valkey9);
    let store = connect(&cluster.url()).await;
    let keys = fill(&cluster, &store).await;
    let walker = tokio::spawn({
        let store = store.clone();
        async move { walk(&store).await }
    });
    cluster.nodes()[0].kill();
    let (found, failures) = walker.await.unwrap();
    assert_eq!(found.intersection(&keys).count(), keys.len());
    println!("cluster, walk across a failover: {failures} pages failed");
    cluster.wait_until_ok();
    cluster.nodes()[1].kill();
    clear(&store).await;
    assert_eq!(walk(&store).await.0, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_a_node_without_slots_harms_no_operation() {
    let cluster = Cluster::start(Flavor::Valkey9);
    let store = connect_patiently(&cluster).await;
    let load = Load::start(&store, Work::Bulk, Loss::Never).await;
    let from = master(&cluster);
    let is_other = |node: &&Server| node.info("master_port") != from.port().to_string();
    let to = cluster.nodes()[3..]
        .iter()
        .find(is_other)
        .expect("two replicas are of others");
    to.command(&["CLUSTER", "REPLICATE", "NO", "ONE"])
        .assert_ok();
    cluster.begin_move(from, to, slot(0));
    load.until_well(Instant::now()).await;
    cluster.move_keys(from, to, slot(0));
    load.until_well(Instant::now()).await;
    cluster.end_move(to, slot(0));
    load.until_well(Instant::now()).await;
    assert_eq!(master(&cluster).port(), to.port());
    load.stop().await.assert_unharmed();
}
