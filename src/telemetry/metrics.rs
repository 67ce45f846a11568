//! Counters, gauges and histograms that cost a few nanoseconds from any worker.
//!
//! Each value has one shard per worker on a cache line of its own, so that two workers never write the same line; a
//! scrape sums the shards. The `prometheus` crate was tried on paper and left: its histogram does three contended
//! atomic updates per observation, a dozen a request, and its label maps hash strings.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shards of every value. Workers beyond this many share, which is correct and only slower.
const SHARDS: usize = 8;

static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The calling thread's shard, given out in turn.
fn shard() -> usize {
    SHARD.with(|cell| {
        let mut shard = cell.get();
        if shard == usize::MAX {
            shard = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS;
            cell.set(shard);
        }
        shard
    })
}

/// A cache line (two on x86, which fetches them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// A value that only grows.
#[derive(Debug, Default)]
pub struct Counter {
    shards: [Padded<AtomicU64>; SHARDS],
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds several.
    pub fn add(&self, amount: u64) {
        self.shards[shard()].0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum of all shards.
    pub fn value(&self) -> u64 {
        self.shards.iter().map(|s| s.0.load(Ordering::Relaxed)).sum()
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge {
    shards: [Padded<AtomicI64>; SHARDS],
}

impl Gauge {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Takes one away.
    pub fn decrement(&self) {
        self.add(-1);
    }

    /// Adds, or takes away.
    pub fn add(&self, amount: i64) {
        self.shards[shard()].0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum of all shards.
    pub fn value(&self) -> i64 {
        self.shards.iter().map(|s| s.0.load(Ordering::Relaxed)).sum()
    }
}

/// Counters beside each other: one row of a family whose label has a fixed set of values.
#[derive(Debug)]
pub(super) struct CounterRow<const N: usize> {
    shards: Box<[Padded<[AtomicU64; N]>; SHARDS]>,
}

impl<const N: usize> Default for CounterRow<N> {
    fn default() -> Self {
        Self { shards: Box::new(std::array::from_fn(|_| Padded(std::array::from_fn(|_| AtomicU64::new(0))))) }
    }
}

impl<const N: usize> CounterRow<N> {
    /// Adds one to a column; one beyond the row is the last.
    pub(super) fn increment(&self, column: usize) {
        self.shards[shard()].0[column.min(N - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The sum of a column.
    pub(super) fn value(&self, column: usize) -> u64 {
        self.shards.iter().map(|s| s.0[column.min(N - 1)].load(Ordering::Relaxed)).sum()
    }
}

/// What one shard has counted.
type Counts<K> = Mutex<BTreeMap<K, u64>>;

/// Counts by key, for keys that come to be known as they are counted.
#[derive(Debug)]
pub(super) struct CounterMap<K> {
    shards: Box<[Padded<Counts<K>>; SHARDS]>,
}

impl<K> Default for CounterMap<K> {
    fn default() -> Self {
        Self { shards: Box::new(std::array::from_fn(|_| Padded(Mutex::default()))) }
    }
}

impl<K: Ord + Copy> CounterMap<K> {
    /// Adds one to each of these, unless it is new and a shard has so many keys already.
    pub(super) fn increment(&self, keys: impl Iterator<Item = K>, most: usize) {
        let mut counts = lock(&self.shards[shard()].0);
        for key in keys {
            if let Some(count) = counts.get_mut(&key) {
                *count += 1;
            } else if counts.len() < most {
                counts.insert(key, 1);
            }
        }
    }

    /// The sums of all shards.
    pub(super) fn values(&self) -> BTreeMap<K, u64> {
        let mut sums = BTreeMap::new();
        for shard in self.shards.iter() {
            for (key, count) in lock(&shard.0).iter() {
                *sums.entry(*key).or_default() += count;
            }
        }
        sums
    }
}

/// Counters cannot be left half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most buckets of a histogram, the one for everything beyond included.
const BUCKETS: usize = 20;

/// Upper bounds of durations of requests, connects and handshakes, in seconds.
pub(super) const LATENCY_BOUNDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Upper bounds of time in the engine, in seconds: two orders of magnitude below those of requests.
pub(super) const INSPECTION_BOUNDS: &[f64] = &[
    0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.5, 2.5,
];

/// Upper bounds of anomaly scores.
pub(super) const SCORE_BOUNDS: &[f64] =
    &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 200.0];

/// One shard of a histogram.
#[derive(Debug, Default)]
#[repr(align(128))]
struct HistogramShard {
    /// In units (nanoseconds, or points for scores).
    sum: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

/// Counts per upper bound, and the sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// `bounds` in units.
    unit_bounds: [u64; BUCKETS],
    units: f64,
    shards: [HistogramShard; SHARDS],
}

/// What a scrape reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HistogramValues {
    /// `(upper bound, observations at or below it)`.
    pub(super) cumulative: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Histogram {
    /// Of durations, with these bounds in seconds.
    pub(super) fn of_durations(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1e9)
    }

    /// Of whole numbers.
    pub(super) fn of_counts(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1.0)
    }

    fn new(bounds: &'static [f64], units: f64) -> Self {
        let mut unit_bounds = [u64::MAX; BUCKETS];
        for (unit_bound, bound) in unit_bounds.iter_mut().zip(bounds) {
            *unit_bound = (bound * units).round() as u64;
        }
        Self { bounds, unit_bounds, units, shards: Default::default() }
    }

    /// One duration.
    pub fn observe(&self, duration: Duration) {
        self.observe_units(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// One whole number.
    pub fn observe_units(&self, units: u64) {
        let shard = &self.shards[shard()];
        let bucket = self.unit_bounds.partition_point(|bound| *bound < units).min(BUCKETS - 1);
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        shard.sum.fetch_add(units, Ordering::Relaxed);
    }

    pub(super) fn values(&self) -> HistogramValues {
        let mut counts = [0u64; BUCKETS];
        let mut sum = 0u64;
        for shard in &self.shards {
            sum = sum.wrapping_add(shard.sum.load(Ordering::Relaxed));
            for (total, count) in counts.iter_mut().zip(&shard.counts) {
                *total += count.load(Ordering::Relaxed);
            }
        }
        let mut running = 0;
        let cumulative = self.bounds.iter().zip(counts).map(|(bound, count)| {
            running += count;
            (*bound, running)
        });
        let cumulative = cumulative.collect();
        HistogramValues { cumulative, count: counts.iter().sum(), sum: sum as f64 / self.units }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up_over_threads() {
        let counter = Counter::default();
        let gauge = Gauge::default();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.increment();
                        gauge.increment();
                        gauge.decrement();
                    }
                });
            }
        });
        assert_eq!((counter.value(), gauge.value()), (12_000, 0));
    }

    #[test]
    fn keys_add_up_over_threads_and_are_bounded() {
        let counts = CounterMap::default();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| counts.increment([1, 2, 1].into_iter(), 10));
            }
        });
        assert_eq!(counts.values(), BTreeMap::from([(1, 24), (2, 12)]));
        // Of one shard.
        let counts = CounterMap::default();
        counts.increment([1, 2, 3, 1].into_iter(), 2);
        assert_eq!(counts.values(), BTreeMap::from([(1, 2), (2, 1)]));
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = Histogram::of_durations(LATENCY_BOUNDS);
        for micros in [100, 101, 61_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let values = histogram.values();
        assert_eq!(values.cumulative[0], (0.0001, 1));
        assert_eq!(values.cumulative[1], (0.00025, 2));
        assert_eq!(values.cumulative.last(), Some(&(60.0, 2)));
        assert_eq!(values.count, 3);
        assert!((values.sum - 61.000_201).abs() < 1e-9);
    }

    #[test]
    fn every_set_of_bounds_leaves_room_for_the_last_bucket() {
        for bounds in [LATENCY_BOUNDS, INSPECTION_BOUNDS, SCORE_BOUNDS] {
            assert!(bounds.len() < BUCKETS);
            assert!(bounds.is_sorted());
        }
    }
}
