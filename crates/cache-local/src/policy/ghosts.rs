//! The memory of what was evicted: four bytes an entry.

use crate::entry::Line;

/// Cells that one hash may be remembered in.
const WAYS: usize = 4;
/// How long an eviction is remembered: until so many times the entries of the shard have left
/// the same queue since.
const WINDOW: f64 = 1.0;
/// Ticks that a window is divided into; the age of a cell is known to one tick.
const WINDOW_TICKS: u64 = 4096;

const EMPTY: u32 = 0;
const MAIN_BIT: u32 = 1 << 16;
const PRINT_SHIFT: u32 = 17;

/// A set-associative table of fingerprints.
///
/// A cell is 15 bits of fingerprint, one bit for the queue, and 16 bits of time, counted in
/// evictions from that queue. Cells are never cleared: they grow old and are overwritten.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    cells: Box<[u32]>,
    /// Evictions from the small and from the main queue so far.
    evictions: [u64; 2],
    /// Evictions that one tick stands for.
    tick: u64,
}

impl Ghosts {
    /// Remembers that a hash has left a queue of a shard with `entries` entries.
    pub(crate) fn remember(&mut self, hash: u64, line: Line, entries: u64) {
        self.fit(entries);
        self.evictions[line as usize] += 1;
        let cell = self.cell(hash, line);
        let oldest = self.bucket(hash);
        let (mut place, mut age) = (oldest.start, 0);
        for at in oldest {
            let this = self.age(self.cells[at]).unwrap_or(u64::MAX);
            if this >= age {
                (place, age) = (at, this);
            }
        }
        self.cells[place] = cell;
    }

    /// Tells from which queue a hash has left lately, and forgets it.
    pub(crate) fn recall(&mut self, hash: u64) -> Option<Line> {
        if self.cells.is_empty() {
            return None;
        }
        let print = fingerprint(hash);
        let at = self.bucket(hash).find(|at| {
            let cell = self.cells[*at];
            cell >> PRINT_SHIFT == print && self.age(cell).is_some()
        })?;
        let line = line_of(self.cells[at]);
        self.cells[at] = EMPTY;
        Some(line)
    }

    /// Makes the table large enough; what it held is forgotten when it grows.
    fn fit(&mut self, entries: u64) {
        let cells = (entries as f64 * WINDOW) as usize;
        if self.cells.len() >= cells.max(WAYS) {
            return;
        }
        self.cells = vec![EMPTY; cells.next_power_of_two().max(WAYS)].into();
        let window = (self.cells.len() as f64).min(entries as f64 * WINDOW) as u64;
        self.tick = window.div_ceil(WINDOW_TICKS).max(1);
        // Time starts at one, so that no cell equals `EMPTY`.
        self.evictions = [self.tick; 2];
    }

    fn bucket(&self, hash: u64) -> std::ops::Range<usize> {
        let start = (hash as usize & (self.cells.len() - 1)) & !(WAYS - 1);
        start..start + WAYS
    }

    fn cell(&self, hash: u64, line: Line) -> u32 {
        let bit = if line == Line::Main { MAIN_BIT } else { 0 };
        (fingerprint(hash) << PRINT_SHIFT) | bit | u32::from(self.now(line))
    }

    fn now(&self, line: Line) -> u16 {
        (self.evictions[line as usize] / self.tick) as u16
    }

    /// Returns the age of a cell in ticks, or `None` if it is empty or too old to count.
    fn age(&self, cell: u32) -> Option<u64> {
        if cell == EMPTY {
            return None;
        }
        let age = u64::from(self.now(line_of(cell)).wrapping_sub(cell as u16));
        (age <= WINDOW_TICKS).then_some(age)
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
