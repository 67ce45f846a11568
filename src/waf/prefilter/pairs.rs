//! Short texts, found by two of their bytes and what may stand behind these.
//!
//! Exact is a table by three bytes ([`Pairs::of_triple`]), asked at every place by a walk of one dependent step per byte.
//! Where vector instructions are there, a [`Sieve`] says for 32 places at once where it is worth asking. The sieve has
//! texts in 16 buckets: sets of first, second and third bytes for each.

use super::survey::BLOCK;
use super::texts::{Anchored, Bucket, Found};

/// Kinds of bytes that pairs are found by: every byte that is in one should have a kind of its own.
const KINDS: usize = 64;

/// Pairs of kinds.
const PAIRS: usize = KINDS * KINDS;

/// A sieve that lets more than this share of places pass is not worth its while.
const COARSE: f64 = 0.3;

/// Short texts and where to find them.
#[derive(Debug)]
pub(super) struct Pairs {
    /// Kind of each byte.
    kinds: Box<[u8; 256]>,
    /// By the kinds of two bytes that texts are found by: the kinds of bytes that may stand behind them, a bit each.
    triples: Vec<u64>,
    /// By the same: a place in `buckets`, plus one.
    places: Vec<u16>,
    buckets: Vec<Bucket>,
    sieve: Option<Box<Sieve>>,
}

/// Of each bucket the bytes that its texts begin with, and those that may stand second and third behind; a byte counts as
/// one when its low and its high half belong to such bytes.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Sieve {
    /// By half of the buckets, place, and low half of the byte: a bit for each bucket.
    low: [[[u8; 16]; 3]; 2],
    /// Likewise by its high half.
    high: [[[u8; 16]; 3]; 2],
}

impl Sieve {
    /// Of texts by the three bytes that they are found by; without a third, any byte may stand there.
    fn of(mut keys: Vec<(u8, u8, Option<u8>)>) -> Self {
        let mut sieve = Self::default();
        // Neighbours in this order share high halves, and sets with one high half are exact.
        keys.sort_by_key(|key| ((key.0 >> 4, key.1 >> 4, key.2.map(|byte| byte >> 4)), *key));
        keys.dedup();
        let count = keys.len();
        for (number, (first, second, third)) in keys.into_iter().enumerate() {
            let bucket = number * 16 / count;
            let mut add = |place: usize, byte: u8| {
                let bit = 1 << (bucket % 8);
                let [low, high] = [&mut sieve.low, &mut sieve.high].map(|half| half.get_mut(bucket / 8));
                for (rows, nibble) in [(low, byte & 15), (high, byte >> 4)] {
                    if let Some(row) = rows.and_then(|rows| rows.get_mut(place)?.get_mut(usize::from(nibble))) {
                        *row |= bit;
                    }
                }
            };
            add(0, first);
            add(1, second);
            match third {
                Some(byte) => add(2, byte),
                None => (0..=u8::MAX).for_each(|byte| add(2, byte)),
            }
        }
        sieve
    }

    /// The buckets of one half whose texts may have this byte first, second or third, a bit each.
    fn buckets(&self, half: usize, place: usize, byte: u8) -> u8 {
        let row = |rows: &[[[u8; 16]; 3]; 2], nibble: u8| {
            rows.get(half).and_then(|rows| rows.get(place)?.get(usize::from(nibble)).copied()).unwrap_or_default()
        };
        row(&self.low, byte & 15) & row(&self.high, byte >> 4)
    }

    /// The share of places that pass, about.
    fn passing(&self, commonness: impl Fn(u8) -> f64) -> f64 {
        let common: Vec<(u8, f64)> = (0..=u8::MAX).map(|byte| (byte, commonness(byte))).collect();
        let whole: f64 = common.iter().map(|(_, share)| share).sum();
        let mut all = 0.0;
        for (half, bucket) in (0..16).map(|bucket| (bucket / 8, 1 << (bucket % 8))) {
            let share = |place: usize| {
                let members = common.iter().filter(|(byte, _)| self.buckets(half, place, *byte) & bucket != 0);
                members.map(|(_, share)| share / whole).sum::<f64>()
            };
            all += (0..3).map(share).product::<f64>();
        }
        all
    }
}

