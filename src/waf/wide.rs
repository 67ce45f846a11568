//! Looking at values with AVX2, 32 bytes at a time: the first look (`prefilter::survey`), the search for what may begin
//! with three bytes (`sieve`), that for bytes of a set (`byte_tables`), what is left without some bytes
//! (`transformation::marks`), and whether text is UTF-8 (`utf8`). These hold what must find the same without it, and
//! decide what runs.
//!
//! *Why unsafe:* vector instructions exist in safe Rust only as what the compiler happens to make of a loop, and it makes
//! none of table look-ups. On 24 November 2026, AMD EPYC, instructions a byte of plain
//! text of 2 MB: 1.1 instead of 8 for folding and signature; on 28 November a JSON string of 120 kB took 10 ms instead of 17
//! with the search for bytes of a set.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_movemask_epi8,
    _mm_shuffle_epi8, _mm_slli_epi16, _mm256_add_epi8, _mm256_and_si256, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_cvtepu8_epi64, _mm256_loadu_si256,
    _mm256_max_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sllv_epi64, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_sub_epi64, _mm256_subs_epu8,
};

use crate::waf::signature::{CAPITALS, SMALL, Signature};

/// Bytes that are looked at together.
pub(crate) const BLOCK: usize = 32;

/// Sets of bytes by their low or high halves: of half of the buckets, by place, a bit for each bucket.
pub(crate) type Rows = [[[u8; 16]; 3]; 2];

/// Does this processor have it?
pub(crate) fn is_there() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// As `survey::plainly`: makes `folded`, a value of `len` bytes and zeros behind it, lower case; gives the value's
/// signature.
pub(crate) fn survey(folded: &mut [u8], len: usize) -> Signature {
    debug_assert!(is_there());
    // SAFETY: whoever calls this has asked `is_there`; what the function reads and writes is bounded by slices.
    unsafe { survey_avx2(folded, len) }
}

#[target_feature(enable = "avx2")]
fn survey_avx2(folded: &mut [u8], len: usize) -> Signature {
    let blocks = len.div_ceil(BLOCK);
    let (before_a, behind_z) = (_mm256_set1_epi8(b'A' as i8 - 1), _mm256_set1_epi8(b'Z' as i8 + 1));
    let (before_small, behind_small) = (_mm256_set1_epi8(b'a' as i8 - 1), _mm256_set1_epi8(b'z' as i8 + 1));
    let case = _mm256_set1_epi8(0x20);
    let (mut capitals, mut small) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for block in folded.as_chunks_mut::<BLOCK>().0.iter_mut().take(blocks) {
        let bytes = load(block);
        let is_capital = _mm256_and_si256(_mm256_cmpgt_epi8(bytes, before_a), _mm256_cmpgt_epi8(behind_z, bytes));
        let is_small = _mm256_and_si256(_mm256_cmpgt_epi8(bytes, before_small), _mm256_cmpgt_epi8(behind_small, bytes));
        capitals = _mm256_or_si256(capitals, is_capital);
        small = _mm256_or_si256(small, is_small);
        store(block, _mm256_or_si256(bytes, _mm256_and_si256(is_capital, case)));
    }
    let mut signature = 0;
    for (found, bit) in [(_mm256_movemask_epi8(capitals) != 0, CAPITALS), (_mm256_movemask_epi8(small) != 0, SMALL)] {
        if found {
            signature |= bit;
        }
    }
    if blocks <= FEW_BLOCKS {
        return signature | each_byte(folded, len);
    }
    let nibble = _mm256_set1_epi8(0x0f);
    let powers = twice(&[1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0]);
    // By low nibble: a bit for each high nibble of the bytes met so far.
    let mut seen = [0_u8; 16];
    let mut is_seen = twice(&seen);
    let mut beyond_ascii = 0;
    for (start, here) in (0..).step_by(BLOCK).zip(folded.as_chunks::<BLOCK>().0).take(blocks) {
        let bytes = load(here);
        let low = _mm256_and_si256(bytes, nibble);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
        let power = _mm256_shuffle_epi8(powers, high);
        let known = _mm256_and_si256(_mm256_shuffle_epi8(is_seen, low), power);
        let mut new = !_mm256_movemask_epi8(_mm256_cmpeq_epi8(known, power)) as u32;
        beyond_ascii |= _mm256_movemask_epi8(bytes);
        if new != 0 {
            // The zeros behind the value do not count.
            new &= u32::MAX.checked_shr((start + BLOCK).saturating_sub(len) as u32).unwrap_or_default();
            while new != 0 {
                let byte = here.get(new.trailing_zeros() as usize).copied().unwrap_or_default();
                new &= new - 1;
                if let Some(row) = seen.get_mut(usize::from(byte & 15)) {
                    *row |= 1 << (byte >> 4 & 7);
                }
            }
            is_seen = twice(&seen);
        }
    }
    if beyond_ascii != 0 {
        signature |= BEYOND_ASCII;
    }
    signature | rows(&seen)
}

