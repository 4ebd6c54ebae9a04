//! The operations of the model test and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cache_core::{
    BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, Result, Scope, TransactionWrite,
    Watch,
};

use super::some_millis;
use crate::probe::Probe;
use crate::random::Random;
use crate::{Fixture, TestValue};

/// Keys as the facade writes them: in the root, in the namespace `n` and in `m` within it.
pub(super) const KEYS: [&str; 10] = [
    "a", "ab", "a*", "b", "@@", "@@n:a", "@n:a", "@n:ab", "@n:@m:a", "@n:@m:b",
];

const CONDITIONS: [Condition; 3] = [Condition::Always, Condition::IfAbsent, Condition::IfPresent];

#[derive(Debug)]
pub(super) enum Operation {
    Advance(Duration),
    Get(&'static str),
    Left(&'static str),
    Set(&'static str, String, Expiry, Condition),
    Swap(&'static str, String, Expiry),
    Delete(&'static str),
    Take(&'static str),
    GetEx(&'static str, Expiry),
    /// Writes over the version that is there, and keeps its expiry.
    Update(&'static str, String, Expiry),
    SetExpiry(&'static str, Expiry),
    GetMany(Vec<&'static str>),
    SetMany(Vec<(&'static str, String)>, Expiry),
    DeleteMany(Vec<&'static str>),
    Scan(Scope, usize),
    Clear(Scope),
    Commit(Commit),
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) watched: Vec<&'static str>,
    /// What another one writes to the first watched key before the commit.
    pub(super) faster: Option<String>,
    /// The new value, or `None` for a delete.
    pub(super) writes: BTreeMap<&'static str, Option<String>>,
    pub(super) expiry: Expiry,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Did(bool),
    Found(Vec<Option<String>>),
    Left(Option<Expiry>),
    Count(u64),
    Keys(BTreeSet<String>),
    /// The watched values, and whether the commit took place.
    Committed(Vec<Option<String>>, bool),
}

impl Operation {
    pub(super) fn random<F: Fixture>(
        random: &mut Random,
        step: usize,
        probe: &Probe<'_, F>,
        scopes: &[Scope],
    ) -> Self {
        let key = *random.choose(&KEYS);
        let value = format!("value {step}");
        // Real time does not stand still between the model and the backend.
        let expiry = match random.below(3) {
            0 => Expiry::Never,
            _ if !probe.exact() => Expiry::Never,
            // Longer than a step, so that some entries are there most of the time.
            _ => Expiry::After(some_millis(random) * 3),
        };
        match random.below(40) {
            35..39 => Self::Commit(Commit::random(random, &value, expiry)),
            0..3 if probe.exact() => Self::Advance(some_millis(random)),
            0..6 => Self::Get(key),
            6..8 => Self::Left(key),
            8..14 => Self::Set(key, value, expiry, random.choose(&CONDITIONS).clone()),
            14..16 => Self::Swap(key, value, expiry),
            16 => Self::Delete(key),
            17..20 => Self::SetExpiry(key, expiry),
            20..22 => Self::GetMany(some_keys(random)),
            22..25 => {
                let keys = some_keys(random).into_iter().enumerate();
                let entries = keys.map(|(at, key)| (key, format!("{value}.{at}")));
                Self::SetMany(entries.collect(), expiry)
            }
            25 => Self::DeleteMany(some_keys(random)),
            26 => Self::Take(key),
            27 => Self::GetEx(key, expiry),
            28..30 => Self::Update(key, value, expiry),
            _ if !probe.can_scan() => Self::Get(key),
            30..35 => Self::Scan(random.choose(scopes).clone(), *random.choose(&[1, 2, 50])),
            _ => Self::Clear(random.choose(scopes).clone()),
        }
    }

    pub(super) async fn perform<F: Fixture>(&self, probe: &Probe<'_, F>) -> Answer {
        match self {
            Self::Advance(by) => {
                probe.advance(*by).await;
                Answer::Nothing
            }
            Self::Get(key) => Answer::Found(vec![probe.get(key).await]),
            Self::Left(key) => Answer::Left(probe.expiry(key).await),
            Self::Set(key, value, expiry, condition) => {
                Answer::Did(probe.set_if(key, value, *expiry, condition.clone()).await)
            }
            Self::Swap(key, value, expiry) => {
                Answer::Found(vec![probe.swap(key, value, *expiry).await])
            }
            Self::Delete(key) => Answer::Did(probe.delete(key).await),
            Self::Take(key) => Answer::Found(vec![probe.take(key).await]),
            Self::GetEx(key, expiry) => Answer::Found(vec![probe.get_ex(key, *expiry).await]),
            Self::Update(key, value, expiry) => {
                let (old, version) = probe.versioned(key).await;
                let unchanged = Condition::unchanged(version);
                let options = BackendWrite::new(*expiry, unchanged).with_kept_expiry(true);
                assert!(
                    probe.set_with(key, value, options).await,
                    "C39: one task alone"
                );
                Answer::Found(vec![old])
            }
            Self::SetExpiry(key, expiry) => Answer::Did(probe.set_expiry(key, *expiry).await),
            Self::GetMany(keys) => Answer::Found(probe.get_many(keys).await),
            Self::SetMany(entries, expiry) => {
                let entries: Vec<(&str, &str)> = entries
                    .iter()
                    .map(|(key, value)| (*key, value.as_str()))
                    .collect();
                probe.set_many(&entries, *expiry).await;
                Answer::Nothing
            }
            Self::DeleteMany(keys) => Answer::Count(probe.delete_many(keys).await),
            Self::Scan(scope, limit) => Answer::Keys(probe.scan(scope, *limit).await),
            Self::Clear(scope) => Answer::Count(probe.clear(scope).await),
            Self::Commit(commit) => commit.perform(probe).await,
        }
    }
}

impl Commit {
    fn random(random: &mut Random, value: &str, expiry: Expiry) -> Self {
        let mut watched = vec![*random.choose(&KEYS)];
        watched.extend(some_keys(random));
        let write = |(at, key)| (key, (at % 3 < 2).then(|| format!("{value}.{at}")));
        Self {
            watched,
            faster: (random.below(4) == 0).then(|| format!("{value} faster")),
            writes: some_keys(random)
                .into_iter()
                .enumerate()
                .map(write)
                .collect(),
            expiry,
        }
    }

    async fn perform<F: Fixture>(&self, probe: &Probe<'_, F>) -> Answer {
        let watched = match probe.backend().abilities().transactions {
            Some(transactions) => possible(transactions.watch(&self.watched).await),
            None => None,
        };
        let text = |value: Option<F::Value>| value.map(|value| value.to_text());
        let (found, watch) = match watched {
            Some((found, watch)) => (found.into_iter().map(text).collect(), Some(watch)),
            None => (probe.get_many(&self.watched).await, None),
        };
        if let Some(faster) = &self.faster {
            probe.set(self.watched[0], faster, Expiry::Never).await;
        }
        let committed = match watch {
            Some(watch) => self.commit(probe, watch).await,
            None => None,
        };
        if committed.is_none() && self.faster.is_none() {
            self.write_singly(probe).await;
        }
        Answer::Committed(found, committed.unwrap_or(self.faster.is_none()))
    }

    /// Commits, and tells whether there was no conflict; `None` where that is not possible.
    async fn commit<F: Fixture>(&self, probe: &Probe<'_, F>, watch: Watch) -> Option<bool> {
        let transactions = probe.backend().abilities().transactions?;
        let write = |(key, value): (&&'static str, &Option<String>)| {
            let write = match value {
                Some(value) => TransactionWrite::Set(F::Value::from_text(value), self.expiry),
                None => TransactionWrite::Delete,
            };
            (*key, write)
        };
        let writes = self.writes.iter().map(write).collect();
        match transactions.commit(watch, writes).await {
            Err(error) if *error.kind() == ErrorKind::Conflict => Some(false),
            committed => possible(committed).map(|()| true),
        }
    }

    async fn write_singly<F: Fixture>(&self, probe: &Probe<'_, F>) {
        for (key, value) in &self.writes {
            match value {
                Some(value) => probe.set(key, value, self.expiry).await,
                None => drop(probe.delete(key).await),
            }
        }
    }
}

/// Of the keys of a cluster only some can be in one transaction.
fn possible<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput { .. }) => None,
        answer => Some(answer.unwrap_or_else(|error| panic!("transaction: {error}"))),
    }
}

/// Up to five keys, perhaps none, perhaps one repeated.
fn some_keys(random: &mut Random) -> Vec<&'static str> {
    let count = random.below(6);
    (0..count).map(|_| *random.choose(&KEYS)).collect()
}
