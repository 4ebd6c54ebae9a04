//! Why there is no connection.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::EventInterface;
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::failure::Failure;

/// What a client tells of connections that broke, or that it could not make.
pub(super) struct Breaks(Mutex<Heard>);

struct Heard {
    news: Receiver<(FredError, Option<Server>)>,
    last: Option<Failure>,
}

impl Breaks {
    pub(super) fn of(client: &Client) -> Self {
        Self(Mutex::new(Heard {
            news: client.error_rx(),
            last: None,
        }))
    }

    /// Returns what it told last. There may be a connection again.
    pub(super) fn last(&self) -> Option<Failure> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match heard.news.try_recv() {
                Ok((error, _)) => heard.last = Some(error.into()),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return heard.last.clone(),
            }
        }
    }
}

// Written by hand: an error may quote what was sent.
impl fmt::Debug for Breaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaks").finish_non_exhaustive()
    }
}
