//! Texts of which every match has one, while a pattern is taken apart.

use std::collections::HashMap;

use super::around::{self, Around};
use super::pattern::{commonness, density};
use super::texts::{self, LONG};
use crate::waf::regex::ByteSet;

/// Most texts that are kept of one pattern.
pub(super) const MOST: usize = 1500;

/// Most texts that a sequence is multiplied out to.
const MOST_PRODUCTS: usize = 256;

/// A set of more characters is not multiplied out.
pub(super) const MOST_CHARACTERS: usize = 12;

/// A set of more characters only behind texts shorter than [`TELLING`].
const FEW_CHARACTERS: usize = 8;

/// Texts of so many bytes tell enough without what stands behind them.
const TELLING: usize = 3;

/// Too many texts become shorter ones.
const SHORTENED: usize = 4;

/// Longer texts are not put together: what they begin with tells enough.
const LONGEST: usize = 12;

/// A text, ASCII letters folded to lower case, and what may stand around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) bytes: Vec<u8>,
    pub(super) around: Around,
}

impl Literal {
    /// Whatever may stand around it.
    pub(super) fn anywhere(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_ascii_lowercase(), around: Around::ANYTHING }
    }

    fn followed_by(&self, next: &Self) -> Self {
        let around = match (self.bytes.is_empty(), next.bytes.is_empty()) {
            (false, false) => Around { before: self.around.before, behind: next.around.behind },
            // Where one of both is empty, what is said of it is said of the other's border there.
            (true, false) => Around { before: self.around.and(next.around).before, ..next.around },
            (false, true) => Around { behind: self.around.and(next.around).behind, ..self.around },
            (true, true) => self.around.and(next.around),
        };
        Self { bytes: [self.bytes.as_slice(), &next.bytes].concat(), around }
    }

    /// What it begins with.
    fn beginning(mut self) -> Self {
        if let Some(cut) = self.bytes.get(SHORTENED).copied() {
            self.bytes.truncate(SHORTENED);
            self.around.behind = around::of(cut);
        }
        self
    }

    /// What it ends with.
    fn end(mut self) -> Self {
        if let Some(start) = self.bytes.len().checked_sub(SHORTENED)
            && let Some(cut) = start.checked_sub(1).and_then(|last| self.bytes.get(last).copied())
        {
            self.bytes.drain(..start);
            self.around.before = around::of(cut);
        }
        self
    }

    /// What is looked for of it ([`texts::part`]).
    pub(super) fn part(mut self) -> Self {
        let part = texts::part(&self.bytes, commonness);
        if let Some(next) = self.bytes.get(part.end) {
            self.around.behind = around::of(*next);
            self.bytes.truncate(part.end);
        }
        if let Some(last) = part.start.checked_sub(1).and_then(|last| self.bytes.get(last)) {
            self.around.before = around::of(*last);
            self.bytes.drain(..part.start);
        }
        self
    }

    /// How often it may be found, per byte of ordinary traffic.
    fn frequency(&self) -> f64 {
        let own = self.bytes.iter().map(|byte| commonness(*byte)).product::<f64>();
        // Nobody looks at what stands around a single byte.
        if self.bytes.len() > 1 { own * self.around.share() } else { own }
    }
}

/// Texts of which one stands where they are said to stand, unless there is one of the marks.
#[derive(Debug, Clone)]
pub(super) struct Literals {
    pub(super) list: Vec<Literal>,
    pub(super) marks: ByteSet,
}

/// What is left of too many texts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Beginning,
    End,
}

impl Literals {
    /// With whatever stands around the part of the pattern that they are.
    pub(super) fn of(texts: impl Iterator<Item = Vec<u8>>) -> Self {
        let list = texts.map(|bytes| Literal { bytes, around: Around::OUTSIDE }).collect();
        Self { list, marks: ByteSet::EMPTY }
    }

    /// The empty text, which stands everywhere.
    pub(super) fn nothing() -> Self {
        Self::of(std::iter::once(Vec::new()))
    }

    fn is_nothing(&self) -> bool {
        matches!(self.list.as_slice(), [text] if text.bytes.is_empty())
    }

    /// Are they there in every match?
    pub(super) fn is_useful(&self) -> bool {
        !self.list.is_empty() && self.list.len() <= MOST && self.list.iter().all(|text| !text.bytes.is_empty())
    }

    pub(super) fn frequency(&self) -> f64 {
        frequency(&self.list) + density(&self.marks)
    }

    /// Says more about what stands around each.
    pub(super) fn each(&mut self, change: impl Fn(&mut Literal)) {
        self.list.iter_mut().for_each(change);
    }

    /// Every text of one followed by every text of the other, unless that is too many to be worth it.
    pub(super) fn followed_by(&self, next: &Self) -> Option<Self> {
        let marks = self.marks.union(next.marks);
        if self.is_nothing() {
            return Some(Self { list: next.list.clone(), marks });
        }
        if next.is_nothing() {
            return Some(Self { list: self.list.clone(), marks });
        }
        if self.list.len() * next.list.len() > MOST_PRODUCTS
            || self.list.iter().any(|text| text.bytes.len() > LONGEST)
            || (next.list.len() > FEW_CHARACTERS && self.list.iter().any(|text| text.bytes.len() >= TELLING))
        {
            return None;
        }
        let list = self.list.iter().flat_map(|own| next.list.iter().map(move |next| own.followed_by(next)));
        Some(Self { list: distinct(list.collect()), marks })
    }

