//! The caches of the program: one for each kind of value, each in a namespace of its own.

use buildscale_cache::CacheStats;
use buildscale_cache::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::database::{Team, User};
use super::response_cache::Stored;
use super::sessions::Session;

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
        })
    }

    /// Ends what was made of a user.
    ///
    /// # Errors
    /// Those of the caches. Then some of it may still be served: call again.
    pub async fn user_changed(&self, user: &User) -> Result<(), Error> {
        let (own, team) = (user_key(user.id), team_key(user.team));
        // The team that the user has left was made of this user. The one that it has joined was
        // not: that one is named.
        tokio::try_join!(
            self.users.delete(&own),
            self.teams.delete_by_tag(&own),
            self.teams.delete_by_tag(&team),
        )?;
        Ok(())
    }

    /// Ends what was made of a team, its users included: they hold its name.
    ///
    /// # Errors
    /// Those of the caches. Then some of it may still be served: call again.
    pub async fn team_changed(&self, id: u32) -> Result<(), Error> {
        let team = team_key(id);
        // Tags belong to a cache, as keys do.
        tokio::try_join!(
            self.users.delete_by_tag(&team),
            self.teams.delete_by_tag(&team),
        )?;
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
