//! A checker for recorded histories of one key, after Wing and Gong, with Lowe's memory.
//!
//! A history is linearizable if its calls can be put into an order in which each gives the
//! answer that a single-threaded map would give, and in which a call that returned before
//! another one started stands before it.
//!
//! ```
//! use cache_conformance::linearizability::{Answer, Operation, Recorder, check};
//!
//! let recorder = Recorder::default();
//! let write = recorder.call(Operation::Set(1));
//! let read = recorder.call(Operation::Get); // overlaps the write, so it may see either
//! recorder.returned(read, Answer::Found(None));
//! recorder.returned(write, Answer::Did(true));
//! assert!(check(None, &recorder.history()).is_ok());
//!
//! let late = recorder.call(Operation::Get); // starts after the write returned
//! recorder.returned(late, Answer::Found(None));
//! assert!(check(None, &recorder.history()).is_err());
//! ```

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most calls that one history may hold.
pub const MOST_CALLS: usize = 128;

/// What was asked of the key. Values are numbers that the test maps to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reads the value.
    Get,
    /// Writes the value.
    Set(u64),
    /// Writes the value if the key is absent.
    SetIfAbsent(u64),
    /// Writes the value if the key is present.
    SetIfPresent(u64),
    /// Writes the value and returns the old one.
    Swap(u64),
    /// Removes the key.
    Delete,
    /// Removes the key and returns its value.
    Take,
    /// Reads a version and writes over it, again until that succeeds; returns the value it replaced.
    Update(u64),
    /// Adds to the value, which counts from zero if there is none, and returns the sum.
    Add(u64),
    /// Tells whether the key holds this value.
    Holds(u64),
    /// Removes the key if it holds this value.
    DeleteIf(u64),
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A value, or that there is none.
    Found(Option<u64>),
    /// Whether the write or the delete took place.
    Did(bool),
}

/// One call of a history, with the moments of its start and of its return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    operation: Operation,
    answer: Answer,
    called: u64,
    returned: u64,
}

/// A call that has started and has not returned.
#[derive(Debug)]
#[must_use]
pub struct Running {
    operation: Operation,
    called: u64,
}

impl Running {
    /// Returns what is asked.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }
}

/// Collects the calls of several tasks.
#[derive(Debug, Default)]
pub struct Recorder {
    moment: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    /// Notes that a call starts; to be called just before it.
    pub fn call(&self, operation: Operation) -> Running {
        let called = self.moment.fetch_add(1, Ordering::SeqCst);
        Running { operation, called }
    }

    /// Notes that a call has returned; to be called just after it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a call returns once, so its start is used up"
    )]
    pub fn returned(&self, call: Running, answer: Answer) {
        let returned = self.moment.fetch_add(1, Ordering::SeqCst);
        let Running { operation, called } = call;
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Call {
            operation,
            answer,
            called,
            returned,
        });
    }

    /// Returns the calls that have returned so far.
    #[must_use]
    pub fn history(&self) -> Vec<Call> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }
}

/// A history that no order of its calls explains.
#[derive(Debug, Clone)]
pub struct NotLinearizable {
    initial: Option<u64>,
    history: Vec<Call>,
}

