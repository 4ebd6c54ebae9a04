//! Changes that the caches could not be told of.

use std::collections::BTreeSet;
use std::fmt;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;

/// What has changed in the database.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Change {
    /// A user, who is now in this team.
    User {
        /// The number of the user.
        id: u32,
        /// The number of the team.
        team: u32,
    },
    /// A team.
    Team(u32),
    /// Nothing, but the user is to be loaded anew.
    Forgotten(u32),
    /// A session has ended.
    Session(String),
}

/// When the caches hear of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a client is told of it"]
#[non_exhaustive]
pub enum Told {
    /// They have: nobody gets the old value any more.
    Now,
    /// As soon as they can be reached, unless too much else is untold: then time ends the old value.
    Later,
}

/// Beyond so many, sessions that have ended and users to be loaded anew are dropped: while a cache is
/// away, anybody can make any number of them, and time ends what the cache holds, of a session within a
/// quarter of the idle time, of a user within five minutes. Of users and teams that have changed there
/// are only as many as there are rows, and none is dropped.
const MOST: usize = 10_000;

/// Each change once, however often it was made.
#[derive(Default)]
pub(super) struct Untold(Mutex<State>);

#[derive(Default)]
struct State {
    changes: BTreeSet<Change>,
    /// Whether somebody tells them again and again.
    telling: bool,
}

impl Told {
    /// Returns the status of a change that is done: this one, or 202 if caches do not know yet.
    #[must_use]
    pub const fn status(self, now: StatusCode) -> StatusCode {
        match self {
            Self::Now => now,
            Self::Later => StatusCode::ACCEPTED,
        }
    }
}

impl Untold {
    /// Adds a change and returns whether the caller is the one to tell them from now on.
    pub(super) fn add(&self, change: Change) -> bool {
        let mut state = self.state();
        let ends_by_itself = matches!(change, Change::Session(_) | Change::Forgotten(_));
        if state.changes.len() < MOST || !ends_by_itself {
            state.changes.insert(change);
        }
        !std::mem::replace(&mut state.telling, true)
    }

    /// Takes out all of them; none is the end of telling.
    ///
    /// Out, and not only copied: what is added meanwhile was made later, and has to be told again.
    pub(super) fn take(&self) -> BTreeSet<Change> {
        let mut state = self.state();
        state.telling = !state.changes.is_empty();
        take(&mut state.changes)
    }

    /// Returns whether there is nothing to be told.
    pub(super) fn is_empty(&self) -> bool {
        !self.state().telling
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Without the ids of sessions, which let their readers in.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id, team } => write!(f, "User {{ id: {id}, team: {team} }}"),
            Self::Team(id) => write!(f, "Team({id})"),
            Self::Forgotten(id) => write!(f, "Forgotten({id})"),
            Self::Session(_) => f.write_str("Session"),
        }
    }
}

impl fmt::Debug for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Untold")
            .field(&self.state().changes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, MOST, Untold};

    #[test]
    fn sessions_are_dropped_beyond_the_bound_and_rows_never() {
        let untold = Untold::default();
        for id in 0..MOST + 10 {
            untold.add(Change::Session(id.to_string()));
        }
        untold.add(Change::Team(7));
        let changes = untold.take();
        assert!(changes.contains(&Change::Team(7)));
        assert_eq!(changes.len(), MOST + 1);
    }
}