/// Are there vector instructions to sift with?
fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::waf::wide::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

impl Pairs {
    /// Of texts with keys of two bytes; adds them to all.
    pub(super) fn new(found: &[Found<'_>], anchored: &mut Vec<Anchored>, commonness: impl Fn(u8) -> f64) -> Self {
        let mut all = Self {
            kinds: Box::new([0; 256]),
            triples: vec![0; PAIRS],
            places: vec![0; PAIRS],
            buckets: Vec::new(),
            sieve: None,
        };
        let behind = |found: &Found<'_>| found.text.get(usize::from(found.anchored.offset) + 2).copied();
        let mut used: Vec<u8> = found.iter().flat_map(|found| found.key.iter().copied().chain(behind(found))).collect();
        used.sort_unstable();
        used.dedup();
        // 0 is for all others; beyond the last kind several bytes share one, and texts are compared in vain.
        for (number, byte) in used.iter().enumerate() {
            if let Some(kind) = all.kinds.get_mut(usize::from(*byte)) {
                *kind = (1 + number % (KINDS - 1)) as u8;
            }
        }
        if is_wide() {
            let key = |found: &Found<'_>| match *found.key {
                [first, second, ..] => Some((first, second, behind(found))),
                _ => None,
            };
            let sieve = Sieve::of(found.iter().filter_map(key).collect());
            all.sieve = (sieve.passing(commonness) < COARSE).then(|| Box::new(sieve));
        }
        let mut found: Vec<(usize, &Found<'_>)> =
            found.iter().filter_map(|found| Some((all.place(found.key.first_chunk()?), found))).collect();
        found.sort_by_key(|(place, _)| *place);
        for group in found.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((place, _)) = group.first().copied() else { continue };
            let members =
                group.iter().map(|(_, Found { key, text, anchored })| Found { key, text, anchored: *anchored });
            let members: Vec<Found<'_>> = members.collect();
            all.buckets.push(Bucket::of(&members, anchored.len()));
            anchored.extend(members.iter().map(|found| found.anchored));
            if let Some(slot) = all.places.get_mut(place) {
                *slot = all.buckets.len() as u16;
            }
            for member in &members {
                let kinds = behind(member).map_or(u64::MAX, |byte| 1 << all.kind(byte));
                if let Some(all) = all.triples.get_mut(place) {
                    *all |= kinds;
                }
            }
        }
        all
    }

    fn kind(&self, byte: u8) -> u8 {
        self.kinds.get(usize::from(byte)).copied().unwrap_or_default()
    }

    #[inline]
    fn place(&self, pair: &[u8; 2]) -> usize {
        let [first, second] = pair.map(|byte| self.kind(byte));
        usize::from(first) * KINDS + usize::from(second)
    }

    /// The texts that are found by the first two of these bytes, if the third may stand behind.
    #[inline]
    pub(super) fn of_triple(&self, [first, second, third]: &[u8; 3]) -> Option<&Bucket> {
        let place = self.place(&[*first, *second]);
        if self.sieve.is_some() && self.triples.get(place)? >> (self.kind(*third) & 63) & 1 == 0 {
            return None;
        }
        self.buckets.get(usize::from(*self.places.get(place)?).checked_sub(1)?)
    }

