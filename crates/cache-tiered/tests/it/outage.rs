//! The second tier or the bus does not answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_conformance::Fault;
use cache_core::{
    BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, FlushCause, Invalidation,
    InvalidationBus, InvalidationListener, Permit, Result,
};
use cache_tiered::{OnBusLoss, OnL2Error, TieredConfig, WritePolicy};
use tokio::sync::watch;

use super::{BOUND, Fleet, Node, always, settle, some};

const MS: Duration = Duration::from_millis(1);
const DOWN: Fault = Fault::Fail(ErrorKind::Unavailable);

/// A bus that is heard of only when a test says so.
#[derive(Debug)]
struct Quiet(watch::Receiver<bool>);

#[async_trait]
impl InvalidationBus for Quiet {
    fn bound(&self) -> Duration {
        BOUND
    }

    fn needs_publish(&self) -> bool {
        false
    }

    async fn listen(&self, listener: Arc<dyn InvalidationListener>) {
        listener.flush(FlushCause::Connected).await;
        let mut alive = self.0.clone();
        loop {
            if *alive.borrow_and_update() {
                listener.caught_up(listener.now());
            }
            tokio::select! {
                () = tokio::time::sleep(BOUND / 4) => {}
                _ = alive.changed() => {}
            }
        }
    }

    async fn publish(&self, _: &Invalidation) -> Result<()> {
        unreachable!("nobody was asked to publish")
    }
}

/// A node whose bus can be cut, with a value in its first tier.
async fn with_cut(
    fleet: &Fleet,
    options: impl FnOnce(TieredConfig) -> TieredConfig,
) -> (Node, watch::Sender<bool>) {
    let (alive, bus) = watch::channel(true);
    let config = options(TieredConfig::with_bus(Quiet(bus)));
    let node = fleet.node_with(config).await;
    node.set("key", "value").await;
    node.get("key").await;
    assert_eq!(node.held("key"), some("value"));
    (node, alive)
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_the_first_tier_serves_for_the_bound_and_not_longer() {
    let fleet = Fleet::new();
    let (node, alive) = with_cut(&fleet, |config| config).await;
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND - MS).await;
    assert_eq!(node.held("key"), some("value"));
    assert_eq!(node.stats().permit, Permit::Held);
    fleet.pass(MS).await;
    assert_eq!(node.held("key"), None);
    assert_eq!(node.stats().permit, Permit::Lapsed);
    // The second tier answers.
    assert_eq!(node.get("key").await, some("value"));
    assert_eq!(node.stats().bypassed, 1);
    alive.send_replace(true);
    node.tiered.ready().await;
    assert_eq!(node.held("key"), some("value"));
}

#[tokio::test(start_paused = true)]
async fn after_a_suspend_the_first_tier_serves_nothing_until_the_bus_is_heard_of() {
    let fleet = Fleet::new();
    let (node, alive) = with_cut(&fleet, |config| config).await;
    alive.send_replace(false);
    settle().await;
    fleet.hand.suspend(BOUND - MS);
    assert_eq!(node.held("key"), some("value"));
    fleet.hand.suspend(MS);
    assert_eq!(node.held("key"), None);
    assert_eq!(node.stats().permit, Permit::Lapsed);
    alive.send_replace(true);
    node.tiered.ready().await;
    assert_eq!(node.held("key"), some("value"));
}

#[tokio::test(start_paused = true)]
async fn what_expired_while_the_machine_was_suspended_is_not_served() {
    let fleet = Fleet::new();
    let (node, _alive) = with_cut(&fleet, |config| config).await;
    let options = BackendWrite::new(Expiry::After(BOUND * 10), Condition::Always);
    let set = node.tiered.set("short", "value".to_owned(), options);
    assert!(set.await.unwrap());
    node.get("short").await;
    assert_eq!(node.held("short"), some("value"));
    fleet.hand.suspend(BOUND * 10);
    tokio::time::sleep(BOUND).await;
    // The bus was heard of since.
    assert_eq!(node.held("key"), some("value"));
    assert_eq!(node.held("short"), None);
}

#[tokio::test(start_paused = true)]
async fn the_weaker_policies_serve_for_as_long_as_they_say() {
    let fleet = Fleet::new();
    let more = BOUND * 3;
    let serve_for = |config: TieredConfig| config.on_bus_loss(OnBusLoss::ServeFor(more));
    let (node, alive) = with_cut(&fleet, serve_for).await;
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND * 4 - MS).await;
    assert_eq!(node.held("key"), some("value"));
    fleet.pass(MS).await;
    assert_eq!(node.held("key"), None);

    let until_ttl = |config: TieredConfig| {
        config
            .l1_ttl(BOUND * 9)
            .on_bus_loss(OnBusLoss::ServeUntilTtl)
    };
    let (node, alive) = with_cut(&fleet, until_ttl).await;
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND * 9 - MS).await;
    assert_eq!(node.held("key"), some("value"));
    fleet.pass(MS).await;
    assert_eq!(node.held("key"), None);
}

