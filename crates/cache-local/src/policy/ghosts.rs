//! The memory of what was evicted: four bytes an entry.

use crate::entry::Line;

/// Cells that one hash may be remembered in.
const WAYS: usize = 4;
/// An eviction is remembered until as many entries as the shard holds have left the same queue
/// since. That window has at most so many ticks, of the 65,536 before a time looks new again.
const MAX_WINDOW_TICKS: u64 = 4096;

const EMPTY: u32 = 0;
const MAIN_BIT: u32 = 1 << 16;
const PRINT_SHIFT: u32 = 17;

/// A set-associative table of fingerprints.
///
/// A cell is 15 bits of fingerprint, one bit for the queue, and 16 bits of time, counted in
/// evictions from that queue. A cell that grew too old stays until it is overwritten, and does
/// not count.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    buckets: Box<[[u32; WAYS]]>,
    /// Evictions from the small and from the main queue so far.
    evictions: [u64; 2],
    /// Evictions that one tick stands for, as a shift.
    tick_shift: u32,
    /// How long a cell counts, in ticks.
    window: u16,
}

impl Ghosts {
    /// Remembers that a hash has left a queue of a shard with `entries` entries.
    pub(crate) fn remember(&mut self, hash: u64, line: Line, entries: u64) {
        if self.buckets.len() as u64 * (WAYS as u64) < entries {
            self.grow(entries);
        }
        self.evictions[line as usize] += 1;
        let bit = if line == Line::Main { MAIN_BIT } else { 0 };
        let cell = (fingerprint(hash) << PRINT_SHIFT) | bit | u32::from(self.now(line));
        let at = self.bucket(hash);
        // The one that is oldest by the clock of its own queue: by arrival, the many that leave the
        // small queue would push out the few that leave the main one, of which more is learned.
        let ages = self.buckets[at].map(|cell| self.age(cell).unwrap_or(u16::MAX));
        let oldest = (1..WAYS).fold(0, |oldest, way| {
            if ages[way] > ages[oldest] {
                way
            } else {
                oldest
            }
        });
        self.buckets[at][oldest] = cell;
    }

    /// Tells from which queue a hash has left lately, and forgets it.
    pub(crate) fn recall(&mut self, hash: u64) -> Option<Line> {
        if self.buckets.is_empty() {
            return None;
        }
        let (at, print) = (self.bucket(hash), fingerprint(hash));
        let way = self.buckets[at]
            .iter()
            .position(|cell| cell >> PRINT_SHIFT == print)?;
        let cell = std::mem::replace(&mut self.buckets[at][way], EMPTY);
        self.age(cell).map(|_| line_of(cell))
    }

    /// Makes the table large enough; what it held is forgotten.
    #[cold]
    fn grow(&mut self, entries: u64) {
        // Half as many again, because buckets fill unevenly.
        let cells = (entries + entries / 2).next_power_of_two().max(WAYS as u64);
        self.buckets = vec![[EMPTY; WAYS]; cells as usize / WAYS].into();
        // As fine as it gets with a window of at most `MAX_WINDOW_TICKS`.
        self.tick_shift = (cells / MAX_WINDOW_TICKS).max(1).ilog2();
        self.window = (entries >> self.tick_shift).clamp(1, MAX_WINDOW_TICKS) as u16;
        // Time starts at one, so that no cell equals `EMPTY`.
        self.evictions = [1 << self.tick_shift; 2];
    }

    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn now(&self, line: Line) -> u16 {
        (self.evictions[line as usize] >> self.tick_shift) as u16
    }

    /// Returns the age of a cell in ticks, or `None` if it is empty or too old to count.
    fn age(&self, cell: u32) -> Option<u16> {
        let age = self.now(line_of(cell)).wrapping_sub(cell as u16);
        (cell != EMPTY && age <= self.window).then_some(age)
    }
}

fn line_of(cell: u32) -> Line {
    if cell & MAIN_BIT == 0 {
        Line::Small
    } else {
        Line::Main
    }
}

/// Bits that neither the bucket nor the shard is chosen by.
fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32 & 0x7FFF
}
