//! Keeps deletes that are repeated apart from the writes of their keys.
//!
//! A repeated delete that is on its way would take what was written since. So it does not begin while a write of
//! its key is under way, and a write does not begin while it is on its way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What is done to keys of which a delete has failed.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    keys: Mutex<HashMap<String, Turn>>,
    ended: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// So many writes are under way.
    Writes(usize),
    /// A delete is repeated.
    Repeat,
}

/// The turn of some keys, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turned<'t> {
    turns: &'t Turns,
    keys: Vec<String>,
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

    /// Waits until no delete of these keys is on its way, and keeps others from beginning.
    pub(crate) async fn write(&self, keys: &[&str]) -> Turned<'_> {
        self.wait_for(|turns| {
            let is_repeated = |key: &&str| turns.get(*key) == Some(&Turn::Repeat);
            if keys.iter().any(is_repeated) {
                return None;
            }
            for key in keys {
                let turn = turns.entry((*key).to_owned()).or_insert(Turn::Writes(0));
                if let Turn::Writes(writes) = turn {
                    *writes += 1;
                }
            }
            Some(self.turned(keys))
        })
        .await
    }

    /// Waits until nothing else is done to this key.
    pub(crate) async fn repeat(&self, key: &str) -> Turned<'_> {
        self.wait_for(|turns| {
            let is_free = !turns.contains_key(key);
            is_free.then(|| {
                turns.insert(key.to_owned(), Turn::Repeat);
                self.turned(&[key])
            })
        })
        .await
    }

    /// Returns the turn of those of these keys to which nothing else is done.
    pub(crate) fn repeat_free(&self, keys: &[&str]) -> Turned<'_> {
        let mut turns = self.lock();
        let mut free = keys.to_vec();
        free.retain(|key| !turns.contains_key(*key));
        for key in &free {
            turns.insert((*key).to_owned(), Turn::Repeat);
        }
        self.turned(&free)
    }

    fn turned(&self, keys: &[&str]) -> Turned<'_> {
        Turned {
            turns: self,
            keys: keys.iter().map(ToString::to_string).collect(),
        }
    }

    async fn wait_for<'t>(
        &self,
        mut take: impl FnMut(&mut HashMap<String, Turn>) -> Option<Turned<'t>>,
    ) -> Turned<'t> {
        loop {
            let ended = self.ended.notified();
            if let Some(turned) = take(&mut self.lock()) {
                return turned;
            }
            ended.await;
        }
    }
}

impl Drop for Turned<'_> {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        for key in &self.keys {
            match turns.get_mut(key) {
                Some(Turn::Writes(writes)) if *writes > 1 => *writes -= 1,
                _ => drop(turns.remove(key)),
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
    use std::task::{Context, Waker};

    use super::{Turned, Turns};

    /// Returns the turn if it is there at once.
    fn now<'t>(turn: impl Future<Output = Turned<'t>>) -> Option<Turned<'t>> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(turn).poll(&mut context) {
            std::task::Poll::Ready(turned) => Some(turned),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_repeated_delete_and_writes_of_its_key_exclude_each_other() {
        let turns = Turns::default();
        let one = now(turns.write(&["a", "b"])).expect("nothing is repeated");
        let two = now(turns.write(&["b"])).expect("writes go side by side");
        assert!(now(turns.repeat("b")).is_none());
        drop(one);
        assert!(now(turns.repeat("b")).is_none());
        let free = turns.repeat_free(&["a", "b", "c"]);
        assert!(free.contains("a") && !free.contains("b") && free.contains("c"));
        assert!(now(turns.write(&["b", "c"])).is_none());
        drop(two);
        assert!(now(turns.write(&["b"])).is_some());
        drop(free);
        assert!(now(turns.repeat("b")).is_some());
        assert!(now(turns.write(&["b", "c"])).is_some());
        assert!(turns.lock().is_empty());
    }
}
