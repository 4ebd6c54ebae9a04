//! Walks over the key space: `scan` and `clear`, in pages, on one server after the other.

use bytes::Bytes;
use cache_core::{Cursor, Error, Page, Result, Scope, is_tag_key};

use super::RedisStore;

/// The least and the most keys that a server looks at for one page. Fewer would be many round trips
/// among the keys of others, more would keep others waiting.
const PAGE: std::ops::RangeInclusive<usize> = 250..=1_000;
/// How many keys a server looks at for one page of a `clear`.
const CLEAR_PAGE: usize = 500;

/// Where a walk stands.
///
/// The fingerprint stands for the servers and slots that it began with. When these change, cursors mean
/// nothing any more and keys may have moved behind the walk: it begins anew, and finds some keys twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    fingerprint: u64,
    server: usize,
    cursor: u64,
}

impl Place {
    fn to_cursor(self) -> Cursor {
        let Self {
            fingerprint,
            server,
            cursor,
        } = self;
        Cursor::Token(format!("{fingerprint:x} {server} {cursor}"))
    }

    fn parse(token: &str) -> Option<Self> {
        let mut parts = token.split(' ');
        Some(Self {
            fingerprint: u64::from_str_radix(parts.next()?, 16).ok()?,
            server: parts.next()?.parse().ok()?,
            cursor: parts.next()?.parse().ok()?,
        })
    }
}

impl RedisStore {
    pub(super) async fn page(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        let place = match cursor {
            Cursor::Start => None,
            Cursor::Token(token) => Some(Place::parse(&token).ok_or_else(foreign_cursor)?),
            _ => return Err(foreign_cursor()),
        };
        let (keys, next) = self.own_page(scope, place, limit, false).await?;
        Ok(Page::new(keys, next.map(Place::to_cursor)))
    }

    pub(super) async fn clear_pages(&self, scope: &Scope) -> Result<u64> {
        if self.keys.are_bare() && scope.prefix().is_empty() {
            return Err(Error::unsupported(
                "clear with bare keys: it would empty the database, others' keys too",
            ));
        }
        let mut cleared = 0;
        let mut place = None;
        loop {
            let (own, next) = self.own_page(scope, place, CLEAR_PAGE, true).await?;
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            cleared += self.unlink(&own).await?;
            match next {
                Some(next) => place = Some(next),
                None => return Ok(cleared),
            }
        }
    }

    /// Returns keys of the scope and the next place. To leave out those that hold a load lease is one
    /// more round trip: a command for each 512 of them, in a cluster one for each slot. Another one
    /// leaves out those of which a tag was invalidated, if some have tags.
    async fn own_page(
        &self,
        scope: &Scope,
        place: Option<Place>,
        limit: usize,
        with_absent: bool,
    ) -> Result<(Vec<String>, Option<Place>)> {
        let map = self.link.map();
        let start = Place {
            fingerprint: map.fingerprint,
            server: 0,
            cursor: 0,
        };
        let place = place
            .filter(|place| {
                place.fingerprint == map.fingerprint && place.server < map.servers.len()
            })
            .unwrap_or(start);
        let pattern = self.keys.pattern(scope.prefix());
        let count = u32::try_from(limit.clamp(*PAGE.start(), *PAGE.end())).unwrap_or(u32::MAX);
        let scan = self.link.read(|connection| {
            let (server, pattern) = (map.servers[place.server].clone(), pattern.clone());
            async move { connection.scan(server, place.cursor, &pattern, count).await }
        });
        let page = scan.await?;
        // A pattern matches some keys of others as well.
        let own = |stored: &Bytes| {
            let key = self.keys.decode(stored)?;
            let is_own = scope.contains(key) && !is_tag_key(key);
            is_own.then(|| key.to_owned())
        };
        let keys = page.keys.iter().filter_map(own).collect();
        let keys = if with_absent {
            keys
        } else {
            self.without_absent(keys).await?
        };
        if page.cursor == 0 && self.link.is_cluster {
            // Slots that moved since have taken their keys along, perhaps behind the walk.
            let now = self.link.asked_map().await?;
            if now.slots != map.slots {
                let start = Place {
                    fingerprint: now.fingerprint,
                    ..start
                };
                return Ok((keys, Some(start)));
            }
        }
        let next = Place {
            cursor: page.cursor,
            server: place.server + usize::from(page.cursor == 0),
            ..place
        };
        Ok((keys, (next.server < map.servers.len()).then_some(next)))
    }
}

fn foreign_cursor() -> Error {
    Error::invalid("cursor", "is not one of this backend")
}
