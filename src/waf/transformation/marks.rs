//! Where bytes of a set are in a long value, and taking bytes out of it.
//!
//! In long values the bytes that a function looks for stand a few bytes apart: asking for the next one each time, or
//! looking at each byte, costs more than knowing all of them of the next thousand, a bit each. What is here needs AVX2;
//! without it, and in short values, functions go from byte to byte, with the same result. What functions do for long ones
//! is not put into `Transformation::apply`: room for the marks would be made there for each short one, too.

use crate::waf::byte_tables::ByteTables;

/// With fewer bytes left it is not worth while to know all marks.
const FEW_BYTES: usize = 64;

/// Marks that are known at a time: 64 in each word.
const WORDS: usize = 16;

/// Bytes of one word.
const WORD: usize = 64;

/// Is it worth while with so many bytes left, and can this processor do it?
#[inline]
pub(super) fn are_worth_while(len: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    return len >= FEW_BYTES && crate::waf::wide::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// As `bytes::find`, for a set that is known in both ways.
#[inline]
pub(super) fn find(set: &ByteTables, value: &[u8], matters: impl Fn(u8) -> bool + Copy) -> Option<usize> {
    if !are_worth_while(value.len()) {
        return super::bytes::find(value, matters);
    }
    Some(set.find(value)).filter(|place| *place < value.len())
}

#[cfg(target_arch = "x86_64")]
use crate::waf::wide::compact;

#[cfg(not(target_arch = "x86_64"))]
fn compact(bytes: &mut [u8], _: usize, _: usize, _: &[u64]) -> usize {
    bytes.len()
}

/// The places of the bytes of a set, one after the other.
pub(super) struct Marks<'a> {
    set: &'static ByteTables,
    value: &'a [u8],
    /// Where the marks that are known begin.
    start: usize,
    words: [u64; WORDS],
}

impl<'a> Marks<'a> {
    /// From a place on.
    pub(super) fn new(set: &'static ByteTables, value: &'a [u8], start: usize) -> Self {
        let mut marks = Self { set, value, start, words: [0; WORDS] };
        marks.fill();
        marks
    }

    fn fill(&mut self) {
        let rest = self.value.get(self.start..).unwrap_or_default();
        if rest.len() < WORDS * WORD {
            self.words = [0; WORDS];
        }
        self.set.mark(rest, &mut self.words);
    }

    /// The first one at a place or behind it, which must not lie before those asked for.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        loop {
            let offset = from.max(self.start) - self.start;
            let mut first = u64::MAX << (offset % WORD);
            for index in offset / WORD..WORDS {
                let word = self.words.get(index)? & first;
                if word != 0 {
                    return Some(self.start + index * WORD + word.trailing_zeros() as usize);
                }
                first = u64::MAX;
            }
            self.start += WORDS * WORD;
            if self.start >= self.value.len() {
                return None;
            }
            self.fill();
        }
    }
}

