//! In which order backends are taken: pure functions over weights, a counter and a random number.
//!
//! `Pool::pick` calls this. A [`Rotation`] is built when the set of available backends changes (a probe, an ejection)
//! and is immutable after that, so that a pick is one shared counter and one array access, without a lock.
//!
//! Tried and rejected: nginx's smooth weighted round robin *at pick time* needs a lock around the running weights;
//! here the same algorithm runs once, ahead of time, and yields one whole period of its output. Walking on from an
//! unavailable entry of a fixed sequence would give its share to one neighbour; a rotation over the available ones
//! spreads it over all.

/// Position of a backend in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIndex(pub u16);

impl BackendIndex {
    /// As an index into a slice.
    pub fn as_usize(self) -> usize {
        usize::from(self.0)
    }
}

/// A backend that takes part, and its weight (0 counts as 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub index: BackendIndex,
    /// Share.
    pub weight: u32,
}

/// The available backends of a pool, in the order in which they take turns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    candidates: Vec<Candidate>,
    turns: Vec<BackendIndex>,
}

impl Rotation {
    /// Lays out one period of smooth weighted round robin: each candidate appears in proportion to its weight, as
    /// evenly spread as possible. Weights are reduced by their common divisor, and scaled down where the period would
    /// exceed [`PERIOD`]; everyone keeps at least one turn.
    pub fn new(candidates: Vec<Candidate>) -> Self {
        let weights = reduced(&candidates);
        let Some(first) = weights.first() else { return Self::default() };
        if weights.iter().all(|weight| weight == first) {
            // The usual case, and the one that large pools are in.
            let turns = candidates.iter().map(|candidate| candidate.index).collect();
            return Self { candidates, turns };
        }
        let period: i64 = weights.iter().sum();
        let mut running: Vec<(i64, i64, BackendIndex)> =
            weights.iter().zip(&candidates).map(|(weight, candidate)| (0, *weight, candidate.index)).collect();
        let mut turns = Vec::new();
        for _ in 0..period {
            for (credit, weight, _) in &mut running {
                *credit += *weight;
            }
            // Of equal credits the first: `max_by_key` gives the last of the reversed order.
            if let Some((credit, _, index)) = running.iter_mut().rev().max_by_key(|(credit, _, _)| *credit) {
                *credit -= period;
                turns.push(*index);
            }
        }
        Self { candidates, turns }
    }

    /// The backends that take part.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Whose turn it is: the first from `turn` on that `accept` takes. Looks at one whole period at most.
    pub fn in_turn(&self, turn: u64, accept: impl Fn(BackendIndex) -> bool) -> Option<BackendIndex> {
        let period = self.turns.len();
        let start = usize::try_from(turn.checked_rem(period as u64)?).ok()?;
        let (before, from_start) = self.turns.split_at_checked(start)?;
        from_start.iter().chain(before).copied().find(|index| accept(*index))
    }

    /// The less loaded of two different candidates chosen at random (the power of two choices): load is requests
    /// running, plus this one, over weight. Where `accept` refuses both, the first acceptable one after them.
    pub fn less_loaded(
        &self,
        random: u64,
        accept: impl Fn(BackendIndex) -> bool,
        running: impl Fn(BackendIndex) -> usize,
    ) -> Option<BackendIndex> {
        let (first, second) = two_of(random, self.candidates.len())?;
        let first_candidate = self.candidates.get(first)?;
        let second_candidate = self.candidates.get(second)?;
        match (accept(first_candidate.index), accept(second_candidate.index)) {
            (true, true) => {
                // a/wa <= b/wb without division; on a tie the first, which is random itself.
                let load = |c: &Candidate| running(c.index) as u128 + 1;
                let left = load(first_candidate) * u128::from(second_candidate.weight.max(1));
                let right = load(second_candidate) * u128::from(first_candidate.weight.max(1));
                Some(if left <= right { first_candidate.index } else { second_candidate.index })
            }
            (true, false) => Some(first_candidate.index),
            (false, true) => Some(second_candidate.index),
            (false, false) => {
                let all = self.candidates.iter().cycle().skip(first).take(self.candidates.len());
                all.map(|c| c.index).find(|index| accept(*index))
            }
        }
    }
}

/// Longest period of a rotation: 1,200 backends (Application Gateway's bound) with a few different weights fit.
pub const PERIOD: usize = 4_096;

