//! Operations on many keys: a command for each slot of a cluster, or one for all.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use cache_core::{Entry, Expiry, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::RedisStore;
use crate::client::{Found, is_torn, slot};

/// The most keys in one command: a server answers nobody else meanwhile.
const MAX_KEYS: usize = 512;
/// The most bytes of values in one command, but for a single larger value.
const MAX_BYTES: usize = 1024 * 1024;
/// The most keys of one operation that are under way: each command has its deadline, waiting included.
const MAX_KEYS_UNDER_WAY: usize = 2_048;
/// The most commands of one operation that are under way.
const MAX_COMMANDS: usize = 128;

/// What a bulk read asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// Values; the time that each has left is not asked for and reads as `Never`.
    Values,
    /// Values and the time that each has left.
    Entries,
}

/// Items that one command can hold: all of one slot, if slots count.
struct Group<T> {
    slot: u16,
    items: Vec<T>,
}

impl RedisStore {
    pub(super) async fn read_many(
        &self,
        operation: &'static str,
        keys: &[&str],
        wanted: Wanted,
    ) -> Result<Vec<Option<Entry<Bytes>>>> {
        self.check_keys(keys.iter().copied())?;
        let groups = self.groups(keys.iter().copied().enumerate(), |(_, key)| key, |_| 0);
        let read_all = async {
            let mut found: Vec<Option<Entry<Bytes>>> = vec![None; keys.len()];
            let width = side_by_side(groups.iter().map(|group| group.items.len()));
            let mut reads = Vec::with_capacity(groups.len());
            for group in groups {
                reads.push(self.read_group(group, wanted));
            }
            let mut answers = stream::iter(reads).buffer_unordered(width);
            while let Some(answer) = answers.try_next().await? {
                for (place, entry) in answer {
                    found[place] = entry.and_then(|(value, expiry)| {
                        let value = self.accept(Found::Value(value))?;
                        Some(Entry::new(value, expiry))
                    });
                }
            }
            Ok(found)
        };
        self.observe(operation, bytes_of(keys), read_all).await
    }

    /// Reads keys of one slot and says for each value where it belongs.
    async fn read_group(
        &self,
        group: Group<(usize, &str)>,
        wanted: Wanted,
    ) -> Result<impl Iterator<Item = (usize, Option<(Bytes, Expiry)>)> + use<>> {
        let slot = group.slot;
        let mget = |items: &[(usize, &str)]| {
            let keys = self.keys.join_all(items.iter().map(|(_, key)| *key));
            self.link.read(move |connection| {
                let keys = keys.clone();
                async move {
                    match wanted {
                        Wanted::Values => connection.mget(keys).await,
                        Wanted::Entries => connection.mget_with_ttl(slot, keys).await,
                    }
                }
            })
        };
        let values = match mget(&group.items).await {
            Err(error) if is_torn(&error) => {
                let each = stream::iter(group.items.chunks(1)).map(mget);
                let values: Vec<_> = each.buffered(MAX_COMMANDS).try_collect().await?;
                values.concat()
            }
            values => values?,
        };
        let places: Vec<usize> = group.items.iter().map(|(place, _)| *place).collect();
        Ok(places.into_iter().zip(values))
    }

    pub(super) async fn write_many(
        &self,
        entries: Vec<(&str, Bytes)>,
        expiry: Expiry,
    ) -> Result<()> {
        for (_, value) in &entries {
            self.check_value(value)?;
        }
        self.check_keys(entries.iter().map(|(key, _)| *key))?;
        // Commands run side by side, so a repeated key must be in one of them only: the last.
        let latest: HashMap<&str, Bytes> = entries.into_iter().collect();
        let bytes = latest
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let groups = self.groups(latest, |(key, _)| key, |(_, value)| value.len());
        let width = side_by_side(groups.iter().map(|group| group.items.len()));
        let mut writes = Vec::with_capacity(groups.len());
        for group in groups {
            writes.push(self.write_group(group, expiry));
        }
        let write_all = stream::iter(writes).buffer_unordered(width).try_collect();
        self.observe("set_many", bytes, write_all).await
    }

    /// Writes pairs of one slot.
    async fn write_group(&self, group: Group<(&str, Bytes)>, expiry: Expiry) -> Result<()> {
        let Group { slot, items } = group;
        let keys = self.keys.join_all(items.iter().map(|(key, _)| *key));
        let values = items.into_iter().map(|(_, value)| value);
        let pairs: Vec<(Bytes, Bytes)> = keys.into_iter().zip(values).collect();
        let set = |pairs: Vec<(Bytes, Bytes)>| {
            self.link
                .bulk_write(pairs, move |connection, form, pairs| async move {
                    connection.set_many(slot, pairs, expiry, form).await
                })
        };
        let kept = self.link.is_cluster.then(|| pairs.clone());
        match (set(pairs).await, kept) {
            (Err(error), Some(pairs)) if is_torn(&error) => {
                let each = stream::iter(pairs).map(|pair| set(vec![pair]));
                each.buffer_unordered(MAX_COMMANDS).try_collect().await
            }
            (answer, _) => answer,
        }
    }

