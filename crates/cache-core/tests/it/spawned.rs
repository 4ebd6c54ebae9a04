//! Calls that go from one thread to another.

use cache_core::{Cache, SetOptions};
use cache_local::LocalBackend;

#[tokio::test]
async fn a_bulk_write_with_options_runs_in_a_task_of_its_own() {
    let cache: Cache<u32> = Cache::new(LocalBackend::default());
    let written = tokio::spawn({
        let cache = cache.clone();
        async move {
            let numbers = (1..=3_u32).map(|number| (format!("number:{number}"), number));
            let options = SetOptions::new().tags(&["numbers"]);
            cache.mset_with(numbers, options).await
        }
    });
    assert_eq!(written.await.unwrap().unwrap(), 3);
    assert_eq!(cache.get("number:2").await.unwrap(), Some(2));
    cache.delete_by_tag("numbers").await.unwrap();
    assert_eq!(cache.get("number:2").await.unwrap(), None);
}

#[tokio::test]
async fn retain_runs_in_a_task_of_its_own() {
    let cache: Cache<u32> = Cache::new(LocalBackend::default());
    cache.mset(vec![("a", 1_u32), ("b", 2)]).await.unwrap();
    let deleted = tokio::spawn({
        let cache = cache.clone();
        async move { cache.retain(|_, value| *value > 1).await }
    });
    assert_eq!(deleted.await.unwrap().unwrap(), 1);
    assert_eq!(cache.get("b").await.unwrap(), Some(2));
}
