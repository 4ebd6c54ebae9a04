//! Hears that loads have ended, over one connection that is opened when somebody first waits.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cache_core::Result;
use tokio::sync::Notify;
use tokio::time;

use crate::RedisStore;
use crate::client::{AbortOnDrop, Failure, Letter, Line, Link, News, Settings, cannot_listen};

/// How many messages may wait. When there are more, everybody is woken.
const CAPACITY: usize = 1_024;
/// How soon to ask again who was told that he may not listen.
const REFUSED: Duration = Duration::from_secs(60);
/// What is said to be heard by the speaker.
const ECHO: &[u8] = b"echo";
/// The first time that is waited for a message which may have been sent too early.
const FIRST_ECHO: Duration = Duration::from_millis(5);

/// What wakes those who wait, and the task that listens for them.
#[derive(Debug, Default)]
pub(super) struct Ear {
    bells: Arc<Bells>,
    task: Mutex<Option<AbortOnDrop<()>>>,
}

/// A power of two. Who waits for another key of the same bell is woken as well.
const BELLS: usize = 256;

#[derive(Debug)]
struct Bells {
    bells: [Notify; BELLS],
    /// Whether messages are heard.
    hears: AtomicBool,
    /// How often in a row nothing came of listening.
    failures: AtomicU32,
}

impl Default for Bells {
    fn default() -> Self {
        Self {
            bells: std::array::from_fn(|_| Notify::new()),
            hears: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        }
    }
}

impl Bells {
    fn of(&self, hash: [u8; 8]) -> &Notify {
        &self.bells[u64::from_le_bytes(hash) as usize & (BELLS - 1)]
    }

    fn ring(&self, message: &[u8]) {
        // Of another length it says nothing.
        if let Ok(hash) = message.try_into() {
            self.of(hash).notify_waiters();
        }
    }

    fn ring_all(&self) {
        self.bells.iter().for_each(Notify::notify_waiters);
    }
}

impl Ear {
    /// Tells whether those who wait can rely on messages.
    pub(super) fn hears(&self) -> bool {
        self.bells.hears.load(Ordering::Acquire)
    }

    /// Returns when a message with this number was heard, or messages may have been lost; and begins
    /// to listen if nobody did. From its first poll on it misses nothing that is heard.
    pub(super) async fn told(&self, hash: [u8; 8], store: &RedisStore) {
        let mut bell = pin!(self.bells.of(hash).notified());
        bell.as_mut().enable();
        self.listen(store);
        bell.await;
    }

    /// Begins to listen unless somebody does: it ends with the connection, and with the runtime of who
    /// waited first.
    fn listen(&self, store: &RedisStore) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.0.is_finished()) {
            return;
        }
        self.bells.hears.store(false, Ordering::Release);
        let listener = Listener {
            bells: Arc::clone(&self.bells),
            link: Arc::clone(store.link()),
            channel: store.keys().lease_channel(),
        };
        *task = Some(AbortOnDrop(tokio::spawn(listener.run())));
    }
}

/// The task that listens for the stores of one namespace.
struct Listener {
    bells: Arc<Bells>,
    link: Arc<Link>,
    channel: String,
}

impl Listener {
    /// Listens until that fails. Whoever waits after a while then begins anew.
    async fn run(self) {
        let Err(error) = Box::pin(self.listen()).await;
        self.bells.hears.store(false, Ordering::Release);
        self.bells.ring_all();
        tracing::debug!(kind = ?error.kind(), "the end of loads is not heard");
        let failures = self.bells.failures.fetch_add(1, Ordering::Relaxed);
        let is_refused = !error.is_transient();
        let delay = self.link.delay(failures);
        time::sleep(if is_refused { REFUSED } else { delay }).await;
    }

    async fn listen(&self) -> Result<Infallible> {
        let settings = Arc::new(self.way().await?);
        let mut line: Line<Letter> = Line::open(&settings).await?;
        let connection = Arc::clone(&line.connection);
        let channels = [&*self.channel];
        let heard = async {
            self.wait_for_echo(&mut line).await?;
            self.bells.failures.store(0, Ordering::Relaxed);
            self.bells.hears.store(true, Ordering::Release);
            loop {
                let news = line.next().await.map_err(|failure| failure.to_error())?;
                self.ring(&news);
            }
        };
        tokio::select! {
            biased;
            refused = connection.subscribe(false, &channels) => {
                Err(cannot_listen(&refused, "channels by this server"))
            }
            heard = heard => heard,
        }
    }

    /// Returns how to connect to a server of the channel: in a cluster each node passes messages on.
    async fn way(&self) -> Result<Settings> {
        let settings = &self.link.settings;
        let settings = settings.listening(CAPACITY, settings.command_timeout);
        if !self.link.is_cluster {
            return Ok(settings);
        }
        let owner = self.link.owner(self.channel.as_bytes()).await?;
        let owner = owner.ok_or_else(|| Failure::nowhere().to_error())?;
        Ok(settings.direct(&owner))
    }

    /// Says something until it is heard: then everything later is heard as well.
    async fn wait_for_echo(&self, line: &mut Line<Letter>) -> Result<()> {
        let mut patience = FIRST_ECHO;
        loop {
            let (channel, message) = (self.channel.clone(), Bytes::from_static(ECHO));
            let send = self.link.write(
                (channel, message),
                |connection, (channel, message)| async move {
                    connection.publish(false, &channel, message).await
                },
            );
            send.await?;
            if let Ok(news) = time::timeout(patience, line.next()).await {
                self.ring(&news.map_err(|failure| failure.to_error())?);
                return Ok(());
            }
            patience = (patience * 2).min(self.link.settings.command_timeout);
        }
    }

    fn ring(&self, news: &News<Letter>) {
        match news {
            News::Is(letter) => self.bells.ring(&letter.text),
            News::Missed => self.bells.ring_all(),
        }
    }
}