    /// Where that is too many: short texts followed by every text of the other, and long ones as they are.
    pub(super) fn before(&self, next: &Self) -> Self {
        let mut list = Vec::new();
        for own in &self.list {
            if own.bytes.len() < TELLING && !own.bytes.is_empty() && next.list.len() <= MOST_CHARACTERS {
                list.extend(next.list.iter().map(|next| own.followed_by(next)));
            } else {
                list.push(own.clone());
            }
        }
        Self { list: distinct(list), marks: self.marks.union(next.marks) }
    }

    /// One of these or one of those.
    pub(super) fn or(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        Self { list: distinct(self.list), marks: self.marks.union(other.marks) }
    }

    /// Of several branches.
    pub(super) fn any<'t>(branches: impl Iterator<Item = &'t Self>) -> Self {
        let mut all = Self::of(std::iter::empty());
        for branch in branches {
            all.list.extend(branch.list.iter().cloned());
            all.marks = all.marks.union(branch.marks);
        }
        all.list = distinct(all.list);
        all
    }

    /// When there are too many, parts of them that are fewer; or nothing.
    pub(super) fn bounded(mut self, part: Part) -> Self {
        if self.list.len() > MOST {
            let shortened = self.list.into_iter().map(|text| match part {
                Part::Beginning => text.beginning(),
                Part::End => text.end(),
            });
            self.list = distinct(shortened.collect());
        }
        if self.list.len() > MOST {
            self = Self::nothing();
            self.each(|text| text.around = Around::ANYTHING);
        }
        self
    }

    /// The texts and the marks, but for texts that have another one in them: they are found with it.
    pub(super) fn to_list(&self) -> Vec<Literal> {
        let marks = self.marks.iter().map(|byte| Literal::anywhere(&[byte]));
        let own = self.list.iter().cloned().map(|mut text| {
            // What stands outside of the whole pattern is anything.
            text.around = text.around.within(Around::ANYTHING);
            if text.bytes.len() == 1 { Literal::anywhere(&text.bytes) } else { text }
        });
        let list = merged(distinct(own.chain(marks).collect()));
        let all: HashMap<&[u8], Around> = list.iter().map(|text| (text.bytes.as_slice(), text.around)).collect();
        let has_other = |text: &Literal| {
            let bytes = &text.bytes;
            let mut parts = (1..bytes.len()).flat_map(|length| (0..).zip(bytes.windows(length)));
            parts.any(|(start, part)| {
                let there = Around {
                    before: bytes
                        .get(..start)
                        .and_then(<[u8]>::last)
                        .map_or(text.around.before, |byte| around::of(*byte)),
                    behind: bytes.get(start + part.len()).map_or(text.around.behind, |byte| around::of(*byte)),
                };
                all.get(part).is_some_and(|around| around.allows(there))
            })
        };
        list.iter().filter(|text| !has_other(text)).cloned().collect()
    }
}

/// Of texts that are worth anything those that are found least often.
pub(super) fn best<'t>(offers: impl Iterator<Item = &'t Literals>) -> Option<&'t Literals> {
    let rated = offers.filter(|texts| texts.is_useful()).map(|texts| (texts.frequency(), texts));
    rated.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, texts)| texts)
}

/// How often one of the texts may be found, per byte of ordinary traffic.
pub(super) fn frequency(texts: &[Literal]) -> f64 {
    texts.iter().map(Literal::frequency).sum()
}

/// Texts that differ in their first or last byte only from a shorter one become part of what may stand around that.
fn merged(list: Vec<Literal>) -> Vec<Literal> {
    let longest = list.iter().map(|text| text.bytes.len()).max().unwrap_or(0);
    let mut all: HashMap<Vec<u8>, Around> = list.into_iter().map(|text| (text.bytes, text.around)).collect();
    // Those of two bytes would become those of one, around which nobody looks, and long ones are found with less effort.
    for length in (3..=longest).rev().filter(|length| *length != LONG) {
        for is_first in [true, false] {
            let mut texts: Vec<Vec<u8>> = all.keys().filter(|text| text.len() == length).cloned().collect();
            texts.sort_unstable();
            for text in texts {
                let Some(around) = all.get(&text).copied() else { continue };
                let split = if is_first { text.split_first() } else { text.split_last() };
                let Some((byte, shorter)) = split else { continue };
                let Some(other) = all.get_mut(shorter) else { continue };
                if is_first && other.behind == around.behind {
                    other.before |= around::of(*byte);
                } else if !is_first && other.before == around.before {
                    other.behind |= around::of(*byte);
                } else {
                    continue;
                }
                all.remove(&text);
            }
        }
    }
    distinct(all.into_iter().map(|(bytes, around)| Literal { bytes, around }).collect())
}

/// Each text once, with all that may stand around it.
fn distinct(mut texts: Vec<Literal>) -> Vec<Literal> {
    texts.sort_unstable_by(|one, other| one.bytes.cmp(&other.bytes));
    texts.dedup_by(|next, kept| {
        let is_same = next.bytes == kept.bytes;
        if is_same {
            kept.around = kept.around.or(next.around);
        }
        is_same
    });
    texts
}
