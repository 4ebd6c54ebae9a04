//! When the cache itself fails.

use cache_conformance::Fault;
use cache_core::{ErrorKind, LoadOptions};

use super::{SECOND, Source, failing, get, not_called, settle, value, world};

#[tokio::test(start_paused = true)]
async fn a_cache_that_cannot_be_read_is_gone_past_and_counted_with_one_load_for_all() {
    let world = world();
    world.backend.every(1, Fault::Fail(ErrorKind::Unavailable));
    let source = Source::default();
    let tasks: Vec<_> = (0..10).map(|n| get(&world, "key", &source, n)).collect();
    settle().await;
    source.let_go(1);
    for task in tasks {
        assert_eq!(value(task).await, Some(0));
    }
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.past_outage, loads.pending), (1, 10, 0));
    // Nothing was sent after the read that failed.
    assert_eq!(world.backend.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_it_gets_the_error_of_the_cache() {
    let world = world();
    world.backend.every(1, Fault::Fail(ErrorKind::Unavailable));
    let options = LoadOptions::new().fail_on_outage(true);
    let load = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| not_called());
    let error = load.await.unwrap_err();
    assert_eq!(error.cache().unwrap().kind(), &ErrorKind::Unavailable);
    assert!(error.to_string().starts_with("or_load (key #"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_load_for_which_no_time_is_left_is_neither_a_load_nor_a_failure() {
    let world = world();
    let options = LoadOptions::new().hard_timeout(SECOND);
    // The read takes all the time that there is.
    world.backend.script([Fault::DelayReply(2 * SECOND)]);
    let load = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| not_called());
    let error = load.await.unwrap_err();
    let limit = SECOND;
    assert_eq!(
        error.cache().unwrap().kind(),
        &ErrorKind::LoadTimeout { limit }
    );
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.failures, loads.pending), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_asks_for_its_own_key_is_one_failure_of_one_load() {
    let world = world();
    let cache = world.cache.clone();
    let inner = async move |_| match cache.entry("key").refresh(|_| not_called()).await {
        Err(error) => Err::<u32, _>(std::io::Error::other(error.cache().unwrap().clone())),
        Ok(_) => panic!("it waits for itself"),
    };
    let outer = world.cache.entry("key").or_load(inner).await;
    assert!(outer.unwrap_err().loader().is_some());
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.failures, loads.pending), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_stored_is_returned_and_counted() {
    let world = world();
    // The read and the ticket for tags go well, the write does not.
    world
        .backend
        .script([Fault::None, Fault::None, Fault::Fail(ErrorKind::Timeout)]);
    assert_eq!(
        world
            .cache
            .get_or_insert_with("key", async || 1)
            .await
            .unwrap(),
        1
    );
    let stats = world.cache.stats();
    assert_eq!((stats.loads.not_stored, stats.sets), (1, 0));
    assert_eq!(world.cache.get("key").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn texts_and_debug_output_show_no_values() {
    let world = world();
    let error = world
        .cache
        .entry("secret-key")
        .or_load(|_| failing())
        .await
        .unwrap_err();
    let text = "the loader failed: the database is down";
    assert_eq!(error.to_string(), text);
    let loaded = cache_core::Loaded::value("secret");
    assert!(!format!("{loaded:?}").contains("secret"));
    let load = async |context: cache_core::LoadContext<u32>| {
        assert!(!format!("{context:?}").contains("secret"));
        Ok::<_, std::io::Error>(1)
    };
    world.cache.entry("secret-key").or_load(load).await.unwrap();
}
