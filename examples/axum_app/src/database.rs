//! Stands in for a database: slow enough to be worth a cache, and it counts who asks.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How long each query takes.
const LATENCY: Duration = Duration::from_millis(20);

/// A user, with the name of the team joined in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The number by which it is asked for.
    pub id: u32,
    /// The name.
    pub name: String,
    /// The number of the team.
    pub team: u32,
    /// The name of the team, from a table of its own: a team that is renamed changes its users.
    pub team_name: String,
}

/// A team and who is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Team {
    /// The number by which it is asked for.
    pub id: u32,
    /// The name.
    pub name: String,
    /// The members, by number.
    pub members: Vec<User>,
}

/// What a client may say of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// The number of the team.
    pub team: u32,
}

/// Three tables, in memory or in a file that processes share.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    /// The tables, if there is no file.
    memory: Mutex<Tables>,
    reads: AtomicU64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tables {
    users: BTreeMap<u32, UserRow>,
    teams: BTreeMap<u32, String>,
    #[serde(default)]
    sessions: BTreeMap<String, SessionRow>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SessionRow {
    user: u32,
    /// Since 1970.
    until: Duration,
}

impl Database {
    /// Opens the JSON file that `DATABASE_FILE` names, or tables in memory.
    ///
    /// A file is made by the first write. Writers take turns, those of other processes too: a file of
    /// that name with ".lock" behind it is locked by the one whose turn it is.
    #[must_use]
    pub fn from_env() -> Self {
        Self(Arc::new(Inner {
            file: env::var_os("DATABASE_FILE").map(PathBuf::from),
            memory: Mutex::new(Tables::first()),
            reads: AtomicU64::new(0),
        }))
    }

    /// Returns a user.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn user(&self, id: u32) -> io::Result<Option<User>> {
        self.query(|tables| tables.user(id)).await
    }

    /// Returns a team with all its members.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn team(&self, id: u32) -> io::Result<Option<Team>> {
        self.query(|tables| tables.team(id)).await
    }

    /// Returns all teams.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn teams(&self) -> io::Result<Vec<Team>> {
        self.query(|tables| {
            let teams = tables.teams.keys();
            teams.filter_map(|id| tables.team(*id)).collect()
        })
        .await
    }

    /// Writes a user and returns it, or `None` if there is no such team.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn put_user(&self, id: u32, row: UserRow) -> io::Result<Option<User>> {
        self.change(move |tables| {
            if tables.teams.contains_key(&row.team) {
                tables.users.insert(id, row);
                tables.user(id)
            } else {
                None
            }
        })
        .await
    }

    /// Gives a team another name and returns whether there is such a team.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn rename_team(&self, id: u32, name: String) -> io::Result<bool> {
        self.change(move |tables| tables.teams.get_mut(&id).map(|old| *old = name).is_some())
            .await
    }

    /// Adds a session, for as long as it says, and returns whether there was none of that id.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn add_session(&self, id: &str, user: u32, time: Duration) -> io::Result<bool> {
        let id = id.to_owned();
        self.change(move |tables| {
            let now = now();
            tables.sessions.retain(|_, row| row.until > now);
            if tables.sessions.contains_key(&id) {
                return false;
            }
            let until = now + time;
            let row = SessionRow { user, until };
            tables.sessions.insert(id, row);
            true
        })
        .await
    }

    /// Returns the user of a session, which lives for this long from now.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn use_session(&self, id: &str, time: Duration) -> io::Result<Option<u32>> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let id = id.to_owned();
        let user = self
            .change(move |tables| {
                let now = now();
                let row = tables.sessions.get_mut(&id)?;
                let alive = row.until > now;
                alive.then(|| {
                    row.until = now + time;
                    row.user
                })
            })
            .await?;
        sleep(LATENCY).await;
        Ok(user)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn end_session(&self, id: &str) -> io::Result<()> {
        let id = id.to_owned();
        self.change(move |tables| tables.sessions.remove(&id))
            .await?;
        Ok(())
    }

    /// Returns how many queries have been made: what the caches are to keep small.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Relaxed)
    }

    async fn query<T>(&self, ask: impl FnOnce(&Tables) -> T + Send) -> io::Result<T> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let answer = match self.0.file.clone() {
            Some(file) => ask(&spawn_blocking(move || Tables::read(&file)).await??),
            None => ask(&self.memory()),
        };
        // After the read, so that what is returned may be old by then, as from any database.
        sleep(LATENCY).await;
        Ok(answer)
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> io::Result<T> {
        match self.0.file.clone() {
            // Nobody who stops waiting cuts it in half: what has begun there goes on to its end.
            Some(file) => spawn_blocking(move || change_file(&file, change)).await?,
            None => Ok(change(&mut self.memory())),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Tables> {
        let memory = self.0.memory.lock();
        memory.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes the tables of a file while nobody else does.
fn change_file<T>(file: &Path, change: impl FnOnce(&mut Tables) -> T) -> io::Result<T> {
    // Not the file itself, as each write puts another one in its place. It is free again when it is
    // closed, and so at the end of a process too.
    let turn = File::create(beside(file, ".lock"))?;
    turn.lock()?;
    let mut tables = Tables::read(file)?;
    let before = serde_json::to_vec(&tables)?;
    let result = change(&mut tables);
    let after = serde_json::to_vec(&tables)?;
    if after != before {
        // Readers see the old file or the new one, never half of it.
        let new = beside(file, ".new");
        fs::write(&new, after)?;
        fs::rename(&new, file)?;
    }
    Ok(result)
}

/// Returns the path of a file with more behind its name.
fn beside(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(more);
    name.into()
}

impl Tables {
    /// What is there before anybody has written.
    fn first() -> Self {
        let row = |name: &str, team| UserRow {
            name: name.to_owned(),
            team,
        };
        let users = [
            (1, row("Alice", 7)),
            (2, row("Bob", 7)),
            (3, row("Carol", 8)),
        ];
        let teams = [(7, "Red".to_owned()), (8, "Blue".to_owned())];
        Self {
            users: users.into(),
            teams: teams.into(),
            sessions: BTreeMap::new(),
        }
    }

    /// Reads a file, which may not be there yet.
    fn read(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::first()),
            Err(error) => Err(error),
        }
    }

    fn user(&self, id: u32) -> Option<User> {
        let row = self.users.get(&id)?;
        Some(User {
            id,
            name: row.name.clone(),
            team: row.team,
            team_name: self.teams.get(&row.team)?.clone(),
        })
    }

    fn team(&self, id: u32) -> Option<Team> {
        let name = self.teams.get(&id)?.clone();
        let members = self.users.iter().filter(|(_, row)| row.team == id);
        let members = members.filter_map(|(id, _)| self.user(*id)).collect();
        Some(Team { id, name, members })
    }
}

fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
