//! Loads of absent keys, which another process changes meanwhile, in front of which each has a first tier.

use std::io;
use std::sync::Arc;

use cache_core::Cache;
use cache_testbed::{Flavor, Server};
use tokio::sync::oneshot;

use super::{BOUND, Bus, connect_with};

/// How a key is loaded.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Refresh,
    Bulk,
}

/// Loads `key` as "old", and runs `meanwhile` while the loader does.
async fn load_beside(cache: &Cache<String>, verb: Verb, meanwhile: impl Future<Output = ()>) {
    let (begins, begun) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    let once = Arc::new(tokio::sync::Mutex::new(Some((begins, gone))));
    let source = async move || {
        let (begins, gone) = once.lock().await.take().expect("it is loaded once");
        begins.send(()).expect("the test waits");
        gone.await.expect("the test says when");
        Ok::<_, io::Error>("old".to_owned())
    };
    let loads = cache.clone();
    let load = tokio::spawn(async move {
        match verb {
            Verb::Refresh => {
                loads
                    .entry("key")
                    .refresh(async move |_| source().await)
                    .await
            }
            Verb::Bulk => {
                let load = async |_: Vec<String>| Ok([("key".to_owned(), source().await?)]);
                let answers = loads.get_many_or_load(&["key"], load).await;
                answers.expect("the server answers").remove(0)
            }
        }
    });
    begun.await.expect("it begins");
    meanwhile.await;
    go.send(()).expect("the loader waits");
    let loaded = load.await.expect("no panic").expect("no error");
    assert_eq!(loaded.as_deref(), Some("old"), "who waits for it gets it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_loaded_before_another_process_has_changed_the_key_is_not_stored() {
    let server = Server::builder(Flavor::Redis7).start();
    for bus in [Bus::Tracking, Bus::PubSub] {
        let caches = [
            connect_with(server.port(), bus).await,
            connect_with(server.port(), bus).await,
        ];
        let caches = caches.map(Cache::<String>::new);
        let [ours, theirs] = &caches;
        for verb in [Verb::Refresh, Verb::Bulk] {
            let delete = async { assert!(!theirs.delete("key").await.unwrap()) };
            load_beside(ours, verb, delete).await;
            for cache in &caches {
                assert_eq!(cache.get("key").await.unwrap(), None, "{verb:?}");
            }
            load_beside(ours, verb, async {
                theirs.set("key", "new").await.unwrap();
            })
            .await;
            // Whatever memory holds, it is not what is old.
            tokio::time::sleep(BOUND).await;
            for cache in &caches {
                let found = cache.get("key").await.unwrap();
                assert_eq!(found.as_deref(), Some("new"), "{verb:?}");
            }
            assert!(theirs.delete("key").await.unwrap());
            tokio::time::sleep(BOUND).await;
            load_beside(ours, verb, async {}).await;
            for cache in &caches {
                let found = cache.get("key").await.unwrap();
                assert_eq!(found.as_deref(), Some("old"), "{verb:?}");
            }
            assert!(theirs.delete("key").await.unwrap());
            tokio::time::sleep(BOUND).await;
        }
    }
}
