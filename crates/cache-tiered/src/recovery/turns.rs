//! Keeps deletes that are repeated apart from the writes of their keys.
//!
//! A repeated delete that is on its way would take what was written since. So it does not begin while a write of
//! its key is under way, and a write does not begin while it is on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What is done to keys of which a delete has failed.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    keys: Mutex<HashMap<String, Turn>>,
    numbers: AtomicU64,
    ended: Notify,
}

#[derive(Debug)]
struct Turn {
    /// How many writes are under way, or wait for the end of a repeated delete.
    writes: usize,
    is_repeated: bool,
    /// Another one since one of them has ended, and for a key to which nothing was done meanwhile.
    number: u64,
}

/// The turn of some keys, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turned<'t> {
    turns: &'t Turns,
    keys: Vec<String>,
    is_write: bool,
}

impl Turned<'_> {
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.keys.iter().any(|turned| turned == key)
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Turn>> {
        // What panics while it is held is the allocator at most; a key too many ends with its turn.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps deletes of these keys from being repeated, and waits for those that are on their way.
    pub(crate) async fn write(&self, keys: &[&str]) -> Turned<'_> {
        let turned = self.turned(keys, true);
        {
            let mut turns = self.lock();
            for key in &turned.keys {
                let turn = turns.entry(key.clone());
                turn.or_insert_with(|| self.turn()).writes += 1;
            }
        }
        self.wait_until(|turns| {
            let is_repeated = |key: &&str| turns.get(*key).is_some_and(|turn| turn.is_repeated);
            !keys.iter().any(is_repeated)
        })
        .await;
        turned
    }

    /// Returns the turn of those of these keys to which nothing else is done, to repeat their deletes.
    pub(crate) fn repeat(&self, keys: &[&str]) -> Turned<'_> {
        let mut turns = self.lock();
        let mut free = keys.to_vec();
        free.retain(|key| !turns.contains_key(*key));
        for key in &free {
            let turn = turns.entry((*key).to_owned());
            turn.or_insert_with(|| self.turn()).is_repeated = true;
        }
        self.turned(&free, false)
    }

    /// Returns when one of the turns of a key has ended, or if nothing is done to it. Others may go on: who waits for
    /// all of them may wait as long as there are writers.
    pub(crate) async fn one_ended(&self, key: &str) {
        let number = |turns: &HashMap<_, Turn>| turns.get(key).map(|turn| turn.number);
        let before = number(&self.lock());
        if before.is_some() {
            self.wait_until(|turns| number(turns) != before).await;
        }
    }

    fn turn(&self) -> Turn {
        Turn {
            writes: 0,
            is_repeated: false,
            number: self.number(),
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn turned(&self, keys: &[&str], is_write: bool) -> Turned<'_> {
        Turned {
            turns: self,
            keys: keys.iter().map(ToString::to_string).collect(),
            is_write,
        }
    }

    async fn wait_until(&self, is_so: impl Fn(&HashMap<String, Turn>) -> bool) {
        loop {
            let ended = self.ended.notified();
            if is_so(&self.lock()) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Turned<'_> {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        for key in &self.keys {
            if let Some(turn) = turns.get_mut(key) {
                turn.number = self.turns.number();
                match self.is_write {
                    true => turn.writes -= 1,
                    false => turn.is_repeated = false,
                }
                if turn.writes == 0 && !turn.is_repeated {
                    turns.remove(key);
                }
            }
        }
        drop(turns);
        self.turns.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::Turns;

    /// Returns what a future is ready with at once.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut context) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_repeated_delete_and_writes_of_its_key_exclude_each_other() {
        let turns = Turns::default();
        let one = now(turns.write(&["a", "b"])).expect("nothing is repeated");
        let two = now(turns.write(&["b"])).expect("writes go side by side");
        assert!(!turns.repeat(&["b"]).contains("b"));
        drop(one);
        assert!(!turns.repeat(&["b"]).contains("b"));
        let repeat = turns.repeat(&["a", "b", "c"]);
        assert!(repeat.contains("a") && !repeat.contains("b") && repeat.contains("c"));
        assert!(now(turns.one_ended("c")).is_none() && now(turns.one_ended("d")).is_some());
        assert!(now(turns.write(&["b", "c"])).is_none());
        drop((two, repeat));
        assert!(turns.repeat(&["b"]).contains("b"));
        assert!(now(turns.write(&["b", "c"])).is_some());
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn the_end_of_one_turn_is_told_though_the_next_has_begun() {
        let turns = Turns::default();
        let mut context = Context::from_waker(Waker::noop());
        for overlap in [true, false] {
            let first = now(turns.write(&["a"])).expect("nothing is done to it");
            let mut waiting = pin!(turns.one_ended("a"));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            let next = overlap.then(|| now(turns.write(&["a"])));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            drop(first);
            let next = next.unwrap_or_else(|| now(turns.write(&["a"])));
            assert!(waiting.as_mut().poll(&mut context).is_ready());
            drop(next);
        }
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn a_write_that_waits_comes_before_the_next_repeat() {
        let turns = Turns::default();
        let repeat = turns.repeat(&["a"]);
        {
            let mut write = pin!(turns.write(&["a"]));
            let mut context = Context::from_waker(Waker::noop());
            assert!(write.as_mut().poll(&mut context).is_pending());
            drop(repeat);
            assert!(!turns.repeat(&["a"]).contains("a"));
            assert!(write.as_mut().poll(&mut context).is_ready());
        }
        assert!(turns.lock().is_empty());
    }
}
