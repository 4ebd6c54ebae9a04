//! Sessions that live as long as they are used, in Redis:
//! `cargo run --features redis --example redis_sessions`.
//!
//! The server is `BUILDSCALE_CACHE_REDIS_URL`, or the one on this machine.

use std::time::Duration;

use buildscale_cache::prelude::*;
use buildscale_cache::{EncodedBackend, ErrorKind, JsonCodec, MsgPackCodec};
use buildscale_cache::{RedisConfig, RedisStore};
use serde::{Deserialize, Serialize};

/// How long a session lives without a request.
const IDLE: Duration = Duration::from_secs(1800);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct User {
    name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    user: String,
    device: String,
}

/// Users and sessions, over the same connections.
struct Accounts {
    users: Cache<User>,
    sessions: Cache<Session>,
}

impl Accounts {
    fn over(store: &RedisStore) -> Result<Self, Error> {
        // Users are plain JSON for other programs to read; sessions are small.
        let users = store.partition("users")?;
        let sessions = EncodedBackend::new(store.partition("sessions")?, MsgPackCodec::new());
        Ok(Self {
            users: Cache::new(EncodedBackend::new(users, JsonCodec::new()).raw()),
            // A session that is read lives on.
            sessions: Cache::builder(sessions).time_to_idle(IDLE).build()?,
        })
    }

    async fn login(&self, token: &str, user: &str, device: &str) -> Result<(), Error> {
        let (user, device) = (user.to_owned(), device.to_owned());
        self.sessions.set(token, Session { user, device }).await
    }

    /// Returns who makes a request, and lets the session live on.
    async fn touch(&self, token: &str) -> Result<Option<User>, Error> {
        let Some(session) = self.sessions.get(token).await? else {
            return Ok(None);
        };
        self.users.get(&session.user).await
    }

    async fn logout(&self, token: &str) -> Result<bool, Error> {
        self.sessions.delete(token).await
    }
}

async fn run(url: &str) -> Result<(), Error> {
    let store = RedisStore::connect(RedisConfig::from_url(url)?).await?;
    println!("ping: {:?}, {:?}", store.ping().await?, store.state());

    let accounts = Accounts::over(&store)?;
    let alice = User {
        name: "Alice".to_owned(),
    };
    accounts.users.set("alice", alice).await?;
    accounts.login("token-1", "alice", "laptop").await?;
    accounts.login("token-2", "alice", "phone").await?;

    println!("token-1 is {:?}", accounts.touch("token-1").await?);
    println!(
        "seconds left: {:?}",
        accounts.sessions.ttl("token-1").await?
    );
    println!("logged out: {}", accounts.logout("token-1").await?);
    println!("token-1 is {:?}", accounts.touch("token-1").await?);
    println!("sessions: {:?}", accounts.sessions.keys().await?);
    println!("on the wire: {:?}", store.wire_stats());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::var("BUILDSCALE_CACHE_REDIS_URL");
    let url = url.unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let result = run(&url).await;
    if let Err(error) = &result
        && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
    {
        eprintln!("Is there a server? Start one, or name it in BUILDSCALE_CACHE_REDIS_URL.");
    }
    result
}
