//! Which operations share commands, and which commands.

use std::sync::Arc;

use bytes::Bytes;
use cache_core::{ErrorKind, Expiry, Result};

use super::RedisStore;
use super::queue::{Kind, Queue};
use crate::client::{Add, Counted, Found, Link, Source};

/// Values of more bytes are written alone: into a script and out of it each is copied.
const LARGE: usize = 1024;

/// The queues of stores that share their connections.
#[derive(Debug, Default)]
pub(super) struct Queues {
    values: Arc<Queue<Values>>,
    entries: Arc<Queue<Entries>>,
    writes: Arc<Queue<Writes>>,
    adds: Arc<Queue<Adds>>,
}

/// Values of keys.
struct Values;

/// Values of keys, and the time that each has left.
struct Entries;

/// Writes without a condition.
struct Writes;

/// Adds to counters.
struct Adds;

// What is sent at once is boxed: then none of these futures is large, and an operation that waits for others, which is
// most of them under load, allocates nothing for it.
impl RedisStore {
    /// Reads what stands under a key.
    pub(super) async fn found(&self, key: &str) -> Result<Found> {
        let (link, queue) = (&self.link, &self.queues.values);
        let key = self.keys.join(key);
        match queue.turn(link) {
            Some(_turn) => Box::pin(Values::alone(link, key)).await,
            None => queue.send(link, key).await,
        }
    }

    /// Reads what stands under a key and the time that it has left, as of one moment.
    pub(super) async fn found_with_expiry(&self, key: &str) -> Result<(Found, Expiry)> {
        let (link, queue) = (&self.link, &self.queues.entries);
        let key = self.keys.join(key);
        match queue.turn(link) {
            Some(_turn) => Box::pin(Entries::alone(link, key)).await,
            None => queue.send(link, key).await,
        }
    }

    /// Writes a value, whatever is there.
    pub(super) async fn write(&self, key: Bytes, value: Bytes, expiry: Expiry) -> Result<()> {
        let (link, queue) = (&self.link, &self.queues.writes);
        let write = (key, value, expiry);
        if write.1.len() > LARGE {
            return Box::pin(Writes::alone(link, write)).await;
        }
        match queue.turn(link) {
            Some(_turn) => Box::pin(Writes::alone(link, write)).await,
            None => queue.send(link, write).await,
        }
    }

    /// Adds to a counter, and returns what it then counts; `None` if it would be out of range.
    pub(super) async fn add_to(&self, add: Add) -> Result<Option<Counted>> {
        let (link, queue) = (&self.link, &self.queues.adds);
        match queue.turn(link) {
            Some(_turn) => Box::pin(Adds::alone(link, add)).await,
            None => queue.send(link, add).await,
        }
    }
}

impl Kind for Values {
    type Ask = Bytes;
    type Answer = Found;

    const MAY_REPEAT: bool = true;

    async fn alone(link: &Link, key: Bytes) -> Result<Found> {
        let get = link.read(|connection| {
            let key = key.clone();
            async move { connection.get(key, Source::Any).await }
        });
        get.await
    }

    async fn together(link: &Link, keys: &[Bytes]) -> Result<Vec<Result<Found>>> {
        let get = link.read(|connection| {
            let keys = keys.to_vec();
            async move { connection.mget(keys, Source::Any).await }
        });
        let found = get.await?.into_iter();
        Ok(found
            .map(|found| Ok(found_value(found.map(|(value, _)| value))))
            .collect())
    }

    fn bytes(key: &Bytes, found: &Found) -> usize {
        key.len() + found.len()
    }
}

impl Kind for Entries {
    type Ask = Bytes;
    type Answer = (Found, Expiry);

    const MAY_REPEAT: bool = true;

    async fn alone(link: &Link, key: Bytes) -> Result<(Found, Expiry)> {
        let get = link.read(|connection| {
            let key = key.clone();
            async move { connection.get_with_ttl(key).await }
        });
        get.await
    }

    async fn together(link: &Link, keys: &[Bytes]) -> Result<Vec<Result<(Found, Expiry)>>> {
        let get = link.read(|connection| {
            let keys = keys.to_vec();
            async move { connection.mget_with_ttl(0, keys).await }
        });
        let found = get.await?.into_iter();
        let entry = |found: Option<(Bytes, Expiry)>| {
            let (value, expiry) = found.unzip();
            Ok((found_value(value), expiry.unwrap_or(Expiry::Never)))
        };
        Ok(found.map(entry).collect())
    }

    fn bytes(key: &Bytes, (found, _): &(Found, Expiry)) -> usize {
        key.len() + found.len()
    }
}

impl Kind for Writes {
    type Ask = (Bytes, Bytes, Expiry);
    type Answer = ();

    const MAY_REPEAT: bool = true;

    async fn alone(link: &Link, (key, value, expiry): Self::Ask) -> Result<()> {
        let set = link.write((key, value), |connection, (key, value)| async move {
            connection.set(key, value, expiry, None).await
        });
        set.await.map(drop)
    }

    async fn together(link: &Link, writes: &[Self::Ask]) -> Result<Vec<Result<()>>> {
        let set = link.write(writes.to_vec(), |connection, writes| async move {
            connection.set_each(writes).await
        });
        set.await?;
        Ok(writes.iter().map(|_| Ok(())).collect())
    }

    fn bytes((key, value, _): &Self::Ask, (): &()) -> usize {
        key.len() + value.len()
    }
}

impl Kind for Adds {
    type Ask = Add;
    type Answer = Option<Counted>;

    /// A script that was ended on its way has done some of them.
    const MAY_REPEAT: bool = false;

    async fn alone(link: &Link, add: Add) -> Result<Option<Counted>> {
        let mut answers = link.add_all(vec![add]).await?;
        let answer = answers.pop();
        answer.unwrap_or_else(|| Err(ErrorKind::Backend.into()))
    }

    async fn together(link: &Link, adds: &[Add]) -> Result<Vec<Result<Option<Counted>>>> {
        link.add_all(adds.to_vec()).await
    }

    fn bytes(add: &Add, _: &Option<Counted>) -> usize {
        add.key.len()
    }
}

fn found_value(value: Option<Bytes>) -> Found {
    value.map_or(Found::Nothing, Found::Value)
}