#[tokio::test(start_paused = true)]
async fn without_the_second_tier_the_first_serves_while_the_bus_is_heard_of() {
    let fleet = Fleet::new();
    let (node, alive) = with_cut(&fleet, |config| config).await;
    node.network.every(1, DOWN);
    assert_eq!(node.get("key").await, some("value"));
    let error = node.tiered.get("other").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND).await;
    // An outage is no miss, and nothing stale.
    assert!(node.tiered.get("key").await.is_err());
    assert!(node.tiered.get_many(&["key"]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_may_be_stale_is_served_on_an_error_if_that_was_asked_for() {
    let fleet = Fleet::new();
    let serve = |config: TieredConfig| config.on_l2_error(OnL2Error::ServeL1);
    let (node, alive) = with_cut(&fleet, serve).await;
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND).await;
    // A password that was changed is an outage as well.
    for down in [DOWN, Fault::Fail(ErrorKind::Unauthorized)] {
        node.network.every(1, down);
        assert_eq!(node.get("key").await, some("value"));
        let found = node.tiered.get_many(&["key"]).await.unwrap();
        assert_eq!(found, [some("value")]);
        assert!(node.tiered.get("other").await.is_err());
    }
    assert_eq!(node.stats().served_on_error, 4);
    // What was flushed is not served, come what may.
    node.tiered.flush();
    assert!(node.tiered.get("key").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn waiting_readers_share_the_error_and_do_not_queue_for_one_each() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let timeout = Duration::from_millis(500);
    node.network.every(1, Fault::Delay(timeout));
    let start = tokio::time::Instant::now();
    let reads: Vec<_> = (0..50)
        .map(|_| {
            let tiered = Arc::clone(&node.tiered);
            tokio::spawn(async move { tiered.get("key").await })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap(), None);
    }
    assert_eq!(start.elapsed().as_millis(), timeout.as_millis());
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_leaves_nothing_old_in_the_first_tier() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    for lost in [DOWN, Fault::LoseReply(ErrorKind::Timeout)] {
        node.set("key", "old").await;
        node.get("key").await;
        node.network.script([lost.clone()]);
        let write = node.tiered.set("key", "new".into(), always()).await;
        assert!(write.unwrap_err().is_transient());
        assert_eq!(node.held("key"), None);
        let expected = if lost == DOWN { "old" } else { "new" };
        assert_eq!(node.get("key").await, some(expected));
    }
    assert_eq!(node.stats().unknown_writes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_no_unknown_one() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let limit = ErrorKind::TooLarge {
        weight: 2,
        limit: 1,
    };
    node.network.script([Fault::Fail(limit.clone())]);
    let write = node.tiered.set("key", "new".into(), always()).await;
    assert_eq!(write.unwrap_err().kind(), &limit);
    let stats = node.stats();
    assert_eq!((stats.unknown_writes, stats.recovery_pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_kept_alone_during_an_outage_if_that_was_asked_for() {
    let fleet = Fleet::new();
    let alone = |config: TieredConfig| config.write_policy(WritePolicy::LocalOnOutage);
    let (node, alive) = with_cut(&fleet, alone).await;
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND).await;
    node.network.every(1, DOWN);
    node.set("key", "alone").await;
    assert_eq!(node.get("key").await, some("alone"));
    assert_eq!(node.stats().local_only_writes, 1);
    assert_eq!(fleet.store.get("key").await.unwrap(), some("value"));

    node.network.heal();
    fleet.pass(BOUND * 10).await;
    // What the second tier had was older than what was written.
    assert_eq!(fleet.store.get("key").await.unwrap(), None);
    assert_eq!(node.get("key").await, None);
    assert_eq!(node.stats().recovery_pending, 0);
}

/// A read that is slow, and a second one that took its place and came to no end, while the lease
/// has lapsed and memory holds what was there before another process wrote.
///
/// Returns what the slow read was told, and the node, whose bus is back.
async fn superseded_without_the_bus(
    second: impl AsyncFnOnce(&Node),
) -> (Option<String>, Fleet, Node, watch::Sender<bool>) {
    let fleet = Fleet::new();
    let (node, alive) = with_cut(&fleet, |config| config).await;
    alive.send_replace(false);
    settle().await;
    fleet.pass(BOUND).await;
    let write = fleet.store.set("key", "new".into(), always()).await;
    assert!(write.expect("the store answers"));
    fleet.pass(BOUND * 3 / 2).await;
    assert_eq!(node.stats().permit, Permit::Lapsed);
    let first = node.slow_get("key", BOUND * 2);
    settle().await;
    fleet.pass(BOUND / 2 + MS).await;
    second(&node).await;
    fleet.pass(BOUND * 2).await;
    let told = first.await.expect("it does not panic");
    alive.send_replace(true);
    node.tiered.ready().await;
    (told, fleet, node, alive)
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_without_the_bus_is_not_answered_from_memory_when_a_later_one_fails() {
    let fail = async |node: &Node| {
        node.network.script([DOWN]);
        assert!(node.tiered.get("key").await.is_err());
    };
    let (told, _fleet, node, _alive) = superseded_without_the_bus(fail).await;
    assert_eq!(told, some("new"));
    // Nor is that taken back when the bus returns.
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_without_the_bus_is_not_answered_from_memory_when_a_later_one_is_dropped() {
    let abort = async |node: &Node| {
        let later = node.slow_get("key", BOUND);
        settle().await;
        later.abort();
        settle().await;
    };
    let (told, _fleet, node, _alive) = superseded_without_the_bus(abort).await;
    assert_eq!(told, some("new"));
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, some("new"));
}
