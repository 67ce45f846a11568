//! Short texts, found by two of their bytes and what may stand behind these.
//!
//! Exact is a table by three bytes ([`Pairs::of_triple`]), asked at every place by a walk of one dependent step per byte.
//! Where vector instructions are there, a [`Sieve`] says for 32 places at once where it is worth asking.

use super::around::{self, Kinds};
use super::survey::BLOCK;
use super::texts::{Anchored, Bucket, Found};
use crate::waf::sieve::{self, Sieve};

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

/// A sieve of texts by the two bytes that they are found by, and what may stand behind these.
fn sieve(mut keys: Vec<(u8, u8, Kinds)>) -> Sieve {
    let mut sieve = Sieve::default();
    // Neighbours in this order share high halves, and sets with one high half are exact.
    keys.sort_by_key(|key| ((key.0 >> 4, key.1 >> 4, key.2.count_ones(), key.2), *key));
    keys.dedup();
    let count = keys.len();
    for (number, (first, second, behind)) in keys.into_iter().enumerate() {
        let bucket = number * sieve::BUCKETS / count;
        sieve.add(bucket, 0, first);
        sieve.add(bucket, 1, second);
        (0..=u8::MAX).filter(|byte| around::has(behind, *byte)).for_each(|byte| sieve.add(bucket, 2, byte));
    }
    sieve
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
        if sieve::is_fast() {
            let key = |found: &Found<'_>| match *found.key {
                [first, second, ..] => Some((first, second, found.behind_key())),
                _ => None,
            };
            let sieve = sieve(found.iter().filter_map(key).collect());
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
                let allowed = (0..=u8::MAX).filter(|byte| around::has(member.behind_key(), *byte));
                let kinds = allowed.fold(0, |kinds, byte| kinds | 1 << all.kind(byte));
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
        if let Some(sieve) = &self.sieve {
            hits.resize(blocks, 0);
            sieve.sift(folded, hits);
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
