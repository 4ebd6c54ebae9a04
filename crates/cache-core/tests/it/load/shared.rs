//! Caches that were built one by one over the same backend.

use std::io;
use std::sync::Arc;

use cache_core::{
    BackendEntry, BackendWrite, Cache, CacheBackend, CacheBuilder, Condition, Cursor, DynBackend,
    Expiry, LoadOptions, Loaded, Page, Result, Scope,
};
use cache_local::LocalBackend;
use tokio::task::JoinHandle;

use super::{SECOND, Source, not_called, settle};

type Two = (Cache<u32>, Cache<u32>);

/// A backend of somebody's own, with no more than it must have.
#[derive(Debug, Default)]
struct Plain(LocalBackend<u32>);

impl CacheBackend<u32> for Plain {
    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<u32>>> {
        self.0.get_entry(key).await
    }
    async fn set(&self, key: &str, value: u32, options: BackendWrite) -> Result<bool> {
        CacheBackend::set(&self.0, key, value, options).await
    }
    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.0.delete(key, condition).await
    }
    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.0.set_expiry(key, expiry).await
    }
    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.0.scan(scope, cursor, limit).await
    }
}

fn of_one_arc() -> Two {
    let backend = Arc::new(LocalBackend::default());
    (Cache::new(Arc::clone(&backend)), Cache::new(backend))
}

/// Two caches of one namespace, one of which is a view.
fn of_one_namespace() -> Two {
    let backend = Arc::new(LocalBackend::default());
    let shop = Cache::builder(Arc::clone(&backend)).namespace("shop");
    let view = Cache::new(backend).namespace("shop");
    (shop.build().unwrap(), view.unwrap())
}

#[cfg(feature = "json")]
fn of_one_store_of_bytes() -> Two {
    use cache_core::{EncodedBackend, JsonCodec};

    let store = Arc::new(LocalBackend::default());
    let cache = |store| Cache::new(EncodedBackend::new(store, JsonCodec::new()));
    (cache(Arc::clone(&store)), cache(store))
}

fn of_clones(backend: &DynBackend<u32>) -> Two {
    let cache = || CacheBuilder::with_backend(backend.clone()).build().unwrap();
    (cache(), cache())
}

fn pairs() -> Vec<Two> {
    vec![
        of_one_arc(),
        of_one_namespace(),
        #[cfg(feature = "json")]
        of_one_store_of_bytes(),
        of_clones(&DynBackend::new(LocalBackend::default())),
        of_clones(&DynBackend::new(Plain::default())),
    ]
}

/// Begins a load of a key in a task of its own.
fn load(cache: &Cache<u32>, source: &Source, value: u32) -> JoinHandle<Option<u32>> {
    let (cache, source) = (cache.clone(), source.clone());
    tokio::spawn(async move {
        let load = move |_| source.load(value);
        cache.entry("key").or_load(load).await.unwrap()
    })
}

fn refresh(cache: &Cache<u32>, source: &Source, value: u32) -> JoinHandle<Option<u32>> {
    let (cache, source) = (cache.clone(), source.clone());
    tokio::spawn(async move {
        let load = move |_| source.load(value);
        cache.entry("key").refresh(load).await.unwrap()
    })
}

/// Changes something by the second cache while the first one loads the key, and returns what is there afterwards.
async fn while_loading((one, two): &Two, change: impl AsyncFnOnce(&Cache<u32>)) -> Option<u32> {
    let source = Source::default();
    let loading = load(one, &source, 1);
    source.has_begun().await;
    change(two).await;
    source.let_go(1);
    assert_eq!(loading.await.unwrap(), Some(1));
    let found = one.get("key").await.unwrap();
    assert_eq!(two.get("key").await.unwrap(), found);
    assert_eq!(one.stats().loads.pending, 0);
    found
}

