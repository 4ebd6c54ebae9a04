//! Deadlines in a hierarchical timing wheel: setting one is O(1), and what falls due is found
//! without looking at anything else.

use cache_core::Clock;

use crate::entry::NEVER;

const LEVELS: usize = 7;
const LEVEL_BITS: u32 = 6;
const BUCKETS: usize = 1 << LEVEL_BITS;
/// Nanoseconds of a tick, as a shift: about a millisecond.
const TICK_SHIFT: u32 = 20;
/// The ticks that the whole wheel spans, 146 years; what lies behind is filed again on the way.
const SPAN: u64 = 1 << (LEVEL_BITS * LEVELS as u32);

const NIL: u32 = u32::MAX;
const NOWHERE: u16 = u16::MAX;

/// The timers of one shard. An entry is named by its slot in the policy and has at most one
/// timer, which fires at its deadline or earlier, never later.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// By slot; as long as the highest slot that ever had a deadline.
    timers: Vec<Timer>,
    wheel: Option<Box<Wheel>>,
}

#[derive(Debug, Clone, Copy)]
struct Timer {
    prev: u32,
    next: u32,
    /// The bucket that the timer is in, or `NOWHERE`.
    bucket: u16,
}

#[derive(Debug)]
struct Wheel {
    /// All ticks up to this one have been dealt with.
    now: u64,
    /// The first timer of each bucket.
    first: [u32; LEVELS * BUCKETS],
    /// Which buckets hold timers, a bit each.
    filled: [u64; LEVELS],
    /// A bucket that is being emptied, if its emptying was interrupted.
    open: Option<usize>,
    len: usize,
}

impl Timers {
    /// Makes sure that the timer of `slot` fires no later than at `deadline`.
    ///
    /// A timer that would fire earlier stays: it is filed again when it fires. So refreshing
    /// an entry over and over moves nothing.
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, old: u64, deadline: u64, clock: &Clock) {
        if deadline == NEVER || (self.is_set(slot) && old <= deadline) {
            return;
        }
        self.clear(slot);
        self.file(slot, deadline, clock);
    }

    /// Removes the timer of `slot`, if there is one.
    #[inline]
    pub(crate) fn clear(&mut self, slot: u32) {
        if self.is_set(slot) {
            self.unlink(slot);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wheel.as_ref().is_none_or(|wheel| wheel.len == 0)
    }

    /// Returns the slot of a timer that has fired by `now`; its timer is gone.
    pub(crate) fn next_fired(&mut self, now: u64) -> Option<u32> {
        let wheel = self.wheel.as_mut()?;
        let slot = wheel.first_due(now >> TICK_SHIFT)?;
        self.unlink(slot);
        Some(slot)
    }

    /// Files a timer that has fired before the deadline of its entry.
    pub(crate) fn file(&mut self, slot: u32, deadline: u64, clock: &Clock) {
        let at = slot as usize;
        if self.timers.len() <= at {
            self.timers.resize(
                at + 1,
                Timer {
                    prev: NIL,
                    next: NIL,
                    bucket: NOWHERE,
                },
            );
        }
        let wheel = self
            .wheel
            .get_or_insert_with(|| Wheel::starting_at(clock.nanos() >> TICK_SHIFT));
        // The tick after the deadline, so that a timer that fires has nothing left to wait for.
        let tick = (deadline >> TICK_SHIFT).saturating_add(1);
        let bucket = wheel.bucket_for(tick);
        let next = std::mem::replace(&mut wheel.first[bucket], slot);
        wheel.filled[bucket / BUCKETS] |= 1 << (bucket % BUCKETS);
        wheel.len += 1;
        self.timers[at] = Timer {
            prev: NIL,
            next,
            bucket: bucket as u16,
        };
        if let Some(next) = self.timers.get_mut(next as usize) {
            next.prev = slot;
        }
    }

    fn is_set(&self, slot: u32) -> bool {
        self.timers
            .get(slot as usize)
            .is_some_and(|timer| timer.bucket != NOWHERE)
    }

    fn unlink(&mut self, slot: u32) {
        let Some(wheel) = self.wheel.as_mut() else {
            return;
        };
        let Timer { prev, next, bucket } = self.timers[slot as usize];
        let bucket = usize::from(bucket);
        self.timers[slot as usize].bucket = NOWHERE;
        if let Some(next) = self.timers.get_mut(next as usize) {
            next.prev = prev;
        }
        match self.timers.get_mut(prev as usize) {
            Some(prev) => prev.next = next,
            None => wheel.first[bucket] = next,
        }
        if wheel.first[bucket] == NIL {
            wheel.filled[bucket / BUCKETS] &= !(1 << (bucket % BUCKETS));
        }
        wheel.len -= 1;
    }
}

impl Wheel {
    fn starting_at(now: u64) -> Box<Self> {
        Box::new(Self {
            now,
            first: [NIL; LEVELS * BUCKETS],
            filled: [0; LEVELS],
            open: None,
            len: 0,
        })
    }

