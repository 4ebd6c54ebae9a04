//! A cluster serves, moves slots and fails over.

use std::time::Duration;

use cache_testbed::{Client, Cluster, Flavor, Server, slot_of_key};

#[test]
fn a_cluster_serves_all_slots_and_a_slot_moves_with_its_keys() {
    for flavor in Flavor::ALL {
        let cluster = Cluster::start(flavor);
        assert_eq!(cluster.nodes().len(), 6);
        let info = cluster.nodes()[5].command(&["CLUSTER", "INFO"]).text();
        assert!(info.contains("cluster_slots_ok:16384"), "{info}");
        assert!(info.contains("cluster_known_nodes:6"), "{info}");

        let slot = slot_of_key("user:1");
        let from = cluster.master_of_slot(slot);
        let to = cluster.nodes()[..3]
            .iter()
            .find(|node| node.port() != from.port())
            .unwrap();
        from.command(&["SET", "user:1", "Alice"]).assert_ok();
        cluster.begin_move(from, to, slot);
        let other = from.command(&["GET", "{user:1}other"]).text();
        assert_eq!(other, format!("ASK {slot} {}", to.address()));
        cluster.move_slots(from, to, slot..=slot + 1);
        assert_eq!(cluster.master_of_key("user:1").port(), to.port());
        assert_eq!(to.command(&["GET", "user:1"]).text(), "Alice");
        let moved = from.command(&["GET", "user:1"]).text();
        assert_eq!(moved, format!("MOVED {slot} {}", to.address()));
        cluster.wait_until_ok();
    }
}

#[test]
fn a_command_finds_its_key_before_during_and_after_a_move() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let slot = slot_of_key("user:1");
    let home = cluster.master_of_slot(slot);
    for to in cluster.nodes() {
        if to.port() == home.port() {
            continue;
        }
        let from = cluster.master_of_slot(slot);
        cluster.command(&["SET", "user:1", "Alice"]).assert_ok();
        cluster.begin_move(from, to, slot);
        cluster.move_keys(from, to, slot);
        // `from` answers ASK, and nobody but the two nodes knows of the move.
        assert_eq!(cluster.command(&["GET", "user:1"]).text(), "Alice");
        cluster.end_move(to, slot);
        assert_eq!(cluster.command(&["GET", "user:1"]).text(), "Alice");
    }
    let wrong = cluster.command(&["INCR", "user:1"]);
    assert!(wrong.is_error(), "{wrong:?}");
}

#[test]
fn a_slot_that_has_moved_stays_although_its_old_owner_had_the_later_epoch() {
    let cluster = Cluster::start(Flavor::Redis7);
    let [to, from] = [&cluster.nodes()[0], &cluster.nodes()[1]];
    let slot = 6_000;
    assert!(cluster.owns_slot(from, slot));
    cluster.begin_move(from, to, slot);
    // Not known to the others yet.
    from.command(&["CLUSTER", "BUMPEPOCH"]);
    cluster.end_move(to, slot);
    let epoch = |node: &Server| {
        let info = node.command(&["CLUSTER", "INFO"]).text();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("cluster_my_epoch:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    assert!(epoch(to) > epoch(from), "{} > {}", epoch(to), epoch(from));
    cluster.wait_until_ok();
    assert!(cluster.owns_slot(to, slot));
}

#[test]
fn a_slot_moves_although_its_old_owner_still_has_keys() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let slot = slot_of_key("user:1");
    let from = cluster.master_of_slot(slot);
    let mut others = cluster.nodes().iter();
    let to = others.find(|node| node.port() != from.port()).unwrap();
    cluster.begin_move(from, to, slot);
    assert!(!cluster.has_keys_elsewhere(to, slot));
    from.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "STABLE"])
        .assert_ok();
    from.command(&["SET", "user:1", "Alice"]).assert_ok();
    assert!(cluster.has_keys_elsewhere(to, slot));
    cluster.end_move(to, slot);
    cluster.wait_until_ok();
    assert_eq!(cluster.master_of_slot(slot).port(), to.port());
}

#[test]
fn a_replica_follows_a_master_that_was_killed() {
    let cluster = Cluster::builder(Flavor::Valkey9)
        .node_timeout(Duration::from_millis(500))
        .require_full_coverage(false)
        .start();
    let killed = cluster.master_of_slot(0).port();
    // "{06S}" has the slot 0.
    cluster.command(&["SET", "{06S}", "before"]).assert_ok();
    cluster.master_of_slot(0).kill();
    // It waits until another node serves the slot.
    cluster.command(&["SET", "{06S}", "after"]).assert_ok();
    cluster.wait_until_ok();
    let next = cluster.master_of_slot(0);
    assert_ne!(next.port(), killed);
    let mut client = Client::connect(&next.address()).unwrap();
    client.command(&["SET", "{06S}", "v"]).unwrap().assert_ok();

    let old = cluster
        .nodes()
        .iter()
        .find(|node| node.port() == killed)
        .unwrap();
    old.restart();
    cluster.wait_until_ok();
    assert_eq!(old.info("role"), "slave");
}

#[test]
fn an_url_names_all_nodes_and_sizes_are_as_told() {
    let cluster = Cluster::builder(Flavor::Redis8)
        .masters(3)
        .replicas(0)
        .start();
    let [a, b, c] = cluster.nodes() else {
        panic!("not three nodes");
    };
    let (a, b, c) = (a.address(), b.address(), c.address());
    assert_eq!(
        cluster.url(),
        format!("redis-cluster://{a}?node={b}&node={c}")
    );
}

#[test]
fn the_slot_of_a_key_is_that_of_its_hash_tag() {
    assert_eq!(slot_of_key(""), 0);
    assert_eq!(slot_of_key("123456789"), 0x31c3);
    assert_eq!(slot_of_key("{123456789}x"), 0x31c3);
    assert_eq!(slot_of_key("a{123456789}{b}"), 0x31c3);
    assert_eq!(slot_of_key("foo{}{bar}"), 8363);
    assert_eq!(slot_of_key("foo{{bar}}zap"), 4015);
    assert_eq!(slot_of_key("06S"), 0);
}
