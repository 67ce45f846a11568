//! Where a form of a value differs from it.
//!
//! Most transformations change a long value at few places. What lies between these was looked through for texts with the
//! value already, so of the form only the stretches around them are: wherever a text, and what may stand next to it, would
//! not be in the value as it is in the form.

use std::ops::Range;

use super::survey::BLOCK;

/// How far from where the value and its form differ the bytes can be that a text which reaches there is found by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    pub(super) before: usize,
    pub(super) behind: usize,
}

/// Bytes that have to be the same again before a difference counts as over.
const WORD: usize = 8;

/// Bytes of the value that may be missing in the form where it goes on as the value does.
const GONE: usize = 16;

/// Bytes of the form that may be in their stead.
const INSTEAD: [usize; 7] = [0, 1, 6, 2, 3, 4, 12];

/// What most transformations do, so many bytes for so many: another byte, none, one for an escape, one before.
const USUAL: [(usize, usize); 6] = [(1, 1), (1, 0), (3, 1), (2, 1), (6, 1), (0, 1)];

/// So often a difference may go on for longer.
const FAILURES: usize = 3;

/// A form is compared on as long as no more than half of what was compared so far, and this, has to be looked through.
const SLACK: usize = 256;

/// Notes the stretches of `form`, which a transformation made of `value`, that have to be looked through; from one border of
/// blocks to another or to the form's end, in their order and apart from each other. `false` when they are not worth it.
pub(super) fn compare(value: &[u8], form: &[u8], reach: Reach, stretches: &mut Vec<Range<usize>>) -> bool {
    stretches.clear();
    let (mut own, mut place, mut covered, mut failures) = (0, 0, 0, 0);
    loop {
        let same = common(value.get(own..).unwrap_or_default(), form.get(place..).unwrap_or_default());
        (own, place) = (own + same, place + same);
        if own >= value.len() && place >= form.len() {
            return true;
        }
        let first = place;
        (own, place) = match resume(value, form, own, place) {
            Some(places) => places,
            None if place + WORD >= form.len() || own + WORD >= value.len() => (value.len(), form.len()),
            None if failures < FAILURES => {
                failures += 1;
                (own + WORD, place + WORD)
            }
            None => return false,
        };
        let start = first.saturating_sub(reach.before) / BLOCK * BLOCK;
        let end = (place + reach.behind + 1).next_multiple_of(BLOCK).min(form.len());
        match stretches.last_mut() {
            Some(last) if last.end >= start => {
                covered += end.saturating_sub(last.end);
                last.end = last.end.max(end);
            }
            _ => {
                covered += end.saturating_sub(start);
                stretches.push(start..end);
            }
        }
        if covered * 2 > place + SLACK {
            return false;
        }
    }
}

/// How many bytes both begin with.
fn common(one: &[u8], other: &[u8]) -> usize {
    let mut blocks = one.as_chunks::<BLOCK>().0.iter().zip(other.as_chunks::<BLOCK>().0);
    let same =
        blocks.position(|(one, other)| one != other).unwrap_or_else(|| one.len().min(other.len()) / BLOCK) * BLOCK;
    let rests = [one, other].map(|bytes| bytes.get(same..).unwrap_or_default());
    let words = rests.map(|rest| rest.as_chunks::<WORD>().0);
    for (number, (one, other)) in words[0].iter().zip(words[1]).enumerate() {
        let difference = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if difference != 0 {
            return same + number * WORD + (difference.trailing_zeros() / 8) as usize;
        }
    }
    let same = same + words[0].len().min(words[1].len()) * WORD;
    let rest = one.iter().zip(other).skip(same);
    same + rest.take_while(|(one, other)| one == other).count()
}

/// Where value and form are alike again behind a difference, if that is near.
fn resume(value: &[u8], form: &[u8], own: usize, place: usize) -> Option<(usize, usize)> {
    let word_at = |bytes: &[u8], place: usize| bytes.get(place..).and_then(|rest| rest.first_chunk::<WORD>().copied());
    for (gone, instead) in USUAL {
        if let Some(word) = word_at(form, place + instead)
            && word_at(value, own + gone) == Some(word)
        {
            return Some((own + gone, place + instead));
        }
    }
    let gone = value.get(own..value.len().min(own + GONE + WORD)).unwrap_or_default();
    for instead in INSTEAD {
        let Some(word) = word_at(form, place + instead) else { continue };
        if let Some(there) = gone.array_windows::<WORD>().position(|other| *other == word) {
            return Some((own + there, place + instead));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    /// What is outside of the stretches, and as far before as a text of the reach can begin, is somewhere in the value with
    /// the same bytes next to it.
    #[test]
    fn what_is_not_in_a_stretch_is_in_the_value() {
        let mut draw = draws();
        let reach = Reach { before: 5, behind: 3 };
        let (mut stretches, mut few) = (Vec::new(), 0);
        for round in 0..2000 {
            let value: Vec<u8> = (0..400 + draw(600)).map(|_| b'a' + draw([2, 20][round % 2]) as u8).collect();
            let mut form = value.clone();
            for _ in 0..draw(6) {
                let place = draw(form.len());
                let end = form.len().min(place + draw(30));
                let instead: Vec<u8> = (0..draw(9)).map(|_| b'A' + draw(3) as u8).collect();
                form.splice(place..end, instead);
            }
            if !compare(&value, &form, reach, &mut stretches) {
                continue;
            }
            few += usize::from(stretches.len() > 1);
            for stretch in &stretches {
                assert!(stretch.start % BLOCK == 0 && (stretch.end % BLOCK == 0 || stretch.end == form.len()));
            }
            assert!(stretches.is_sorted_by(|one, other| one.end < other.start));
            let bordered = |bytes: &[u8]| [b"<", bytes, b">"].concat();
            let (whole, form) = (bordered(&value), bordered(&form));
            // A text of five bytes, found by any of these that the reach allows, with what is next to it.
            for (start, window) in form.windows(7).enumerate() {
                let is_looked_at =
                    (0..=3).all(|offset| stretches.iter().any(|stretch| stretch.contains(&(start + offset))));
                if !is_looked_at {
                    let is_there = whole.windows(7).any(|other| other == window);
                    assert!(is_there, "{} at {start} of {}", window.escape_ascii(), form.escape_ascii());
                }
            }
        }
        assert!(few > 300, "{few}");
    }

    #[test]
    fn many_differences_are_not_worth_it() {
        let value = b"it is a word and another one, ".repeat(40);
        let form: Vec<u8> = value.iter().copied().filter(|byte| *byte != b' ').collect();
        let mut stretches = Vec::new();
        assert!(!compare(&value, &form, Reach { before: 20, behind: 20 }, &mut stretches));
        assert!(compare(&value, &value, Reach { before: 20, behind: 20 }, &mut stretches));
        assert!(stretches.is_empty());
    }
}
