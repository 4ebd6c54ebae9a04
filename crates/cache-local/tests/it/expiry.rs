//! Expired entries are absent at once and freed soon.

use std::time::Duration;

use cache_core::Expiry;
use cache_local::LocalConfig;

use crate::Rig;

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn an_entry_lives_exactly_as_long_as_it_was_given() {
    let rig = Rig::<u64>::new(LocalConfig::new());
    rig.cache.set_ex("key", 1u64, MS * 250).await.unwrap();
    rig.hand.advance(MS * 249);
    assert_eq!(rig.cache.get("key").await.unwrap(), Some(1));
    assert_eq!(
        rig.cache.expiry("key").await.unwrap(),
        Some(Expiry::After(MS))
    );
    rig.hand.advance(MS);
    assert_eq!(rig.cache.get("key").await.unwrap(), None);
    assert_eq!(rig.cache.expiry("key").await.unwrap(), None);
}

#[tokio::test]
async fn a_sweep_frees_what_is_over_and_nothing_else() {
    let rig = Rig::<u64>::new(LocalConfig::new());
    for i in 0..10_000u64 {
        rig.cache
            .set_ex(format!("key:{i}"), i, MS * (1 + i as u32))
            .await
            .unwrap();
    }
    rig.cache.set("forever", 0u64).await.unwrap();
    let mut freed = 0;
    for _ in 0..10 {
        rig.hand.advance(MS * 1_000);
        freed += rig.backend.sweep();
        // Timers tick about once a millisecond, so the newest may wait for the next tick.
        let live = rig.cache.keys().await.unwrap().len() as u64;
        assert!(
            rig.entries() - live <= 2,
            "{} held, {live} live",
            rig.entries()
        );
    }
    rig.hand.advance(MS * 3);
    assert_eq!(freed + rig.backend.sweep(), 10_000);
    assert_eq!(rig.cache.keys().await.unwrap(), ["forever"]);
    assert_eq!(rig.cache.stats().backend.expired, 10_000);
}

#[tokio::test]
async fn a_refreshed_entry_is_not_swept_at_its_old_time() {
    let rig = Rig::<u64>::new(LocalConfig::new());
    rig.cache.set_ex("key", 1u64, 10).await.unwrap();
    for _ in 0..100 {
        rig.hand.advance(Duration::from_secs(6));
        assert_eq!(rig.backend.sweep(), 0);
        assert!(rig.cache.expire("key", 10).await.unwrap());
    }
    rig.cache.expire("key", 1).await.unwrap();
    rig.hand.advance(Duration::from_secs(2));
    assert_eq!(
        rig.backend.sweep(),
        1,
        "a shortened time is noticed as well"
    );
}

#[tokio::test]
async fn an_entry_that_was_persisted_or_overwritten_is_not_swept() {
    let rig = Rig::<u64>::new(LocalConfig::new());
    rig.cache.set_ex("persisted", 1u64, 1).await.unwrap();
    rig.cache.persist("persisted").await.unwrap();
    rig.cache.set_ex("overwritten", 1u64, 1).await.unwrap();
    rig.cache.set("overwritten", 2u64).await.unwrap();
    rig.cache.set_ex("deleted", 1u64, 1).await.unwrap();
    rig.cache.delete("deleted").await.unwrap();
    rig.cache.set("deleted", 3u64).await.unwrap();
    rig.hand.advance(Duration::from_secs(5));
    assert_eq!(rig.backend.sweep(), 0);
    assert_eq!(
        rig.cache.keys().await.unwrap(),
        ["deleted", "overwritten", "persisted"]
    );
}

#[tokio::test]
async fn writes_free_expired_entries_without_any_sweep() {
    let rig = Rig::<u64>::new(LocalConfig::new());
    for i in 0..1_000u64 {
        rig.cache.set_ex(format!("old:{i}"), i, 1).await.unwrap();
    }
    rig.hand.advance(Duration::from_secs(2));
    for i in 0..1_000u64 {
        rig.cache.set(format!("new:{i}"), i).await.unwrap();
    }
    assert_eq!(rig.entries(), 1_000);
}

#[tokio::test]
async fn expired_entries_make_room_before_live_ones_are_evicted() {
    let rig = Rig::<u64>::new(LocalConfig::new().max_entries(100));
    for i in 0..50u64 {
        rig.cache.set(format!("live:{i}"), i).await.unwrap();
        rig.cache.set_ex(format!("over:{i}"), i, 1).await.unwrap();
    }
    rig.hand.advance(Duration::from_secs(2));
    for i in 0..50u64 {
        rig.cache.set(format!("new:{i}"), i).await.unwrap();
    }
    assert_eq!(rig.cache.stats().backend.evicted_for_capacity, 0);
    assert_eq!(rig.cache.keys_with_prefix("live:").await.unwrap().len(), 50);
}

#[tokio::test]
async fn far_deadlines_of_every_size_are_kept() {
    let rig = Rig::<u64>::new(LocalConfig::new());
    for days in [1u64, 30, 365, 3_650, 36_500] {
        rig.cache
            .set_ex(format!("{days}"), days, days * 86_400)
            .await
            .unwrap();
    }
    for days in [1u64, 30, 365, 3_650, 36_500] {
        let gone = rig.cache.keys().await.unwrap().len();
        rig.hand.advance(Duration::from_secs(days * 86_400));
        rig.backend.sweep();
        assert_eq!(
            rig.cache.keys().await.unwrap().len(),
            gone - 1,
            "{days} days"
        );
    }
}
