//! Operations on many keys: a command for each slot of a cluster, or one for all.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use cache_core::{BackendEntry, Expiry, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::RedisStore;
use super::accept::entry;
use crate::client::{Found, Mark, Source, is_torn, slot};
use crate::tagged::Header;

/// The most keys in one command: a server answers nobody else meanwhile.
const MAX_KEYS: usize = 512;
/// The most bytes of values in one command, but for a single larger value.
const MAX_BYTES: usize = 1024 * 1024;
/// The most keys of one operation that are under way: each command has its deadline, waiting included.
const MAX_KEYS_UNDER_WAY: usize = 2_048;
/// The most commands of one operation that are under way.
const MAX_COMMANDS: usize = 128;

/// What a bulk read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Values; the time that each has left is not asked for and reads as `Never`.
    Values,
    /// Values and the time that each has left.
    Entries,
    /// Versions of tags.
    Versions(Source),
}

/// What was removed: how many keys, and how many of them had which header.
#[derive(Debug, Default)]
pub(super) struct Removed {
    keys: u64,
    headers: HashMap<Bytes, u64>,
}

impl Removed {
    fn and(mut self, more: Self) -> Self {
        self.keys += more.keys;
        for (header, count) in more.headers {
            *self.headers.entry(header).or_default() += count;
        }
        self
    }
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
    ) -> Result<Vec<Option<BackendEntry<Bytes>>>> {
        self.check_keys(keys.iter().copied())?;
        let read_all = async {
            let mut found: Vec<Option<BackendEntry<Bytes>>> = vec![None; keys.len()];
            let mut tagged: Vec<(usize, Header)> = Vec::new();
            let each = |place: usize, (value, expiry)| {
                if let Some((header, value)) = self.accept(Found::Value(value)) {
                    let told = header.as_ref().filter(|_| wanted == Wanted::Entries);
                    found[place] = Some(entry(told, value, expiry));
                    tagged.extend(header.map(|header| (place, header)));
                }
            };
            self.read_each(keys, wanted, each).await?;
            let source = match wanted {
                Wanted::Values => Source::Any,
                _ => Source::Primary,
            };
            self.drop_invalidated(&mut found, &tagged, source).await?;
            Ok(found)
        };
        self.observe(operation, bytes_of(keys), read_all).await
    }

    /// Returns the versions that tags have now.
    pub(super) async fn versions(
        &self,
        tags: &[&str],
        source: Source,
    ) -> Result<Vec<Option<Bytes>>> {
        let mut versions = vec![None; tags.len()];
        let each = |place: usize, (version, _)| versions[place] = Some(version);
        self.read_each(tags, Wanted::Versions(source), each).await?;
        Ok(versions)
    }

    /// Reads keys, and tells of each that is there which it is and what it holds.
    async fn read_each(
        &self,
        keys: &[&str],
        wanted: Wanted,
        mut each: impl FnMut(usize, (Bytes, Expiry)) + Send,
    ) -> Result<()> {
        let groups = self.groups(keys.iter().copied().enumerate(), |(_, key)| key, |_| 0);
        let width = side_by_side(groups.iter().map(|group| group.items.len()));
        let mut reads = Vec::with_capacity(groups.len());
        for group in groups {
            reads.push(self.read_group(group, wanted));
        }
        let mut answers = stream::iter(reads).buffer_unordered(width);
        while let Some(answer) = answers.try_next().await? {
            for (place, found) in answer {
                if let Some(found) = found {
                    each(place, found);
                }
            }
        }
        Ok(())
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
                        Wanted::Values => connection.mget(keys, Source::Any).await,
                        Wanted::Versions(source) => connection.mget(keys, source).await,
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
            self.link.write(pairs, move |connection, pairs| async move {
                connection.set_many(slot, pairs, expiry).await
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

    /// Removes a key and tells whether it was there.
    pub(super) async fn unlink_one(&self, key: &str) -> Result<bool> {
        let unlink = self.unlink_keys(vec![self.keys.join(key)]);
        let removed = unlink.await?;
        Ok(self.present(removed).await? > 0)
    }

    /// Removes keys and returns how many were there.
    pub(super) async fn unlink(&self, keys: &[&str]) -> Result<u64> {
        let removed = self.unlink_all(keys).await?;
        self.present(removed).await
    }

    /// Removes keys of one slot.
    async fn unlink_keys(&self, keys: Vec<Bytes>) -> Result<Removed> {
        let unlink = self.link.write(keys, |connection, keys| async move {
            connection.unlink(keys).await
        });
        let (keys, headers) = unlink.await?;
        let mut removed = Removed {
            keys,
            ..Removed::default()
        };
        for header in headers {
            *removed.headers.entry(header).or_default() += 1;
        }
        Ok(removed)
    }

    /// Removes keys.
    pub(super) async fn unlink_all(&self, keys: &[&str]) -> Result<Removed> {
        let unlink = async |keys: Vec<Bytes>| {
            let kept = self.link.is_cluster.then(|| keys.clone());
            match (self.unlink_keys(keys).await, kept) {
                (Err(error), Some(keys)) if is_torn(&error) => {
                    stream::iter(keys)
                        .map(|key| self.unlink_keys(vec![key]))
                        .buffer_unordered(MAX_COMMANDS)
                        .try_fold(Removed::default(), async |all, more| Ok(all.and(more)))
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
            .try_fold(Removed::default(), async |all, more| Ok(all.and(more)))
            .await
    }

    /// Returns how many of some removed keys held an entry that was not over.
    async fn present(&self, removed: Removed) -> Result<u64> {
        if removed.headers.is_empty() {
            return Ok(removed.keys);
        }
        let (headers, counts): (Vec<Bytes>, Vec<u64>) = removed.headers.into_iter().unzip();
        let present = Box::pin(self.are_present(&headers)).await?;
        let over = counts
            .iter()
            .zip(present)
            .filter(|(_, is_present)| !is_present);
        let over = over.map(|(count, _)| count).sum();
        Ok(removed.keys.saturating_sub(over))
    }

    /// Leaves out the keys that hold a load lease or an entry of which a tag was invalidated.
    pub(super) async fn without_absent(&self, keys: Vec<String>) -> Result<Vec<String>> {
        let places = keys.iter().map(String::as_str).enumerate();
        let groups = self.groups(places, |(_, key)| key, |_| 0);
        let width = side_by_side(groups.iter().map(|group| group.items.len()));
        let mut reads = Vec::with_capacity(groups.len());
        for group in &groups {
            reads.push(self.marked_of(&group.items));
        }
        let marked = stream::iter(reads).buffer_unordered(width);
        let marked = marked.try_collect::<Vec<_>>().await?;
        let mut absent = HashSet::new();
        let (mut places, mut headers) = (Vec::new(), Vec::new());
        for (place, mark) in marked.into_iter().flatten() {
            match mark {
                Mark::Lease => drop(absent.insert(place)),
                Mark::Header(header) => {
                    places.push(place);
                    headers.push(header);
                }
            }
        }
        if !headers.is_empty() {
            let present = self.are_present(&headers).await?;
            let over = places
                .iter()
                .zip(present)
                .filter(|(_, is_present)| !is_present);
            absent.extend(over.map(|(place, _)| place));
        }
        let keys = keys.into_iter().enumerate();
        let kept = keys.filter(|(place, _)| !absent.contains(place));
        Ok(kept.map(|(_, key)| key).collect())
    }

    /// Returns the places of those keys of one slot that hold no plain value.
    async fn marked_of(&self, items: &[(usize, &str)]) -> Result<Vec<(usize, Mark)>> {
        let marked = async |items: &[(usize, &str)]| {
            let keys = self.keys.join_all(items.iter().map(|(_, key)| *key));
            let read = self.link.read(move |connection| {
                let keys = keys.clone();
                async move { connection.marked(keys).await }
            });
            let found = read.await?.into_iter();
            Ok(found
                .filter_map(|(place, mark)| Some((items.get(place)?.0, mark)))
                .collect::<Vec<_>>())
        };
        match marked(items).await {
            Err(error) if is_torn(&error) => {
                let mut all = Vec::new();
                for one in items.chunks(1) {
                    all.extend(marked(one).await?);
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
