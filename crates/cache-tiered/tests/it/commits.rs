//! Transactions over two tiers: the second decides, and the first forgets.

use cache_conformance::Fault;
use cache_core::{
    CacheBackend, Condition, ErrorKind, Expiry, Result, TransactionWrite, Transactions, Watch,
};

use super::{BOUND, Fleet, Node, always, settle, some};

const DOWN: Fault = Fault::Fail(ErrorKind::Unavailable);
const LOST: Fault = Fault::LoseReply(ErrorKind::Timeout);
const BOTH: [&str; 2] = ["a", "b"];

impl Node {
    fn transactions(&self) -> &dyn Transactions<String> {
        let transactions = self.tiered.abilities().transactions;
        transactions.expect("the second tier has them")
    }

    async fn watch(&self, keys: &[&str]) -> (Vec<Option<String>>, Watch) {
        let watched = self.transactions().watch(keys).await;
        watched.expect("the store answers")
    }

    /// Writes `a` and deletes `b`.
    async fn commit(&self, watch: Watch) -> Result<()> {
        let set = TransactionWrite::Set("new".to_owned(), Expiry::Never);
        let writes = vec![("a", set), ("b", TransactionWrite::Delete)];
        self.transactions().commit(watch, writes).await
    }

    /// Has the first tier hold both keys.
    async fn warm(&self) {
        for key in BOTH {
            self.get(key).await;
            assert_eq!(self.held(key), some("old"));
        }
    }
}

/// Two nodes, of which the first tiers hold two keys.
async fn warm_nodes(fleet: &Fleet) -> [Node; 2] {
    let nodes = [fleet.node().await, fleet.node().await];
    for key in BOTH {
        nodes[0].set(key, "old").await;
    }
    settle().await;
    for node in &nodes {
        node.warm().await;
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn what_a_commit_writes_is_forgotten_here_and_told_to_others() {
    let fleet = Fleet::new();
    let [one, other] = warm_nodes(&fleet).await;
    let (found, watch) = one.watch(&["a"]).await;
    assert_eq!(found, [some("old")]);
    one.commit(watch).await.unwrap();
    assert_eq!(BOTH.map(|key| one.held(key)), [None, None]);
    settle().await;
    assert_eq!(BOTH.map(|key| other.held(key)), [None, None]);
    for node in [&one, &other] {
        assert_eq!(node.get("a").await, some("new"));
        assert_eq!(node.get("b").await, None);
    }
    assert_eq!(one.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_asks_the_truth_and_no_later_read_goes_back_behind_it() {
    let fleet = Fleet::new();
    let [one, _] = warm_nodes(&fleet).await;
    let newer = fleet.store.set("a", "newer".to_owned(), always());
    assert!(newer.await.unwrap());
    assert_eq!(one.held("a"), some("old"), "nobody has told");
    let (found, _) = one.watch(&BOTH).await;
    assert_eq!(found, [some("newer"), some("old")]);
    assert_eq!(one.get("a").await, some("newer"));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_writes_nothing_and_leaves_nothing_to_do() {
    let fleet = Fleet::new();
    let [one, other] = warm_nodes(&fleet).await;
    let (_, watch) = one.watch(&["a"]).await;
    other.set("a", "theirs").await;
    let lost = one.commit(watch).await.unwrap_err();
    assert_eq!(*lost.kind(), ErrorKind::Conflict);
    assert_eq!(one.get("a").await, some("theirs"));
    assert_eq!(one.get("b").await, some("old"));
    let stats = one.stats();
    assert_eq!((stats.unknown_writes, stats.recovery_pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_reply_the_keys_are_forgotten_here_and_then_everywhere() {
    let fleet = Fleet::new();
    let [one, other] = warm_nodes(&fleet).await;
    let (_, watch) = one.watch(&["a"]).await;
    one.warm().await;
    one.network.script([LOST]);
    let unknown = one.commit(watch).await.unwrap_err();
    assert_eq!(*unknown.kind(), ErrorKind::Timeout);
    assert_eq!(BOTH.map(|key| one.held(key)), [None, None]);
    assert_eq!(one.get("a").await, some("new"), "it has happened");
    assert_eq!(one.stats().unknown_writes, 1);
    fleet.pass(BOUND).await;
    assert_eq!(other.get("a").await, some("new"));
    assert_eq!(other.get("b").await, None);
    fleet.pass(BOUND * 20).await;
    assert_eq!(one.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_is_never_tried_again_not_even_its_deletes() {
    let fleet = Fleet::new();
    let [one, _] = warm_nodes(&fleet).await;
    let (_, watch) = one.watch(&["a"]).await;
    one.network.script([DOWN]);
    let failed = one.commit(watch).await.unwrap_err();
    assert_eq!(*failed.kind(), ErrorKind::Unavailable);
    fleet.pass(BOUND * 20).await;
    for key in BOTH {
        assert_eq!(one.get(key).await, some("old"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_dropped_on_its_way_is_told_to_others() {
    let fleet = Fleet::new();
    let [one, other] = warm_nodes(&fleet).await;
    let (_, watch) = one.watch(&["a"]).await;
    one.network.script([Fault::HangAfter]);
    let dropped = tokio::time::timeout(BOUND / 4, one.commit(watch)).await;
    assert!(dropped.is_err());
    fleet.pass(BOUND).await;
    assert_eq!(other.get("a").await, some("new"));
    assert_eq!(other.get("b").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_waits_for_a_failed_delete() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("a", "old").await;
    node.network.script([DOWN]);
    let deleted = node.tiered.delete("a", Condition::Always).await;
    assert!(deleted.is_err());
    let (found, watch) = node.watch(&["a"]).await;
    assert_eq!(found, [None]);
    node.commit(watch).await.unwrap();
    fleet.pass(BOUND * 20).await;
    assert_eq!(node.get("a").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_writes_compares_and_tells_nobody() {
    let fleet = Fleet::new();
    let [one, other] = warm_nodes(&fleet).await;
    let (_, watch) = one.watch(&BOTH).await;
    let messages = other.stats().messages;
    one.transactions().commit(watch, Vec::new()).await.unwrap();
    settle().await;
    assert_eq!(other.stats().messages, messages);
    let (_, watch) = one.watch(&BOTH).await;
    other.set("b", "theirs").await;
    let lost = one.transactions().commit(watch, Vec::new()).await;
    assert_eq!(*lost.unwrap_err().kind(), ErrorKind::Conflict);
}
