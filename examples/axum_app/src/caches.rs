//! The caches of the program: one for each kind of value, each in a namespace of its own.

use std::sync::Arc;
use std::time::Duration;

use buildscale_cache::CacheStats;
use buildscale_cache::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::database::{Team, User};
use super::response_cache::Stored;
use super::sessions::Session;
use super::untold::{Change, Told, Untold};

/// How long caches that could not be told of something are left alone, the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long they are left alone at most: twice as long each time, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The caches, on the backend that the environment names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caches {
    /// Users by [`user_key`].
    pub users: Cache<User>,
    /// Teams by [`team_key`].
    pub teams: Cache<Team>,
    /// Sessions by their random id.
    pub sessions: Cache<Session>,
    /// Whole responses.
    pub responses: Cache<Stored>,
    untold: Arc<Untold>,
}

impl Caches {
    /// Opens all of them.
    ///
    /// # Errors
    /// As of [`Cache::from_env`](EnvExt::from_env).
    pub async fn from_env(config: CacheConfig) -> Result<Self, Error> {
        Ok(Self {
            users: open("users", config).await?,
            teams: open("teams", config).await?,
            sessions: open("sessions", config).await?,
            responses: open("responses", config).await?,
            untold: Arc::default(),
        })
    }

    /// Tells the caches of a change, now or as soon as they can be reached: a write that is done must
    /// not fail because a cache is away.
    ///
    /// Until then a cache that comes back may serve the old value. What is still to be told ends with
    /// the process, and then time ends the old value. Where that will not do, keep it in the database,
    /// written in the transaction of the change.
    pub async fn tell(&self, change: Change) -> Told {
        let Err(error) = self.try_tell(&change).await else {
            return Told::Now;
        };
        if self.untold.add(change) {
            // Once, and not for each change: a cache that is away has many.
            eprintln!("the caches are told of changes later: {error:?}");
            tokio::spawn(self.clone().tell_again());
        }
        Told::Later
    }

    /// Returns whether the caches were told of every change.
    #[must_use]
    pub fn all_told(&self) -> bool {
        self.untold.is_empty()
    }

    async fn tell_again(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let changes = self.untold.take();
            if changes.is_empty() {
                eprintln!("the caches have been told of all changes");
                return;
            }
            let mut failed = false;
            for change in changes {
                if self.try_tell(&change).await.is_err() {
                    self.untold.add(change);
                    failed = true;
                }
            }
            if failed {
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }

    async fn try_tell(&self, change: &Change) -> Result<(), Error> {
        match change {
            Change::User { id, team } => {
                let (own, team) = (user_key(*id), team_key(*team));
                // The team that the user has left was made of this user. The one that it has joined
                // was not: that one is named.
                tokio::try_join!(
                    self.users.delete(&own),
                    self.teams.delete_by_tag(&own),
                    self.teams.delete_by_tag(&team),
                )?;
            }
            Change::Team(id) => {
                let team = team_key(*id);
                // Its users hold its name. Tags belong to a cache, as keys do.
                tokio::try_join!(
                    self.users.delete_by_tag(&team),
                    self.teams.delete_by_tag(&team),
                )?;
            }
            Change::Forgotten(id) => drop(self.users.delete(user_key(*id)).await?),
            Change::Session(id) => drop(self.sessions.delete(id).await?),
        }
        Ok(())
    }

    /// Returns what each cache counts, by name.
    #[must_use]
    pub fn stats(&self) -> [(&'static str, CacheStats); 4] {
        [
            ("users", self.users.stats()),
            ("teams", self.teams.stats()),
            ("sessions", self.sessions.stats()),
            ("responses", self.responses.stats()),
        ]
    }
}

/// Returns the key of a user, which is the tag of what is made of the user too.
#[must_use]
pub fn user_key(id: u32) -> String {
    format!("user:{id}")
}

/// Returns the key of a team, which is the tag of what is made of the team too.
#[must_use]
pub fn team_key(id: u32) -> String {
    format!("team:{id}")
}

async fn open<V>(name: &str, config: CacheConfig) -> Result<Cache<V>, Error>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let cache = Cache::from_env(config).await?;
    cache.namespace(name)
}
