//! The background thread of the process: one for all caches, and none without them. Alone in its program, as threads
//! are the whole program's.
#![cfg(all(target_os = "linux", not(shuttle)))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use cache_core::{Cache, CacheBackend};
use cache_local::{LocalBackend, LocalConfig};

/// Returns how many threads of this process sweep.
fn sweepers() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let names = threads.filter_map(|thread| {
        // A thread may end between the two.
        fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.trim() == "cache-sweeper").count()
}

fn eventually(expected: usize) {
    let start = Instant::now();
    while sweepers() != expected {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", sweepers());
        sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn there_is_one_thread_while_a_cache_needs_it_and_none_before_and_after() {
    for _ in 0..3 {
        let first: Cache<u32> = Cache::new(LocalBackend::default());
        first.set("forever", 1u32).await.unwrap();
        let unswept = LocalConfig::new().cleanup_interval(Duration::ZERO);
        let unswept: Cache<u32> = Cache::new(LocalBackend::new(unswept).unwrap());
        unswept.set_ex("key", 1u32, 5).await.unwrap();
        assert_eq!(sweepers(), 0, "there is nothing to sweep");

        // At an interval of a minute.
        first.set_ex("key", 1u32, 5).await.unwrap();
        eventually(1);
        let second = LocalBackend::<u32>::default();
        let tags = CacheBackend::<u32>::abilities(&second).tags.unwrap();
        tags.invalidate(&["tag"]).await.unwrap();
        first.set_ex("key", 2u32, 5).await.unwrap();
        sleep(Duration::from_millis(10));
        assert_eq!(sweepers(), 1);

        drop(first);
        sleep(Duration::from_millis(10));
        assert_eq!(sweepers(), 1, "the other cache needs it");
        drop(second);
        // At once, and not at its next turn.
        eventually(0);
    }
}