#[tokio::test(start_paused = true)]
async fn what_one_cache_deletes_another_does_not_bring_back() {
    for pair in pairs() {
        let deleted = while_loading(&pair, async |two| {
            two.delete("key").await.unwrap();
        });
        assert_eq!(deleted.await, None);
        let deleted = while_loading(&pair, async |two| {
            two.mdelete(&["key", "other"]).await.unwrap();
        });
        assert_eq!(deleted.await, None);
        let cleared = while_loading(&pair, async |two| {
            two.clear().await.unwrap();
        });
        assert_eq!(cleared.await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_cache_sets_stays_although_it_ends_before_the_load_of_another() {
    for pair in pairs() {
        let set = while_loading(&pair, async |two| two.set("key", 2u32).await.unwrap());
        assert_eq!(set.await, Some(2));
        pair.0.clear().await.unwrap();
        let taken = while_loading(&pair, async |two| {
            two.set("key", 2u32).await.unwrap();
            assert_eq!(two.take("key").await.unwrap(), Some(2));
        });
        assert_eq!(taken.await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_one_cache_is_newer_than_the_load_of_another_that_lands_before_it() {
    for (one, two) in pairs() {
        let (older, newer) = (Source::default(), Source::default());
        let loading = load(&one, &older, 1);
        older.has_begun().await;
        let refreshing = refresh(&two, &newer, 2);
        newer.has_begun().await;
        older.let_go(1);
        assert_eq!(loading.await.unwrap(), Some(1));
        newer.let_go(1);
        assert_eq!(refreshing.await.unwrap(), Some(2));
        assert_eq!(one.get("key").await.unwrap(), Some(2));
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_cache_deletes_a_bulk_load_of_another_does_not_bring_back() {
    for (one, two) in pairs() {
        let source = Source::default();
        let loading = tokio::spawn({
            let (one, source) = (one.clone(), source.clone());
            async move {
                let load = async |keys: Vec<String>| {
                    let value = source.clone().load(1).await?;
                    Ok::<_, io::Error>(
                        keys.into_iter()
                            .map(move |key| (key, value))
                            .collect::<Vec<_>>(),
                    )
                };
                let found = one.get_many_or_load(&["key", "other"], load).await.unwrap();
                found.into_iter().flatten().flatten().collect::<Vec<u32>>()
            }
        });
        source.has_begun().await;
        two.delete("key").await.unwrap();
        source.let_go(1);
        assert_eq!(loading.await.unwrap(), [1, 1]);
        assert_eq!(one.mget(&["key", "other"]).await.unwrap(), [None, Some(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_tag_was_invalidated_by_another_cache_takes_no_older_value() {
    for (one, two) in pairs()
        .into_iter()
        .filter(|(one, _)| one.backend().abilities().tags.is_some())
    {
        let (older, newer) = (Source::default(), Source::default());
        let tagged = |source: &Source, value| {
            let (one, source) = (one.clone(), source.clone());
            tokio::spawn(async move {
                let load = async move |_| {
                    Ok::<_, io::Error>(Loaded::value(source.load(value).await?).tags(["team"]))
                };
                one.entry("key").or_load(load).await.unwrap()
            })
        };
        let loading = tagged(&older, 1);
        older.has_begun().await;
        two.delete_by_tag("team").await.unwrap();
        let later = tagged(&newer, 2);
        settle().await;
        older.let_go(1);
        assert_eq!(loading.await.unwrap(), Some(1));
        newer.let_go(1);
        assert_eq!(later.await.unwrap(), Some(2));
        assert_eq!(two.get("key").await.unwrap(), Some(2));
    }
}

#[tokio::test(start_paused = true)]
async fn one_loads_a_key_for_all_caches_and_all_forget_that_there_is_nothing() {
    for (one, two) in pairs() {
        let source = Source::default();
        let loading = load(&one, &source, 1);
        source.has_begun().await;
        let joining = load(&two, &source, 2);
        settle().await;
        source.let_go(1);
        assert_eq!(
            (loading.await.unwrap(), joining.await.unwrap()),
            (Some(1), Some(1))
        );
        assert_eq!(source.calls(), 1);

        let options = LoadOptions::new().absent_ttl(60 * SECOND);
        let absent = one.entry("none").options(options);
        let answer = absent.or_load(async |_| Ok::<_, io::Error>(None)).await;
        assert_eq!(answer.unwrap(), None);
        let absent = two.entry("none").options(options);
        assert_eq!(absent.or_load(|_| not_called()).await.unwrap(), None);
        two.set("none", 3u32).await.unwrap();
        two.delete("none").await.unwrap();
        let absent = one.entry("none").options(options);
        let answer = absent.or_load(async |_| Ok::<_, io::Error>(4)).await;
        assert_eq!(answer.unwrap(), Some(4));
    }
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn caches_of_different_values_over_one_store_delete_and_do_not_join_what_the_other_loads() {
    use cache_core::{EncodedBackend, JsonCodec};

    let store = Arc::new(LocalBackend::default());
    let numbers: Cache<u32> = Cache::new(EncodedBackend::new(Arc::clone(&store), JsonCodec::new()));
    let texts: Cache<String> = Cache::new(EncodedBackend::new(store, JsonCodec::new()));
    let source = Source::default();
    let loading = load(&numbers, &source, 1);
    source.has_begun().await;
    texts.delete("key").await.unwrap();
    source.let_go(1);
    assert_eq!(loading.await.unwrap(), Some(1));
    assert_eq!(numbers.get("key").await.unwrap(), None);

    let loading = load(&numbers, &source, 1);
    source.has_begun().await;
    let text = tokio::spawn(async move {
        texts
            .get_or_insert_with("key", async || "one".to_owned())
            .await
    });
    settle().await;
    source.let_go(1);
    assert_eq!(loading.await.unwrap(), Some(1));
    // It loads its own, as what is there is no text.
    assert_eq!(text.await.unwrap().unwrap(), "one");
}
