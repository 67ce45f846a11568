//! Many texts looked for at once.
//!
//! Each text is found by its rarest two or four bytes, whose place in the text is known. Bits in small tables say whether some text has these bytes there; only then are the texts compared. An automaton
//! of all texts would take one dependent step per byte through megabytes of states.
//!
//! Four bytes are looked up at every other place only: a text that is found by four bytes stands in the table with those
//! of an even and those of an odd place. Short texts are found by two bytes ([`super::pairs`]).
//!
//! Texts and values have their ASCII letters in lower case.

use std::ops::Range;

use super::around::{self, Around, Kinds};
use super::edits::Reach;
use super::pairs::Pairs;
use super::survey::{BLOCK, Survey};

/// Texts of one byte are found by the signature instead.
const SHORTEST: usize = 2;

/// Texts of so many bytes are found by four of them, shorter ones by two.
pub(super) const LONG: usize = 5;

/// No text is looked for in more bytes.
const MOST: usize = 24;

/// In values up to so many bytes nobody notes which texts were found already.
pub(super) const SHORT_VALUE: usize = if cfg!(fuzzing) { 16 } else { 64 };

/// Bits of the hash of four bytes.
const QUAD_BITS: u32 = 17;

/// Words of the table of quads.
const QUAD_WORDS: usize = 1 << (QUAD_BITS - 6);

/// Spreads four bytes over the upper bits.
const SPREAD: u32 = 0x9e37_79b1;

/// A text of two bytes or more.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Box<[u8]>,
    /// What may stand around it, for each operator that asks for it.
    pub(super) arounds: Vec<Around>,
    /// Where its rarest bytes begin.
    offset: u16,
}

impl Text {
    /// `commonness` of a byte is how often it may be met.
    pub(super) fn new(bytes: &[u8], arounds: Vec<Around>, commonness: impl Fn(u8) -> f64) -> Self {
        debug_assert!(bytes.len() >= SHORTEST);
        Self { bytes: bytes.into(), arounds, offset: rarest(bytes, commonness) as u16 }
    }

    /// How far from a byte that it has, or that stands next to it, it is found.
    pub(super) fn reach(&self) -> Reach {
        let offset = usize::from(self.offset);
        // A long one may be found one byte further on.
        Reach { before: self.bytes.len() - offset, behind: offset + usize::from(self.bytes.len() >= LONG) }
    }
}

/// Where the rarest bytes of a text begin, which it is found by. `commonness` of a byte is how often it may be met.
fn rarest(bytes: &[u8], commonness: impl Fn(u8) -> f64) -> usize {
    let is_long = bytes.len() >= LONG;
    let rarity = |window: &[u8]| window.iter().map(|byte| commonness(*byte)).product::<f64>();
    // One byte more than four, for both the even and the odd place.
    let both = |window: &[u8]| match window {
        [_, most @ ..] if is_long => rarity(most) + window.split_last().map_or(0.0, |(_, most)| rarity(most)),
        window => rarity(window),
    };
    let windows = bytes.windows(if is_long { 5 } else { bytes.len().min(3) }).map(both);
    let rarest = windows.enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
    rarest.map_or(0, |(offset, _)| offset)
}

/// The part of a text that is looked for, [`MOST`] bytes of it: a value without that does not have the whole. Whoever looks
/// for it in a form of a value has to go as far around what is changed as texts are long.
pub(super) fn part(bytes: &[u8], commonness: impl Fn(u8) -> f64) -> Range<usize> {
    if bytes.len() <= MOST {
        return 0..bytes.len();
    }
    let start = (rarest(bytes, commonness) + LONG).saturating_sub(MOST / 2 + LONG / 2).min(bytes.len() - MOST);
    start..start + MOST
}

/// The texts and where to find them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Hashes of four bytes that texts are found by, a bit each; empty when none is.
    quads: Vec<u64>,
    /// By the four bytes that texts are found by; a power of two, open addressing.
    buckets: Vec<Bucket>,
    /// Those that are found by two bytes.
    pairs: Option<Pairs>,
    anchored: Vec<Anchored>,
    /// How many texts there are.
    count: usize,
    /// Bytes of all texts.
    bytes: Vec<u8>,
}

