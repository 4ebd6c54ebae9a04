//! Deletes and messages that have failed, kept until they succeed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache_core::{Scope, is_tag_key};
use tokio::sync::Notify;

/// The most keys of one attempt.
const BATCH: usize = 256;

/// What is left to do about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Others have to be told that it may have changed.
    Announce,
    /// They have to be told twice, some time apart: it may change a little later still.
    AnnounceTwice,
    /// It has to be deleted from the second tier, and others have to be told.
    Delete,
}

/// What is left to do, bounded, the last word on a key counts.
#[derive(Debug)]
pub(crate) struct Recovery {
    queue: Mutex<Queue>,
    /// How many of the tasks are deletes: most reads look no further.
    deletes: AtomicUsize,
    capacity: usize,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    keys: HashMap<String, (u64, Task)>,
    scopes: Vec<(u64, Scope, Task)>,
    order: BTreeMap<u64, String>,
    deletes: usize,
    /// Of these, those of keys that name tags.
    tag_deletes: usize,
    next: u64,
    dropped: u64,
}

/// Some of what is left to do, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) keys: Vec<(u64, String, Task)>,
    pub(crate) scopes: Vec<(u64, Scope, Task)>,
}

impl Queue {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn len(&self) -> usize {
        self.keys.len() + self.scopes.len()
    }

    fn insert(&mut self, key: &str, task: Task) {
        let number = self.number();
        self.keys.insert(key.to_owned(), (number, task));
        self.order.insert(number, key.to_owned());
        let is_delete = task == Task::Delete;
        self.deletes += usize::from(is_delete);
        self.tag_deletes += usize::from(is_delete && is_tag_key(key));
    }

    /// Removes a key and returns what was left to do about it.
    fn remove(&mut self, key: &str) -> Option<Task> {
        let (number, task) = self.keys.remove(key)?;
        self.order.remove(&number);
        let is_delete = task == Task::Delete;
        self.deletes -= usize::from(is_delete);
        self.tag_deletes -= usize::from(is_delete && is_tag_key(key));
        Some(task)
    }

    fn insert_scope(&mut self, scope: &Scope, task: Task) {
        let number = self.number();
        self.scopes.push((number, scope.clone(), task));
        self.deletes += usize::from(task == Task::Delete);
    }

    fn remove_scopes(&mut self, is_done: impl Fn(u64, &Scope) -> bool) {
        let deletes = &mut self.deletes;
        self.scopes.retain(|(number, scope, task)| {
            let done = is_done(*number, scope);
            *deletes -= usize::from(done && *task == Task::Delete);
            !done
        });
    }

    fn drop_oldest(&mut self) {
        let oldest_key = self.order.first_key_value();
        let oldest_key = oldest_key.map(|(number, key)| (*number, key.clone()));
        let oldest_scope = self.scopes.first().map(|(number, ..)| *number);
        match (oldest_key, oldest_scope) {
            (Some((number, key)), scope) if scope.is_none_or(|scope| number < scope) => {
                self.remove(&key);
            }
            (_, Some(scope)) => self.remove_scopes(|number, _| number == scope),
            _ => return,
        }
        self.dropped += 1;
    }
}

