//! Loads of one key by one process of many, in front of which each has a first tier.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{BackendWrite, CacheBackend, Claim, Condition, Expiry, LoadLease, LoadLeases};
use cache_testbed::{Flavor, Server};

use super::{BOUND, Bus, Tiered, connect_with, eventually, held, warm};

const TTL: Duration = Duration::from_secs(30);

fn leases(tiered: &Tiered) -> &dyn LoadLeases<String> {
    tiered
        .abilities()
        .leases
        .expect("the second tier has leases")
}

async fn granted(tiered: &Tiered, key: &str) -> LoadLease {
    match leases(tiered).claim(key, TTL).await {
        Ok(Claim::Granted(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

async fn fill(tiered: &Tiered, key: &str, lease: LoadLease, value: &str) -> bool {
    let fill = leases(tiered).fill(key, lease, value.to_owned(), Expiry::Never);
    fill.await.expect("the server answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_loads_and_the_others_find_what_it_brings() {
    let server = Server::builder(Flavor::Redis7).start();
    for bus in [Bus::Tracking, Bus::PubSub] {
        let nodes = [
            connect_with(server.port(), bus).await,
            connect_with(server.port(), bus).await,
        ];
        let lease = granted(&nodes[0], "key").await;
        assert_eq!(nodes[0].get("key").await.unwrap(), None);
        assert_eq!(nodes[1].get("key").await.unwrap(), None);
        let other = leases(&nodes[1]).claim("key", TTL).await.unwrap();
        assert!(matches!(other, Claim::Held { left, .. } if left <= TTL));
        let waiter = Arc::clone(&nodes[1]);
        let wait = tokio::spawn(async move { leases(&waiter).ended("key", TTL).await });

        assert!(fill(&nodes[0], "key", lease, "loaded").await);
        wait.await.unwrap();
        match leases(&nodes[1]).claim("key", TTL).await.unwrap() {
            Claim::Found(value) => assert_eq!(value, "loaded"),
            other => panic!("{other:?}"),
        }
        // The next read keeps it in memory.
        assert_eq!(held(&nodes[0], "key"), None);
        warm(&nodes[0], &["key"]).await;
        warm(&nodes[1], &["key"]).await;
        assert!(nodes[1].delete("key", Condition::Always).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_by_another_process_revokes_the_lease() {
    let server = Server::builder(Flavor::Redis7).start();
    let nodes = [
        connect_with(server.port(), Bus::Tracking).await,
        connect_with(server.port(), Bus::Tracking).await,
    ];
    let lease = granted(&nodes[0], "key").await;
    assert!(!nodes[1].delete("key", Condition::Always).await.unwrap());
    assert!(!fill(&nodes[0], "key", lease, "late").await);
    for node in &nodes {
        assert_eq!(node.get("key").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_evicted_elsewhere_is_forgotten_when_something_newer_is_filled_in() {
    let server = Server::builder(Flavor::Redis7).start();
    for bus in [Bus::Tracking, Bus::PubSub] {
        let nodes = [
            connect_with(server.port(), bus).await,
            connect_with(server.port(), bus).await,
        ];
        let lease = granted(&nodes[0], "key").await;
        assert!(fill(&nodes[0], "key", lease, "old").await);
        warm(&nodes[0], &["key"]).await;
        warm(&nodes[1], &["key"]).await;
        // As the server does when it is full. The bus of messages does not hear of it.
        assert_eq!(server.command(&["DEL", "cache:key"]).integer(), 1);
        let lease = granted(&nodes[0], "key").await;
        assert!(fill(&nodes[0], "key", lease, "new").await);
        for node in &nodes {
            let is_new = || async { node.get("key").await.unwrap().as_deref() == Some("new") };
            eventually(BOUND, is_new).await;
        }
        assert!(nodes[1].delete("key", Condition::Always).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_has_seen_is_not_taken_back_by_a_read() {
    let server = Server::builder(Flavor::Redis7).start();
    // This bus does not hear of what is written past the tiers: as if the message were late.
    let nodes = [
        connect_with(server.port(), Bus::PubSub).await,
        connect_with(server.port(), Bus::PubSub).await,
    ];
    let put = async |value: &str| {
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        let set = nodes[1].l2().set("key", value.to_owned(), options);
        assert!(set.await.unwrap());
    };
    let delete = async || {
        let delete = CacheBackend::<String>::delete(nodes[1].l2(), "key", Condition::Always);
        assert!(delete.await.unwrap());
    };
    put("1").await;
    warm(&nodes[0], &["key"]).await;
    put("2").await;
    assert_eq!(held(&nodes[0], "key").as_deref(), Some("1"));
    match leases(&nodes[0]).claim("key", TTL).await.unwrap() {
        Claim::Found(value) => assert_eq!(value, "2"),
        other => panic!("{other:?}"),
    }
    assert_eq!(nodes[0].get("key").await.unwrap().as_deref(), Some("2"));

    warm(&nodes[0], &["key"]).await;
    delete().await;
    let lease = granted(&nodes[1], "key").await;
    assert_eq!(held(&nodes[0], "key").as_deref(), Some("2"));
    let waits = leases(&nodes[0]).claim("key", TTL).await.unwrap();
    assert!(matches!(waits, Claim::Held { .. }));
    assert_eq!(nodes[0].get("key").await.unwrap(), None);

    leases(&nodes[1]).release("key", lease).await.unwrap();
    put("3").await;
    warm(&nodes[0], &["key"]).await;
    delete().await;
    granted(&nodes[0], "key").await;
    assert_eq!(nodes[0].get("key").await.unwrap(), None);
}
