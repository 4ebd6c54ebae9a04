//! The counters of the in-process backend.

use async_trait::async_trait;
use cache_core::{Count, Counters, Expiry, Result};

use super::LocalBackend;

#[async_trait]
impl<V: Clone + Send + Sync + 'static> Counters for LocalBackend<V> {
    async fn add(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        self.before_write(window);
        self.store.count(name, by, window)
    }

    async fn get(&self, name: &str) -> Result<Option<Count>> {
        Ok(self.store.count_of(name))
    }

    async fn reset(&self, name: &str) -> Result<bool> {
        Ok(self.store.reset_count(name))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use cache_core::{Clock, Counters, Expiry, ManualClock};

    use super::LocalBackend;
    use crate::LocalConfig;

    const MINUTE: Duration = Duration::from_secs(60);

    fn backend(interval: Duration) -> (LocalBackend<String>, ManualClock) {
        let (clock, hand) = Clock::manual();
        let config = LocalConfig::new().cleanup_interval(interval).clock(clock);
        (
            LocalBackend::new(config).expect("the options are right"),
            hand,
        )
    }

    async fn count(backend: &LocalBackend<String>) {
        for number in 0..1_000 {
            let name = number.to_string();
            let count = backend.add(&name, 1, Expiry::After(MINUTE)).await;
            assert_eq!(count.expect("there is room").value, 1);
        }
    }

    #[tokio::test]
    async fn a_sweep_frees_the_counters_whose_windows_have_ended() {
        let (backend, hand) = backend(Duration::ZERO);
        count(&backend).await;
        hand.advance(MINUTE - Duration::from_nanos(1));
        assert_eq!(backend.sweep(), 0);
        assert_eq!(backend.store.counters_held(), 1_000);
        hand.advance(Duration::from_nanos(1));
        assert_eq!(backend.sweep(), 0, "counters are no entries");
        assert_eq!(backend.store.counters_held(), 0);
    }

    #[tokio::test]
    async fn the_background_thread_frees_counters_in_a_cache_that_only_counts() {
        let (backend, hand) = backend(Duration::from_millis(10));
        count(&backend).await;
        assert_eq!(backend.store.counters_held(), 1_000);
        hand.advance(MINUTE);
        let start = Instant::now();
        while backend.store.counters_held() > 0 {
            assert!(start.elapsed() < MINUTE, "they are never freed");
            sleep(Duration::from_millis(1));
        }
    }
}
