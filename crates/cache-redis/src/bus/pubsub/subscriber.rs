//! Listens to the channel over one connection.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_core::bus::{FlushCause, InvalidationListener};
use cache_core::{Invalidation, Result};
use futures_util::future::{join, try_join_all, try_join3};
use tokio::time::{self, Instant};

use super::PubSubBus;
use crate::bus::message::{self, Message};
use crate::bus::{Outage, PATIENCE, check_same_server, random, start_over};
use crate::client::{Connection, Failure, Letter, Line, News, Primary, cannot_listen};

/// How many messages are read before what they say is told.
const BATCH: usize = 256;
/// In how many rounds the cluster is asked once who its primaries are.
const ROUNDS: u32 = 4;
/// The first time that is waited for a message which may have been sent too early.
const FIRST_ECHO: Duration = Duration::from_millis(5);

/// A connection that has subscribed.
pub(super) struct Subscriber<'a> {
    bus: &'a PubSubBus,
    line: Line<Letter>,
    /// The channel of our messages to ourselves: of the same server, and of nobody else.
    echo: String,
    primaries: Vec<Primary>,
    /// Keys, one on each primary, that are gone when its database was emptied, and their values.
    generations: Arc<[(Bytes, Bytes)]>,
    unreadable: Unreadable,
}

/// How a round ended in which the store was asked.
enum Round {
    /// All is told.
    Passed,
    /// Somebody has emptied a database.
    Emptied,
    /// Our own message may be among those that are lost.
    Missed,
    /// Nothing can be relied upon any more: nothing is heard, our own message stayed out, or other
    /// servers have the data.
    Lost(Failure),
}

impl<'a> Subscriber<'a> {
    /// Subscribes, and waits until messages pass.
    pub(super) async fn begin(bus: &'a PubSubBus, limit: Duration) -> Result<Self> {
        let line = Box::pin(Line::open(&bus.way().await?)).await?;
        let connection = Arc::clone(&line.connection);
        let echo = format!("{}:{}", bus.channel, random());
        let mut new = Self {
            bus,
            line,
            echo: echo.clone(),
            primaries: Vec::new(),
            generations: Arc::new([]),
            unreadable: Unreadable::default(),
        };
        let channels = [&*bus.channel, &*echo];
        tokio::select! {
            biased;
            refused = connection.subscribe(bus.link.is_cluster, &channels) => {
                return Err(cannot_listen(&refused, "channels of this kind by this server"));
            }
            passed = time::timeout(limit, new.wait_for_echo()) => {
                passed.unwrap_or_else(|_| Err(Failure::timeout().to_error()))?;
            }
        }
        new.primaries = bus.primaries(true).await?;
        new.generations = learn(bus, &new.primaries).await?.into();
        Ok(new)
    }

    /// Waits until a message to ourselves comes back: those who send one too early repeat it.
    async fn wait_for_echo(&mut self) -> Result<()> {
        let mut patience = FIRST_ECHO;
        loop {
            let nonce = message::nonce(self.bus.origin, 0);
            self.bus.send(&self.echo, nonce).await?;
            let wait = async {
                loop {
                    match self.line.next().await {
                        Ok(News::Is(letter)) if letter.channel == self.echo => return Ok(()),
                        Ok(_) => {}
                        Err(failure) => return Err(failure.to_error()),
                    }
                }
            };
            if let Ok(heard) = time::timeout(patience, wait).await {
                return heard;
            }
            patience *= 2;
        }
    }

