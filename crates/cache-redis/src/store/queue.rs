//! Operations that wait at the same moment, and share a command.
//!
//! A command of its own costs the client several times as much as a share of a larger one. But no operation
//! waits for company, and none for the answer of another: one that finds no other under way goes out at once,
//! from the task of its caller; the rest go out as soon as the tasks have run that are ready now.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};
use futures_util::future::join_all;
use futures_util::poll;
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::task;
use tokio::time::Instant;

use crate::client::Link;

/// The most operations of one command: it keeps the server from others for some tens of microseconds.
const MOST_JOINED: usize = 128;
/// The most bytes of one command and its answer, as far as they can be foretold.
const MOST_BYTES: usize = 64 * 1024;
/// With so many operations in the last command, the next ones wait for each other even if none is under way.
const CROWD: usize = 4;
/// How long each operation goes out alone after a server has refused what joins them.
const ALONE: Duration = Duration::from_secs(10);

/// Operations that one command can do together.
pub(super) trait Kind: Sized + Send + Sync + 'static {
    /// What an operation asks for.
    type Ask: Clone + Send + Sync + 'static;
    /// What it brings.
    type Answer: Send + 'static;

    /// Whether operations that were refused together may be sent again, each alone.
    const MAY_REPEAT: bool;

    /// Does one.
    fn alone(link: &Link, ask: Self::Ask) -> impl Future<Output = Result<Self::Answer>> + Send;

    /// Does several with one command, and returns what they bring, in their order.
    fn together(
        link: &Link,
        asks: &[Self::Ask],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;

    /// Returns about how many bytes an operation sends and receives.
    fn bytes(ask: &Self::Ask, answer: &Self::Answer) -> usize;
}

/// The operations of one kind, of stores that share their connections.
pub(super) struct Queue<K: Kind>(Mutex<State<K>>);

struct State<K: Kind> {
    /// How many commands are under way.
    under_way: usize,
    /// The runtime of the task that is about to send what waits, if there is one.
    gathers_on: Option<Id>,
    waiting: VecDeque<Waiting<K>>,
    /// Whether the last command was that of several operations.
    is_crowded: bool,
    /// About how many bytes an operation sends and receives.
    usual_bytes: usize,
    alone_until: Option<Instant>,
}

struct Waiting<K: Kind> {
    ask: K::Ask,
    told: Told<K>,
}

type Told<K> = oneshot::Sender<Result<<K as Kind>::Answer>>;
type Heard<K> = oneshot::Receiver<Result<<K as Kind>::Answer>>;

/// A command under way.
pub(super) struct Turn<K: Kind>(Option<Arc<Queue<K>>>);

impl<K: Kind> Queue<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        // What panics while it is held is the allocator at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the turn of an operation that its caller sends at once, or nothing if it is to
    /// [wait](Self::send) for a task that does.
    pub(super) fn turn(self: &Arc<Self>, link: &Link) -> Option<Turn<K>> {
        // In a cluster a command has the keys of one slot.
        if link.is_cluster {
            return Some(Turn(None));
        }
        let Ok(runtime) = Handle::try_current() else {
            return Some(Turn(None));
        };
        let mut state = self.state();
        let is_next = match state.gathers_on {
            // Nobody may drive the runtime of that task any more.
            Some(id) => id != runtime.id(),
            None => state.under_way == 0 && !state.is_crowded || state.is_alone(),
        };
        if !is_next {
            return None;
        }
        state.under_way += 1;
        Some(Turn(Some(Arc::clone(self))))
    }

    /// Has an operation sent with others.
    ///
    /// Dropped before it is sent, it is not sent.
    pub(super) async fn send(self: &Arc<Self>, link: &Arc<Link>, ask: K::Ask) -> Result<K::Answer> {
        let runtime = Handle::try_current().map_err(Error::backend)?;
        let (is_first, answer) = self.push(&runtime, ask);
        if is_first {
            self.gather(&runtime, link);
        }
        // The command has a deadline. If the task is dropped, its runtime has ended.
        answer
            .await
            .unwrap_or_else(|_| Err(ErrorKind::Unavailable.into()))
    }

    /// Adds an operation to those that wait, and tells whether no task of this runtime is about to send them.
    fn push(&self, runtime: &Handle, ask: K::Ask) -> (bool, Heard<K>) {
        let (told, heard) = oneshot::channel();
        let mut state = self.state();
        state.waiting.push_back(Waiting { ask, told });
        let gathers_on = state.gathers_on.replace(runtime.id());
        (gathers_on != Some(runtime.id()), heard)
    }

    fn gather(self: &Arc<Self>, runtime: &Handle, link: &Arc<Link>) {
        let gatherer = Gatherer {
            queue: Arc::clone(self),
            link: Arc::clone(link),
            gathers_on: Some(runtime.id()),
        };
        runtime.spawn(gatherer.run());
    }
}

