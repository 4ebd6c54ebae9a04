//! Listens to one server.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use cache_core::Error;
use cache_core::bus::{FlushCause, InvalidationListener, Moment};
use futures_util::future::join;
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use super::TrackingBus;
use crate::bus::{Outage, PATIENCE, check_same_server, learn, tell};
use crate::client::{Changes, Failure, Fence, Line, Lost, News, Settings};

/// One that listens to one server, connecting again and again.
pub(super) struct Ear<'a> {
    pub(super) bus: &'a TrackingBus,
    pub(super) listener: &'a Arc<dyn InvalidationListener>,
    pub(super) settings: &'a Arc<Settings>,
    /// The key that is gone when the database was emptied.
    pub(super) generation: Bytes,
    /// Takes the moments before which all changes of this server were told.
    pub(super) told: &'a (dyn Fn(Moment) + Send + Sync),
    /// What is expected in a cluster.
    pub(super) peers: Option<Peers<'a>>,
}

/// Who the primaries of a cluster are thought to be, and whom to tell that it may be otherwise.
pub(super) struct Peers<'a> {
    pub(super) primaries: &'a [String],
    pub(super) differ: &'a Notify,
}

impl Ear<'_> {
    /// Listens for ever.
    pub(super) async fn listen(&self) {
        let mut outage = Outage::new("tracking");
        loop {
            let error = self.listen_once(&mut outage).await;
            let failures = outage.failed(&error);
            if let Some(peers) = &self.peers
                && failures.is_multiple_of(PATIENCE)
            {
                peers.differ.notify_one();
            }
            time::sleep(self.bus.link.delay(failures - 1)).await;
        }
    }

    /// Listens over one connection until it is lost.
    async fn listen_once(&self, outage: &mut Outage) -> Error {
        let mut line = match Box::pin(Line::open(self.settings)).await {
            Ok(line) => line,
            Err(error) => return error,
        };
        match self.follow(&mut line, outage).await {
            Ok(never) => match never {},
            Err(failure) => failure.to_error(),
        }
    }

    async fn follow(
        &self,
        line: &mut Line<Changes>,
        outage: &mut Outage,
    ) -> Result<Infallible, Failure> {
        let mut generation = self.begin(line).await?;
        let mut silent = 0;
        loop {
            let begin = Instant::now();
            let asked = self.listener.now();
            match self.ask(line).await {
                Ok(fence) if !fence.is_tracking => return Err(Failure::ended()),
                Ok(fence) => {
                    silent = 0;
                    self.drain(line).await;
                    if fence.generation.as_ref() != Some(&generation) {
                        generation = self.begin_anew(line).await?;
                        continue;
                    }
                    self.pass(&fence, asked, outage);
                }
                Err(failure) => {
                    silent += 1;
                    let is_over = failure.lost() == Lost::Reply || failure.is_apart();
                    if is_over || silent >= PATIENCE {
                        return Err(failure);
                    }
                }
            }
            let end = begin + self.bus.config.period();
            self.hear_until(line, end).await?;
        }
    }

    /// Has the server tell of changes, and forgets what may have changed before.
    async fn begin(&self, line: &mut Line<Changes>) -> Result<Bytes, Failure> {
        line.connection.track(self.bus.keys.prefix()).await?;
        let generation = learn(&line.connection, &self.generation).await?;
        line.skip();
        self.listener.flush(FlushCause::Connected).await;
        Ok(generation)
    }

    /// Forgets what was there before the database was emptied.
    async fn begin_anew(&self, line: &Line<Changes>) -> Result<Bytes, Failure> {
        // First the new value, so that the next time is noticed as well.
        let generation = learn(&line.connection, &self.generation).await?;
        self.listener.flush(FlushCause::Emptied).await;
        Ok(generation)
    }

    /// Notes that all was told, unless others may have something to tell.
    fn pass(&self, fence: &Fence, asked: Moment, outage: &mut Outage) {
        if let Some(peers) = &self.peers
            && fence.primaries != peers.primaries
        {
            return peers.differ.notify_one();
        }
        outage.ended();
        (self.told)(asked);
    }

    /// Asks the server, and tells what it tells meanwhile.
    async fn ask(&self, line: &mut Line<Changes>) -> Result<Fence, Failure> {
        let connection = Arc::clone(&line.connection);
        let prefix = self.bus.keys.prefix();
        let fence = connection.fence(prefix, &self.generation, self.peers.is_some());
        let ask = async {
            let (fence, of_data) = join(fence, self.run_ids_of_data()).await;
            let fence = fence?;
            if let Some(own) = &fence.run_id {
                check_same_server(own, &of_data)?;
            }
            Ok(fence)
        };
        let mut answer = pin!(time::timeout(self.bus.config.limit(), ask));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| Err(Failure::timeout())),
                news = line.next() => {
                    self.tell(line, news?).await;
                }
            }
        }
    }

    /// Returns which servers the data connections lead to, as far as they say so.
    async fn run_ids_of_data(&self) -> Vec<String> {
        match &self.peers {
            // The names of the primaries are compared.
            Some(_) => Vec::new(),
            None => self.bus.link.run_ids(self.bus.config.limit() / 2).await,
        }
    }

    /// Tells what has been heard by now.
    async fn drain(&self, line: &mut Line<Changes>) {
        // What comes meanwhile is later.
        let mut waiting = line.waiting();
        while waiting > 0
            && let Some(news) = line.try_next()
        {
            waiting = waiting.saturating_sub(self.tell(line, news).await);
        }
    }

    /// Tells what is heard in this time.
    async fn hear_until(&self, line: &mut Line<Changes>, end: Instant) -> Result<(), Failure> {
        let mut end = pin!(time::sleep_until(end));
        loop {
            tokio::select! {
                biased;
                () = &mut end => return Ok(()),
                news = line.next() => {
                    self.tell(line, news?).await;
                }
            }
        }
    }

    async fn tell(&self, line: &mut Line<Changes>, first: News<Changes>) -> usize {
        let keys_of = |Changes(stored): Changes, keys: &mut Vec<String>| {
            let own = stored.iter().filter_map(|key| self.bus.keys.decode(key));
            keys.extend(own.filter(|key| !is_generation(key)).map(str::to_owned));
        };
        tell(line, first, self.listener, keys_of).await
    }
}

/// Tells whether a key is that of a bus, also one of another process.
fn is_generation(key: &str) -> bool {
    key.starts_with("@{") && key.ends_with("}generation")
}