/// Takes bytes out from a place on. `stays` gets the marks of each set, a word for 64 bytes, and the byte behind these
/// (at the end zero), and says with a bit for each which ones stay.
pub(super) fn retain<const SETS: usize>(
    out: &mut Vec<u8>,
    start: usize,
    sets: [&'static ByteTables; SETS],
    mut stays: impl FnMut([u64; SETS], u8) -> u64,
) {
    let len = out.len() - start.min(out.len());
    out.resize(start + len.next_multiple_of(WORD), 0);
    let mut end = start;
    for from in (0..len).step_by(WORDS * WORD) {
        let rest = out.get(start + from..start + len).unwrap_or_default();
        let mut found = [[0; WORDS]; SETS];
        for (set, words) in sets.iter().zip(&mut found) {
            set.mark(rest, words);
        }
        let mut staying = [0; WORDS];
        let count = rest.len().div_ceil(WORD).min(WORDS);
        for (index, staying) in staying.iter_mut().enumerate().take(count) {
            let behind = rest.get((index + 1) * WORD).copied().unwrap_or_default();
            *staying = stays(found.each_ref().map(|words| words.get(index).copied().unwrap_or_default()), behind);
        }
        if let Some(last) = staying.get_mut(count.wrapping_sub(1)).filter(|_| rest.len() < WORDS * WORD) {
            // What was put behind the value goes.
            *last &= u64::MAX >> (WORD * count - rest.len());
        }
        end = compact(out, start + from, end, staying.get(..count).unwrap_or_default());
    }
    out.truncate(end);
}

/// Takes the bytes of a set out of a value; are there any? `goes` knows them too.
#[inline]
pub(super) fn remove(
    set: &'static ByteTables,
    input: &[u8],
    out: &mut Vec<u8>,
    goes: impl Fn(u8) -> bool + Copy,
) -> bool {
    let Some(first) = find(set, input, goes) else { return false };
    if are_worth_while(input.len() - first) {
        remove_marked(set, input, first, out);
    } else {
        remove_plainly(input, first, out, goes);
    }
    true
}

#[inline(never)]
fn remove_marked(set: &'static ByteTables, input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(input);
    retain(out, first, [set], |[marked], _| !marked);
}

#[inline]
fn remove_plainly(input: &[u8], first: usize, out: &mut Vec<u8>, goes: impl Fn(u8) -> bool) {
    out.extend_from_slice(super::bytes::head(input, first));
    super::bytes::extend_steps(out, super::bytes::tail(input, first), |byte| (byte, !goes(byte)));
}

/// Adds a part of a value, which often is but a few bytes.
#[inline]
pub(super) fn push_run(out: &mut Vec<u8>, value: &[u8], from: usize, to: usize) {
    const FEW: usize = 16;
    let rest = value.get(from..).unwrap_or_default();
    let count = to.saturating_sub(from);
    match rest.first_chunk::<FEW>() {
        Some(few) if count <= FEW => {
            out.extend_from_slice(few);
            out.truncate(out.len() - (FEW - count));
        }
        _ => out.extend_from_slice(rest.get(..count).unwrap_or(rest)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    /// Values of all lengths around the borders of words and of what is known at a time, with few and with many of some
    /// parts. None without AVX2.
    pub(in super::super) fn values(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        if !are_worth_while(FEW_BYTES) {
            eprintln!("SKIPPED: this processor has no AVX2");
            return Vec::new();
        }
        let mut draw = draws();
        (0..3000)
            .map(|round| {
                let len = match round % 10 {
                    0 => 1024 - 70 + draw(140),
                    1 => 2048 - 70 + draw(140),
                    _ => draw(270),
                };
                let rarity = [1, 2, 5, 20, 80][draw(5)];
                let mut value = Vec::new();
                while value.len() < len {
                    if draw(rarity) == 0 {
                        value.extend_from_slice(parts[draw(parts.len())]);
                    } else {
                        value.push(if rarity == 80 { draw(256) as u8 } else { b'a' + draw(26) as u8 });
                    }
                }
                value.truncate(len);
                value
            })
            .collect()
    }

    /// Both ways of a function give the same for such values.
    pub(in super::super) fn compare<T: PartialEq + std::fmt::Debug>(
        parts: &[&[u8]],
        first: impl Fn(&[u8]) -> Option<usize>,
        plainly: impl Fn(&[u8], usize, &mut Vec<u8>) -> T,
        marked: impl Fn(&[u8], usize, &mut Vec<u8>) -> T,
        is_written: impl Fn(&T) -> bool,
    ) {
        let mut compared = 0;
        let values = values(parts);
        for value in &values {
            let Some(first) = first(value) else { continue };
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            let (answer, other) = (plainly(value, first, &mut expected), marked(value, first, &mut found));
            assert_eq!(answer, other, "{}", value.escape_ascii());
            if is_written(&answer) {
                assert_eq!(
                    expected.escape_ascii().to_string(),
                    found.escape_ascii().to_string(),
                    "{}",
                    value.escape_ascii()
                );
                compared += 1;
            }
        }
        assert!(values.is_empty() || compared > 1000, "{compared}");
    }

    static SOME: ByteTables = ByteTables::of(b"\0x+\x80\xff");

    #[test]
    fn marks_are_where_the_bytes_are() {
        let is_marked = |byte: &u8| b"\0x+\x80\xff".contains(byte);
        for value in values(&[b"\0", b"x", b"+", b"\x80", b"\xff", b"++", b"\x81\x7f"]) {
            for start in [0, value.len() / 3, value.len()] {
                let mut marks = Marks::new(&SOME, &value, start);
                let (mut from, mut found) = (start, Vec::new());
                while let Some(place) = marks.next(from) {
                    found.push(place);
                    from = place + 1;
                }
                let expected: Vec<usize> = (start..value.len()).filter(|place| is_marked(&value[*place])).collect();
                assert_eq!(found, expected, "{}", value.escape_ascii());
                // Others are passed over.
                let far = start + value.len() / 2;
                assert_eq!(
                    Marks::new(&SOME, &value, start).next(far),
                    expected.iter().copied().find(|place| *place >= far)
                );
            }
            let first = value.iter().position(is_marked);
            assert_eq!(find(&SOME, &value, |byte| is_marked(&byte)), first);
        }
    }

    #[test]
    fn both_ways_take_out_the_same() {
        let goes = |byte: u8| b"\0x+\x80\xff".contains(&byte);
        let plainly = |value: &[u8], first, out: &mut Vec<u8>| remove_plainly(value, first, out, goes);
        let marked = |value: &[u8], first, out: &mut Vec<u8>| remove_marked(&SOME, value, first, out);
        let first = |value: &[u8]| value.iter().position(|byte| goes(*byte));
        compare(&[b"\0", b"x", b"+", b"\x80", b"\xff", b"++", b"\x81\x7f"], first, plainly, marked, |()| true);
    }

    #[test]
    fn what_stays_is_told_word_by_word() {
        for value in values(&[b"x", b"xx", b"+"]) {
            for start in [0, value.len() / 3, value.len()] {
                let mut out = value.clone();
                // Each "x" before a "+" goes.
                static X: ByteTables = ByteTables::of(b"x");
                static PLUS: ByteTables = ByteTables::of(b"+");
                retain(&mut out, start, [&X, &PLUS], |[x, plus], behind| {
                    !(x & (plus >> 1 | u64::from(behind == b'+') << 63))
                });
                let expected: Vec<u8> = (0..value.len())
                    .filter(|place| *place < start || !value[*place..].starts_with(b"x+"))
                    .map(|place| value[place])
                    .collect();
                assert_eq!(out, expected, "{}", value.escape_ascii());
            }
        }
    }
}
