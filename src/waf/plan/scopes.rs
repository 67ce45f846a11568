//! Which operators can be asked about a value, by where it comes from.
//!
//! A value of a source is asked about by the rules that look at the source; what a transformation made of it, by those
//! of them whose lane has the transformation. Where that leaves much less to look for, the value has a scope of its own
//! in the prefilter. A scope may have more than is asked for, never less.

use std::collections::HashMap;

use super::{Plan, SourceId};
use crate::waf::prefilter::{ALL, Prefilter, ScopeId};
use crate::waf::program::{OperatorId, Program, RuleIndex};
use crate::waf::transformation::Transformation;

/// Scopes of one prefilter.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    of_source: Vec<ScopeId>,
    /// By scope, and by transformation: that of what it makes of values.
    made: Vec<ScopeId>,
    transformations: usize,
}

/// A scope that leaves more than this share of what there is to look for is not made.
const WORTHWHILE: (usize, usize) = (3, 4);

/// Most scopes: each has tables.
const MOST: usize = 64;

impl Scopes {
    /// Of the rules that a prefilter is about; `asked` are the operators that are asked for a rule.
    pub(super) fn new(
        program: &Program,
        plan: &Plan,
        filter: &mut Prefilter,
        rules: &[RuleIndex],
        asked: impl Fn(RuleIndex) -> Vec<OperatorId>,
    ) -> Self {
        let mut all = Self { transformations: plan.transformations, ..Self::default() };
        let mut members: Vec<Vec<RuleIndex>> = vec![rules.to_vec()];
        // By their rules: others with the same operators can have them in other lanes.
        let mut known: HashMap<Vec<RuleIndex>, ScopeId> = HashMap::new();
        let mut weights = vec![filter.weight(&filter.operators(rules.iter().flat_map(|rule| asked(*rule))))];
        let mut scope = |members: &mut Vec<Vec<RuleIndex>>, parent: ScopeId, rules: Vec<RuleIndex>| {
            let operators = filter.operators(rules.iter().flat_map(|rule| asked(*rule)));
            let (share, whole) = WORTHWHILE;
            let weight = filter.weight(&operators);
            if weights.get(usize::from(parent)).is_none_or(|before| weight * whole > before * share) {
                return parent;
            }
            if let Some(id) = known.get(&rules) {
                return *id;
            }
            if members.len() >= MOST {
                return parent;
            }
            let Some(id) = filter.add_scope(operators) else { return parent };
            known.insert(rules.clone(), id);
            weights.push(weight);
            members.push(rules);
            id
        };
        for source in 0..plan.source_count() as SourceId {
            let is_asked = |rule: &RuleIndex| {
                let list = plan.view(*rule).map(|view| plan.list(view.list));
                list.into_iter().flatten().filter_map(|part| plan.part(*part)).any(|part| part.source == source)
            };
            let rules = rules.iter().copied().filter(is_asked).collect();
            let id = scope(&mut members, ALL, rules);
            all.of_source.push(id);
        }
        let mut number = 0;
        while let Some(rules) = members.get(number).cloned() {
            let first = all.made.len();
            all.made.resize(first + plan.transformations, number as ScopeId);
            for transformation in Transformation::ALL {
                let has_it = |rule: &RuleIndex| {
                    let lane = plan.view(*rule).and_then(|view| plan.lane(view.lane));
                    lane.is_none_or(|lane| program.pipeline(lane.pipeline).contains(&transformation))
                };
                let rules: Vec<RuleIndex> = rules.iter().copied().filter(has_it).collect();
                if rules.is_empty() {
                    continue;
                }
                let id = scope(&mut members, number as ScopeId, rules);
                if let Some(slot) = all.made.get_mut(first + plan.place(transformation)) {
                    *slot = id;
                }
            }
            number += 1;
        }
        all
    }

    /// The scope of the values of a source.
    #[inline]
    pub(crate) fn of_source(&self, source: SourceId) -> ScopeId {
        self.of_source.get(usize::from(source)).copied().unwrap_or(ALL)
    }

    /// The scope of what a transformation, by its place among those that there are, makes of a value of a scope.
    #[inline]
    pub(crate) fn made(&self, scope: ScopeId, transformation: usize) -> ScopeId {
        self.made.get(usize::from(scope) * self.transformations + transformation).copied().unwrap_or(ALL)
    }
}