    pub(super) async fn unlink_many(&self, keys: &[&str]) -> Result<u64> {
        self.check_keys(keys.iter().copied())?;
        self.observe("delete_many", bytes_of(keys), self.unlink(keys))
            .await
    }

    /// Removes keys and returns how many were there.
    pub(super) async fn unlink(&self, keys: &[&str]) -> Result<u64> {
        let unlink_whole = |keys: Vec<Bytes>| {
            self.link.write(keys, |connection, keys| async move {
                connection.unlink(keys).await
            })
        };
        let unlink = async |keys: Vec<Bytes>| {
            let kept = self.link.is_cluster.then(|| keys.clone());
            match (unlink_whole(keys).await, kept) {
                (Err(error), Some(keys)) if is_torn(&error) => {
                    stream::iter(keys)
                        .map(|key| unlink_whole(vec![key]))
                        .buffer_unordered(MAX_COMMANDS)
                        .try_fold(0, async |total, removed| Ok(total + removed))
                        .await
                }
                (removed, _) => removed,
            }
        };
        let groups = self.groups(keys.iter().copied(), |key| key, |_| 0);
        let join = |group: Group<&str>| self.keys.join_all(group.items.iter().copied());
        let width = side_by_side(groups.iter().map(|group| group.items.len()));
        let groups: Vec<Vec<Bytes>> = groups.into_iter().map(join).collect();
        stream::iter(groups.into_iter().map(unlink))
            .buffer_unordered(width)
            .try_fold(0, async |total, removed| Ok(total + removed))
            .await
    }

    /// Leaves out the keys that hold a load lease.
    pub(super) async fn without_leased(&self, keys: Vec<String>) -> Result<Vec<String>> {
        let places = keys.iter().map(String::as_str).enumerate();
        let groups = self.groups(places, |(_, key)| key, |_| 0);
        let width = side_by_side(groups.iter().map(|group| group.items.len()));
        let mut reads = Vec::with_capacity(groups.len());
        for group in &groups {
            reads.push(self.leased_of(&group.items));
        }
        let leased = stream::iter(reads).buffer_unordered(width);
        let leased: HashSet<usize> = leased
            .try_collect::<Vec<_>>()
            .await?
            .concat()
            .into_iter()
            .collect();
        let keys = keys.into_iter().enumerate();
        let kept = keys.filter(|(place, _)| !leased.contains(place));
        Ok(kept.map(|(_, key)| key).collect())
    }

    /// Returns the places of those keys of one slot that hold a load lease.
    async fn leased_of(&self, items: &[(usize, &str)]) -> Result<Vec<usize>> {
        let leased = async |items: &[(usize, &str)]| {
            let keys = self.keys.join_all(items.iter().map(|(_, key)| *key));
            let read = self.link.read(move |connection| {
                let keys = keys.clone();
                async move { connection.leased(keys).await }
            });
            let found = read.await?.into_iter();
            Ok(found
                .filter_map(|place| Some(items.get(place)?.0))
                .collect::<Vec<_>>())
        };
        match leased(items).await {
            Err(error) if is_torn(&error) => {
                let mut all = Vec::new();
                for one in items.chunks(1) {
                    all.extend(leased(one).await?);
                }
                Ok(all)
            }
            found => found,
        }
    }

    /// Refuses all of the keys if one is too long.
    fn check_keys<'k>(&self, mut keys: impl Iterator<Item = &'k str>) -> Result<()> {
        keys.try_for_each(|key| self.keys.check(key))
    }

    /// Sorts items into groups that one command can hold each, and keeps their order within.
    fn groups<'k, T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> &'k str,
        bytes: impl Fn(&T) -> usize,
    ) -> Vec<Group<T>> {
        let mut full = Vec::new();
        let mut open: BTreeMap<u16, (usize, Vec<T>)> = BTreeMap::new();
        let mut scratch = String::new();
        for item in items {
            let key = key(&item);
            let slot = if self.link.is_cluster {
                self.keys.join_into(key, &mut scratch);
                slot(scratch.as_bytes())
            } else {
                0
            };
            let (weight, items) = open.entry(slot).or_default();
            let more = bytes(&item);
            if !items.is_empty() && (items.len() == MAX_KEYS || *weight + more > MAX_BYTES) {
                let items = std::mem::take(items);
                full.push(Group { slot, items });
                *weight = 0;
            }
            *weight += more;
            items.push(item);
        }
        let rest = open
            .into_iter()
            .map(|(slot, (_, items))| Group { slot, items });
        full.extend(rest);
        full
    }
}

/// Returns how many commands of these sizes may be under way at once.
fn side_by_side(sizes: impl Iterator<Item = usize>) -> usize {
    let largest = sizes.max().unwrap_or(1).max(1);
    (MAX_KEYS_UNDER_WAY / largest).clamp(1, MAX_COMMANDS)
}

fn bytes_of(keys: &[&str]) -> usize {
    keys.iter().map(|key| key.len()).sum()
}
