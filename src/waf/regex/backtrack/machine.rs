//! What runs the instructions.

use super::{Counter, EarlyFailure, Frame, Instruction, LimitExceeded, Memory};
use crate::limits::REGEX_BACKTRACK_STACK;
use crate::waf::regex::ast::{Assertion, ByteSet, Greed};

pub(super) struct Machine<'s> {
    pub(super) code: &'s [Instruction],
    pub(super) haystack: &'s [u8],
    pub(super) memory: &'s mut Memory,
    pub(super) steps: u64,
    /// What [`Instruction::Count`] may still count from this start.
    pub(super) counts: u64,
    pub(super) search_start: usize,
}

impl Machine<'_> {
    /// Runs from an instruction to the next `Match`; where it ended. Frames of this run are gone afterwards, except
    /// those that undo its captures when it matched.
    pub(super) fn run(&mut self, start: usize, position: usize) -> Result<Option<usize>, LimitExceeded> {
        let base = self.memory.stack.len();
        let mut at = start;
        let mut position = position;
        loop {
            self.spend()?;
            let next = match self.step(at, position)? {
                Step::Matched => {
                    self.keep_undo(base);
                    return Ok(Some(position));
                }
                Step::Go(at, position) => Some((at, position)),
                Step::Fail => self.backtrack(base)?,
            };
            match next {
                Some((to, there)) => (at, position) = (to, there),
                None => return Ok(None),
            }
        }
    }

    fn spend(&mut self) -> Result<(), LimitExceeded> {
        self.steps = self.steps.checked_sub(1).ok_or(LimitExceeded)?;
        Ok(())
    }

    fn count(&mut self) -> Result<(), LimitExceeded> {
        self.counts = self.counts.checked_sub(1).ok_or(LimitExceeded)?;
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<(), LimitExceeded> {
        if self.memory.stack.len() >= REGEX_BACKTRACK_STACK {
            return Err(LimitExceeded);
        }
        self.memory.stack.push(frame);
        Ok(())
    }

    fn step(&mut self, at: usize, position: usize) -> Result<Step, LimitExceeded> {
        let Some(instruction) = self.code.get(at) else { return Ok(Step::Matched) };
        let byte = self.haystack.get(position).copied();
        Ok(match instruction {
            Instruction::Match => Step::Matched,
            Instruction::Byte(wanted) if byte == Some(*wanted) => Step::Go(at + 1, position + 1),
            Instruction::Set(set) if byte.is_some_and(|byte| set.contains(byte)) => Step::Go(at + 1, position + 1),
            Instruction::Byte(_) | Instruction::Set(_) => Step::Fail,
            Instruction::Assert(assertion) if self.holds(*assertion, position) => Step::Go(at + 1, position),
            Instruction::Assert(_) => Step::Fail,
            Instruction::Save(slot) => {
                if let Some(place) = self.memory.slots.get_mut(*slot) {
                    let value = place.replace(position);
                    self.push(Frame::RestoreSlot { slot: *slot, value })?;
                }
                Step::Go(at + 1, position)
            }
            Instruction::Split { first, second } => {
                self.push(Frame::Retry { at: *second, position })?;
                Step::Go(*first, position)
            }
            Instruction::SplitOn { first, second, begins } => {
                match begins.each_ref().map(|set| may_begin(set.as_ref(), byte)) {
                    [true, true] => {
                        self.push(Frame::Retry { at: *second, position })?;
                        Step::Go(*first, position)
                    }
                    [true, false] => Step::Go(*first, position),
                    [false, true] => Step::Go(*second, position),
                    [false, false] => Step::Fail,
                }
            }
            Instruction::Jump(to) => Step::Go(*to, position),
            Instruction::Count => {
                self.count()?;
                Step::Go(at + 1, position)
            }
            Instruction::SetLoop { set, min, max, greed, until, early } => {
                if let Some(early) = early
                    && self.goes_over_again(*early, position)
                {
                    return Ok(Step::Fail);
                }
                return self.set_loop(at, position, set, (*min, *max), *greed, until.as_deref());
            }
            Instruction::LoopStart(counter) => {
                self.set_counter(*counter, Counter::default())?;
                Step::Go(at + 1, position)
            }
            Instruction::Loop { .. } => return self.loop_head(at, position),
            Instruction::Atomic { next } => match self.run(at + 1, position)? {
                Some(end) => Step::Go(*next, end),
                None => Step::Fail,
            },
            Instruction::Look { is_negated, alternatives, next } => {
                if self.look(alternatives, *is_negated, position)? {
                    Step::Go(*next, position)
                } else {
                    Step::Fail
                }
            }
            Instruction::BackReference { index, is_case_insensitive } => {
                match self.referred(*index, *is_case_insensitive, position) {
                    Some(end) => Step::Go(at + 1, end),
                    None => Step::Fail,
                }
            }
        })
    }

    fn set_loop(
        &mut self,
        at: usize,
        position: usize,
        set: &ByteSet,
        (min, max): (u32, u32),
        greed: Greed,
        until: Option<&ByteSet>,
    ) -> Result<Step, LimitExceeded> {
        if let (Greed::Lazy, Some(until)) = (greed, until) {
            let least = position.saturating_add(min as usize);
            let most = position.saturating_add(max as usize).min(self.haystack.len());
            let needed = self.haystack.get(position..least).unwrap_or_default();
            if least > most || !needed.iter().all(|byte| set.contains(*byte)) {
                return Ok(Step::Fail);
            }
            let Some(place) = self.next_place(set, until, least, most)? else { return Ok(Step::Fail) };
            if place < most {
                self.push(Frame::TakeMore { at: at + 1, position: place, most })?;
            }
            return Ok(Step::Go(at + 1, place));
        }
        let rest = self.haystack.get(position..).unwrap_or_default();
        let rounds = rest.iter().take(max as usize).take_while(|byte| set.contains(**byte)).count();
        self.steps = self.steps.checked_sub(rounds as u64 / 8).ok_or(LimitExceeded)?;
        if rounds < min as usize {
            return Ok(Step::Fail);
        }
        let (least, most) = (position + min as usize, position + rounds);
        self.goes_over(at, if greed == Greed::Lazy { least } else { most });
        Ok(match greed {
            Greed::Possessive => Step::Go(at + 1, most),
            Greed::Greedy => {
                let Some(most) = self.last_place(until, least, most) else { return Ok(Step::Fail) };
                if most > least {
                    self.push(Frame::GiveBack { at: at + 1, least, position: most })?;
                }
                Step::Go(at + 1, most)
            }
            Greed::Lazy => {
                if most > least {
                    self.push(Frame::TakeMore { at: at + 1, position: least, most })?;
                }
                Step::Go(at + 1, least)
            }
        })
    }

    /// Has the loop gone over this position before?
    fn goes_over_again(&mut self, early: EarlyFailure, position: usize) -> bool {
        let slots = &mut self.memory.gone_over;
        if slots.len() <= early.slot {
            slots.resize(early.slot + 1, None);
        }
        let Some(slot) = slots.get_mut(early.slot) else { return false };
        let again = slot.is_some_and(|(start, end)| position <= end && (early.is_prefix || position >= start));
        if !again && !early.is_prefix {
            *slot = Some((position, position));
        }
        again
    }

    /// Notes how far the loop at this instruction has come.
    fn goes_over(&mut self, at: usize, to: usize) {
        let Some(Instruction::SetLoop { early: Some(early), .. }) = self.code.get(at) else { return };
        if let Some(slot) = self.memory.gone_over.get_mut(early.slot) {
            *slot = Some((slot.map_or(0, |(start, _)| start), to));
        }
    }

    /// The last position of these at which a greedy loop may end.
    fn last_place(&self, until: Option<&ByteSet>, least: usize, most: usize) -> Option<usize> {
        let Some(until) = until else { return Some(most) };
        (least..=most).rev().find(|at| self.haystack.get(*at).is_some_and(|byte| until.contains(*byte)))
    }

    /// The first position from this one on at which a lazy loop may end.
    fn next_place(
        &mut self,
        set: &ByteSet,
        until: &ByteSet,
        from: usize,
        most: usize,
    ) -> Result<Option<usize>, LimitExceeded> {
        let mut position = from;
        let found = loop {
            let Some(byte) = self.haystack.get(position) else { break None };
            if until.contains(*byte) {
                break Some(position);
            }
            if position >= most || !set.contains(*byte) {
                break None;
            }
            position += 1;
        };
        self.steps = self.steps.checked_sub((position - from) as u64 / 8).ok_or(LimitExceeded)?;
        Ok(found)
    }

    fn set_counter(&mut self, counter: usize, value: Counter) -> Result<(), LimitExceeded> {
        if let Some(place) = self.memory.counters.get_mut(counter) {
            let old = std::mem::replace(place, value);
            self.push(Frame::RestoreCounter { counter, value: old })?;
        }
        Ok(())
    }

    /// Begins another round of the loop at `at`.
    fn round(&mut self, at: usize, counter: usize, position: usize) -> Result<Step, LimitExceeded> {
        let rounds = self.memory.counters.get(counter).map_or(0, |counter| counter.rounds);
        self.set_counter(counter, Counter { rounds: rounds.saturating_add(1), position: Some(position) })?;
        Ok(Step::Go(at + 1, position))
    }

    fn loop_head(&mut self, at: usize, position: usize) -> Result<Step, LimitExceeded> {
        let code = self.code;
        let Some(Instruction::Loop { counter, min, max, is_lazy, exit, begins }) = code.get(at) else {
            return Ok(Step::Fail);
        };
        let (counter, min, max, is_lazy, exit) = (*counter, *min, *max, *is_lazy, *exit);
        let state = self.memory.counters.get(counter).copied().unwrap_or_default();
        if state.rounds >= min && state.position == Some(position) {
            // The last round consumed nothing: more of them would not either.
            return Ok(Step::Go(exit, position));
        }
        if !may_begin(begins.as_deref(), self.haystack.get(position).copied()) {
            return Ok(if state.rounds < min { Step::Fail } else { Step::Go(exit, position) });
        }
        if state.rounds < min {
            return self.round(at, counter, position);
        }
        if state.rounds >= max {
            return Ok(Step::Go(exit, position));
        }
        if is_lazy {
            self.push(Frame::Round { at, position })?;
            return Ok(Step::Go(exit, position));
        }
        self.push(Frame::Retry { at: exit, position })?;
        self.round(at, counter, position)
    }

    fn look(
        &mut self,
        alternatives: &[(usize, usize)],
        is_negated: bool,
        position: usize,
    ) -> Result<bool, LimitExceeded> {
        let base = self.memory.stack.len();
        for (back, code) in alternatives {
            let Some(start) = position.checked_sub(*back) else { continue };
            if self.run(*code, start)?.is_some() {
                if is_negated {
                    // What it captured does not count.
                    self.undo(base);
                }
                return Ok(!is_negated);
            }
        }
        Ok(is_negated)
    }

    fn referred(&self, index: usize, is_case_insensitive: bool, position: usize) -> Option<usize> {
        let start = self.memory.slots.get(index * 2).copied().flatten()?;
        let end = self.memory.slots.get(index * 2 + 1).copied().flatten()?;
        let text = self.haystack.get(start..end)?;
        let here = self.haystack.get(position..position.checked_add(text.len())?)?;
        let is_same = if is_case_insensitive { here.eq_ignore_ascii_case(text) } else { here == text };
        is_same.then(|| position + text.len())
    }

    fn holds(&self, assertion: Assertion, position: usize) -> bool {
        let before = position.checked_sub(1).and_then(|at| self.haystack.get(at)).copied();
        let after = self.haystack.get(position).copied();
        let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match assertion {
            Assertion::Start => position == 0,
            Assertion::End => after.is_none(),
            Assertion::EndOrLastNewline => {
                after.is_none() || (after == Some(b'\n') && position + 1 == self.haystack.len())
            }
            Assertion::LineStart => before.is_none() || before == Some(b'\n'),
            Assertion::LineEnd => after.is_none() || after == Some(b'\n'),
            Assertion::WordBoundary => is_word(before) != is_word(after),
            Assertion::NotWordBoundary => is_word(before) == is_word(after),
            Assertion::SearchStart => position == self.search_start,
        }
    }

    /// Back to the last alternative of this run.
    fn backtrack(&mut self, base: usize) -> Result<Option<(usize, usize)>, LimitExceeded> {
        while self.memory.stack.len() > base {
            let Some(frame) = self.memory.stack.pop() else { break };
            match frame {
                Frame::Retry { at, position } => return Ok(Some((at, position))),
                Frame::GiveBack { at, least, position } => {
                    let code = self.code;
                    let until = match at.checked_sub(1).and_then(|at| code.get(at)) {
                        Some(Instruction::SetLoop { until, .. }) => until.as_deref(),
                        _ => None,
                    };
                    let Some(position) = self.last_place(until, least, position - 1) else { continue };
                    if position > least {
                        self.memory.stack.push(Frame::GiveBack { at, least, position });
                    }
                    return Ok(Some((at, position)));
                }
                Frame::TakeMore { at, position, most } => {
                    let code = self.code;
                    if let Some(Instruction::SetLoop { set, until: Some(until), .. }) =
                        at.checked_sub(1).and_then(|at| code.get(at))
                    {
                        if !self.haystack.get(position).is_some_and(|byte| set.contains(*byte)) {
                            continue;
                        }
                        let Some(position) = self.next_place(set, until, position + 1, most)? else { continue };
                        if position < most {
                            self.memory.stack.push(Frame::TakeMore { at, position, most });
                        }
                        return Ok(Some((at, position)));
                    }
                    let position = position + 1;
                    self.goes_over(at.wrapping_sub(1), position);
                    if position < most {
                        self.memory.stack.push(Frame::TakeMore { at, position, most });
                    }
                    return Ok(Some((at, position)));
                }
                Frame::Round { at, position } => {
                    if let Some(&Instruction::Loop { counter, .. }) = self.code.get(at)
                        && let Step::Go(at, position) = self.round(at, counter, position)?
                    {
                        return Ok(Some((at, position)));
                    }
                }
                Frame::RestoreSlot { slot, value } => self.restore_slot(slot, value),
                Frame::RestoreCounter { counter, value } => self.restore_counter(counter, value),
            }
        }
        Ok(None)
    }

    /// Drops the alternatives of a finished run and keeps what undoes its effects.
    fn keep_undo(&mut self, base: usize) {
        let mut kept = base;
        for index in base..self.memory.stack.len() {
            let is_undo =
                matches!(self.memory.stack.get(index), Some(Frame::RestoreSlot { .. } | Frame::RestoreCounter { .. }));
            if is_undo {
                self.memory.stack.swap(kept, index);
                kept += 1;
            }
        }
        self.memory.stack.truncate(kept);
    }

    /// Undoes everything since.
    fn undo(&mut self, base: usize) {
        while self.memory.stack.len() > base {
            match self.memory.stack.pop() {
                Some(Frame::RestoreSlot { slot, value }) => self.restore_slot(slot, value),
                Some(Frame::RestoreCounter { counter, value }) => self.restore_counter(counter, value),
                _ => {}
            }
        }
    }

    fn restore_slot(&mut self, slot: usize, value: Option<usize>) {
        if let Some(place) = self.memory.slots.get_mut(slot) {
            *place = value;
        }
    }

    fn restore_counter(&mut self, counter: usize, value: Counter) {
        if let Some(place) = self.memory.counters.get_mut(counter) {
            *place = value;
        }
    }
}

/// Can something begin here that begins with one of these?
#[inline]
fn may_begin(set: Option<&ByteSet>, byte: Option<u8>) -> bool {
    set.is_none_or(|set| byte.is_some_and(|byte| set.contains(byte)))
}

enum Step {
    Go(usize, usize),
    Matched,
    Fail,
}
