//! Many texts looked for at once in a short value.
//!
//! Each text is found by its rarest two or four bytes, whose place in the text is known. At each byte of the value two
//! bits in small tables (together they fit the first cache) say whether some text has these bytes there; only then are
//! the texts compared. An automaton of all texts would take one dependent step per byte through megabytes of states.
//!
//! Texts and values have their ASCII letters in lower case.

/// Texts of one byte are found by the signature instead.
const SHORTEST: usize = 2;

/// Words of the table of pairs: one bit for each.
const PAIR_WORDS: usize = 1 << 10;

/// Bits of the hash of four bytes.
const QUAD_BITS: u32 = 17;

/// Words of the table of quads.
const QUAD_WORDS: usize = 1 << (QUAD_BITS - 6);

/// Spreads four bytes over the upper bits.
const SPREAD: u32 = 0x9e37_79b1;

/// The texts and where to find them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pairs: Vec<u64>,
    quads: Vec<u64>,
    /// Ranges of `anchored` by the four bytes that they are found by; a power of two, open addressing.
    buckets: Vec<Bucket>,
    /// By the two bytes that they are found by: a place in `pair_buckets`.
    pair_places: Vec<u16>,
    pair_buckets: Vec<Bucket>,
    anchored: Vec<Anchored>,
    /// Bytes of all texts.
    bytes: Vec<u8>,
}

/// Texts that are found by the same bytes; none, no bucket.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    key: u32,
    start: u32,
    end: u32,
}

/// A text, found by the bytes from `offset` on.
#[derive(Debug, Clone, Copy)]
struct Anchored {
    offset: u16,
    len: u16,
    start: u32,
    text: u32,
}

impl Texts {
    /// Of texts with two bytes or more; their numbers are their places. `commonness` of a byte is how often it may be
    /// met.
    pub(super) fn new(texts: &[&[u8]], commonness: impl Fn(u8) -> f64) -> Self {
        let mut found: Vec<(u8, u32, Anchored)> = Vec::new();
        let mut all = Self { pairs: vec![0; PAIR_WORDS], quads: vec![0; QUAD_WORDS], ..Self::default() };
        for (number, text) in (0_u32..).zip(texts) {
            let width = if text.len() < 4 { 2 } else { 4 };
            let rarity = |window: &[u8]| window.iter().map(|byte| commonness(*byte)).product::<f64>();
            let windows = text.windows(width).take(usize::from(u16::MAX)).enumerate();
            let rarest = windows.min_by(|(_, one), (_, other)| rarity(one).total_cmp(&rarity(other)));
            let Some((offset, window)) = rarest.filter(|_| text.len() >= SHORTEST) else { continue };
            let key = window.iter().rev().fold(0_u32, |key, byte| key << 8 | u32::from(*byte));
            let table = if width == 2 { &mut all.pairs } else { &mut all.quads };
            let place = if width == 2 { key } else { quad_hash(key) };
            if let Some(word) = table.get_mut((place >> 6) as usize) {
                *word |= 1 << (place & 63);
            }
            let start = all.bytes.len() as u32;
            all.bytes.extend_from_slice(text);
            let anchored = Anchored { offset: offset as u16, len: text.len() as u16, start, text: number };
            found.push((width as u8, key, anchored));
        }
        found.sort_by_key(|(width, key, _)| (*width, *key));
        all.fill(&found);
        all
    }