/// Texts that are found by the same bytes; none, no bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    key: u32,
    start: u32,
    end: u32,
    /// What may stand before and behind these bytes in one of them.
    before: Kinds,
    behind: Kinds,
}

/// A text, found by the bytes from `offset` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchored {
    pub(super) offset: u16,
    len: u16,
    start: u32,
    text: u32,
    /// What the value must have from the bytes on that the text is found by, as far as the text goes and eight bytes at
    /// most, and which of these eight count. Most texts differ there, and taking slices to compare them costs more.
    ahead: u64,
    mask: u64,
    around: Around,
}

impl Anchored {
    /// Is there nothing of the text but what is [`Self::ahead`]?
    #[inline]
    const fn is_ahead(&self) -> bool {
        self.offset == 0 && self.len <= 8
    }
}

/// A text and the bytes that it is found by.
#[derive(Debug)]
pub(super) struct Found<'t> {
    pub(super) key: &'t [u8],
    pub(super) text: &'t [u8],
    pub(super) anchored: Anchored,
}

impl Found<'_> {
    /// What may stand behind the bytes that it is found by.
    pub(super) fn behind_key(&self) -> Kinds {
        let next = self.text.get(usize::from(self.anchored.offset) + self.key.len());
        next.map_or(self.anchored.around.behind, |byte| around::of(*byte))
    }
}

impl Bucket {
    /// Of texts with the same key, which are `start..end` of all.
    pub(super) fn of(group: &[Found<'_>], start: usize) -> Self {
        let mut bucket = Self { start: start as u32, end: (start + group.len()) as u32, ..Self::default() };
        for found in group {
            let Found { key, text, anchored } = found;
            bucket.key = key.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
            let at = usize::from(anchored.offset);
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            bucket.before |= before.map_or(anchored.around.before, |byte| around::of(*byte));
            bucket.behind |= found.behind_key();
        }
        bucket
    }

    /// May some of its texts stand where there is this before the bytes that they are found by, and some where there is
    /// this behind them?
    #[inline]
    const fn may_be(&self, before: u8, behind: u8) -> bool {
        around::has(self.before, before) && around::has(self.behind, behind)
    }
}

impl Texts {
    /// Of some texts, their numbers, which are below `count`, and what may stand around them. `commonness` of a byte is how often it may be met.
    pub(super) fn new(texts: &[(u32, &Text, Around)], count: usize, commonness: impl Fn(u8) -> f64) -> Self {
        let mut found: Vec<Found<'_>> = Vec::new();
        let mut all = Self { count, ..Self::default() };
        for (number, Text { bytes: text, offset, .. }, around) in texts.iter().copied() {
            let (offset, is_long) = (usize::from(*offset), text.len() >= LONG);
            let start = all.bytes.len() as u32;
            all.bytes.extend_from_slice(text);
            let windows = text.windows(if is_long { 4 } else { 2 }).enumerate();
            for (offset, key) in windows.skip(offset).take(if is_long { 2 } else { 1 }) {
                let (place, len) = (offset as u16, text.len() as u16);
                let ahead = text.iter().skip(offset).take(8).rev();
                let (ahead, mask) = ahead.fold((0, 0), |(ahead, mask), byte| {
                    (ahead << 8 | u64::from(*byte), mask << 8 | u64::from(u8::MAX))
                });
                found.push(Found {
                    key,
                    text,
                    anchored: Anchored { offset: place, len, start, text: number, ahead, mask, around },
                });
            }
        }
        found.sort_unstable_by_key(|found| (found.key.len(), found.key, found.anchored.text, found.anchored.offset));
        all.fill(&found, commonness);
        all
    }

