//! Where values are while they are known, and what is stored of each.

use std::hash::Hasher;

use super::known::{NONE, ValueId};
use crate::limits::{WAF_PHASE_BYTES, WAF_PHASE_VALUES};
use crate::waf::collection::{Bytes, Span};
use crate::waf::prefilter::{ClassId, ScopeId};

/// Values, kept or passing.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) infos: Vec<Info>,
    /// What operators answered that were asked: of each value with such a row, those that could still match it as it
    /// is, and behind these those that certainly match; `words` each. Then the number of the first of its findings.
    pub(super) learned: Vec<u64>,
    /// Groups whose checks ask for nothing that a kept value has, a bit each.
    pub(super) quiet: Vec<u64>,
    /// What each transformation makes of a value; a row for those that have been transformed.
    pub(super) steps: Vec<ValueId>,
    pub(super) bytes: Vec<u8>,
}

/// What is stored of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Info {
    pub(super) class: ClassId,
    pub(super) place: Place,
    /// What it was looked through for.
    pub(super) scope: ScopeId,
    /// Its row of `steps`.
    pub(super) row: u32,
    /// Where its row of `learned` begins.
    pub(super) learned: u32,
    pub(super) hash: u32,
    /// The visit of a group that came by last.
    pub(super) visit: u32,
    /// The kept value that was asked for behind this one last.
    pub(super) next: ValueId,
}

/// Where the bytes of a value are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Where the transaction has it.
    Given(Bytes),
    /// In the store.
    Own(Span),
}

impl Store {
    pub(super) fn clear(&mut self) {
        self.infos.clear();
        self.learned.clear();
        self.quiet.clear();
        self.steps.clear();
        self.bytes.clear();
    }

    /// One large request shall not hold memory for good.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > WAF_PHASE_BYTES / 8 || self.infos.capacity() > WAF_PHASE_VALUES / 16 {
            *self = Self::default();
        }
    }

    pub(super) fn push(&mut self, class: ClassId, place: Place, scope: ScopeId, hash: u32) -> u32 {
        let id = self.infos.len() as u32;
        self.infos.push(Info { class, place, scope, row: NONE, learned: NONE, hash, visit: 0, next: NONE });
        id
    }

    pub(super) fn row(&mut self, index: u32, width: usize) -> usize {
        let next = self.steps.len() as u32;
        let Some(info) = self.infos.get_mut(index as usize) else { return usize::MAX };
        if info.row == NONE {
            info.row = next;
            self.steps.resize(self.steps.len() + width, NONE);
        }
        info.row as usize
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