impl<K: Kind> State<K> {
    /// Tells whether operations go out alone, as a server has refused what joins them.
    fn is_alone(&mut self) -> bool {
        let is_alone = self.alone_until.is_some_and(|end| Instant::now() < end);
        if !is_alone {
            self.alone_until = None;
        }
        is_alone
    }

    /// Takes what the next command does; what was dropped meanwhile is left out.
    fn take(&mut self) -> (Vec<K::Ask>, Vec<Told<K>>) {
        let most = (MOST_BYTES / self.usual_bytes.max(1)).clamp(1, MOST_JOINED);
        let most = most.min(self.waiting.len());
        let some = self.waiting.drain(..most);
        let wanted = some.filter(|waiting| !waiting.told.is_closed());
        let taken: (Vec<_>, Vec<_>) = wanted.map(|waiting| (waiting.ask, waiting.told)).unzip();
        self.is_crowded = taken.0.len() >= CROWD;
        taken
    }

    fn note(&mut self, bytes: usize) {
        self.usual_bytes = self.usual_bytes.midpoint(bytes);
    }
}

/// The task that sends operations which wait.
struct Gatherer<K: Kind> {
    queue: Arc<Queue<K>>,
    link: Arc<Link>,
    /// Its runtime, until it leaves what comes to another task.
    gathers_on: Option<Id>,
}

impl<K: Kind> Gatherer<K> {
    async fn run(mut self) {
        // An answer wakes many tasks, of which most ask for the next thing when they run.
        task::yield_now().await;
        let (asks, told) = {
            let mut state = self.queue.state();
            state.under_way += 1;
            state.take()
        };
        let _turn = Turn(Some(Arc::clone(&self.queue)));
        if asks.is_empty() {
            self.go_on();
            return;
        }
        let answers = self.send(&asks).await;
        for (told, answer) in told.into_iter().zip(answers) {
            // Nobody may be left who wants to know.
            let _ = told.send(answer);
        }
    }

    async fn send(&mut self, asks: &[K::Ask]) -> Vec<Result<K::Answer>> {
        let link = Arc::clone(&self.link);
        let mut answers = pin!(K::together(&link, asks));
        // It is on its way before the next task may send, so that operations keep their order.
        let first = poll!(answers.as_mut());
        self.go_on();
        let answers = match first {
            Poll::Ready(answers) => answers,
            Poll::Pending => answers.await,
        };
        match answers {
            Ok(answers) => {
                self.note(asks, &answers);
                answers
            }
            Err(error) if K::MAY_REPEAT && is_refusal(&error) => {
                self.queue.state().alone_until = Some(Instant::now() + ALONE);
                join_all(asks.iter().map(|ask| K::alone(&link, ask.clone()))).await
            }
            Err(error) => {
                // It is counted for one of them.
                let others = asks.iter().skip(1);
                others.for_each(|_| self.link.counters.failed(error.kind()));
                asks.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// Leaves what waits, and what comes, to another task.
    fn go_on(&mut self) {
        self.gathers_on = None;
        let mut state = self.queue.state();
        match Handle::try_current() {
            Ok(runtime) if !state.waiting.is_empty() => {
                drop(state);
                self.queue.gather(&runtime, &self.link);
            }
            _ => state.gathers_on = None,
        }
    }

    fn note(&self, asks: &[K::Ask], answers: &[Result<K::Answer>]) {
        self.link.counters.joined(asks.len());
        let answered = asks.iter().zip(answers);
        let bytes = answered.filter_map(|(ask, answer)| Some(K::bytes(ask, answer.as_ref().ok()?)));
        let bytes: usize = bytes.sum();
        self.queue.state().note(bytes / asks.len());
    }
}

/// Tells whether a server has refused a command, and so done nothing that counts.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Backend | ErrorKind::Unauthorized)
}

impl<K: Kind> Drop for Gatherer<K> {
    fn drop(&mut self) {
        if self.gathers_on.is_none() {
            return;
        }
        let mut state = self.queue.state();
        // The runtime ends: those who wait on it hear that nobody answers.
        if state.gathers_on == self.gathers_on {
            state.gathers_on = None;
            state.waiting.clear();
        }
    }
}

impl<K: Kind> Drop for Turn<K> {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.state().under_way -= 1;
        }
    }
}

impl<K: Kind> Default for Queue<K> {
    fn default() -> Self {
        Self(Mutex::new(State {
            under_way: 0,
            gathers_on: None,
            waiting: VecDeque::new(),
            is_crowded: false,
            usual_bytes: 0,
            alone_until: None,
        }))
    }
}

impl<K: Kind> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