/// Blocks of which every byte is looked at for the signature; in longer values most were there before.
const FEW_BLOCKS: usize = 2;

/// What stands for everything beyond ASCII in a signature.
const BEYOND_ASCII: Signature = 1 << 0x7f;

/// The bits of all bytes of a folded value of `len` bytes, four bytes at a time.
#[target_feature(enable = "avx2")]
fn each_byte(folded: &[u8], len: usize) -> Signature {
    let (one, half) = (_mm256_set1_epi64x(1), _mm256_set1_epi64x(64));
    let (mut low, mut high, mut beyond_ascii) = (_mm256_setzero_si256(), _mm256_setzero_si256(), 0);
    for (start, block) in (0..len).step_by(BLOCK).zip(folded.as_chunks::<BLOCK>().0) {
        let left = _mm256_set1_epi8((len - start).min(BLOCK) as i8);
        // What stands behind the value has no bit, as little as what is beyond ASCII.
        let is_behind = _mm256_cmpgt_epi8(_mm256_add_epi8(load(&PLACES_OF_BLOCK), _mm256_set1_epi8(1)), left);
        let bytes = load(block);
        beyond_ascii |= _mm256_movemask_epi8(bytes);
        let mut marked = [0; BLOCK];
        store(&mut marked, _mm256_or_si256(bytes, is_behind));
        for four in marked.as_chunks().0 {
            let places = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(i32::from_le_bytes(*four)));
            // Shifted out by a place that is too large, and by one below zero.
            low = _mm256_or_si256(low, _mm256_sllv_epi64(one, places));
            high = _mm256_or_si256(high, _mm256_sllv_epi64(one, _mm256_sub_epi64(places, half)));
        }
    }
    let [low, high] = [low, high].map(|lanes| {
        let mut words = [0; BLOCK];
        store(&mut words, lanes);
        words.as_chunks().0.iter().fold(0, |all, word| all | u64::from_le_bytes(*word))
    });
    let found = Signature::from(low) | Signature::from(high) << 64;
    if beyond_ascii != 0 { found | BEYOND_ASCII } else { found }
}

/// The place of each byte of a block.
#[expect(clippy::indexing_slicing, reason = "the compiler sees that the places are within the table")]
const PLACES_OF_BLOCK: [u8; BLOCK] = {
    let mut all = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        all[place] = place as u8;
        place += 1;
    }
    all
};

/// Notes at which places of a folded value some bucket of a sieve lets three bytes pass: a word for each block.
pub(crate) fn sift(low: &Rows, high: &Rows, folded: &[u8], hits: &mut [u32]) {
    debug_assert!(is_there());
    // SAFETY: whoever calls this has asked `is_there`; what the function reads and writes is bounded by slices.
    unsafe { sift_avx2(low, high, folded, hits) }
}