    /// Listens until the connection is lost.
    pub(super) async fn listen(
        &mut self,
        listener: &Arc<dyn InvalidationListener>,
        outage: &mut Outage,
    ) -> Result<Infallible> {
        self.line.skip();
        listener.flush(FlushCause::Connected).await;
        let (mut round, mut failures) = (0_u32, 0);
        loop {
            let begin = Instant::now();
            let asked = listener.now();
            round = round.wrapping_add(1);
            match self.round(listener, round.is_multiple_of(ROUNDS)).await {
                Ok(Round::Passed) => {
                    failures = 0;
                    if self.unreadable.settle(listener).await {
                        outage.ended();
                        listener.caught_up(asked);
                    }
                }
                Ok(Round::Emptied) => {
                    // First the new values, so that the next time is noticed as well.
                    self.generations = learn(self.bus, &self.primaries).await?.into();
                    listener.flush(FlushCause::Emptied).await;
                    continue;
                }
                Ok(Round::Missed) => continue,
                Ok(Round::Lost(failure)) => return Err(failure.to_error()),
                Err(error) => {
                    failures += 1;
                    if failures >= PATIENCE || !error.is_transient() {
                        return Err(error);
                    }
                }
            }
            self.hear_until(begin + self.bus.config.period(), listener)
                .await?;
        }
    }

    /// Asks the store whether there is news, and tells what comes until the answer is there.
    async fn round(
        &mut self,
        listener: &Arc<dyn InvalidationListener>,
        ask_cluster: bool,
    ) -> Result<Round> {
        let (nonce, limit) = (crate::random::number(), self.bus.config.limit());
        let (echo, generations) = (self.echo.clone(), Arc::clone(&self.generations));
        let ask = ask(self.bus, &echo, nonce, &generations, ask_cluster);
        let mut answer = pin!(time::timeout(limit, ask));
        // Late is better than never: what was confirmed last still counts until then.
        let mut end = pin!(time::sleep(limit * 2));
        let (mut is_heard, mut is_kept) = (false, None);
        loop {
            match is_kept {
                Some(false) => return Ok(Round::Emptied),
                Some(true) if is_heard => return Ok(Round::Passed),
                _ => {}
            }
            tokio::select! {
                biased;
                answer = &mut answer, if is_kept.is_none() => {
                    let (primaries, same) = answer.map_err(|_| Failure::timeout().to_error())??;
                    if primaries != self.primaries {
                        return Ok(Round::Lost(Failure::nowhere()));
                    }
                    is_kept = Some(same);
                }
                news = self.line.next() => match news {
                    Err(failure) => return Ok(Round::Lost(failure)),
                    Ok(news) => match self.hear(news, nonce, listener).await {
                        Some(heard) => is_heard |= heard,
                        None => return Ok(Round::Missed),
                    },
                },
                // Who does not get one message may not get others.
                () = &mut end => return Ok(Round::Lost(Failure::timeout())),
            }
        }
    }

    /// Tells what is heard in this time.
    async fn hear_until(
        &mut self,
        end: Instant,
        listener: &Arc<dyn InvalidationListener>,
    ) -> Result<()> {
        let mut end = pin!(time::sleep_until(end));
        loop {
            tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                news = self.line.next() => {
                    let news = news.map_err(|failure| failure.to_error())?;
                    self.hear(news, 0, listener).await;
                }
            }
        }
    }

    /// Tells what is said, in order, and returns whether the number was among it; nothing if some of
    /// it is lost.
    async fn hear(
        &mut self,
        first: News<Letter>,
        nonce: u64,
        listener: &Arc<dyn InvalidationListener>,
    ) -> Option<bool> {
        let (mut keys, mut is_heard) = (Vec::new(), false);
        let (mut next, mut taken) = (Some(first), 0);
        while let Some(news) = next {
            let News::Is(letter) = news else {
                start_over(&mut self.line, listener).await;
                return None;
            };
            match message::read(&letter.text) {
                Some((origin, Message::Nonce(number))) => {
                    is_heard |= origin == self.bus.origin && number == nonce;
                }
                // Who has changed something knows, if it was the only one who could.
                Some((origin, _)) if origin == self.bus.origin && !self.bus.is_shared() => {}
                Some((_, Message::Changed(Invalidation::Keys(more)))) => keys.extend(more),
                Some((_, Message::Changed(change))) => listener.changed(&change).await,
                Some((_, Message::All)) => listener.flush(FlushCause::Requested).await,
                None => {
                    self.unreadable.waits = true;
                    self.unreadable.settle(listener).await;
                }
            }
            taken += 1;
            next = if taken < BATCH {
                self.line.try_next()
            } else {
                None
            };
        }
        if !keys.is_empty() {
            listener.changed(&Invalidation::Keys(keys)).await;
        }
        Some(is_heard)
    }
}

