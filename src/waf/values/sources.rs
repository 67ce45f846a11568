//! What sources and parts have: collected when it is first asked for.

use std::ops::Range;

use super::known::Full;
use super::{Member, Part, PhaseValues, RECENT, Source};
use crate::waf::collection::{Buffer, Collector, Value, Wanted, is_excluded};
use crate::waf::plan::{self, PartId, SourceId};
use crate::waf::prefilter::ALL;
use crate::waf::program::Program;
use crate::waf::scratch::RegexCaches;
use crate::waf::transaction::Transaction;

/// Does an exclusion of the part take the value away?
fn excludes(
    program: &Program,
    transaction: &Transaction,
    part: &plan::Part,
    value: &Value,
    text: &[u8],
    caches: &mut RegexCaches,
) -> bool {
    let mut targets = part.exclusions.iter().filter_map(|number| program.targets.get(*number as usize));
    targets.any(|target| {
        let wanted = Wanted::of(&target.selector, &[]);
        is_excluded(program, transaction, target, wanted, value, text, caches)
    })
}

impl PhaseValues {
    /// The values of a source.
    #[inline]
    pub(super) fn source(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        id: SourceId,
    ) -> Source {
        match self.sources.get(usize::from(id)) {
            Some(source) if self.is_current(program, id, source.stamp) => *source,
            _ => self.collect_source(program, transaction, caches, id),
        }
    }

    #[inline(never)]
    fn collect_source(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        id: SourceId,
    ) -> Source {
        if !transaction.has(program.plan.needs(id), self.header_names) {
            // Asking again costs less than noting it.
            return Source::default();
        }
        let Some(target) = program.plan.source(id) else { return Source::default() };
        let mut collected = std::mem::take(&mut self.collected);
        collected.clear();
        let wanted = Wanted::of(&target.selector, &[]);
        let mut collector = Collector { program, values: &mut collected, text: &mut self.text, caches };
        transaction.collect(target.variable, wanted, None, &mut collector);
        let source = self.add_source(program, transaction, id, &collected);
        self.collected = collected;
        source
    }

    fn add_source(&mut self, program: &Program, transaction: &Transaction, id: SourceId, values: &[Value]) -> Source {
        let filter = self.prefilter(program);
        let scope = program.plan.scopes(self.phase).of_source(id);
        let first = self.members.len() as u32;
        let mut source = Source { stamp: self.stamp, first, last: first, is_full: false };
        let Self { known, current, memory, members, text, recent, .. } = self;
        if let Some(known) = known.get_mut(*current) {
            for value in values {
                let slot = recent.get_mut(value.bytes.span.start as usize % RECENT);
                if let Some((known, id)) = slot.as_deref()
                    && *known == value.bytes
                {
                    members.push(Member { value: *value, id: *id });
                    continue;
                }
                let bytes = transaction.bytes(program, text, value.bytes);
                let Ok(id) = known.given(filter, memory, value.bytes, bytes, scope) else {
                    source.is_full = true;
                    break;
                };
                // Other sources may ask for more.
                let is_for_all = known.scope(id) == ALL;
                if let Some(slot) = slot.filter(|_| is_for_all && value.bytes.buffer == Buffer::Arena) {
                    *slot = (value.bytes, id);
                }
                members.push(Member { value: *value, id });
            }
        }
        if source.is_full {
            members.truncate(first as usize);
        }
        source.last = members.len() as u32;
        if let Some(slot) = self.sources.get_mut(usize::from(id)) {
            *slot = source;
        }
        source
    }

    /// Where the values of a part are; `excludes` says whether a value fits an exclusion.
    #[inline]
    pub(crate) fn part(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        id: PartId,
    ) -> Result<Range<u32>, Full> {
        let part = program.plan.part(id).ok_or(Full)?;
        match self.parts.get(usize::from(id)) {
            Some(known) if self.is_current(program, part.source, known.stamp) => Ok(known.first..known.last),
            // Most of what rules look at is not there.
            _ if !transaction.has(program.plan.needs(part.source), self.header_names) => Ok(0..0),
            _ => self.find_part(program, transaction, caches, id, part),
        }
    }

    #[inline(never)]
    fn find_part(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        id: PartId,
        part: &plan::Part,
    ) -> Result<Range<u32>, Full> {
        let source = self.source(program, transaction, caches, part.source);
        if source.is_full {
            return Err(Full);
        }
        if source.first == source.last {
            return Ok(0..0);
        }
        let mut range = (source.first, source.last);
        if !part.exclusions.is_empty() {
            let first = self.members.len();
            for index in source.first..source.last {
                let Some(member) = self.members.get(index as usize).copied() else { break };
                if !excludes(program, transaction, part, &member.value, &self.text, caches) {
                    self.members.push(member);
                }
            }
            range = (first as u32, self.members.len() as u32);
        }
        if let Some(slot) = self.parts.get_mut(usize::from(id)) {
            *slot = Part { stamp: self.stamp, first: range.0, last: range.1 };
        }
        Ok(range.0..range.1)
    }
}
