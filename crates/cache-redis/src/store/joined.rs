//! Adds to counters that wait for the round trips of others, and then share one.
//!
//! An add goes out at once while few are on their way; it never waits for company. Those that come
//! meanwhile leave together when one of these is back: a script of its own for each would cost the
//! server and the client several times as much as what it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache_core::{ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time;

use crate::client::{Add, Counted, Link};

/// Round trips that are on their way at once.
const MOST_ROUND_TRIPS: usize = 2;
/// The most adds of one script: it keeps the server from others for some tens of microseconds.
const MOST_JOINED: usize = 64;

/// The adds of stores that share their connections.
#[derive(Debug, Default)]
pub(crate) struct Adds(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    round_trips: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    add: Add,
    told: oneshot::Sender<Result<Option<Counted>>>,
}

impl Adds {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // What panics while it is held is the allocator at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an add, or has it sent with others.
    pub(super) async fn send(
        self: &Arc<Self>,
        link: &Arc<Link>,
        add: Add,
    ) -> Result<Option<Counted>> {
        // In a cluster a script has the keys of one slot.
        if link.is_cluster {
            return alone(link, add).await;
        }
        let answer = {
            let mut queue = self.queue();
            if queue.round_trips < MOST_ROUND_TRIPS {
                queue.round_trips += 1;
                None
            } else {
                let (told, answer) = oneshot::channel();
                queue.waiting.push_back(Waiting {
                    add: add.clone(),
                    told,
                });
                Some(answer)
            }
        };
        let Some(answer) = answer else {
            // Whoever drops this call leaves those who wait to a task of their own.
            let _turn = Turn::new(self, link);
            return alone(link, add).await;
        };
        match time::timeout(link.command_timeout(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ErrorKind::Unavailable.into()),
            Err(_) => Err(ErrorKind::Timeout.into()),
        }
    }
}

async fn alone(link: &Link, add: Add) -> Result<Option<Counted>> {
    let mut answers = link.add_all(vec![add]).await?;
    answers
        .pop()
        .unwrap_or_else(|| Err(ErrorKind::Backend.into()))
}

/// The right to a round trip.
struct Turn {
    adds: Arc<Adds>,
    link: Arc<Link>,
}

impl Turn {
    fn new(adds: &Arc<Adds>, link: &Arc<Link>) -> Self {
        Self {
            adds: Arc::clone(adds),
            link: Arc::clone(link),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.adds.queue();
        if queue.waiting.is_empty() {
            queue.round_trips -= 1;
            return;
        }
        drop(queue);
        let runner = Runner {
            adds: Arc::clone(&self.adds),
            link: Arc::clone(&self.link),
            is_over: false,
        };
        // Without a runtime the runner ends at once.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(runner.run());
        }
    }
}

/// Sends those who wait, until nobody does.
struct Runner {
    adds: Arc<Adds>,
    link: Arc<Link>,
    is_over: bool,
}

impl Runner {
    async fn run(mut self) {
        while let Some((adds, told)) = self.next() {
            let answers: Vec<_> = match self.link.add_all(adds).await {
                Ok(answers) => answers,
                Err(error) => told.iter().map(|_| Err(error.clone())).collect(),
            };
            for (told, answer) in told.into_iter().zip(answers) {
                // Nobody may be left who wants to know.
                let _ = told.send(answer);
            }
        }
    }

    /// Takes some of those who wait; at the end it gives the round trip back.
    #[expect(clippy::type_complexity, reason = "two lists of the same length")]
    fn next(&mut self) -> Option<(Vec<Add>, Vec<oneshot::Sender<Result<Option<Counted>>>>)> {
        let mut queue = self.adds.queue();
        let count = queue.waiting.len().min(MOST_JOINED);
        // What was dropped before it was sent is not sent.
        let some = queue.waiting.drain(..count);
        let wanted = some.filter(|waiting| !waiting.told.is_closed());
        let (adds, told): (Vec<_>, Vec<_>) =
            wanted.map(|waiting| (waiting.add, waiting.told)).unzip();
        if adds.is_empty() && queue.waiting.is_empty() {
            queue.round_trips -= 1;
            self.is_over = true;
            return None;
        }
        Some((adds, told))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.is_over {
            // The runtime ends: those who wait hear that nobody answers.
            let mut queue = self.adds.queue();
            queue.round_trips -= 1;
            queue.waiting.clear();
        }
    }
}