/// Messages that cannot be understood: each may tell of a change of anything. Somebody who sends many
/// must not have everything forgotten for each.
#[derive(Debug, Default)]
struct Unreadable {
    waits: bool,
    last: Option<Instant>,
}

impl Unreadable {
    /// The least time from one flush to the next.
    const PERIOD: Duration = Duration::from_secs(1);

    /// Forgets everything if it is time to, and tells whether there is nothing left to forget.
    async fn settle(&mut self, listener: &Arc<dyn InvalidationListener>) -> bool {
        if !self.waits {
            return true;
        }
        if self.last.is_some_and(|last| last.elapsed() < Self::PERIOD) {
            return false;
        }
        self.last = Some(Instant::now());
        self.waits = false;
        listener.flush(FlushCause::Unreadable).await;
        true
    }
}

impl PubSubBus {
    async fn primaries(&self, ask: bool) -> Result<Vec<Primary>> {
        match self.link.is_cluster {
            true => self.link.primaries(ask).await,
            false => Ok(Vec::new()),
        }
    }
}

/// Sends a message to ourselves, and returns who the primaries are and whether all values are what they
/// were.
async fn ask(
    bus: &PubSubBus,
    echo: &str,
    nonce: u64,
    generations: &[(Bytes, Bytes)],
    ask_cluster: bool,
) -> Result<(Vec<Primary>, bool)> {
    let send = bus.send(echo, message::nonce(bus.origin, nonce));
    let look = async {
        let primaries = bus.primaries(ask_cluster).await?;
        Ok((primaries, is_same(bus, generations).await?))
    };
    let ((), found, ()) = try_join3(send, look, check_way(bus)).await?;
    Ok(found)
}

/// Fails if the bus goes another way than the data, and to another server.
async fn check_way(bus: &PubSubBus) -> Result<()> {
    if bus.link.is_cluster || Arc::ptr_eq(&bus.link, &bus.data) {
        return Ok(());
    }
    let limit = bus.config.limit() / 2;
    let (own, of_data) = join(bus.link.run_ids(limit), bus.data.run_ids(limit)).await;
    let own = own.first().ok_or_else(|| Failure::timeout().to_error())?;
    check_same_server(own, &of_data).map_err(|failure| failure.to_error())
}

/// Reads, or makes, the value of a key on each primary.
async fn learn(bus: &PubSubBus, primaries: &[Primary]) -> Result<Vec<(Bytes, Bytes)>> {
    let tags = primaries.iter().map(|primary| primary.tag);
    let tags: Vec<u32> = if bus.link.is_cluster {
        tags.collect()
    } else {
        vec![0]
    };
    let learn = |tag: u32| async move {
        let key = bus.keys.generation(tag);
        if let Some(known) = read(bus, &key).await? {
            return Ok((key, known));
        }
        let create = |connection: Arc<Connection>, (key, value)| async move {
            connection.create_generation(key, value).await
        };
        bus.link.write((key.clone(), random()), create).await?;
        let made = read(bus, &key).await?;
        Ok((key, made.ok_or_else(|| Failure::unexpected().to_error())?))
    };
    try_join_all(tags.into_iter().map(learn)).await
}

/// Tells whether all values are what they were.
async fn is_same(bus: &PubSubBus, generations: &[(Bytes, Bytes)]) -> Result<bool> {
    let values = try_join_all(generations.iter().map(|(key, _)| read(bus, key))).await?;
    let mut pairs = values.iter().zip(generations);
    Ok(pairs.all(|(now, (_, known))| now.as_ref() == Some(known)))
}

async fn read(bus: &PubSubBus, key: &Bytes) -> Result<Option<Bytes>> {
    let read = bus.link.read(|connection| {
        let key = key.clone();
        async move { connection.generation(key).await }
    });
    read.await
}
