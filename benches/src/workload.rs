//! Seeded sequences of keys.

use std::ops::Deref;

use crate::rng::Rng;

/// A key as callers hold it: text on the heap, lent as `&str`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Box<str>);

impl Key {
    /// Returns a key of 16 bytes for a number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self(format!("user:{number:011}").into())
    }

    /// Returns a key of 16 to 22 bytes for a number, of which the length looks random.
    #[must_use]
    pub fn varied(number: u32) -> Self {
        let digest = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let digits = 3 + (digest >> 60) as u32 % 7;
        let least = 10_u64.pow(digits - 1);
        let part = least + digest % (9 * least);
        Self(format!("user:{number:07}:{part}").into())
    }

    /// Returns the key in the form that mini-moka wants for a lookup.
    #[must_use]
    #[expect(
        clippy::borrowed_box,
        reason = "mini-moka looks up by its own key type alone"
    )]
    pub const fn boxed(&self) -> &Box<str> {
        &self.0
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Returns the keys of the numbers from 0 to `count`.
#[must_use]
pub fn keys(count: u32) -> Vec<Key> {
    (0..count).map(Key::new).collect()
}

/// Returns keys of 16 to 22 bytes of the numbers from 0 to `count`, which is 10,000,000 at most.
#[must_use]
pub fn varied_keys(count: u32) -> Vec<Key> {
    (0..count).map(Key::varied).collect()
}

/// Draws numbers of which the nth most popular comes with a frequency of `1 / n^exponent`.
///
/// Walker's alias method: a draw costs one look at a table, so that millions are cheap.
#[derive(Debug)]
pub struct Zipf {
    /// Of each rank, the chance that it is kept when its cell is drawn, and who has the rest.
    cells: Vec<(f64, u32)>,
    /// The number of each rank, so that popular numbers are not neighbours.
    numbers: Vec<u32>,
}

impl Zipf {
    /// Prepares for numbers below `count`.
    #[must_use]
    pub fn new(count: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=count)
            .map(|rank| f64::from(rank).powf(-exponent))
            .collect();
        Self {
            cells: alias_cells(&weights),
            numbers: shuffled(count),
        }
    }

    /// Draws a rank, the most popular being 0.
    pub fn rank(&self, rng: &mut Rng) -> u32 {
        let cell = rng.below(self.cells.len() as u32);
        let (keep, other) = self.cells[cell as usize];
        if rng.unit() < keep { cell } else { other }
    }

    /// Draws a number.
    pub fn number(&self, rng: &mut Rng) -> u32 {
        self.numbers[self.rank(rng) as usize]
    }
}

/// Fills the cells of Walker's method: each holds a fair share, of one rank or of two.
fn alias_cells(weights: &[f64]) -> Vec<(f64, u32)> {
    let fair = weights.iter().sum::<f64>() / weights.len() as f64;
    let mut cells: Vec<(f64, u32)> = weights
        .iter()
        .map(|weight| weight / fair)
        .zip(0..)
        .collect();
    let ranks = 0..cells.len();
    let (mut poor, mut rich): (Vec<_>, Vec<_>) = ranks.partition(|rank| cells[*rank].0 < 1.0);
    while let (Some(low), Some(high)) = (poor.pop(), rich.pop()) {
        cells[low].1 = high as u32;
        cells[high].0 -= 1.0 - cells[low].0;
        match cells[high].0 < 1.0 {
            true => poor.push(high),
            false => rich.push(high),
        }
    }
    cells
}

/// Returns the numbers below `count` in an order that looks random and is always the same.
fn shuffled(count: u32) -> Vec<u32> {
    let mut rng = Rng::new(u64::from(count));
    let mut numbers: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        numbers.swap(last as usize, rng.below(last + 1) as usize);
    }
    numbers
}

/// Returns `length` numbers below `count`, all equally likely.
#[must_use]
pub fn uniform(count: u32, length: usize, seed: u64) -> Vec<u32> {
    let mut rng = Rng::new(seed);
    (0..length).map(|_| rng.below(count)).collect()
}

/// Returns `length` numbers below `count`, Zipf distributed.
#[must_use]
pub fn zipf(count: u32, exponent: f64, length: usize, seed: u64) -> Vec<u32> {
    let zipf = Zipf::new(count, exponent);
    let mut rng = Rng::new(seed);
    (0..length).map(|_| zipf.number(&mut rng)).collect()
}