    /// Finds out at which places of a folded value of `len` bytes some text may have its two bytes: a bit each.
    #[inline]
    pub(super) fn find(&self, folded: &[u8], len: usize, hits: &mut Vec<u32>) {
        let blocks = len.div_ceil(BLOCK);
        hits.clear();
        #[cfg(target_arch = "x86_64")]
        if let Some(sieve) = &self.sieve {
            hits.resize(blocks, 0);
            crate::waf::wide::sift(&sieve.low, &sieve.high, folded, hits);
        }
        if hits.is_empty()
            && let Some(triples) = self.triples.first_chunk()
        {
            let mut kind = folded.first().map_or(0, |byte| usize::from(self.kind(*byte)));
            hits.reserve(blocks);
            for start in (0..len).step_by(BLOCK) {
                let Some(block) = folded.get(start..).and_then(|rest| rest.first_chunk()) else { break };
                hits.push(walk(triples, &self.kinds, block, (len - start).min(BLOCK), &mut kind));
            }
            return;
        }
        // What is behind the value does not count.
        if let Some(last) = hits.last_mut() {
            *last &= u32::MAX.checked_shr((blocks * BLOCK - len) as u32).unwrap_or_default();
        }
    }
}

/// At which of the first `filled` places of a block some text may have its two bytes, one byte after the other. `kind` is
/// that of the byte there, and becomes that of the one behind.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the compiler sees that the places are within the tables")]
fn walk(triples: &[u64; PAIRS], kinds: &[u8; 256], block: &[u8; BLOCK + 4], filled: usize, kind: &mut usize) -> u32 {
    let mut hits = 0;
    let mut pair = *kind << 6 | usize::from(kinds[usize::from(block[1])]);
    for byte in block.iter().skip(2).take(filled) {
        let next = usize::from(kinds[usize::from(*byte)]);
        hits = hits >> 1 | ((triples[pair % PAIRS] >> (next & 63)) as u32) << 31;
        pair = (pair << 6 | next) % PAIRS;
    }
    *kind = pair >> 6;
    // The last one is at the upper end.
    hits.checked_shr((BLOCK - filled) as u32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the sieve lets pass, place by place.
    fn plainly(sieve: &Sieve, folded: &[u8], sifted: &mut [u32]) {
        for (block, word) in sifted.iter_mut().enumerate() {
            for place in 0..BLOCK {
                let at = block * BLOCK + place;
                let passes =
                    |half| (0..3).fold(u8::MAX, |all, next| all & sieve.buckets(half, next, folded[at + next]));
                *word |= u32::from(passes(0) | passes(1) != 0) << place;
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_ways_let_the_same_pass() {
        if !crate::waf::wide::is_there() {
            eprintln!("SKIPPED: this processor has no AVX2");
            return;
        }
        let mut state = 88_172_645_463_325_252_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let mut passed = 0;
        for round in 1..400 {
            let mut byte = |round: usize| (b'0' as usize + draw() % [3, 40, 150][round % 3]) as u8;
            let keys: Vec<_> =
                (0..round % 70).map(|key| (byte(key), byte(round), (key % 5 > 0).then(|| byte(round)))).collect();
            let sieve = Sieve::of(keys.clone());
            let blocks = round % 5;
            let mut folded: Vec<u8> = (0..blocks * BLOCK).map(|_| byte(round)).collect();
            for (number, (first, second, third)) in keys.iter().enumerate() {
                let key = [*first, *second, third.unwrap_or(b'x')];
                if let Some(there) = folded.get_mut(number * 3..number * 3 + 3) {
                    there.copy_from_slice(&key);
                }
            }
            folded.resize(blocks * BLOCK + BLOCK + 8, 0);
            let (mut one, mut other) = (vec![0; blocks], vec![0; blocks]);
            plainly(&sieve, &folded, &mut one);
            crate::waf::wide::sift(&sieve.low, &sieve.high, &folded, &mut other);
            assert_eq!(one, other, "round {round}");
            for number in (0..keys.len()).take_while(|number| number * 3 + 3 <= blocks * BLOCK) {
                assert!(one[number * 3 / BLOCK] >> (number * 3 % BLOCK) & 1 == 1, "round {round}, key {number}");
                passed += 1;
            }
        }
        assert!(passed > 1000, "{passed}");
    }
}
