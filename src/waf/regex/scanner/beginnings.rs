//! Where a pattern may begin, by its first three bytes.
//!
//! In long values most places are none where a match can begin. A sieve says which could be, 32 at a time; a walk that has
//! come to no place of the pattern goes on from the next of them. All else stays as it is: a walk that has begun is not
//! interrupted, so every byte is passed once however many beginnings there are.

use std::collections::BTreeMap;

use regex_automata::util::primitives::StateID;

use super::openings::Reach;
use super::{Scanner, Workshop};
use crate::waf::prefilter::commonness;
use crate::waf::regex::ast::ByteSet;
use crate::waf::sieve::{self, BLOCK, BUCKETS, MARGIN, Sieve};

/// A pattern that may begin in more ways than this has no sieve.
const MOST_WAYS: usize = 768;

/// Of so many each is compared with each other to find those that are alike.
const FEW_WAYS: usize = 32;

/// A sieve that lets more than this share of places pass is not worth its while.
const COARSE: f64 = 0.2;

/// Bytes that are sifted together.
const STRETCH: usize = 1024;

/// Blocks of those.
const BLOCKS: usize = STRETCH / BLOCK;

/// The first three bytes of matches.
#[derive(Debug)]
pub(super) struct Beginnings {
    sieve: Sieve,
}

/// First, second and third bytes, as a sieve has them: a bit for each low and each high half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way([(u16, u16); 3]);

impl Way {
    fn of(sets: [ByteSet; 3]) -> Self {
        Self(sets.map(|set| {
            let members = (0..=u8::MAX).filter(|byte| set.contains(*byte));
            members.fold((0, 0), |(high, low), byte| (high | 1 << (byte >> 4), low | 1 << (byte & 15)))
        }))
    }

    fn and(self, other: Self) -> Self {
        let mut both = self;
        for ((high, low), (other_high, other_low)) in both.0.iter_mut().zip(other.0) {
            *high |= other_high;
            *low |= other_low;
        }
        both
    }

    /// The share of places that pass.
    fn passing(self, common: &[[f64; 16]; 16]) -> f64 {
        let share = |(high, low): (u16, u16)| -> f64 {
            let rows = halves(high).filter_map(|half| common.get(half));
            rows.flat_map(|row| halves(low).filter_map(|half| row.get(half))).sum()
        };
        self.0.into_iter().map(share).product()
    }
}

/// The places of the bits that are set.
fn halves(bits: u16) -> impl Iterator<Item = usize> {
    let mut left = bits;
    std::iter::from_fn(move || {
        let place = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (place < 16).then_some(place)
    })
}

impl Beginnings {
    /// Of a pattern; nothing when matches may be without bytes or may begin nearly everywhere.
    pub(super) fn new(scanner: &Scanner) -> Option<Self> {
        if !sieve::is_fast() {
            return None;
        }
        let mut ways: Vec<Way> = ways(scanner)?.into_iter().map(Way::of).collect();
        ways.sort_unstable();
        ways.dedup();
        let mut common = [[0.0; 16]; 16];
        let whole: f64 = (0..=u8::MAX).map(commonness).sum();
        for (high, row) in (0_u8..).zip(&mut common) {
            (0_u8..).zip(row).for_each(|(low, share)| *share = commonness(high << 4 | low) / whole);
        }
        let ways = merge(ways, &common);
        if ways.iter().map(|way| way.passing(&common)).sum::<f64>() > COARSE {
            return None;
        }
        let mut sieve = Sieve::default();
        for (bucket, way) in ways.iter().enumerate() {
            for (place, (high, low)) in way.0.into_iter().enumerate() {
                let bytes = (0..=u8::MAX).filter(|byte| high >> (byte >> 4) & 1 != 0 && low >> (byte & 15) & 1 != 0);
                bytes.for_each(|byte| sieve.add(bucket, place, byte));
            }
        }
        Some(Self { sieve })
    }
}

/// Makes as many of them as there are buckets, so that little passes that did not before.
fn merge(ways: Vec<Way>, common: &[[f64; 16]; 16]) -> Vec<Way> {
    let mut ways: Vec<(Way, f64)> = ways.into_iter().map(|way| (way, way.passing(common))).collect();
    let dearer = |(one, share): (Way, f64), (other, other_share): (Way, f64)| {
        one.and(other).passing(common) - share - other_share
    };
    // Comparing each with each other takes long when they are many, but neighbours have the same first bytes.
    let next_to = |ways: &[(Way, f64)], place: usize| match ways.get(place..place.saturating_add(2)) {
        Some([one, next]) => dearer(*one, *next),
        _ => f64::INFINITY,
    };
    let mut costs: Vec<f64> = (0..ways.len()).map(|place| next_to(&ways, place)).collect();
    while ways.len() > FEW_WAYS {
        let least = (0..).zip(&costs).min_by(|(_, one), (_, other)| one.total_cmp(other));
        let Some((place, _)) = least.filter(|(place, _)| place + 1 < ways.len()) else { break };
        join(&mut ways, place, place + 1, common);
        costs.remove(place);
        for place in [place, place.wrapping_sub(1)] {
            if let Some(cost) = costs.get_mut(place) {
                *cost = next_to(&ways, place);
            }
        }
    }
    while ways.len() > BUCKETS {
        let mut least = (0, 1, f64::INFINITY);
        for (place, one) in ways.iter().enumerate() {
            for (next, other) in ways.iter().enumerate().skip(place + 1) {
                let cost = dearer(*one, *other);
                if cost < least.2 {
                    least = (place, next, cost);
                }
            }
        }
        join(&mut ways, least.0, least.1, common);
    }
    ways.into_iter().map(|(way, _)| way).collect()
}

