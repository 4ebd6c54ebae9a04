//! The bound is exact, over all shards, whatever is written.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use cache_core::{
    BackendWrite, Cache, CacheBackend, Condition, ErrorKind, Expiry, SetOptions, TransactionWrite,
};
use cache_local::{LocalBackend, LocalConfig};

use crate::{Rig, now};

#[tokio::test]
async fn a_cache_bounded_by_count_fills_to_its_bound_and_never_beyond() {
    for bound in [1, 2, 3, 10, 100, 1_000] {
        let rig = Rig::<u64>::new(LocalConfig::new().max_entries(bound));
        for i in 0..bound * 3 {
            rig.cache.set(format!("key:{i}"), i).await.unwrap();
            assert!(rig.entries() <= bound);
        }
        assert_eq!(
            rig.entries(),
            bound,
            "every place is used, in whatever shard it is"
        );
        assert_eq!(rig.cache.stats().backend.evicted_for_capacity, bound * 2);
        assert_eq!(rig.cache.keys().await.unwrap().len() as u64, bound);
    }
}

#[tokio::test]
async fn a_new_entry_is_never_the_one_that_is_evicted_for_it() {
    let rig = Rig::<u32>::new(LocalConfig::new().max_entries(1));
    for i in 0..1_000u32 {
        rig.cache.set(format!("key:{i}"), i).await.unwrap();
        assert_eq!(rig.cache.get(format!("key:{i}")).await.unwrap(), Some(i));
    }
}

#[tokio::test]
async fn a_cache_bounded_by_weight_holds_as_much_as_fits() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(1_000, weigh));
    for i in 0..5_000u32 {
        rig.cache
            .set(format!("key:{}", i % 700), i % 97)
            .await
            .unwrap();
        assert!(rig.weight() <= 1_000);
    }
    assert!(
        rig.weight() > 1_000 - 97,
        "room for the heaviest value may be left, not more"
    );
}

#[tokio::test]
async fn a_value_that_grows_in_place_evicts_others_and_may_fill_the_whole_cache() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(100, weigh));
    for i in 0..100 {
        rig.cache.set(format!("key:{i}"), 1u32).await.unwrap();
    }
    for weight in [5u32, 50, 99, 100, 3] {
        rig.cache.set("key:0", weight).await.unwrap();
        assert_eq!(rig.cache.get("key:0").await.unwrap(), Some(weight));
        assert!(rig.weight() <= 100);
    }
    assert_eq!(rig.weight(), 3, "what shrank gave its room back");
    assert_eq!(rig.entries(), 1);
}

#[tokio::test]
async fn a_value_heavier_than_the_whole_cache_is_refused_and_the_old_one_stays() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(100, weigh));
    rig.cache.set("key", 7u32).await.unwrap();
    let too_large = ErrorKind::TooLarge {
        weight: 101,
        limit: 100,
    };
    assert_eq!(
        rig.cache.set("key", 101u32).await.unwrap_err().kind(),
        &too_large
    );
    assert_eq!(
        rig.cache
            .get_and_set("key", 101u32)
            .await
            .unwrap_err()
            .kind(),
        &too_large
    );
    let error = rig
        .cache
        .mset([("other", 1u32), ("key", 101)])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &too_large);
    assert_eq!(rig.cache.get("key").await.unwrap(), Some(7));
    assert_eq!(
        rig.cache.get("other").await.unwrap(),
        None,
        "a refused mset writes nothing"
    );
    assert_eq!(rig.cache.stats().backend.refused, 3);
    assert_eq!(rig.entries(), 1);
}

#[tokio::test]
async fn weightless_values_take_no_room() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(1, weigh));
    for i in 0..100 {
        rig.cache.set(format!("key:{i}"), 0u32).await.unwrap();
    }
    assert_eq!((rig.entries(), rig.weight()), (100, 0));
}

#[tokio::test]
async fn a_write_that_is_refused_by_its_condition_costs_no_room() {
    let rig = Rig::<i32>::new(LocalConfig::new().max_entries(2));
    rig.cache.mset([("a", 1), ("b", 2)]).await.unwrap();
    for _ in 0..10 {
        assert!(!rig.cache.set_nx("a", 3).await.unwrap());
    }
    assert_eq!(
        rig.cache.mget(&["a", "b"]).await.unwrap(),
        [Some(1), Some(2)]
    );
    rig.cache.delete("a").await.unwrap();
    rig.cache.set("c", 4).await.unwrap();
    assert_eq!(
        rig.cache.mget(&["b", "c"]).await.unwrap(),
        [Some(2), Some(4)]
    );
}

