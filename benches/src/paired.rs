//! Comparisons that a noisy machine cannot tilt: the rivals take turns, and each turn is compared
//! with the turns next to it.

/// One rival: its name and what runs a turn and returns how long it took, in any unit, or several
/// such figures.
pub type Rival<'a, T = f64> = (&'static str, Box<dyn FnMut() -> T + 'a>);

/// The times of all turns.
#[derive(Debug)]
pub struct Turns<T = f64> {
    names: Vec<&'static str>,
    /// Of each rival, its time in each round.
    times: Vec<Vec<T>>,
}

/// Lets rivals take turns for so many rounds, after one round that does not count.
///
/// Odd rounds go backwards, so that a machine that gets slower or faster favours nobody.
pub fn interleave<T: Copy>(rounds: usize, rivals: &mut [Rival<'_, T>]) -> Turns<T> {
    let mut times = vec![Vec::with_capacity(rounds); rivals.len()];
    rivals.iter_mut().for_each(|(_, turn)| {
        turn();
    });
    for round in 0..rounds {
        for place in 0..rivals.len() {
            let at = match round % 2 {
                0 => place,
                _ => rivals.len() - 1 - place,
            };
            times[at].push(rivals[at].1());
        }
    }
    let names = rivals.iter().map(|(name, _)| *name).collect();
    Turns { names, times }
}

impl<T: Copy> Turns<T> {
    /// Returns one of several figures.
    #[must_use]
    pub fn figure(&self, pick: impl Fn(T) -> f64) -> Turns {
        let pick_all = |times: &Vec<T>| times.iter().map(|time| pick(*time)).collect();
        Turns {
            names: self.names.clone(),
            times: self.times.iter().map(pick_all).collect(),
        }
    }
}

impl Turns {
    /// Returns the names of the rivals.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Returns the median time of a rival.
    #[must_use]
    pub fn time(&self, rival: usize) -> f64 {
        median(self.times[rival].clone())
    }

    /// Returns the median over all rounds of one rival's time divided by another's.
    #[must_use]
    pub fn ratio(&self, above: usize, below: usize) -> f64 {
        let pairs = self.times[above].iter().zip(&self.times[below]);
        median(pairs.map(|(above, below)| above / below).collect())
    }

    /// Returns the median over all rounds of one rival's time less another's.
    #[must_use]
    pub fn difference(&self, more: usize, less: usize) -> f64 {
        let pairs = self.times[more].iter().zip(&self.times[less]);
        median(pairs.map(|(more, less)| more - less).collect())
    }
}

/// Returns the middle value, or the mean of the two in the middle; NaN of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::{interleave, median};

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn rivals_take_turns_and_each_round_is_compared_by_itself() {
        use std::cell::{Cell, RefCell};
        let (slowness, order) = (Cell::new(1.0), RefCell::new(String::new()));
        let turn = |name: char, time: f64| {
            order.borrow_mut().push(name);
            slowness.set(slowness.get() * 2.0);
            time
        };
        let turns = interleave(
            3,
            &mut [
                ("a", Box::new(|| turn('a', 1.0))),
                ("b", Box::new(|| turn('b', 3.0))),
            ],
        );
        assert_eq!(*order.borrow(), "ab".to_owned() + "ab" + "ba" + "ab");
        assert_eq!((turns.time(1), turns.ratio(1, 0)), (3.0, 3.0));
        assert_eq!(turns.difference(1, 0), 2.0);
        assert_eq!(turns.figure(|time| time * 2.0).time(1), 6.0);
    }
}