#[target_feature(enable = "avx2")]
fn sift_avx2(low: &Rows, high: &Rows, folded: &[u8], hits: &mut [u32]) {
    let nibble = _mm256_set1_epi8(0x0f);
    let tables = |[first, second, third]: &[[u8; 16]; 3]| [twice(first), twice(second), twice(third)];
    let [low, other_low] = low;
    let [high, other_high] = high;
    let halves = [(tables(low), tables(high)), (tables(other_low), tables(other_high))];
    for (start, hits) in (0..).step_by(BLOCK).zip(hits) {
        let Some([first, second, third]) = folded
            .get(start..)
            .and_then(|rest| Some([rest.first_chunk()?, rest.get(1..)?.first_chunk()?, rest.get(2..)?.first_chunk()?]))
        else {
            break;
        };
        let bytes = [first, second, third].map(|bytes| {
            let bytes = load(bytes);
            (_mm256_and_si256(bytes, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble))
        });
        let mut passing = _mm256_setzero_si256();
        for (lows, highs) in &halves {
            let mut all = _mm256_set1_epi8(-1);
            for ((low_row, high_row), (low, high)) in lows.iter().zip(highs).zip(&bytes) {
                let rows = _mm256_and_si256(_mm256_shuffle_epi8(*low_row, *low), _mm256_shuffle_epi8(*high_row, *high));
                all = _mm256_and_si256(all, rows);
            }
            passing = _mm256_or_si256(passing, all);
        }
        *hits = !_mm256_movemask_epi8(_mm256_cmpeq_epi8(passing, _mm256_setzero_si256())) as u32;
    }
}

/// Where the first byte of a set is in whole blocks. By the halves of each byte of the set: for each low half a bit for
/// each high one, below 8 and from 8 on.
pub(crate) fn find(set: &[[u8; 16]; 2], blocks: &[[u8; BLOCK]]) -> Option<usize> {
    debug_assert!(is_there());
    // SAFETY: whoever calls this has asked `is_there`; what the function reads is bounded by slices.
    unsafe { find_avx2(set, blocks) }
}

