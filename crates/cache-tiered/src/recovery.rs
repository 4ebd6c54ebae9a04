//! Deletes and messages that have failed, kept until they succeed.
//!
//! There is room for so many. A message makes room for a delete, never the other way round; a delete
//! for which there is none is not repeated, but its key is doubted from then on.

mod doubts;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache_core::{Scope, is_tag_key};
use tokio::sync::Notify;

use self::doubts::Doubts;
use self::turns::{Turned, Turns};

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
    /// Whether any key is not believed: most reads look no further.
    distrusts: AtomicBool,
    /// The number of the newest task.
    newest: AtomicU64,
    /// How often a tag was believed again.
    believed_tags: AtomicU64,
    capacity: usize,
    wake: Notify,
    turns: Turns,
}

#[derive(Debug, Default)]
struct Queue {
    keys: HashMap<String, (u64, Task)>,
    scopes: Vec<(u64, Scope, Task)>,
    /// The keys by age: those to be deleted, and those to be told of.
    deleted: BTreeMap<u64, String>,
    told: BTreeMap<u64, String>,
    doubts: Doubts,
    /// The number of the newest task when the last doubt was added.
    doubted: u64,
    deletes: usize,
    /// Of these, those of keys that name tags.
    tag_deletes: usize,
    /// How often one of these was done, or a tag was believed again that had been doubted.
    believed_tags: u64,
    next: u64,
    dropped: u64,
}

/// How many tasks there had been at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

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

    fn order(&mut self, task: Task) -> &mut BTreeMap<u64, String> {
        match task {
            Task::Delete => &mut self.deleted,
            Task::Announce | Task::AnnounceTwice => &mut self.told,
        }
    }

    fn insert(&mut self, key: &str, task: Task) {
        let number = self.number();
        self.keys.insert(key.to_owned(), (number, task));
        self.order(task).insert(number, key.to_owned());
        let is_delete = task == Task::Delete;
        self.deletes += usize::from(is_delete);
        self.tag_deletes += usize::from(is_delete && is_tag_key(key));
    }

    /// Removes a key and returns what was left to do about it.
    fn remove(&mut self, key: &str) -> Option<Task> {
        let (number, task) = self.keys.remove(key)?;
        self.order(task).remove(&number);
        let is_delete = task == Task::Delete;
        self.deletes -= usize::from(is_delete);
        if is_delete && is_tag_key(key) {
            self.tag_deletes -= 1;
            self.believed_tags += 1;
        }
        Some(task)
    }

    /// Removes a key if that task of it is still the last one.
    fn remove_numbered(&mut self, number: u64, key: &str) -> Option<Task> {
        let (now, _) = self.keys.get(key)?;
        if *now == number {
            self.remove(key)
        } else {
            None
        }
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

    /// Makes room for one more task if there is none, and tells whether it did: no message pushes a
    /// delete out.
    fn make_room(&mut self, capacity: usize, task: Task) -> bool {
        if self.len() < capacity {
            return true;
        }
        self.dropped += 1;
        if self.drop_message() {
            return true;
        }
        if task == Task::Delete {
            self.doubt_oldest();
        }
        task == Task::Delete
    }

    /// Gives up the oldest message, and tells whether there was one.
    fn drop_message(&mut self) -> bool {
        let mut scopes = self.scopes.iter();
        let scope = scopes.find(|(.., task)| *task != Task::Delete);
        let scope = scope.map(|(number, ..)| *number);
        let key = self.told.first_key_value();
        match (key.map(|(number, key)| (*number, key.clone())), scope) {
            (Some((number, key)), scope) if scope.is_none_or(|scope| number < scope) => {
                self.remove(&key);
            }
            (_, Some(scope)) => self.remove_scopes(|number, _| number == scope),
            _ => return false,
        }
        true
    }

    /// Gives up a delete, of which the key is doubted from now on.
    fn doubt_oldest(&mut self) {
        if let Some(key) = self.deleted.first_key_value().map(|(_, key)| key.clone()) {
            self.remove(&key);
            self.doubts.add(&key, is_tag_key(&key));
        } else if let Some((oldest, ..)) = self.scopes.first() {
            let oldest = *oldest;
            self.remove_scopes(|number, _| number == oldest);
            self.doubts.add_all();
        }
        self.doubted = self.next + 1;
    }

    /// Believes a key again, unless doubts are newer than the mark.
    fn settle(&mut self, key: &str, mark: Mark) {
        if self.doubted <= mark.0 {
            self.believed_tags += u64::from(is_tag_key(key) && self.doubts.contain(key));
            self.doubts.settle(key);
        }
    }

    /// Tells whether there is a key that is not believed.
    fn distrusts_any(&self) -> bool {
        self.deletes > 0 || !self.doubts.is_empty()
    }
}

