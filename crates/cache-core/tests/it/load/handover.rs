//! A leader that does not come to its end.

use cache_core::{ErrorKind, LoadOptions};

use super::{MS, SECOND, Source, get, get_with, remote_world, settle, value, world};

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_dropped_hands_over_to_exactly_one() {
    for world in [world(), remote_world()] {
        let source = Source::default();
        let leader = get(&world, "key", &source, 1);
        settle().await;
        let others: Vec<_> = (2..100).map(|n| get(&world, "key", &source, n)).collect();
        settle().await;
        assert_eq!(source.calls(), 1);
        leader.abort();
        settle().await;
        assert_eq!(source.calls(), 2);
        source.let_go(1);
        for task in others {
            assert_eq!(value(task).await, Some(2));
        }
        assert_eq!(source.calls(), 2);
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_leader_in_turn_may_be_dropped() {
    let world = world();
    let source = Source::default();
    let mut tasks: Vec<_> = (0..50).map(|n| get(&world, "key", &source, n)).collect();
    for turn in 0..49 {
        settle().await;
        assert_eq!(source.calls(), turn + 1);
        tasks.remove(0).abort();
    }
    settle().await;
    source.let_go(1);
    assert_eq!(value(tasks.remove(0)).await, Some(49));
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_may_be_dropped() {
    let world = world();
    let source = Source::default();
    let leader = get(&world, "key", &source, 1);
    settle().await;
    let others: Vec<_> = (2..50).map(|n| get(&world, "key", &source, n)).collect();
    settle().await;
    others.iter().for_each(tokio::task::JoinHandle::abort);
    settle().await;
    source.let_go(1);
    assert_eq!(value(leader).await, Some(1));
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_all_are_dropped() {
    for world in [world(), remote_world()] {
        let source = Source::default();
        let tasks: Vec<_> = (0..50).map(|n| get(&world, "key", &source, n)).collect();
        settle().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
        assert_eq!(world.cache.stats().loads.pending, 0);
        assert_eq!(
            world
                .cache
                .get_or_insert_with("key", async || 9)
                .await
                .unwrap(),
            9
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_panics_hands_over_to_exactly_one() {
    let world = world();
    let cache = world.cache.clone();
    let leader = tokio::spawn(async move {
        let load = async || {
            tokio::time::sleep(SECOND).await;
            panic!("the loader broke")
        };
        cache.get_or_insert_with("key", load).await
    });
    settle().await;
    let source = Source::default();
    let others: Vec<_> = (0..10).map(|n| get(&world, "key", &source, n)).collect();
    source.let_go(1);
    for task in others {
        assert_eq!(value(task).await, Some(0));
    }
    assert!(leader.await.unwrap_err().is_panic());
    assert_eq!(source.calls(), 1);
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_gets_an_error_after_the_hard_timeout_and_hands_over() {
    let world = world();
    let options = LoadOptions::new().hard_timeout(SECOND);
    let source = Source::default();
    let start = tokio::time::Instant::now();
    let leader = get_with(&world, "key", options, &source, 1);
    tokio::time::sleep(400 * MS).await;
    let later = get_with(&world, "key", options, &source, 2);

    let error = leader.await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), SECOND);
    let limit = SECOND;
    assert_eq!(
        error.cache().unwrap().kind(),
        &ErrorKind::LoadTimeout { limit }
    );
    assert!(
        error.to_string().ends_with("the load took longer than 1s"),
        "{error}"
    );

    settle().await;
    assert_eq!(source.calls(), 2);
    let error = later.await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), 1400 * MS);
    assert!(error.cache().unwrap().is_transient());
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[test]
fn a_time_limit_outside_of_a_runtime_is_an_error() {
    let world = world();
    let options = LoadOptions::new().hard_timeout(SECOND);
    let load = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| super::not_called());
    let error = pollster(load).unwrap_err();
    let kind = error.cache().unwrap().kind().clone();
    assert!(matches!(kind, ErrorKind::Unsupported { .. }), "{kind:?}");
    // Without one there is no need of a runtime.
    assert_eq!(
        pollster(world.cache.get_or_insert_with("key", async || 3)).unwrap(),
        3
    );
}

/// Runs a future that never waits, without a runtime.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
