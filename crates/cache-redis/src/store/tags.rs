//! Tags: their versions, and whether what has them is still there.
//!
//! The version of a tag stands under the key that names it, for at least as long as an entry lasts that
//! has the tag. Who has lost it, be it by an invalidation, by eviction or by another program, has no
//! entries any more: they remember a version that never comes back.
//!
//! A ticket is what the generation of the namespace was when a value began to be read: random numbers,
//! of which each stands for some of the tags. An invalidation changes the numbers of its tags before it
//! removes their versions, and a write with a ticket learns the versions before it reads the numbers.
//! So if a number is still that of the ticket, the version is from before every invalidation since, and
//! ends with it; if not, the entry is written with a version that no tag ever has.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    BackendWrite, CacheBackend, Error, ErrorKind, Expiry, LoadLease, Result, TagTicket, Tagging,
    Tags,
};
use futures_util::future::try_join_all;

use super::RedisStore;
use crate::client::{Lifetime, Source};
use crate::lease::hash;
use crate::tagged::{self, Header, MAX_NAME_BYTES, NO_VERSION, Version, new_version};

/// How often a change of a value with tags is tried while others replace that value.
pub(crate) const ATTEMPTS: usize = 16;
/// How much longer a version has to last than the entry: it is looked at before the entry is written.
const MARGIN: Duration = Duration::from_secs(60);
/// The least time that a version is given.
const LEAST: Duration = Duration::from_secs(60 * 60);
/// How many numbers the generation of a namespace has, and how many bytes.
const STRIPES: usize = 128;
const GENERATION_BYTES: usize = STRIPES * size_of::<Version>();

#[derive(Debug, thiserror::Error)]
#[error("others go on replacing the value")]
struct Contended;

/// Returns the error of a change that others were faster than, again and again.
pub(crate) fn contended() -> Error {
    Error::new(ErrorKind::Unavailable).with_source(Contended)
}

impl RedisStore {
    /// Tells whether no tag of an entry was invalidated.
    pub(crate) async fn is_live(&self, header: &Header, source: Source) -> Result<bool> {
        Ok(self.are_live(&[header], source).await? == [true])
    }

    /// Tells of which entries no tag was invalidated.
    pub(super) async fn are_live(&self, headers: &[&Header], source: Source) -> Result<Vec<bool>> {
        let tags = headers.iter().flat_map(|header| header.tags());
        let names: BTreeSet<&str> = tags.map(|(name, _)| name).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let versions = self.versions(&names, source).await?;
        let versions: HashMap<&str, Option<Bytes>> = names.iter().copied().zip(versions).collect();
        let is_current = |(name, version): (&str, Version)| {
            let now = versions.get(name).and_then(Option::as_deref);
            version != NO_VERSION && now == Some(&version[..])
        };
        let is_live = |header: &&Header| header.tags().all(is_current);
        Ok(headers.iter().map(is_live).collect())
    }

    /// Tells which of some values with tags are present, by what the server says of their headers. What
    /// cannot be read is, as any other value that cannot.
    pub(super) async fn are_present(&self, headers: &[Bytes]) -> Result<Vec<bool>> {
        let headers = headers.iter().map(|header| Header::parse(header.clone()));
        let headers: Vec<Option<Header>> = headers.collect();
        let readable: Vec<&Header> = headers.iter().flatten().collect();
        let mut live = self.are_live(&readable, Source::Primary).await?.into_iter();
        let is_present = |header: &Option<Header>| header.is_none() || live.next() == Some(true);
        Ok(headers.iter().map(is_present).collect())
    }

    /// Tells whether a value with tags is present, by its header.
    pub(super) async fn is_present(&self, header: &Bytes) -> Result<bool> {
        let present = self.are_present(std::slice::from_ref(header)).await?;
        Ok(present == [true])
    }

    /// Has the versions of the tags of an entry last as long as it, and tells whether it is present.
    pub(super) async fn is_present_for(&self, header: &Bytes, expiry: Expiry) -> Result<bool> {
        let Some(header) = Header::parse(header.clone()) else {
            return Ok(true);
        };
        let (names, versions): (Vec<&str>, Vec<Version>) = header.tags().unzip();
        let each = names.iter().map(|name| self.version(name, None, expiry));
        let now = try_join_all(each.collect::<Vec<_>>()).await?;
        let mut pairs = versions.into_iter().zip(now);
        Ok(pairs.all(|(version, now)| version != NO_VERSION && now == Some(version)))
    }

    /// Returns the version of a tag, which then lasts as long as an entry. One that has none gets `new`.
    async fn version(
        &self,
        tag: &str,
        new: Option<Version>,
        expiry: Expiry,
    ) -> Result<Option<Version>> {
        let lifetime = lifetime(expiry);
        let version = self
            .link
            .write(self.keys.join(tag), |connection, tag| async move {
                connection.version(tag, new, lifetime).await
            });
        version.await
    }