#[tokio::test]
async fn lowering_the_bound_evicts_at_once_and_raising_it_makes_room() {
    let rig = Rig::<i32>::new(LocalConfig::new().max_entries(1_000));
    for i in 0..1_000 {
        rig.cache.set(format!("key:{i}"), i).await.unwrap();
    }
    rig.backend.resize(10).unwrap();
    assert_eq!(rig.entries(), 10);
    assert_eq!(rig.cache.stats().backend.evicted_by_resize, 990);
    rig.backend.resize(2_000).unwrap();
    for i in 0..2_000 {
        rig.cache.set(format!("key:{i}"), i).await.unwrap();
    }
    assert_eq!(rig.entries(), 2_000);
    assert_eq!(rig.cache.stats().backend.evicted_for_capacity, 0);
}

#[tokio::test]
async fn an_unbounded_cache_can_be_given_a_bound() {
    let rig = Rig::<i32>::new(LocalConfig::new());
    for i in 0..500 {
        rig.cache.set(format!("key:{i}"), i).await.unwrap();
    }
    rig.backend.resize(50).unwrap();
    assert_eq!(rig.entries(), 50);
}

#[tokio::test]
async fn a_working_set_that_is_read_survives_a_scan_ten_times_its_size() {
    let backend = LocalBackend::new(LocalConfig::new().max_entries(1_000)).unwrap();
    let cache: Cache<u32> = Cache::new(backend);
    for round in 0..20 {
        for hot in 0..500u32 {
            if cache.get(format!("hot:{hot}")).await.unwrap().is_none() {
                cache.set(format!("hot:{hot}"), hot).await.unwrap();
            }
        }
        for cold in 0..500u32 {
            cache
                .set(format!("cold:{round}:{cold}"), cold)
                .await
                .unwrap();
        }
    }
    let hot: Vec<String> = (0..500).map(|hot| format!("hot:{hot}")).collect();
    let kept = cache.mget(&hot).await.unwrap().iter().flatten().count();
    assert!(kept >= 490, "{kept} of 500 hot entries survived");
}

#[tokio::test]
async fn an_entry_that_grows_is_never_evicted_to_make_room_for_itself() {
    let weigh = |_: &str, value: &u32| *value;
    for round in 0..100u32 {
        let rig = Rig::new(LocalConfig::new().max_weight(100, weigh));
        rig.cache.set("a", 60u32).await.unwrap();
        rig.cache.set("b", 40u32).await.unwrap();
        if round % 2 == 0 {
            let grown = SetOptions::new().if_present();
            assert!(rig.cache.set_with("b", 70u32, grown).await.unwrap());
        } else {
            assert_eq!(rig.cache.get_and_set("b", 70u32).await.unwrap(), Some(40));
        }
        assert_eq!(rig.cache.mget(&["a", "b"]).await.unwrap(), [None, Some(70)]);
        assert_eq!(rig.cache.stats().backend.evicted_for_capacity, 1);
    }
}

#[tokio::test]
async fn growing_an_entry_evicts_no_more_than_it_grows_by() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(1_000, weigh).shards(8));
    rig.cache.set("big", 200u32).await.unwrap();
    for i in 0..800 {
        rig.cache.set(format!("small:{i}"), 1u32).await.unwrap();
    }
    rig.cache.set("big", 201u32).await.unwrap();
    assert_eq!(rig.cache.stats().backend.evicted_for_capacity, 1);
    assert_eq!(rig.weight(), 1_000);
}

#[tokio::test]
async fn a_shrinking_cache_gives_up_what_has_expired_first() {
    let rig = Rig::<u32>::new(LocalConfig::new().max_entries(100));
    for i in 0..50u32 {
        rig.cache.set(format!("live:{i}"), i).await.unwrap();
        rig.cache.set_ex(format!("over:{i}"), i, 1).await.unwrap();
    }
    rig.hand.advance(std::time::Duration::from_secs(2));
    rig.backend.resize(50).unwrap();
    assert_eq!(rig.cache.keys_with_prefix("live:").await.unwrap().len(), 50);
    assert_eq!(rig.cache.stats().backend.evicted_by_resize, 0);
    assert_eq!(rig.cache.stats().backend.expired, 50);
}