#[target_feature(enable = "avx2")]
fn find_avx2([rows, beyond_ascii]: &[[u8; 16]; 2], blocks: &[[u8; BLOCK]]) -> Option<usize> {
    let nibble = _mm256_set1_epi8(0x0f);
    let powers = twice(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
    let (rows, beyond_ascii) = (twice(rows), twice(beyond_ascii));
    for (start, block) in (0..).step_by(BLOCK).zip(blocks) {
        let bytes = load(block);
        let (low, high) = (_mm256_and_si256(bytes, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
        let row = _mm256_blendv_epi8(_mm256_shuffle_epi8(rows, low), _mm256_shuffle_epi8(beyond_ascii, low), bytes);
        let found = _mm256_and_si256(row, _mm256_shuffle_epi8(powers, high));
        let hits = !_mm256_movemask_epi8(_mm256_cmpeq_epi8(found, _mm256_setzero_si256())) as u32;
        if hits != 0 {
            return Some(start + hits.trailing_zeros() as usize);
        }
    }
    None
}

/// Where the bytes of a set are, given as for [`find`]: a bit for each byte, a word for each 64 of them. What stands
/// behind the value has none.
pub(crate) fn marks(set: &[[u8; 16]; 2], value: &[u8], words: &mut [u64]) {
    debug_assert!(is_there());
    // SAFETY: whoever calls this has asked `is_there`; what the function reads and writes is bounded by slices.
    unsafe { marks_avx2(set, value, words) }
}

#[target_feature(enable = "avx2")]
fn marks_avx2([rows, beyond_ascii]: &[[u8; 16]; 2], value: &[u8], words: &mut [u64]) {
    let nibble = _mm256_set1_epi8(0x0f);
    let powers = twice(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
    let (rows, beyond_ascii) = (twice(rows), twice(beyond_ascii));
    let hits = |block: &[u8; BLOCK]| {
        let bytes = load(block);
        let (low, high) = (_mm256_and_si256(bytes, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
        let row = _mm256_blendv_epi8(_mm256_shuffle_epi8(rows, low), _mm256_shuffle_epi8(beyond_ascii, low), bytes);
        let power = _mm256_shuffle_epi8(powers, high);
        u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(row, power), power)) as u32)
    };
    let (blocks, rest) = value.as_chunks();
    let mut words = words.iter_mut();
    for ([first, second], word) in blocks.as_chunks().0.iter().zip(&mut words) {
        *word = hits(first) | hits(second) << BLOCK;
    }
    let Some(word) = words.next() else { return };
    let last = if rest.is_empty() { 0 } else { hits(&padded(rest, 0)) & !(u64::MAX << rest.len()) };
    match blocks.as_chunks::<2>().1 {
        [first] => *word = hits(first) | last << BLOCK,
        _ => *word = last,
    }
}

/// What is left at the end of a value, with something behind it.
fn padded(rest: &[u8], with: u8) -> [u8; BLOCK] {
    let mut block = [with; BLOCK];
    for (place, byte) in block.iter_mut().zip(rest) {
        *place = *byte;
    }
    block
}

/// Moves what stays of the bytes from `from` on to `to`, which is not behind it; gives where it ends. A bit says of each
/// byte whether it stays, a word of each 64, and all of these are there.
pub(crate) fn compact(bytes: &mut [u8], from: usize, to: usize, stays: &[u64]) -> usize {
    debug_assert!(is_there() && to <= from && from + stays.len() * 64 <= bytes.len());
    // SAFETY: whoever calls this has asked `is_there`; what the function reads and writes is bounded by slices.
    unsafe { compact_avx2(bytes, from, to, stays) }
}

#[target_feature(enable = "avx2")]
fn compact_avx2(bytes: &mut [u8], from: usize, to: usize, stays: &[u64]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let mut to = to;
    for (start, stays) in (from..).step_by(64).zip(stays) {
        if to == start && *stays == u64::MAX {
            to += 64;
            continue;
        }
        // How many of each eight stay, and then of all up to these.
        let pairs = stays - (stays >> 1 & (ONES * 0x55));
        let fours = (pairs & (ONES * 0x33)) + (pairs >> 2 & (ONES * 0x33));
        let counts = ((fours + (fours >> 4)) & (ONES * 0x0f)).wrapping_mul(ONES);
        for ((place, group), count) in (start..).step_by(8).zip(stays.to_le_bytes()).zip((counts << 8).to_le_bytes()) {
            let Some(eight) = bytes.get(place..).and_then(|rest| rest.first_chunk()) else { return to };
            let order = PLACES.get(usize::from(group)).copied().unwrap_or_default();
            let eight = _mm_cvtsi64_si128(i64::from_le_bytes(*eight));
            let moved = _mm_cvtsi128_si64(_mm_shuffle_epi8(eight, _mm_cvtsi64_si128(i64::from_le_bytes(order))));
            // What is written over has been read, also where less stays than eight.
            if let Some(target) = bytes.get_mut(to + usize::from(count)..).and_then(|rest| rest.first_chunk_mut()) {
                *target = moved.to_le_bytes();
            }
        }
        to += (counts >> 56) as usize;
    }
    to
}

/// For each set of eight places, these places in order.
static PLACES: [[u8; 8]; 256] = places();

#[expect(clippy::indexing_slicing, reason = "the compiler sees that the places are within the tables")]
const fn places() -> [[u8; 8]; 256] {
    let mut all = [[0x80; 8]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut place, mut count) = (0, 0);
        while place < 8 {
            if set >> place & 1 != 0 {
                all[set][count] = place;
                count += 1;
            }
            place += 1;
        }
        set += 1;
    }
    all
}

/// As `utf8::is_in_form_plainly`; with `STRICT` as `utf8::is_strict`.
pub(crate) fn is_utf8<const STRICT: bool>(value: &[u8], least: u8) -> bool {
    debug_assert!(is_there());
    // SAFETY: whoever calls this has asked `is_there`; what the function reads is bounded by slices.
    unsafe { is_utf8_avx2::<STRICT>(value, least) }
}

#[target_feature(enable = "avx2")]
fn is_utf8_avx2<const STRICT: bool>(value: &[u8], least: u8) -> bool {
    let smallest = _mm256_set1_epi8(least as i8);
    // What the bytes so far ask of the next ones: that they are continuation bytes, and behind three lead bytes more.
    let (mut asked, mut narrowed) = (0_u64, [0_u64; 3]);
    let mut fits = |block: &[u8; BLOCK]| {
        let bytes = load(block);
        let bits = |found: __m256i| _mm256_movemask_epi8(found) as u32;
        if bits(_mm256_cmpeq_epi8(_mm256_max_epu8(bytes, smallest), bytes)) != u32::MAX {
            return false;
        }
        let beyond_ascii = bits(bytes);
        if beyond_ascii == 0 {
            return asked == 0;
        }
        // Bytes from this one on, which is beyond ASCII.
        let from = |byte: u8| bits(_mm256_subs_epu8(bytes, _mm256_set1_epi8((byte - 0x80) as i8)));
        let (leads, leads_two, leads_three) = (from(0xc0), from(0xe0), from(0xf0));
        asked |= u64::from(leads) << 1 | u64::from(leads_two) << 2 | u64::from(leads_three) << 3;
        let mut bad = beyond_ascii & !leads ^ asked as u32 | from(if STRICT { 0xf5 } else { 0xf8 });
        asked >>= BLOCK;
        if STRICT {
            let equal = |byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8));
            bad |= bits(_mm256_or_si256(equal(0xc0), equal(0xc1)));
            let (from_90, from_a0) = (from(0x90), from(0xa0));
            for ((narrowed, lead), wrong) in
                narrowed.iter_mut().zip([0xe0, 0xed, 0xf0]).zip([!from_a0, from_a0, !from_90])
            {
                *narrowed |= u64::from(bits(equal(lead))) << 1;
                bad |= *narrowed as u32 & wrong;
                *narrowed >>= BLOCK;
            }
        }
        bad == 0
    };
    let (blocks, rest) = value.as_chunks();
    blocks.iter().all(&mut fits) && fits(&padded(rest, b' '))
}