    fn fill(&mut self, found: &[(u8, u32, Anchored)]) {
        self.buckets = vec![Bucket::default(); (found.len() * 4).next_power_of_two().max(16)];
        self.pair_places = vec![0; 1 << 16];
        for group in found.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            let Some((width, key, _)) = group.first().copied() else { continue };
            let start = self.anchored.len() as u32;
            self.anchored.extend(group.iter().map(|(_, _, anchored)| *anchored));
            let bucket = Bucket { key, start, end: self.anchored.len() as u32 };
            if width == 2 {
                if let Some(place) = self.pair_places.get_mut(key as usize) {
                    *place = self.pair_buckets.len() as u16;
                    self.pair_buckets.push(bucket);
                }
                continue;
            }
            let mask = self.buckets.len() - 1;
            let mut place = bucket_place(key) & mask;
            while let Some(slot) = self.buckets.get_mut(place) {
                if slot.start == slot.end {
                    *slot = bucket;
                    break;
                }
                place = (place + 1) & mask;
            }
        }
    }

    /// The texts that are found by these two bytes.
    fn of_pair(&self, pair: u32) -> &[Anchored] {
        let place = self.pair_places.get(pair as usize).copied().unwrap_or_default();
        let Some(bucket) = self.pair_buckets.get(usize::from(place)) else { return &[] };
        self.anchored.get(bucket.start as usize..bucket.end as usize).unwrap_or_default()
    }

    /// The texts that are found by these four bytes.
    fn of_quad(&self, quad: u32) -> &[Anchored] {
        let mask = self.buckets.len() - 1;
        let mut place = bucket_place(quad) & mask;
        loop {
            match self.buckets.get(place) {
                Some(bucket) if bucket.start != bucket.end => {
                    if bucket.key == quad {
                        return self.anchored.get(bucket.start as usize..bucket.end as usize).unwrap_or_default();
                    }
                    place = (place + 1) & mask;
                }
                _ => return &[],
            }
        }
    }

    /// Calls `found` with the number of each text that occurs in `value`, perhaps more than once.
    #[inline]
    pub(super) fn find(&self, value: &[u8], mut found: impl FnMut(u32)) {
        let (Some(pairs), Some(quads)) =
            (self.pairs.first_chunk::<PAIR_WORDS>(), self.quads.first_chunk::<QUAD_WORDS>())
        else {
            return;
        };
        let mut window = 0_u32;
        for (end, byte) in value.iter().enumerate() {
            window = window >> 8 | u32::from(*byte) << 24;
            let pair = window >> 16;
            let quad = quad_hash(window);
            // Both places are below the length of their tables, which the compiler sees.
            let pair_word = pairs.get((pair >> 6) as usize & (PAIR_WORDS - 1)).copied().unwrap_or_default();
            let quad_word = quads.get((quad >> 6) as usize & (QUAD_WORDS - 1)).copied().unwrap_or_default();
            let is_pair = pair_word >> (pair & 63) & 1;
            let is_quad = quad_word >> (quad & 63) & 1;
            if is_pair | is_quad != 0 {
                if is_pair != 0 {
                    self.compare(value, end + 1, self.of_pair(pair), 2, &mut found);
                }
                if is_quad != 0 {
                    self.compare(value, end + 1, self.of_quad(window), 4, &mut found);
                }
            }
        }
    }

    /// Compares texts that have the `width` bytes up to `end` where the value has them.
    #[inline]
    fn compare(&self, value: &[u8], end: usize, texts: &[Anchored], width: usize, found: &mut impl FnMut(u32)) {
        let Some(at) = end.checked_sub(width) else { return };
        for text in texts {
            let Some(start) = at.checked_sub(usize::from(text.offset)) else { continue };
            let len = usize::from(text.len);
            let Some(there) = value.get(start..start + len) else { continue };
            let wanted = self.bytes.get(text.start as usize..text.start as usize + len).unwrap_or_default();
            // Not `==`: most texts differ in the first byte that is not among those they were found by, and the call
            // that compares slices costs more than that.
            if len == width || there.iter().zip(wanted).all(|(one, other)| one == other) {
                found(text.text);
            }
        }
    }
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
        let all = Texts::new(&texts, |byte| f64::from(byte) / 256.0);
        let values: [&[u8]; 9] =
            [b"", b"a", b"ab", b"xabx", b"xxabc", b"a selection", b"a", b"\0a..", b"unio unionunion"];
        for value in values {
            let mut found: Vec<u32> = Vec::new();
            all.find(value, |text| found.push(text));
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