/// Two different positions below `count` (the same one twice when there is only one), from one random number.
fn two_of(random: u64, count: usize) -> Option<(usize, usize)> {
    let count = u64::try_from(count).ok().filter(|c| *c > 0)?;
    let first = (random >> 32) % count;
    if count == 1 {
        return Some((0, 0));
    }
    let second = (first + 1 + (random & 0xffff_ffff) % (count - 1)) % count;
    Some((first as usize, second as usize))
}

fn reduced(candidates: &[Candidate]) -> Vec<i64> {
    let weights: Vec<u64> = candidates.iter().map(|c| u64::from(c.weight.max(1))).collect();
    let divisor = weights.iter().copied().fold(0, common_divisor).max(1);
    let total: u64 = weights.iter().map(|w| w / divisor).sum();
    let room = PERIOD.max(candidates.len()) as u64;
    let scaled = |weight: u64| if total <= room { weight } else { (weight * room / total).max(1) };
    weights.iter().map(|w| scaled(w / divisor) as i64).collect()
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests_random::Random;

    fn rotation(weights: &[u32]) -> Rotation {
        let candidate = |(at, weight): (usize, &u32)| Candidate { index: BackendIndex(at as u16), weight: *weight };
        Rotation::new(weights.iter().enumerate().map(candidate).collect())
    }

    fn turns(rotation: &Rotation, count: u64) -> Vec<u16> {
        (0..count).map(|turn| rotation.in_turn(turn, |_| true).unwrap().0).collect()
    }

    #[test]
    fn equal_weights_alternate() {
        assert_eq!(turns(&rotation(&[7, 7, 7]), 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn weights_are_shares_and_evenly_spread() {
        assert_eq!(turns(&rotation(&[5, 1, 1]), 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn any_weights_give_their_shares_within_a_bounded_period() {
        let mut random = Random::seeded("balance weights");
        for _ in 0..50 {
            let weights: Vec<u32> = (0..1 + random.below(40)).map(|_| 1 + random.below(100_000) as u32).collect();
            let rotation = rotation(&weights);
            assert!(rotation.turns.len() <= PERIOD, "{}", rotation.turns.len());
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            for (at, weight) in weights.iter().enumerate() {
                let got = rotation.turns.iter().filter(|i| i.as_usize() == at).count();
                let want = f64::from(*weight) / total * rotation.turns.len() as f64;
                assert!(got >= 1 && (got as f64 - want).abs() <= 1.0 + want * 0.02, "{got} for {want}");
            }
        }
    }

    #[test]
    fn a_refused_backend_is_passed_over_and_none_is_none() {
        let rotation = rotation(&[1, 1]);
        assert_eq!(rotation.in_turn(0, |i| i.0 == 1), Some(BackendIndex(1)));
        assert_eq!(rotation.in_turn(0, |_| false), None);
        assert_eq!(Rotation::default().in_turn(3, |_| true), None);
        assert_eq!(Rotation::default().less_loaded(3, |_| true, |_| 0), None);
        assert_eq!(rotation.less_loaded(3, |i| i.0 == 1, |_| 0), Some(BackendIndex(1)));
        assert_eq!(rotation.less_loaded(3, |_| false, |_| 0), None);
    }

    #[test]
    fn two_choices_are_different_and_reach_everyone() {
        let mut random = Random::seeded("two choices");
        let mut seen = [[false; 5]; 5];
        for _ in 0..5_000 {
            let (first, second) = two_of(random.next(), 5).unwrap();
            assert_ne!(first, second);
            seen[first][second] = true;
        }
        for (first, row) in seen.iter().enumerate() {
            assert!(row.iter().enumerate().all(|(second, seen)| *seen || first == second), "{seen:?}");
        }
    }

    #[test]
    fn least_request_keeps_load_near_the_weights() {
        let mut random = Random::seeded("least request");
        let weights = [1_u32, 2, 4];
        let rotation = rotation(&weights);
        let mut running = [0_usize; 3];
        // Requests of random length: one starts every tick, each running one ends with probability 1/20 per tick.
        let mut sums = [0_usize; 3];
        for _ in 0..20_000 {
            let picked = rotation.less_loaded(random.next(), |_| true, |i| running[i.as_usize()]).unwrap();
            running[picked.as_usize()] += 1;
            for count in &mut running {
                *count -= (0..*count).filter(|_| random.below(20) == 0).count();
            }
            for (sum, count) in sums.iter_mut().zip(running) {
                *sum += count;
            }
        }
        assert!(sums[0] < sums[1] && sums[1] < sums[2], "{sums:?}");
        let total: usize = sums.iter().sum();
        assert!(sums[2] * 100 / total >= 40 && sums[2] * 100 / total <= 70, "{sums:?}");
    }
}