    fn fill(&mut self, found: &[Found<'_>], commonness: impl Fn(u8) -> f64) {
        let (pairs, quads) = found.split_at(found.partition_point(|found| found.key.len() == 2));
        self.pairs = (!pairs.is_empty()).then(|| Pairs::new(pairs, &mut self.anchored, commonness));
        if quads.is_empty() {
            return;
        }
        self.quads = vec![0; QUAD_WORDS];
        self.buckets = vec![Bucket::default(); (quads.len() * 2).next_power_of_two().max(16)];
        let mask = self.buckets.len() - 1;
        for group in quads.chunk_by(|one, other| one.key == other.key) {
            let bucket = Bucket::of(group, self.anchored.len());
            self.anchored.extend(group.iter().map(|found| found.anchored));
            let bit = quad_hash(bucket.key);
            if let Some(word) = self.quads.get_mut((bit >> 6) as usize) {
                *word |= 1 << (bit & 63);
            }
            let mut place = bucket_place(bucket.key) & mask;
            while let Some(slot) = self.buckets.get_mut(place) {
                if slot.start == slot.end {
                    *slot = bucket;
                    break;
                }
                place = (place + 1) & mask;
            }
        }
    }

    /// The texts that are found by these four bytes.
    #[inline]
    fn of_quad(&self, quad: u32) -> Option<&Bucket> {
        let mask = self.buckets.len() - 1;
        let mut place = bucket_place(quad) & mask;
        loop {
            let bucket = self.buckets.get(place).filter(|bucket| bucket.start != bucket.end)?;
            if bucket.key == quad {
                return Some(bucket);
            }
            place = (place + 1) & mask;
        }
    }

    /// Calls `found` with the number of each text that occurs in the value surveyed; in a short one, for each time.
    #[inline]
    pub(super) fn find(&self, survey: &mut Survey, mut found: impl FnMut(u32)) {
        survey.found.clear();
        if survey.len > SHORT_VALUE {
            survey.found.resize(self.count.div_ceil(64), 0);
        }
        self.find_in(survey, 0..survey.len, &mut found);
    }

    /// Likewise with each text that is found by bytes in one of these stretches ([`super::edits`]), but for those that are
    /// noted in the survey as found.
    #[inline(never)]
    pub(super) fn find_within(&self, survey: &mut Survey, stretches: &[Range<usize>], mut found: impl FnMut(u32)) {
        for stretch in stretches {
            self.find_in(survey, stretch.clone(), &mut found);
        }
    }

    #[inline]
    fn find_in(&self, survey: &mut Survey, stretch: Range<usize>, found: &mut impl FnMut(u32)) {
        let Survey { folded, len, found: known, hits: short } = survey;
        let quads = self.quads.first_chunk::<QUAD_WORDS>();
        if let (Some(pairs), Some(rest)) = (&self.pairs, folded.get(stretch.start..)) {
            pairs.find(rest, stretch.end - stretch.start, short);
        }
        for (number, start) in (stretch.start..stretch.end).step_by(BLOCK).enumerate() {
            let Some(block) = folded.get(start..).and_then(|rest| rest.first_chunk()) else { break };
            let filled = (stretch.end - start).min(BLOCK);
            let mut hits = quads.map_or(0, |quads| quad_hits(quads, block, filled));
            while hits != 0 {
                let at = start + hits.trailing_zeros() as usize;
                hits &= hits - 1;
                let Some(quad) = folded.get(at..).and_then(|rest| rest.first_chunk()) else { break };
                if let Some(bucket) = self.of_quad(u32::from_le_bytes(*quad))
                    && bucket.may_be(byte_at(folded, at.wrapping_sub(1)), byte_at(folded, at + 4))
                {
                    self.compare(folded, *len, at, bucket, known, found);
                }
            }
            if let Some(pairs) = &self.pairs {
                let mut hits = short.get(number).copied().unwrap_or_default();
                while hits != 0 {
                    let at = start + hits.trailing_zeros() as usize;
                    hits &= hits - 1;
                    let Some(triple) = folded.get(at..).and_then(|rest| rest.first_chunk()) else { break };
                    if let Some(bucket) = pairs.of_triple(triple)
                        && bucket.may_be(byte_at(folded, at.wrapping_sub(1)), byte_at(folded, at + 2))
                    {
                        self.compare(folded, *len, at, bucket, known, found);
                    }
                }
            }
        }
    }

    /// Is it this text?
    #[inline]
    fn has(&self, text: &Anchored, there: &[u8]) -> bool {
        let start = text.start as usize;
        let wanted = self.bytes.get(start..start + usize::from(text.len)).unwrap_or_default();
        there.iter().zip(wanted).all(|(one, other)| one == other)
    }

    /// Compares texts that have the bytes from `at` on where the value has them, but for those that are known already.
    /// The value is the first `len` bytes of `folded`.
    #[inline]
    fn compare(
        &self,
        folded: &[u8],
        len: usize,
        at: usize,
        bucket: &Bucket,
        known: &mut [u64],
        found: &mut impl FnMut(u32),
    ) {
        let Some(ahead) = folded.get(at..).and_then(|rest| rest.first_chunk()) else { return };
        let ahead = u64::from_le_bytes(*ahead);
        let value = folded.get(..len).unwrap_or_default();
        for text in self.anchored.get(bucket.start as usize..bucket.end as usize).unwrap_or_default() {
            if (ahead ^ text.ahead) & text.mask != 0 {
                continue;
            }
            let (start, len) = (at.wrapping_sub(usize::from(text.offset)), usize::from(text.len));
            let mut word = known.get_mut((text.text / 64) as usize);
            if word.as_ref().is_some_and(|word| **word >> (text.text % 64) & 1 != 0) {
                continue;
            }
            let Some(there) = value.get(start..start.wrapping_add(len)) else { continue };
            if around::has(text.around.before, byte_at(folded, start.wrapping_sub(1)))
                && around::has(text.around.behind, byte_at(folded, start + len))
                && (text.is_ahead() || self.has(text, there))
            {
                if let Some(word) = &mut word {
                    **word |= 1 << (text.text % 64);
                }
                found(text.text);
            }
        }
    }
}

#[inline]
fn byte_at(bytes: &[u8], place: usize) -> u8 {
    bytes.get(place).copied().unwrap_or_default()
}

/// At which even places of the first `filled` bytes of a block some text may have its four bytes.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the compiler sees that the place is within the table")]
fn quad_hits(quads: &[u64; QUAD_WORDS], block: &[u8; BLOCK + 4], filled: usize) -> u32 {
    let is_hit = |window: u64| {
        let quad = quad_hash(window as u32);
        (quads[(quad >> 6) as usize % QUAD_WORDS] >> (quad & 63)) as u32 & 1
    };
    let mut hits = 0;
    let mut place = 0;
    while place + 3 < filled {
        let Some((here, next)) = block.get(place..).and_then(|rest| Some((rest.first_chunk()?, rest.get(8..10)?)))
        else {
            break;
        };
        let here = u64::from_le_bytes(*here);
        let last = here >> 48 | next.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)) << 16;
        let found = is_hit(here) | is_hit(here >> 16) << 2 | is_hit(here >> 32) << 4 | is_hit(last) << 6;
        hits |= found << place;
        place += 8;
    }
    hits
}

