//! Where values are while they are known, and what is stored of each.

use std::hash::Hasher;

use super::known::{NONE, ValueId};
use super::lessons::LessonId;
use crate::limits::{WAF_PHASE_BYTES, WAF_PHASE_VALUES};
use crate::waf::collection::{Buffer, Bytes, Span};
use crate::waf::names;
use crate::waf::prefilter::{ClassId, ScopeId};
use crate::waf::scratch::make_room;
use crate::waf::transformation::Transformation;

/// Values, kept or passing.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) infos: Vec<Info>,
    /// What transformations make of values, a list for each value. Most have one entry or none.
    steps: Vec<Step>,
    pub(super) bytes: Vec<u8>,
}

/// What a transformation makes of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    result: ValueId,
    /// The transformation above [`NEXT_BITS`], and another step of the same value.
    link: u32,
}

/// Bits of a link that say which step is next; all of them, none is.
const NEXT_BITS: u32 = 26;
const NO_NEXT: u32 = (1 << NEXT_BITS) - 1;

const _: () = assert!(Transformation::ALL.len() <= 1 << (u32::BITS - NEXT_BITS), "each has a number in a link");

impl Step {
    const fn transformation(self) -> usize {
        (self.link >> NEXT_BITS) as usize
    }

    const fn next(self) -> u32 {
        self.link & NO_NEXT
    }

    pub(super) const fn result(self) -> ValueId {
        self.result
    }

    /// The same of values that have other numbers now.
    pub(super) const fn renumbered(self, result: ValueId, next: u32) -> Self {
        Self { result, link: self.link & !NO_NEXT | next & NO_NEXT }
    }
}

/// What is stored of a value: half a line of the processor's caches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Info {
    pub(super) class: ClassId,
    span: Span,
    /// Where the span is: in a buffer of the transaction, or in the store.
    buffer: Option<Buffer>,
    /// What it was looked through for.
    pub(super) scope: ScopeId,
    /// Was it asked for in another transaction than that in which it came, since others were forgotten?
    pub(super) is_asked_again: bool,
    /// The first of its `steps`.
    pub(super) step: u32,
    pub(super) lesson: LessonId,
    /// The visit of a group that came by last.
    pub(super) visit: u32,
    /// The kept value that was asked for behind this one last.
    pub(super) next: ValueId,
}

const _: () = assert!(size_of::<Info>() == 32, "tens of thousands are kept");

/// Where the bytes of a value are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Where the transaction has it.
    Given(Bytes),
    /// In the store.
    Own(Span),
}

impl Info {
    pub(super) fn place(&self) -> Place {
        match self.buffer {
            Some(buffer) => Place::Given(Bytes { buffer, span: self.span }),
            None => Place::Own(self.span),
        }
    }

    /// Its bytes are in another place of the store.
    pub(super) const fn move_to(&mut self, span: Span) {
        self.span = span;
    }

    /// How many bytes it has.
    pub(super) const fn len(&self) -> usize {
        self.span.len as usize
    }

    /// A keyed hash of its text, which is in the store.
    pub(super) fn hash(&self, seed: u64, bytes: &[u8]) -> u32 {
        names::hash(seed, self.span.of(bytes))
    }

    /// Is this its text, which is in the store?
    pub(super) fn is_text(&self, value: &[u8], bytes: &[u8]) -> bool {
        self.buffer.is_none() && self.len() == value.len() && self.span.of(bytes) == value
    }
}

impl Store {
    pub(super) fn clear(&mut self) {
        self.infos.clear();
        self.steps.clear();
        self.bytes.clear();
    }

    /// One large request shall not hold memory for good.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > WAF_PHASE_BYTES / 32 || self.infos.capacity() > WAF_PHASE_VALUES / 32 {
            *self = Self::default();
        }
    }

    pub(super) fn push(&mut self, class: ClassId, place: Place, scope: ScopeId) -> u32 {
        let id = self.infos.len() as u32;
        let (buffer, span) = match place {
            Place::Given(Bytes { buffer, span }) => (Some(buffer), span),
            Place::Own(span) => (None, span),
        };
        let info =
            Info { class, span, buffer, scope, is_asked_again: false, step: NONE, lesson: NONE, visit: 0, next: NONE };
        self.infos.push(info);
        id
    }

    /// What a transformation made of a value, if it is known.
    #[inline]
    pub(super) fn step(&self, index: usize, transformation: usize) -> Option<ValueId> {
        self.steps_of(index as u32).find(|step| step.transformation() == transformation).map(Step::result)
    }

    /// What transformations made of a value, as far as it is known.
    #[inline]
    pub(super) fn steps_of(&self, id: u32) -> impl Iterator<Item = Step> {
        let mut number = self.infos.get(id as usize).map_or(NONE, |info| info.step);
        std::iter::from_fn(move || {
            let step = self.steps.get(number as usize).copied()?;
            number = step.next();
            Some(step)
        })
    }

    /// What transformations made of values is this now.
    pub(super) fn replace_steps(&mut self, steps: Vec<Step>) {
        self.steps = steps;
    }

    /// How many there are of what transformations made of values.
    pub(super) const fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Notes what a transformation made of a value of which that was not known.
    pub(super) fn note_step(&mut self, index: usize, transformation: usize, result: ValueId) {
        debug_assert!(self.step(index, transformation).is_none());
        let number = self.steps.len() as u32;
        let Some(info) = self.infos.get_mut(index).filter(|_| number < NO_NEXT) else { return };
        let next = std::mem::replace(&mut info.step, number);
        make_room(&mut self.steps, 1);
        self.steps.push(Step { result, link: (transformation as u32) << NEXT_BITS | next & NO_NEXT });
    }

    /// Forgets what transformations made of values.
    pub(super) fn forget_steps(&mut self) {
        self.steps.clear();
        self.infos.iter_mut().for_each(|info| info.step = NONE);
    }
}

/// Hashes a few small integers.
#[derive(Debug, Default)]
pub(super) struct SpanHasher(u64);

impl Hasher for SpanHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
