//! Connections of their own for what servers tell by themselves.
//!
//! A line is one connection for all its life: its client has no policy to connect anew. So what is heard
//! over it has no gaps but those that it tells of, and when it ends, that is known at once.

use std::sync::Arc;

use bytes::Bytes;
use cache_core::Error;
use fred::interfaces::{EventInterface, TrackingInterface};
use fred::types::client::Invalidation;
use fred::types::{Key, Message, Value};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::connection::{Connection, Task};
use super::failure::Failure;
use super::settings::Settings;

/// A connection that hears news `T`.
#[derive(Debug)]
pub(crate) struct Line<T: Heard> {
    pub(crate) connection: Arc<Connection>,
    task: Task,
    has_ended: bool,
    news: Receiver<T::Raw>,
}

/// What can be heard.
pub(crate) trait Heard: Sized {
    /// As fred says it.
    type Raw: Clone;

    fn receiver(connection: &Connection) -> Receiver<Self::Raw>;
    fn from_raw(raw: Self::Raw) -> Self;
}

/// Keys in the database that have changed, once that is [asked for](Connection::track).
#[derive(Debug)]
pub(crate) struct Changes(pub(crate) Vec<Bytes>);

/// A message of a channel that is [subscribed to](Connection::subscribe).
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) channel: String,
    pub(crate) text: Bytes,
}

/// What is heard.
#[derive(Debug)]
pub(crate) enum News<T> {
    Is(T),
    /// Some messages came too fast and are lost.
    Missed,
}

impl Heard for Changes {
    type Raw = Invalidation;

    fn receiver(connection: &Connection) -> Receiver<Invalidation> {
        connection.client.invalidation_rx()
    }

    fn from_raw(raw: Invalidation) -> Self {
        Self(raw.keys.into_iter().map(Key::into_bytes).collect())
    }
}

impl Heard for Letter {
    type Raw = Message;

    fn receiver(connection: &Connection) -> Receiver<Message> {
        connection.client.message_rx()
    }

    fn from_raw(raw: Message) -> Self {
        Self {
            channel: raw.channel.to_string(),
            text: match raw.value {
                Value::Bytes(bytes) => bytes,
                Value::String(text) => text.into_inner(),
                _ => Bytes::new(),
            },
        }
    }
}

impl<T: Heard> Line<T> {
    /// Connects.
    pub(crate) async fn open(settings: &Arc<Settings>) -> Result<Self, Error> {
        let connection = Connection::open(settings, Vec::new(), &[]).await?;
        let task = connection.take_task();
        Ok(Self {
            news: T::receiver(&connection),
            has_ended: false,
            task: task.ok_or_else(|| Failure::ended().to_error())?,
            connection: Arc::new(connection),
        })
    }

    /// Waits for news, and fails when there can be no more.
    pub(crate) async fn next(&mut self) -> Result<News<T>, Failure> {
        if self.has_ended {
            return self.try_next().ok_or_else(Failure::ended);
        }
        tokio::select! {
            biased;
            news = self.news.recv() => match news {
                Ok(news) => Ok(News::Is(T::from_raw(news))),
                Err(RecvError::Lagged(_)) => Ok(News::Missed),
                Err(RecvError::Closed) => Err(Failure::ended()),
            },
            _ = &mut self.task.0 => {
                self.has_ended = true;
                Err(Failure::ended())
            }
        }
    }

    /// Returns news that are there already.
    pub(crate) fn try_next(&mut self) -> Option<News<T>> {
        match self.news.try_recv() {
            Ok(news) => Some(News::Is(T::from_raw(news))),
            Err(TryRecvError::Lagged(_)) => Some(News::Missed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    /// Returns how many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.news.len()
    }

    /// Forgets the messages that wait.
    pub(crate) fn skip(&mut self) {
        self.news = self.news.resubscribe();
    }
}