fn join(ways: &mut Vec<(Way, f64)>, place: usize, other: usize, common: &[[f64; 16]; 16]) {
    let (other, _) = ways.remove(other);
    if let Some((way, share)) = ways.get_mut(place) {
        *way = way.and(other);
        *share = way.passing(common);
    }
}

/// First, second and third bytes that belong together.
fn ways(scanner: &Scanner) -> Option<Vec<[ByteSet; 3]>> {
    let mut workshop = Workshop::default();
    let mut ways = Vec::new();
    // What can only stand at the value's beginning is looked for there without a sieve.
    let (first, is_end) = steps(scanner, &mut workshop, scanner.nfa.start_anchored(), false);
    if is_end {
        return None;
    }
    for (to, first) in first {
        let (second, is_end) = steps(scanner, &mut workshop, to, true);
        if is_end {
            ways.push([first, ByteSet::ALL, ByteSet::ALL]);
            continue;
        }
        for (to, second) in second {
            let (third, is_end) = steps(scanner, &mut workshop, to, true);
            let third = third.into_values().fold(ByteSet::EMPTY, ByteSet::union);
            ways.push([first, second, if is_end { ByteSet::ALL } else { third }]);
            if ways.len() > MOST_WAYS {
                return None;
            }
        }
    }
    Some(ways)
}

/// Where one byte leads, and whether the pattern may be over before, whatever assertions say.
fn steps(
    scanner: &Scanner,
    workshop: &mut Workshop,
    from: StateID,
    starts: bool,
) -> (BTreeMap<StateID, ByteSet>, bool) {
    let reach = Reach::new(scanner, workshop, vec![from], starts);
    let mut steps: BTreeMap<StateID, ByteSet> = BTreeMap::new();
    for transition in &reach.transitions {
        steps.entry(transition.next).or_insert(ByteSet::EMPTY).insert_range(transition.start, transition.end);
    }
    (steps, reach.is_end)
}

/// Looks ahead in one value.
pub(super) struct Ahead<'s> {
    beginnings: &'s Beginnings,
    value: &'s [u8],
    /// The stretch that was sifted last: where it begins, where it ends.
    start: usize,
    end: usize,
    hits: [u32; BLOCKS],
}

impl<'s> Ahead<'s> {
    pub(super) const fn new(beginnings: &'s Beginnings, value: &'s [u8]) -> Self {
        Self { beginnings, value, start: 0, end: 0, hits: [0; BLOCKS] }
    }

    /// The first place from `at` on where the pattern may begin; the value's end, if it may nowhere.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> usize {
        let mut at = at;
        loop {
            if at >= self.end {
                if at >= self.value.len() {
                    return self.value.len();
                }
                self.sift(at);
            }
            let place = at - self.start;
            let blocks = self.hits.get(place / BLOCK..).unwrap_or_default();
            let mut kept = u32::MAX << (place % BLOCK);
            for (number, hits) in blocks.iter().enumerate() {
                let hits = hits & std::mem::replace(&mut kept, u32::MAX);
                if hits != 0 {
                    let block = self.start + (place / BLOCK + number) * BLOCK;
                    return (block + hits.trailing_zeros() as usize).min(self.value.len());
                }
            }
            at = self.end;
        }
    }

    #[inline(never)]
    fn sift(&mut self, start: usize) {
        let Self { beginnings, value, hits, .. } = self;
        let rest = value.get(start..).unwrap_or_default();
        match rest.first_chunk::<{ STRETCH + MARGIN }>() {
            Some(stretch) => beginnings.sieve.sift(stretch, hits),
            None => {
                // A zero behind the value lets too much pass at most.
                let mut padded = [0; STRETCH + BLOCK + MARGIN];
                if let Some(slot) = padded.get_mut(..rest.len()) {
                    slot.copy_from_slice(rest);
                }
                beginnings.sieve.sift(&padded, hits);
            }
        }
        (self.start, self.end) = (start, start + STRETCH);
    }
}