impl Recovery {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            distrusts: AtomicBool::new(false),
            newest: AtomicU64::new(0),
            believed_tags: AtomicU64::new(0),
            capacity,
            wake: Notify::new(),
            turns: Turns::default(),
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Queue) -> R) -> R {
        let mut queue = self.lock();
        let result = change(&mut queue);
        // First: whoever finds a tag believed also finds that it was not.
        self.believed_tags
            .store(queue.believed_tags, Ordering::Release);
        self.distrusts
            .store(queue.distrusts_any(), Ordering::Release);
        self.newest.store(queue.next, Ordering::Release);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_keys<'k>(&self, keys: impl IntoIterator<Item = &'k str>, task: Task) {
        self.change(|queue| {
            for key in keys {
                // A delete that is left to do is not undone by less.
                let task = queue.remove(key).map_or(task, |before| before.max(task));
                if queue.make_room(self.capacity, task) {
                    queue.insert(key, task);
                }
            }
        });
        self.wake.notify_one();
    }

    pub(crate) fn add_scope(&self, scope: &Scope, task: Task) {
        self.change(|queue| {
            let same = queue.scopes.iter().find(|(_, other, _)| other == scope);
            let task = same.map_or(task, |(.., before)| task.max(*before));
            queue.remove_scopes(|_, other| other == scope);
            if queue.make_room(self.capacity, task) {
                queue.insert_scope(scope, task);
            }
        });
        self.wake.notify_one();
    }

    /// Returns what tells tasks that there are now from later ones.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.newest.load(Ordering::Acquire))
    }

    /// Forgets what was left to do about keys at this mark: an operation that began then has succeeded.
    /// What has failed since may have come after it.
    pub(crate) fn supersede<'k>(&self, keys: impl IntoIterator<Item = &'k str>, mark: Mark) {
        if self.distrusts_any() {
            self.change(|queue| {
                for key in keys {
                    if queue
                        .keys
                        .get(key)
                        .is_some_and(|(number, _)| *number <= mark.0)
                    {
                        queue.remove(key);
                    }
                    queue.settle(key, mark);
                }
            });
        }
    }

    /// Does the same for all keys of a scope.
    pub(crate) fn supersede_scope(&self, scope: &Scope, mark: Mark) {
        if self.distrusts_any() {
            self.change(|queue| {
                queue.remove_scopes(|number, other| other == scope && number <= mark.0);
                let keys = queue.keys.iter();
                let inside =
                    keys.filter(|(key, (number, _))| *number <= mark.0 && scope.contains(key));
                let keys: Vec<String> = inside.map(|(key, _)| key.clone()).collect();
                for key in keys {
                    queue.remove(&key);
                }
            });
        }
    }

    /// Waits until no delete of these keys is on its way that is repeated, and keeps others from beginning.
    pub(crate) async fn begin_write(&self, keys: &[&str]) -> Option<Turned<'_>> {
        match self.distrusts_any() {
            // Boxed: rare, and inline it would enlarge the future of every write.
            true => Some(Box::pin(self.turns.write(keys)).await),
            false => None,
        }
    }

    /// Returns the turn to delete a key that has to be deleted, unless something else is done to it.
    pub(crate) fn begin_repeat(&self, key: &str) -> Option<Turned<'_>> {
        let turned = self.turns.repeat(&[key]);
        (turned.contains(key) && self.distrusts(key)).then_some(turned)
    }

    /// Returns when something that is done to a key has ended, or if nothing is.
    pub(crate) async fn turn_ended(&self, key: &str) {
        self.turns.one_ended(key).await;
    }

    /// Takes out of a batch the deletes that do not have to be repeated any more, and those of keys that are
    /// being written: their time comes later.
    pub(crate) fn begin_repeats(&self, batch: &mut Batch) -> Turned<'_> {
        let turned = self.turns.repeat(&batch.keys_to(Some(Task::Delete)));
        let queue = self.lock();
        batch.keys.retain(|(number, key, task)| {
            let is_last = queue.keys.get(key).is_some_and(|(last, _)| last == number);
            is_last && (*task != Task::Delete || turned.contains(key))
        });
        turned
    }

    /// Tells whether there is anything that has to be deleted first.
    #[inline]
    pub(crate) fn distrusts_any(&self) -> bool {
        self.distrusts.load(Ordering::Acquire)
    }

    /// Tells whether what the second tier holds under a key has to be deleted first.
    #[inline]
    pub(crate) fn distrusts(&self, key: &str) -> bool {
        self.distrusts_any() && {
            let queue = self.lock();
            let own = queue
                .keys
                .get(key)
                .is_some_and(|(_, task)| *task == Task::Delete);
            let covers = |(_, scope, task): &(u64, Scope, Task)| {
                *task == Task::Delete && scope.contains(key)
            };
            own || queue.doubts.contain(key) || queue.scopes.iter().any(covers)
        }
    }

    /// Tells whether a tag has to be invalidated in the second tier first.
    #[inline]
    pub(crate) fn distrusts_tags(&self) -> bool {
        self.distrusts_any() && {
            let queue = self.lock();
            queue.tag_deletes > 0 || queue.doubts.has_tags()
        }
    }

    /// Returns how often a tag was believed again. What was read before that may be from before its
    /// invalidation.
    pub(crate) fn believed_tags(&self) -> u64 {
        self.believed_tags.load(Ordering::Acquire)
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
        let oldest = |order: &BTreeMap<u64, String>| -> Vec<_> {
            order.iter().take(BATCH).filter_map(task).collect()
        };
        let mut keys = [oldest(&queue.deleted), oldest(&queue.told)].concat();
        keys.sort_unstable_by_key(|(number, ..)| *number);
        keys.truncate(BATCH);
        Batch {
            keys,
            scopes: queue.scopes.clone(),
        }
    }

    /// Forgets what is done, unless something has been added about it meanwhile.
    pub(crate) fn done(&self, batch: &Batch) {
        self.change(|queue| {
            for (number, key, _) in &batch.keys {
                queue.remove_numbered(*number, key);
            }
            queue.remove_scopes(|number, _| batch.scopes.iter().any(|(done, ..)| *done == number));
        });
    }

    /// Forgets what cannot be done.
    pub(crate) fn give_up(&self, batch: &Batch) {
        self.done(batch);
        self.lock().dropped += batch.len();
    }

    /// Leaves what was refused for later: it is the newest from now on, so that it holds up nothing.
    pub(crate) fn postpone(&self, batch: &Batch) {
        self.change(|queue| {
            for (number, key, _) in &batch.keys {
                if let Some(task) = queue.remove_numbered(*number, key) {
                    queue.insert(key, task);
                }
            }
        });
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

    /// Returns the tasks one by one.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        let keys = self.keys.iter().map(|key| Self {
            keys: vec![key.clone()],
            scopes: Vec::new(),
        });
        let scopes = self.scopes.iter().map(|scope| Self {
            keys: Vec::new(),
            scopes: vec![scope.clone()],
        });
        keys.chain(scopes)
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