impl fmt::Display for NotLinearizable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no order explains it, from {:?} on:", self.initial)?;
        for call in &self.history {
            let Call {
                called,
                returned,
                operation,
                answer,
            } = call;
            writeln!(f, "{called:>4}..{returned:<4} {operation:?} -> {answer:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotLinearizable {}

/// Checks that a history of one key is linearizable, from the value `initial` on.
///
/// # Errors
/// [`NotLinearizable`] with the history, by the start of its calls.
///
/// # Panics
/// If the history is longer than [`MOST_CALLS`].
pub fn check(initial: Option<u64>, history: &[Call]) -> Result<(), NotLinearizable> {
    assert!(
        history.len() <= MOST_CALLS,
        "a history of {} calls is too long, the most is {MOST_CALLS}",
        history.len()
    );
    let mut history = history.to_vec();
    history.sort_by_key(|call| call.called);
    if explained(initial, &history) {
        Ok(())
    } else {
        Err(NotLinearizable { initial, history })
    }
}

/// Searches for an order, depth first. Which calls are placed and what the key then holds is
/// all that matters for the rest, so each such state is entered once.
fn explained(initial: Option<u64>, history: &[Call]) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![(0u128, initial)];
    while let Some((placed, value)) = open.pop() {
        if placed.count_ones() as usize == history.len() {
            return true;
        }
        if !seen.insert((placed, value)) {
            continue;
        }
        let waiting = || (0..history.len()).filter(|at| placed & (1 << at) == 0);
        let deadline = waiting().map(|at| history[at].returned).min();
        for at in waiting() {
            // A call that starts after another has returned cannot be placed before that one.
            if Some(history[at].called) > deadline {
                break;
            }
            if let Some(next) = step(value, &history[at]) {
                open.push((placed | (1 << at), next));
            }
        }
    }
    false
}

/// Returns what the key holds after `call`, or `None` if its answer is wrong here.
fn step(value: Option<u64>, call: &Call) -> Option<Option<u64>> {
    let (answer, next) = match call.operation {
        Operation::Get => (Answer::Found(value), value),
        Operation::Set(new) => (Answer::Did(true), Some(new)),
        Operation::SetIfAbsent(new) => (Answer::Did(value.is_none()), value.or(Some(new))),
        Operation::SetIfPresent(new) => (Answer::Did(value.is_some()), value.and(Some(new))),
        Operation::Swap(new) | Operation::Update(new) => (Answer::Found(value), Some(new)),
        Operation::Take => (Answer::Found(value), None),
        Operation::Delete => (Answer::Did(value.is_some()), None),
        Operation::Add(by) => {
            let sum = Some(value.unwrap_or(0) + by);
            (Answer::Found(sum), sum)
        }
        Operation::Holds(wanted) => (Answer::Did(value == Some(wanted)), value),
        Operation::DeleteIf(wanted) => {
            let is_due = value == Some(wanted);
            (Answer::Did(is_due), value.filter(|_| !is_due))
        }
    };
    (answer == call.answer).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::Answer::{Did, Found};
    use super::Operation::{
        Add, Delete, DeleteIf, Get, Holds, Set, SetIfAbsent, SetIfPresent, Swap,
    };
    use super::{Answer, Call, MOST_CALLS, Operation, check};

    /// A history of calls that are written as start, return, operation and answer.
    fn accepts(calls: &[(u64, u64, Operation, Answer)]) -> bool {
        let history: Vec<Call> = calls
            .iter()
            .map(|&(called, returned, operation, answer)| Call {
                operation,
                answer,
                called,
                returned,
            })
            .collect();
        check(None, &history).is_ok()
    }

    #[test]
    fn a_history_without_overlap_is_accepted() {
        assert!(accepts(&[
            (0, 1, Get, Found(None)),
            (2, 3, SetIfPresent(1), Did(false)),
            (4, 5, SetIfAbsent(2), Did(true)),
            (6, 7, Swap(3), Found(Some(2))),
            (8, 9, SetIfPresent(4), Did(true)),
            (10, 11, Get, Found(Some(4))),
            (12, 13, Delete, Did(true)),
            (14, 15, Delete, Did(false)),
        ]));
    }

    #[test]
    fn overlapping_calls_may_take_effect_in_either_order() {
        for seen in [None, Some(1), Some(2)] {
            assert!(accepts(&[
                (0, 9, Set(1), Did(true)),
                (1, 8, Set(2), Did(true)),
                (2, 7, Get, Found(seen)),
            ]));
        }
    }

    #[test]
    fn a_stale_read_is_rejected() {
        assert!(!accepts(&[
            (0, 1, Set(1), Did(true)),
            (2, 3, Set(2), Did(true)),
            (4, 5, Get, Found(Some(1))),
        ]));
    }

    #[test]
    fn a_value_that_is_seen_and_then_not_seen_is_rejected() {
        assert!(!accepts(&[
            (0, 9, Set(1), Did(true)),
            (1, 2, Get, Found(Some(1))),
            (3, 4, Get, Found(None)),
        ]));
    }

    #[test]
    fn two_winners_of_if_absent_are_rejected() {
        assert!(!accepts(&[
            (0, 3, SetIfAbsent(1), Did(true)),
            (1, 2, SetIfAbsent(2), Did(true)),
        ]));
    }

    #[test]
    fn a_lost_swap_is_rejected() {
        assert!(!accepts(&[
            (0, 1, Set(1), Did(true)),
            (2, 5, Swap(2), Found(Some(1))),
            (3, 4, Swap(3), Found(Some(1))),
        ]));
    }

    #[test]
    fn concurrent_adds_count_in_either_order_and_each_once() {
        let adds = |first, second| {
            accepts(&[
                (0, 3, Add(1), Found(Some(first))),
                (1, 2, Add(2), Found(Some(second))),
                (4, 5, Get, Found(Some(3))),
            ])
        };
        assert!(adds(1, 3) && adds(3, 2));
        assert!(!adds(1, 2) && !adds(3, 3));
    }

    #[test]
    fn a_lock_that_two_hold_at_once_is_rejected() {
        let second = |granted: u64| {
            accepts(&[
                (0, 1, SetIfAbsent(1), Did(true)),
                (2, 5, DeleteIf(1), Did(true)),
                (granted, granted + 1, SetIfAbsent(2), Did(true)),
                (8, 9, Holds(1), Did(false)),
                (10, 11, DeleteIf(1), Did(false)),
                (12, 13, Holds(2), Did(true)),
            ])
        };
        assert!(second(3) && second(6) && !second(0));
    }

    #[test]
    fn two_finders_of_one_entry_are_rejected() {
        assert!(!accepts(&[
            (0, 1, Set(1), Did(true)),
            (2, 5, Delete, Did(true)),
            (3, 4, Delete, Did(true)),
        ]));
    }

    #[test]
    fn a_long_history_of_overlapping_calls_is_checked_quickly() {
        let writes = (0..MOST_CALLS as u64 - 1).map(|at| (at, 1_000, Set(at % 4), Did(true)));
        let mut calls: Vec<_> = writes.collect();
        calls.push((2_000, 2_001, Get, Found(Some(3))));
        assert!(accepts(&calls));
    }
}