impl Recovery {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            deletes: AtomicUsize::new(0),
            capacity,
            wake: Notify::new(),
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Queue) -> R) -> R {
        let mut queue = self.lock();
        let result = change(&mut queue);
        self.deletes.store(queue.deletes, Ordering::Release);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_keys<'k>(&self, keys: impl IntoIterator<Item = &'k str>, task: Task) {
        self.change(|queue| {
            for key in keys {
                let before = queue.remove(key);
                if queue.len() >= self.capacity {
                    queue.drop_oldest();
                }
                // A delete that is left to do is not undone by less.
                queue.insert(key, before.map_or(task, |before| before.max(task)));
            }
        });
        self.wake.notify_one();
    }

    pub(crate) fn add_scope(&self, scope: &Scope, task: Task) {
        self.change(|queue| {
            let same = queue.scopes.iter().find(|(_, other, _)| other == scope);
            let before = same.map(|(.., task)| *task);
            queue.remove_scopes(|_, other| other == scope);
            if queue.len() >= self.capacity {
                queue.drop_oldest();
            }
            queue.insert_scope(scope, before.map_or(task, |before| before.max(task)));
        });
        self.wake.notify_one();
    }

    /// Forgets what was left to do about keys: a later operation has succeeded.
    pub(crate) fn supersede<'k>(&self, keys: impl IntoIterator<Item = &'k str>) {
        if self.has_deletes() {
            self.change(|queue| {
                for key in keys {
                    queue.remove(key);
                }
            });
        }
    }

    pub(crate) fn supersede_scope(&self, scope: &Scope) {
        if self.has_deletes() {
            self.change(|queue| {
                queue.remove_scopes(|_, other| other == scope);
                let inside = |key: &&String| scope.contains(key);
                let keys: Vec<String> = queue.keys.keys().filter(inside).cloned().collect();
                for key in keys {
                    queue.remove(&key);
                }
            });
        }
    }

    #[inline]
    fn has_deletes(&self) -> bool {
        self.deletes.load(Ordering::Acquire) > 0
    }

    /// Tells whether what the second tier holds under a key has to be deleted first.
    #[inline]
    pub(crate) fn distrusts(&self, key: &str) -> bool {
        self.has_deletes() && {
            let queue = self.lock();
            let own = queue
                .keys
                .get(key)
                .is_some_and(|(_, task)| *task == Task::Delete);
            let covers = |(_, scope, task): &(u64, Scope, Task)| {
                *task == Task::Delete && scope.contains(key)
            };
            own || queue.scopes.iter().any(covers)
        }
    }

    /// Tells whether a tag has to be invalidated in the second tier first.
    #[inline]
    pub(crate) fn distrusts_tags(&self) -> bool {
        self.has_deletes() && self.lock().tag_deletes > 0
    }

    /// Waits until there is something to do.
    pub(crate) async fn wait(&self) {
        while self.is_empty() {
            self.wake.notified().await;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().len() == 0
    }

    pub(crate) fn batch(&self) -> Batch {
        let queue = self.lock();
        let task = |(number, key): (&u64, &String)| {
            let (_, task) = queue.keys.get(key)?;
            Some((*number, key.clone(), *task))
        };
        Batch {
            keys: queue.order.iter().take(BATCH).filter_map(task).collect(),
            scopes: queue.scopes.clone(),
        }
    }

    /// Forgets what is done, unless something has been added about it meanwhile.
    pub(crate) fn done(&self, batch: &Batch) {
        self.change(|queue| {
            for (number, key, _) in &batch.keys {
                if queue.order.contains_key(number) {
                    queue.remove(key);
                }
            }
            queue.remove_scopes(|number, _| batch.scopes.iter().any(|(done, ..)| *done == number));
        });
    }

    /// Forgets what cannot be done.
    pub(crate) fn give_up(&self, batch: &Batch) {
        self.done(batch);
        self.lock().dropped += batch.len();
    }

    /// Returns how much is left to do and how much was given up.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let queue = self.lock();
        (queue.len() as u64, queue.dropped)
    }
}

impl Batch {
    pub(crate) fn len(&self) -> u64 {
        (self.keys.len() + self.scopes.len()) as u64
    }

    /// Returns those that are to be told once more, with nothing else left to do.
    pub(crate) fn rest(&self) -> (Vec<&str>, impl Iterator<Item = &Scope>) {
        let twice = |task: Task| task == Task::AnnounceTwice;
        let scopes = self.scopes.iter().filter(move |(.., task)| twice(*task));
        let keys = self.keys_to(Some(Task::AnnounceTwice));
        (keys, scopes.map(|(_, scope, _)| scope))
    }

    /// Returns the keys with such a task, or all.
    pub(crate) fn keys_to(&self, wanted: Option<Task>) -> Vec<&str> {
        let keys = self.keys.iter();
        let wanted = keys.filter(|(.., task)| wanted.is_none_or(|wanted| wanted == *task));
        wanted.map(|(_, key, _)| key.as_str()).collect()
    }
}