#[inline]
const fn quad_hash(window: u32) -> u32 {
    window.wrapping_mul(SPREAD) >> (32 - QUAD_BITS)
}

#[inline]
const fn bucket_place(quad: u32) -> usize {
    (quad.wrapping_mul(0x85eb_ca6b) >> 12) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there() {
        let texts: [&[u8]; 8] = [b"ab", b"abc", b"select", b"union", b"\0a", b"elec", b"..", b"lection"];
        let commonness = |byte| f64::from(byte) / 256.0;
        let made = texts.map(|text| Text::new(text, Vec::new(), commonness));
        let numbered: Vec<(u32, &Text, Around)> =
            (0_u32..).zip(&made).map(|(number, text)| (number, text, Around::ANYTHING)).collect();
        let all = Texts::new(&numbered, texts.len(), commonness);
        let values: [&[u8]; 9] =
            [b"", b"a", b"ab", b"xabx", b"xxabc", b"a selection", b"a", b"\0a..", b"unio unionunion"];
        for value in values {
            let mut found: Vec<u32> = Vec::new();
            let mut survey = Survey::default();
            survey.of(value);
            all.find(&mut survey, |text| found.push(text));
            found.sort_unstable();
            found.dedup();
            let expected: Vec<u32> = (0_u32..)
                .zip(texts)
                .filter(|(_, text)| value.windows(text.len()).any(|window| window == *text))
                .map(|(number, _)| number)
                .collect();
            assert_eq!(found, expected, "{}", value.escape_ascii());
        }
    }
}