#[tokio::test]
async fn an_entry_that_grows_beside_newcomers_alone_takes_their_room() {
    let weigh = |_: &str, value: &u32| *value;
    for others in 1..30u32 {
        let rig = Rig::new(LocalConfig::new().max_weight(1_000, weigh).shards(1));
        rig.cache.set("big", 1_000 - others).await.unwrap();
        for i in 0..others {
            rig.cache.set(format!("small:{i}"), 1u32).await.unwrap();
        }
        for weight in [1_000 - others / 2, 1_000] {
            let swapped = rig.cache.get_and_set("big", weight).await.unwrap();
            assert!(swapped.is_some());
        }
        assert_eq!((rig.entries(), rig.weight()), (1, 1_000));
    }
}

/// A value that notes whether the heavy one was there when it was dropped.
struct Displaced {
    weight: u32,
    backend: Weak<LocalBackend<Self>>,
    late: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Clone for Displaced {
    fn clone(&self) -> Self {
        unreachable!("no test reads it")
    }
}

impl Drop for Displaced {
    fn drop(&mut self) {
        let Some(backend) = self.backend.upgrade() else {
            return;
        };
        self.dropped.fetch_add(1, Ordering::SeqCst);
        if now(backend.expiry("heavy")).unwrap().is_some() {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn what_a_heavy_value_displaces_is_dropped_before_it_is_stored() {
    const VICTIMS: u32 = 10_000;
    for (shards, by_commit) in [(1, false), (8, false), (1, true), (8, true)] {
        let weigh = |_: &str, value: &Displaced| value.weight;
        let config = LocalConfig::new().max_weight(VICTIMS.into(), weigh);
        let backend = Arc::new(LocalBackend::new(config.shards(shards)).unwrap());
        let (late, dropped) = (Arc::default(), Arc::default());
        let value = |weight| Displaced {
            weight,
            backend: Arc::downgrade(&backend),
            late: Arc::clone(&late),
            dropped: Arc::clone(&dropped),
        };
        let always = BackendWrite::new(Expiry::Never, Condition::Always);
        for number in 0..VICTIMS {
            let key = number.to_string();
            let set = backend.set(&key, value(1), always.clone());
            assert!(set.await.unwrap());
        }
        if by_commit {
            let transactions = CacheBackend::abilities(&*backend).transactions.unwrap();
            let (_, watch) = transactions.watch(&[]).await.unwrap();
            let heavy = TransactionWrite::Set(value(VICTIMS), Expiry::Never);
            let commit = transactions.commit(watch, vec![("heavy", heavy)]);
            commit.await.unwrap();
        } else {
            assert!(backend.set("heavy", value(VICTIMS), always).await.unwrap());
        }
        assert_eq!(dropped.load(Ordering::SeqCst), VICTIMS as usize);
        assert_eq!(late.load(Ordering::SeqCst), 0, "{shards} {by_commit}");
        let stats = CacheBackend::stats(&*backend);
        assert_eq!(
            (stats.weight, stats.entries),
            (Some(VICTIMS.into()), Some(1))
        );
    }
}

#[tokio::test]
async fn a_heavy_value_is_stored_though_a_listener_panics_about_each_that_it_displaces() {
    let told = Arc::new(AtomicUsize::new(0));
    let tell = Arc::clone(&told);
    let weigh = |_: &str, value: &u32| *value;
    let config = LocalConfig::new().max_weight(1_000, weigh).shards(2);
    let rig = Rig::new(config.on_removal(move |_| {
        tell.fetch_add(1, Ordering::SeqCst);
        panic!("it always does");
    }));
    for number in 0..1_000 {
        rig.cache.set(format!("key:{number}"), 1u32).await.unwrap();
    }
    let cache = rig.cache.clone();
    let panicked = tokio::spawn(async move { cache.set("heavy", 1_000u32).await });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(told.load(Ordering::SeqCst), 1_000);
    assert_eq!(rig.cache.get("heavy").await.unwrap(), Some(1_000));
    assert_eq!(rig.weight(), 1_000);
}