    /// Returns the bucket for a timer that fires at `tick`: the higher the level, the wider
    /// its buckets; the level is that of the highest bit in which `tick` and `now` differ.
    fn bucket_for(&self, tick: u64) -> usize {
        let tick = tick.clamp(self.now + 1, self.now + SPAN - 1);
        let differing = (tick ^ self.now) | 1;
        let level = ((differing.ilog2() / LEVEL_BITS) as usize).min(LEVELS - 1);
        let bucket = (tick >> (LEVEL_BITS * level as u32)) as usize % BUCKETS;
        level * BUCKETS + bucket
    }

    /// Returns a timer of a bucket that has begun by `now`, if there is one.
    fn first_due(&mut self, now: u64) -> Option<u32> {
        loop {
            if let Some(open) = self.open {
                if self.first[open] != NIL {
                    return Some(self.first[open]);
                }
                self.open = None;
            }
            let Some((bucket, begins)) = self.next_bucket().filter(|(_, begins)| *begins <= now)
            else {
                // Nothing lies between, so no bucket changes its meaning.
                self.now = self.now.max(now);
                return None;
            };
            self.now = begins;
            self.open = Some(bucket);
        }
    }

    /// Returns the next filled bucket and the tick at which it begins.
    fn next_bucket(&self) -> Option<(usize, u64)> {
        (0..LEVELS).find_map(|level| {
            let width = LEVEL_BITS * level as u32;
            let here = (self.now >> width) as u32 % BUCKETS as u32;
            // Bit 0 of the rotated word is the bucket after `here`.
            let ahead = self.filled[level].rotate_right(here + 1);
            if ahead == 0 {
                return None;
            }
            let steps = u64::from(ahead.trailing_zeros()) + 1;
            let begins = ((self.now >> width) + steps) << width;
            let bucket = level * BUCKETS + (u64::from(here) + steps) as usize % BUCKETS;
            Some((bucket, begins))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Clock, NEVER, SPAN, TICK_SHIFT, Timers};

    #[derive(Debug, Clone)]
    enum Op {
        Set(u32, u64),
        Clear(u32),
        Advance(u64, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        // Delays and steps of every magnitude, so that every level takes part.
        let time = (0..62u32, any::<u64>()).prop_map(|(bits, any)| any >> bits >> 2);
        prop_oneof![
            3 => (0..20u32, time.clone()).prop_map(|(slot, delay)| Op::Set(slot, delay)),
            1 => (0..20u32).prop_map(Op::Clear),
            2 => (time, 0..8usize).prop_map(|(step, most)| Op::Advance(step >> 8, most)),
        ]
    }

    proptest! {
        #[test]
        fn every_timer_fires_within_a_tick_of_its_deadline(ops in proptest::collection::vec(op(), 1..200)) {
            let (clock, hand) = Clock::manual();
            let (mut timers, mut model) = (Timers::default(), BTreeMap::new());
            for op in ops {
                match op {
                    Op::Set(slot, delay) => {
                        let deadline = (clock.nanos() + 1).saturating_add(delay).min(NEVER - 1);
                        let old = model.insert(slot, deadline).unwrap_or(NEVER);
                        timers.set(slot, old, deadline, &clock);
                    }
                    Op::Clear(slot) => {
                        timers.clear(slot);
                        model.remove(&slot);
                    }
                    Op::Advance(step, most) => {
                        hand.advance(Duration::from_nanos(step));
                        let now = clock.nanos();
                        let mut fired = 0;
                        while fired < most && let Some(slot) = timers.next_fired(now) {
                            let deadline = model[&slot];
                            if deadline <= now {
                                model.remove(&slot);
                                fired += 1;
                            } else {
                                timers.file(slot, deadline, &clock);
                            }
                        }
                        if fired < most {
                            let late = (2 << TICK_SHIFT) + 1;
                            prop_assert!(model.values().all(|at| at + late > now), "{model:?} at {now}");
                        }
                    }
                }
                prop_assert_eq!(timers.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn the_wheel_spans_more_than_the_longest_time_to_live() {
        let longest = cache_core::MAX_TTL.as_nanos();
        assert!(u128::from(SPAN) << TICK_SHIFT > longest);
    }

    #[test]
    fn extending_a_deadline_again_and_again_keeps_one_timer() {
        let (clock, hand) = Clock::manual();
        let (mut timers, mut deadline) = (Timers::default(), NEVER);
        for _ in 0..100_000 {
            let later = clock.deadline_nanos(Duration::from_secs(3600));
            timers.set(7, std::mem::replace(&mut deadline, later), later, &clock);
            hand.advance(Duration::from_millis(1));
        }
        assert_eq!(timers.wheel.as_ref().map(|wheel| wheel.len), Some(1));
    }
}
