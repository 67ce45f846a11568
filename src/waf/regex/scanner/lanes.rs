//! Walking over a long value in several places at once.
//!
//! Each step of a walk waits for the one before: the processor could do four in the same time. So a stretch is taken apart
//! into four lanes. The first goes on from where the walk was, the others begin as if nothing of the pattern had come
//! before them, which finds all matches that begin in their lane. For those that begin earlier each lane goes on beyond its
//! end until no place of the pattern is left; there the lane that it has come into has none either, as it has had a part of
//! the same beginnings only, and both go on alike.

use super::{Forgotten, MATCH, Scanner, Side, StateRow, States, UNIT, UNKNOWN, Workshop, has_row};

/// Shorter values are walked over in one lane.
pub(super) const LONG: usize = if cfg!(any(test, fuzzing)) { 160 } else { 256 };

/// Most bytes that are walked over in lanes before it is asked again whether that is best.
pub(super) const STRETCH: usize = 4096;

/// Lanes of one stretch.
const LANES: usize = 4;

impl Scanner {
    /// Goes on from a state over a stretch of a value, to the state behind it; is there a match?
    pub(super) fn walk_in_lanes(
        &self,
        states: &mut States,
        workshop: &mut Workshop,
        state: &mut StateRow,
        bytes: &[u8],
    ) -> Result<bool, Forgotten> {
        let length = bytes.len() / LANES;
        let mut lanes = [*state; LANES];
        for (number, lane) in lanes.iter_mut().enumerate().skip(1) {
            let before = bytes.get((number * length).wrapping_sub(1));
            *lane = self.resting(before.map_or(Side::Start, |byte| self.side(*byte)));
        }
        let mut done = 0;
        while done < length {
            let parts: [&[u8]; LANES] =
                std::array::from_fn(|lane| bytes.get(lane * length + done..(lane + 1) * length).unwrap_or_default());
            done += states.run_together(self, &mut lanes, parts);
            if done == length {
                break;
            }
            for (number, lane) in lanes.iter_mut().enumerate() {
                let byte = bytes.get(number * length + done).copied().unwrap_or_default();
                if self.step(states, workshop, lane, byte)? {
                    return Ok(true);
                }
            }
            done += 1;
        }
        // The last one has what could not be shared out.
        for byte in bytes.get(LANES * length..).unwrap_or_default() {
            let [.., last] = &mut lanes;
            if self.step(states, workshop, last, *byte)? {
                return Ok(true);
            }
        }
        let mut number = 0;
        while let Some(lane) = lanes.get_mut(number) {
            *state = *lane;
            let mut at = (number + 1) * length;
            if number + 1 == LANES {
                break;
            }
            while *state >= states.resting {
                let Some(byte) = bytes.get(at) else { return Ok(false) };
                if self.step(states, workshop, state, *byte)? {
                    return Ok(true);
                }
                at += 1;
            }
            // The lane that this is in goes on from here, but where it ended before.
            number = (at / length).max(number + 1).min(LANES - 1);
        }
        Ok(false)
    }

    /// One step; is there a match?
    #[inline]
    fn step(
        &self,
        states: &mut States,
        workshop: &mut Workshop,
        state: &mut StateRow,
        byte: u8,
    ) -> Result<bool, Forgotten> {
        let mut next = states.rows.follow(*state, self.class(Some(byte)));
        if next == UNKNOWN {
            let times = states.times;
            next = states.make(self, workshop, *state, Some(byte));
            if states.are_too_large || states.times != times {
                return Err(Forgotten);
            }
        }
        *state = next;
        Ok(next == MATCH)
    }
}

impl States {
    /// Takes steps in all lanes as long as each leads to a state that is made; how many.
    #[inline]
    fn run_together(
        &self,
        scanner: &Scanner,
        lanes: &mut [StateRow; LANES],
        [one, two, three, four]: [&[u8]; LANES],
    ) -> usize {
        let table = self.rows.table();
        let step = |state: StateRow, byte: u8| {
            let class = scanner.classes.get(usize::from(byte)).copied().unwrap_or_default();
            table.get(usize::from(state) * UNIT + usize::from(class)).copied().unwrap_or(UNKNOWN)
        };
        let mut done = 0;
        for (((one, two), three), four) in one.iter().zip(two).zip(three).zip(four) {
            let [first, second, third, fourth] = *lanes;
            let next = [step(first, *one), step(second, *two), step(third, *three), step(fourth, *four)];
            if !next.iter().all(|state| has_row(*state)) {
                break;
            }
            *lanes = next;
            done += 1;
        }
        done
    }
}
