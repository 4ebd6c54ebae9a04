//! Waits for keys that others load.

use std::iter::repeat_with;
use std::pin::pin;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::SemaphorePermit;
use tokio::task::yield_now;

use super::{Bulk, Joins, OPERATION};
use crate::load::flights::{Arrival, Boarding, Join, Lead, Ticket};
use crate::load::loader::too_long;
use crate::load::waiting::answer;
use crate::timer::timeout_at;
use crate::{CacheBackend, LoadError, Loaded, Result};

/// How a wait has ended, if it has: with the turn to load the key or without, or with an error.
type Turn = Option<Result<bool>>;

/// Keys that are loaded here, are looked for again, and are waited for.
type Sorted<'c, V> = (Vec<Lead<V>>, Vec<&'c str>, Joins<'c, V>);

impl<'c, V, B, E> Bulk<'c, V, B, E>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
    E: Send + Sync + 'static,
{
    /// Waits for the loads of others, and does what is given up, with as few calls of the loader as
    /// there are of others that give up.
    pub(super) async fn join<F, Fut, I, L>(&mut self, joins: Joins<'c, V>, load: &F)
    where
        F: Fn(Vec<String>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (String, L)> + Send,
        L: Into<Loaded<V>>,
    {
        let loads = &self.cache.shared.loads;
        let mut waiting = joins;
        waiting.iter().for_each(|_| loads.joined());
        while !waiting.is_empty() {
            let turns = self.turns(&waiting).await;
            let (mut leads, again);
            (leads, again, waiting) = self.sort_out(waiting, turns);
            for raw in again {
                match self.cache.shared.flights.board(raw, Ticket::OUTDATED) {
                    Boarding::Lead(lead) => leads.push(lead),
                    Boarding::Join(join) => {
                        loads.joined();
                        waiting.push((raw, join));
                    }
                }
            }
            self.lead(leads, load).await;
        }
    }

    /// Notes the answers of waits that have ended, and returns what is to be loaded, what is to be looked
    /// for again and what is still waited for.
    fn sort_out(&mut self, waits: Joins<'c, V>, turns: Vec<Turn>) -> Sorted<'c, V> {
        let is_given = |turn: &Turn| matches!(turn, Some(Ok(true)));
        let (mut leads, mut again, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        let waits = waits.into_iter().zip(turns);
        let (given, others): (Vec<_>, Vec<_>) = waits.partition(|(_, turn)| is_given(turn));
        // At first, as these turns are nobody else's: to clone an answer may panic.
        for ((raw, join), _) in given {
            match join.arrived(true) {
                Arrival::Lead(lead) => leads.push(lead),
                Arrival::Landed(_nothing) => again.push(raw),
            }
        }
        for ((raw, join), turn) in others {
            match turn {
                None => waiting.push((raw, join)),
                Some(turn) => {
                    if !self.is_answered(raw, join, turn) {
                        again.push(raw);
                    }
                }
            }
        }
        (leads, again, waiting)
    }

    /// Notes what a flight has brought, and tells whether it is of use.
    fn is_answered(&mut self, raw: &'c str, join: Join<V>, turn: Result<bool>) -> bool {
        let answer = match turn.map(|has_turn| join.arrived(has_turn)) {
            Ok(Arrival::Landed(outcome)) => answer(outcome),
            Ok(Arrival::Lead(_)) => None,
            Err(error) => Some(Err(LoadError::Cache(error.during(OPERATION)))),
        };
        let is_of_use = answer.is_some();
        if let Some(answer) = answer {
            self.answers.insert(raw, answer);
        }
        is_of_use
    }

    /// Waits until all flights have landed, or some are to be led by this call.
    ///
    /// Nothing waits any more when it returns: a turn that came later would be kept from others for as
    /// long as a loader runs, and that loader may be what waits for it.
    async fn turns(&self, waiting: &Joins<'c, V>) -> Vec<Turn> {
        let joins = waiting.iter().enumerate();
        let mut waits: FuturesUnordered<_> =
            joins.map(|(at, (_, join))| turn_at(at, join)).collect();
        let none = repeat_with(|| None).take(waiting.len());
        let mut turns: Vec<Option<Result<Option<SemaphorePermit<'_>>>>> = none.collect();
        let first = async {
            while let Some((at, turn)) = waits.next().await {
                let has_turn = matches!(turn, Ok(Some(_)));
                turns[at] = Some(turn);
                if has_turn {
                    return true;
                }
            }
            false
        };
        let first = match self.deadline {
            Some(deadline) => timeout_at(deadline, pin!(first)).await.ok(),
            None => Some(first.await),
        };
        if first.is_none() {
            let late = |turn: &mut Option<_>| {
                turn.get_or_insert_with(|| Err(too_long(&self.options)));
            };
            turns.iter_mut().for_each(late);
        }
        // A call that gives up does so key by key: all of them are waited for, as long as they come.
        let mut comes = first == Some(true);
        while comes {
            yield_now().await;
            comes = false;
            while let Some(Some((at, turn))) = waits.next().now_or_never() {
                turns[at] = Some(turn);
                comes = true;
            }
        }
        drop(waits);
        let forget =
            |turn: Option<SemaphorePermit<'_>>| turn.map(SemaphorePermit::forget).is_some();
        let turns = turns.into_iter();
        turns
            .map(|turn| turn.map(|turn| turn.map(forget)))
            .collect()
    }
}

type TurnAt<'j> = (usize, Result<Option<SemaphorePermit<'j>>>);

async fn turn_at<V: Clone + Send + Sync + 'static>(at: usize, join: &Join<V>) -> TurnAt<'_> {
    (at, join.turn().await)
}