    /// Returns a value as it is stored with tags.
    async fn with_tags(
        &self,
        value: &Bytes,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<Bytes> {
        let each = tagging.tags.iter();
        let each = each.map(|tag| self.version(tag, Some(new_version()), expiry));
        let versions = try_join_all(each.collect::<Vec<_>>()).await?;
        // In this order, see above.
        let is_since = self.since(tagging.since).await?;
        let tags = tagging.tags.iter().copied().zip(versions);
        let marks = tags.map(|(tag, version)| {
            let version = version.filter(|_| is_since(tag));
            (tag, version.unwrap_or(NO_VERSION))
        });
        Ok(tagged::join(&marks.collect::<Vec<_>>(), value))
    }

    /// Returns what tells of a tag that it was not invalidated since a ticket.
    async fn since(&self, ticket: Option<&TagTicket>) -> Result<impl Fn(&str) -> bool + use<>> {
        let then = ticket.map(|ticket| Bytes::copy_from_slice(ticket.as_bytes()));
        let now = match &then {
            Some(_) => self.generation().await?,
            None => None,
        };
        Ok(move |tag: &str| match (&then, &now) {
            (None, _) => true,
            (Some(then), Some(now)) if then.len() == now.len() => {
                let place = place(tag)..place(tag) + size_of::<Version>();
                then[place.clone()] == now[place]
            }
            _ => false,
        })
    }

    /// Returns the generation of the namespace, if there is one.
    async fn generation(&self) -> Result<Option<Bytes>> {
        let read = self.link.read(|connection| {
            let key = self.keys.tag_generation();
            async move { connection.mget(vec![key], Source::Primary).await }
        });
        let generation = read
            .await?
            .pop()
            .flatten()
            .map(|(generation, _)| generation);
        Ok(generation.filter(|generation| generation.len() == GENERATION_BYTES))
    }

    async fn generation_or_new(&self) -> Result<Bytes> {
        if let Some(generation) = self.generation().await? {
            return Ok(generation);
        }
        let new: Vec<u8> = (0..STRIPES).flat_map(|_| new_version()).collect();
        let payload = (self.keys.tag_generation(), Bytes::from(new));
        let create = self
            .link
            .write(payload, |connection, (key, new)| async move {
                connection.get_or_set(key, new).await
            });
        create.await
    }

    async fn end_versions(&self, tags: &[&str]) -> Result<()> {
        let parts: Vec<_> = tags.iter().map(|tag| (place(tag), new_version())).collect();
        let payload = (self.keys.tag_generation(), parts);
        let overwrite = self
            .link
            .write(payload, |connection, (key, parts)| async move {
                connection.overwrite(key, GENERATION_BYTES, parts).await
            });
        overwrite.await?;
        self.unlink_all(tags).await?;
        Ok(())
    }
}

/// Refuses tags that do not fit in a header. The limit for keys of entries does not concern them.
fn check(tags: &[&str]) -> Result<()> {
    if let Some(tag) = tags.iter().find(|tag| tag.len() > MAX_NAME_BYTES) {
        let problem = format!(
            "is {} bytes long with its namespaces, the most is {MAX_NAME_BYTES}",
            tag.len()
        );
        return Err(Error::invalid("tag", problem));
    }
    Ok(())
}

#[async_trait]
impl Tags<Bytes> for RedisStore {
    async fn ticket(&self) -> Result<TagTicket> {
        let generation = self.observe("ticket", 0, self.generation_or_new()).await?;
        Ok(TagTicket::new(generation))
    }

    async fn set(
        &self,
        key: &str,
        value: Bytes,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        if tagging.tags.is_empty() {
            return CacheBackend::set(self, key, value, options).await;
        }
        tagging.check()?;
        check(tagging.tags)?;
        let bytes = key.len() + value.len();
        let key = self.keys.encode(key)?;
        self.check_value(&value)?;
        let set = async {
            let stored = self.with_tags(&value, options.expiry, tagging).await?;
            self.put_if(key, stored, options).await
        };
        self.observe("set", bytes, set).await
    }

    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: Bytes,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        tagging.check()?;
        check(tagging.tags)?;
        let bytes = key.len() + value.len();
        let key = self.keys.encode(key)?;
        self.check_value(&value)?;
        let fill = async {
            let stored = match tagging.tags {
                [] => value,
                _ => self.with_tags(&value, expiry, tagging).await?,
            };
            self.put_for_lease(key, lease, stored, expiry).await
        };
        self.observe("fill", bytes, fill).await
    }

    async fn invalidate(&self, tags: &[&str]) -> Result<()> {
        check(tags)?;
        if tags.is_empty() {
            return Ok(());
        }
        let bytes = tags.iter().map(|tag| tag.len()).sum();
        self.observe("invalidate", bytes, self.end_versions(tags))
            .await
    }
}

/// Returns where in a generation the number of a tag begins.
fn place(tag: &str) -> usize {
    let stripe = u64::from_le_bytes(hash(tag.as_bytes())) % STRIPES as u64;
    stripe as usize * size_of::<Version>()
}

/// Returns how long the version of a tag has to last for an entry. It is given more time than it needs,
/// so that it does not have to be given some for each entry.
fn lifetime(expiry: Expiry) -> Lifetime {
    let [least, given] = match expiry {
        Expiry::Never => [Expiry::Never; 2],
        Expiry::After(ttl) => {
            let given = ttl.saturating_mul(2).max(LEAST);
            [ttl.saturating_add(MARGIN), given].map(Expiry::After)
        }
    };
    Lifetime { least, given }
}
