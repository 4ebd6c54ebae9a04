//! What the contract says, as a map and a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use cache_core::{Condition, Expiry, Scope};

use super::operation::{Answer, Commit, Operation};

#[derive(Debug, Default)]
pub(super) struct Oracle {
    now: Duration,
    /// Live entries alone, each with its deadline.
    entries: BTreeMap<String, (String, Option<Duration>)>,
}

impl Oracle {
    /// Returns what a read of `key` must see.
    pub(super) fn entry(&self, key: &str) -> Option<(String, Expiry)> {
        let (value, deadline) = self.entries.get(key)?;
        let expiry = deadline.map_or(Expiry::Never, |at| Expiry::After(at - self.now));
        Some((value.clone(), expiry))
    }

    pub(super) fn perform(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Advance(by) => {
                self.advance(*by);
                Answer::Nothing
            }
            Operation::Get(key) => Answer::Found(vec![self.value(key)]),
            Operation::Left(key) => Answer::Left(self.entry(key).map(|(_, expiry)| expiry)),
            Operation::Set(key, value, expiry, condition) => {
                Answer::Did(self.set(key, value, *expiry, condition))
            }
            Operation::Swap(key, value, expiry) => {
                let old = self.value(key);
                self.write(key, value, *expiry);
                Answer::Found(vec![old])
            }
            Operation::Delete(key) => Answer::Did(self.entries.remove(*key).is_some()),
            Operation::Take(key) => {
                let taken = self.entries.remove(*key);
                Answer::Found(vec![taken.map(|(value, _)| value)])
            }
            Operation::GetEx(key, expiry) => {
                self.set_expiry(key, *expiry);
                Answer::Found(vec![self.value(key)])
            }
            Operation::Update(key, value, expiry) => {
                let old = self.entry(key);
                let kept = old.as_ref().map_or(*expiry, |(_, expiry)| *expiry);
                self.write(key, value, kept);
                Answer::Found(vec![old.map(|(value, _)| value)])
            }
            Operation::SetExpiry(key, expiry) => Answer::Did(self.set_expiry(key, *expiry)),
            Operation::GetMany(keys) => {
                Answer::Found(keys.iter().map(|key| self.value(key)).collect())
            }
            Operation::SetMany(entries, expiry) => {
                for (key, value) in entries {
                    self.write(key, value, *expiry);
                }
                Answer::Nothing
            }
            Operation::DeleteMany(keys) => {
                let deleted = keys.iter().filter_map(|key| self.entries.remove(*key));
                Answer::Count(deleted.count() as u64)
            }
            Operation::Scan(scope, _) => Answer::Keys(self.keys(scope).cloned().collect()),
            Operation::Clear(scope) => {
                let count = self.keys(scope).count() as u64;
                self.entries.retain(|key, _| !scope.contains(key));
                Answer::Count(count)
            }
            Operation::Commit(commit) => self.commit(commit),
        }
    }

    fn commit(&mut self, commit: &Commit) -> Answer {
        let found = commit.watched.iter().map(|key| self.value(key)).collect();
        if let Some(faster) = &commit.faster {
            self.write(commit.watched[0], faster, Expiry::Never);
            return Answer::Committed(found, false);
        }
        for (key, value) in &commit.writes {
            match value {
                Some(value) => self.write(key, value, commit.expiry),
                None => drop(self.entries.remove(*key)),
            }
        }
        Answer::Committed(found, true)
    }

    fn value(&self, key: &str) -> Option<String> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    fn deadline(&self, expiry: Expiry) -> Option<Duration> {
        expiry.remaining().map(|ttl| self.now + ttl)
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        let now = self.now;
        self.entries
            .retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now));
    }

    fn set(&mut self, key: &str, value: &str, expiry: Expiry, condition: &Condition) -> bool {
        let present = self.entries.contains_key(key);
        let held = match condition {
            Condition::IfAbsent => !present,
            Condition::IfPresent => present,
            _ => true,
        };
        if held {
            self.write(key, value, expiry);
        }
        held
    }

    fn write(&mut self, key: &str, value: &str, expiry: Expiry) {
        let deadline = self.deadline(expiry);
        self.entries
            .insert(key.to_owned(), (value.to_owned(), deadline));
    }

    fn set_expiry(&mut self, key: &str, expiry: Expiry) -> bool {
        let new = self.deadline(expiry);
        let Some((_, deadline)) = self.entries.get_mut(key) else {
            return false;
        };
        let changed = new.is_some() || deadline.is_some();
        *deadline = new;
        changed
    }

    fn keys<'o>(&'o self, scope: &'o Scope) -> impl Iterator<Item = &'o String> {
        self.entries.keys().filter(|key| scope.contains(key))
    }
}