/// Returns Zipf distributed numbers with a scan of numbers that never come again, `scan` of every
/// `period`.
#[must_use]
pub fn scan_zipf(count: u32, length: usize, period: usize, scan: usize, seed: u64) -> Vec<u32> {
    let zipf = Zipf::new(count, 1.0);
    let mut rng = Rng::new(seed);
    let mut fresh = count..;
    let draw = |at: usize| match at % period < scan {
        true => fresh.next().unwrap_or(count),
        false => zipf.number(&mut rng),
    };
    (0..length).map(draw).collect()
}

/// Returns the numbers below `count` over and over.
#[must_use]
pub fn looped(count: u32, length: usize) -> Vec<u32> {
    (0..count).cycle().take(length).collect()
}

/// Returns Zipf distributed numbers whose ranking moves on by an eighth every `period`.
#[must_use]
pub fn shifting(count: u32, length: usize, period: usize, seed: u64) -> Vec<u32> {
    let zipf = Zipf::new(count, 1.0);
    let mut rng = Rng::new(seed);
    let mut draw = |at: usize| {
        let moved = (at / period) as u64 * u64::from(count / 8);
        ((u64::from(zipf.rank(&mut rng)) + moved) % u64::from(count)) as u32
    };
    (0..length).map(&mut draw).collect()
}

/// Marks a write in a sequence of numbers.
pub const WRITE: u32 = 1 << 31;

/// Marks so many percent of a sequence as writes.
#[must_use]
pub fn marked(mut numbers: Vec<u32>, percent: u32) -> Vec<u32> {
    let mut rng = Rng::new(99);
    for number in &mut numbers {
        if rng.below(100) < percent {
            *number |= WRITE;
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::{Rng, WRITE, Zipf, keys, looped, marked, scan_zipf, shifting, varied_keys};

    #[test]
    fn keys_have_16_bytes() {
        assert!(keys(1_000).iter().all(|key| key.len() == 16));
    }

    #[test]
    fn varied_keys_have_16_to_22_bytes_and_all_lengths_come() {
        let mut lengths = varied_keys(1_000)
            .iter()
            .map(|key| key.len())
            .collect::<Vec<_>>();
        lengths.sort_unstable();
        lengths.dedup();
        assert_eq!(lengths, (16..=22).collect::<Vec<_>>());
    }

    #[test]
    fn ranks_come_as_often_as_zipf_says() {
        let (zipf, mut rng) = (Zipf::new(1_000, 1.0), Rng::new(7));
        let mut counts = vec![0u32; 1_000];
        for _ in 0..1_000_000 {
            counts[zipf.rank(&mut rng) as usize] += 1;
        }
        // The 1000th harmonic number is 7.485.
        for (rank, share) in [(1, 0.13360), (2, 0.06680), (10, 0.01336), (100, 0.001336)] {
            let found = f64::from(counts[rank - 1]) / 1e6;
            assert!((found / share - 1.0).abs() < 0.1, "rank {rank}: {found}");
        }
    }

    #[test]
    fn each_number_has_one_rank() {
        let mut numbers = Zipf::new(1_000, 1.0).numbers;
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1_000));
    }

    #[test]
    fn a_scan_never_repeats_and_leaves_the_rest_alone() {
        let sequence = scan_zipf(100, 1_000, 10, 3, 1);
        let scanned: Vec<u32> = sequence.iter().copied().filter(|n| *n >= 100).collect();
        assert!(scanned.into_iter().eq(100..400));
    }

    #[test]
    fn a_loop_starts_over() {
        assert_eq!(looped(3, 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_most_popular_number_moves() {
        let sequence = shifting(800, 20_000, 10_000, 1);
        let most =
            |part: &[u32]| (0..800).max_by_key(|n| part.iter().filter(|other| *other == n).count());
        assert_eq!(most(&sequence[..10_000]), Some(0));
        assert_eq!(most(&sequence[10_000..]), Some(100));
    }

    #[test]
    fn marks_leave_the_numbers_alone() {
        let marked = marked((0..10_000).collect(), 5);
        assert!(marked.iter().map(|n| n & !WRITE).eq(0..10_000));
        let writes = marked.iter().filter(|n| **n & WRITE != 0).count();
        assert!((400..600).contains(&writes));
    }
}