/// From a bit for each high nibble by low nibble to a bit for each byte.
#[target_feature(enable = "avx2")]
fn rows(seen: &[u8; 16]) -> Signature {
    // SAFETY: 16 bytes are read from an array of 16.
    let seen = unsafe { _mm_loadu_si128(seen.as_ptr().cast()) };
    let rows = [
        _mm_movemask_epi8(_mm_slli_epi16::<7>(seen)),
        _mm_movemask_epi8(_mm_slli_epi16::<6>(seen)),
        _mm_movemask_epi8(_mm_slli_epi16::<5>(seen)),
        _mm_movemask_epi8(_mm_slli_epi16::<4>(seen)),
        _mm_movemask_epi8(_mm_slli_epi16::<3>(seen)),
        _mm_movemask_epi8(_mm_slli_epi16::<2>(seen)),
        _mm_movemask_epi8(_mm_slli_epi16::<1>(seen)),
        _mm_movemask_epi8(seen),
    ];
    rows.iter().rev().fold(0, |all, row| all << 16 | *row as u32 as Signature)
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; BLOCK]) -> __m256i {
    // SAFETY: 32 bytes are read from an array of 32; they need not be aligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8; BLOCK], vector: __m256i) {
    // SAFETY: as for `load`.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

/// A table for both halves.
#[target_feature(enable = "avx2")]
fn twice(table: &[u8; 16]) -> __m256i {
    // SAFETY: 16 bytes are read from an array of 16.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}
