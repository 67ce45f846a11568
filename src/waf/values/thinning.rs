//! Which values stay known when there is no room for more.
//!
//! Those that were asked for again are likely to be asked for once more, so most of them stay. Of the others half stays,
//! whichever: traffic that comes round again with more values than there is room for would find none of them if always
//! the oldest went.

use super::known::{Known, NONE};
use super::store::{Place, Step, Store};
use crate::waf::collection::Span;

/// Eighths of the values, and of their bytes, that may stay; if more would, it was not worth while.
const MOST_EIGHTHS: usize = 7;

impl Known {
    /// Forgets some of the values, and what is known of them; `false`, and nothing was forgotten, when too few could go.
    #[cold]
    pub(super) fn thin_out(&mut self) -> bool {
        let (count, bytes) = (self.kept.infos.len(), self.kept.bytes.len());
        let mut state = self.seed | 1;
        let mut draw = || {
            // Xorshift, of which the upper bits are good enough.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 60
        };
        let stays = self.kept.infos.iter().map(|info| draw() < if info.is_asked_again { 12 } else { 8 });
        let mut stays: Vec<bool> = stays.collect();
        self.kept.add_results(&mut stays);
        let staying = || self.kept.infos.iter().zip(&stays).filter(|(_, stays)| **stays).map(|(info, _)| info.len());
        if staying().count() * 8 > count * MOST_EIGHTHS || staying().sum::<usize>() * 8 > bytes * MOST_EIGHTHS {
            return false;
        }
        // Others are drawn next time; the index is made anew with it.
        self.seed = self.seed.rotate_left(9) ^ state;
        let mut next = 0;
        let numbers: Vec<u32> = stays
            .iter()
            .map(|stays| {
                next += u32::from(*stays);
                if *stays { next - 1 } else { NONE }
            })
            .collect();
        self.kept.renumber(&numbers);
        for (old, new) in numbers.iter().enumerate().filter(|(_, new)| **new != NONE) {
            let row = old * self.quiet_width;
            self.quiet.copy_within(row..row + self.quiet_width, *new as usize * self.quiet_width);
        }
        self.quiet.truncate(next as usize * self.quiet_width);
        self.first = number(&numbers, self.first);
        self.previous = NONE;
        // They are few, and soon found again.
        self.findings.clear();
        self.index_anew();
        true
    }
}

fn number(numbers: &[u32], old: u32) -> u32 {
    numbers.get(old as usize).copied().unwrap_or(NONE)
}

impl Store {
    /// Adds what transformations make of values that stay.
    fn add_results(&self, stays: &mut [bool]) {
        let mut open: Vec<u32> = (0..).zip(stays.iter()).filter(|(_, stays)| **stays).map(|(id, _)| id).collect();
        while let Some(id) = open.pop() {
            for step in self.steps_of(id) {
                if let Some(stays) = stays.get_mut(step.result() as usize).filter(|stays| !**stays) {
                    *stays = true;
                    open.push(step.result());
                }
            }
        }
    }

    /// Leaves the values that have a new number, which are in the same order, with what transformations make of them.
    fn renumber(&mut self, numbers: &[u32]) {
        let mut steps: Vec<Step> = Vec::new();
        let (mut next, mut end) = (0, 0);
        for (old, new) in (0_u32..).zip(numbers) {
            let Some(mut info) = self.infos.get(old as usize).copied().filter(|_| *new != NONE) else { continue };
            if let Place::Own(span) = info.place() {
                let start = span.start as usize;
                self.bytes.copy_within(start..start + info.len(), end);
                info.move_to(Span { start: end as u32, ..span });
                end += info.len();
            }
            info.is_asked_again = false;
            info.next = number(numbers, info.next);
            info.step = NONE;
            for step in self.steps_of(old) {
                let link = std::mem::replace(&mut info.step, steps.len() as u32);
                steps.push(step.renumbered(number(numbers, step.result()), link));
            }
            if let Some(slot) = self.infos.get_mut(next) {
                *slot = info;
            }
            next += 1;
        }
        self.infos.truncate(next);
        self.bytes.truncate(end);
        steps.shrink_to_fit();
        self.replace_steps(steps);
    }
}
