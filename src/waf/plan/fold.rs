//! What rules do in every transaction alike, found out before any.
//!
//! A rule set is held together by rules about TX that ask nothing of a request: switches with their defaults, paranoia
//! gates, scores that begin at 0. This follows TX through the phases as the evaluation would, with "not known" for what
//! depends on a request, and *settles* what it can: a rule that never matches, or lies behind a gate that is always
//! taken, is not visited; assignments of constants that follow each other are made at once; a rule that always matches
//! is not asked.
//!
//! It holds while nothing takes a settled rule away (`ctl:ruleRemove…`) and nobody writes down what matched unlogged
//! (the audit log's part K). A transaction in which either happens goes on with the whole program
//! ([`crate::waf::transaction::Transaction::is_folded`]). What a settled rule leaves in MATCHED_VAR is not reproduced: a
//! program with a rule that looks there before anything of its own matched is not folded at all.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::private::beginning;
use super::shape::Shape;
use crate::waf::action::Action;
use crate::waf::action::ctl::{Ctl, PartsChange};
use crate::waf::action::setvar::{Change, Name, SetVariable};
use crate::waf::collection::Variable;
use crate::waf::expand::Text;
use crate::waf::number::atoi;
use crate::waf::operate::CompiledOperator;
use crate::waf::operator::{Evidence, Operator, OperatorContext, Outcome};
use crate::waf::program::{AllowScope, Disposition, Program, Rule, RuleIndex, RuleSet, Selector, TxSlot};
use crate::waf::regex::RegexCache;
use crate::waf::settings::AuditEngine;

/// What takes the place of asking a rule.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Several rules' assignments at once.
    Assign(Assignments),
    /// The rule matches, and its actions need neither value nor name.
    Act,
    /// Whether the rule can match is a comparison of numbers.
    Ask(Shape),
}

/// Assignments of constants to TX.
#[derive(Debug, Clone)]
pub(crate) struct Assignments {
    /// The rule to go on with.
    pub(crate) next: RuleIndex,
    /// In `Folding::writes`.
    writes: Range<u32>,
    /// In `Folding::text`.
    text: Range<u32>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) slot: TxSlot,
    /// Where its value begins in the text of the [`Assignments`], and its length; nothing when the variable goes.
    pub(crate) value: Option<(u32, u32)>,
}

/// The findings.
#[derive(Debug, Default)]
pub(crate) struct Folding {
    /// Starters that have to be visited.
    pub(super) visited: RuleSet,
    /// Those of them with a match that leads elsewhere, and where to.
    pub(super) jumps: Vec<(RuleIndex, RuleIndex)>,
    /// By rule.
    steps: Vec<Option<Step>>,
    writes: Vec<Write>,
    text: Vec<u8>,
    /// Rules of which it is certain that they match.
    settled: RuleSet,
    /// Those whose operator has macros in its argument that stand for the same in every transaction.
    constant_arguments: RuleSet,
    /// May it be used while the audit engine is on?
    pub(crate) allows_audit: bool,
}

impl Folding {
    /// Nothing when there is nothing to gain, or when it would not be the same.
    pub(super) fn of(program: &Program) -> Option<Self> {
        if !program.options.fold_constants || looks_at_earlier_matches(program) {
            return None;
        }
        let mut folder = Folder::new(program);
        for phase in 1..=5 {
            folder.phase(phase);
        }
        let mut folding = folder.folding;
        folding.allows_audit = !notes_matches(program);
        Some(folding)
    }

    /// What takes the place of asking a rule.
    pub(crate) fn step(&self, rule: RuleIndex) -> Option<&Step> {
        self.steps.get(rule as usize)?.as_ref()
    }

    /// What is assigned, and the text with the values.
    pub(crate) fn assigned(&self, assignments: &Assignments) -> (&[Write], &[u8]) {
        let Assignments { writes, text, .. } = assignments;
        let writes = self.writes.get(writes.start as usize..writes.end as usize);
        let text = self.text.get(text.start as usize..text.end as usize);
        (writes.unwrap_or_default(), text.unwrap_or_default())
    }

    /// Is the argument of the rule's operator the same in every transaction, although it has macros?
    pub(super) fn has_constant_argument(&self, rule: RuleIndex) -> bool {
        self.constant_arguments.contains(rule)
    }

    /// Does taking these rules away make the findings untrue?
    pub(crate) fn needs_any(&self, rules: &RuleSet) -> bool {
        self.settled.meets(rules)
    }

    /// Does it look at such values only in settled rules that matter?
    pub(crate) const fn looks_at(variable: Variable) -> bool {
        matches!(variable, Variable::Tx | Variable::RemoteAddr)
    }
}

/// The value of a TX variable: number of a constant, or one of these.
type Known = u32;
const ABSENT: Known = u32::MAX - 1;
const UNKNOWN: Known = u32::MAX;

/// Of all slots.
type State = Vec<Known>;

fn join(into: &mut Option<State>, other: &State) {
    match into {
        None => *into = Some(other.clone()),
        Some(state) => {
            for (own, theirs) in state.iter_mut().zip(other) {
                if own != theirs {
                    *own = UNKNOWN;
                }
            }
        }
    }
}

struct Folder<'p> {
    program: &'p Program,
    folding: Folding,
    constants: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, Known>,
    /// What the phases so far can end with, for each of the next ones.
    entries: [Option<State>; 6],
    /// Of jumps under way.
    arriving: BTreeMap<RuleIndex, State>,
    /// Assignments at the end of which the rules stand that come now.
    run: Option<RuleIndex>,
    regexes: RegexCache,
}

impl<'p> Folder<'p> {
    fn new(program: &'p Program) -> Self {
        let mut state = vec![ABSENT; program.tx_names.len()];
        // Captures, and what the engine itself sets.
        for (slot, name) in program.tx_names.iter() {
            if (slot.0 < 10 || name.eq_ignore_ascii_case(b"MSC_PCRE_LIMITS_EXCEEDED"))
                && let Some(known) = state.get_mut(slot.0 as usize)
            {
                *known = UNKNOWN;
            }
        }
        let mut entries = [const { None }; 6];
        if let Some(first) = entries.get_mut(1) {
            *first = Some(state);
        }
        Self {
            program,
            folding: Folding { steps: vec![None; program.rules.len()], ..Folding::default() },
            constants: Vec::new(),
            numbers: HashMap::new(),
            entries,
            arriving: BTreeMap::new(),
            run: None,
            regexes: RegexCache::default(),
        }
    }

    /// This is how phases from `first` on can begin.
    fn leave(&mut self, first: u8, state: &State) {
        for entry in self.entries.iter_mut().skip(usize::from(first)) {
            join(entry, state);
        }
    }

    fn phase(&mut self, phase: u8) {
        let range = self.program.phase(phase);
        let mut state = self.entries.get_mut(usize::from(phase)).and_then(Option::take);
        self.arriving.clear();
        self.run = None;
        let mut index = range.start;
        while index < range.end {
            if let Some(arriving) = self.arriving.remove(&index) {
                // Who comes from elsewhere must not find the middle of several assignments.
                self.run = None;
                join(&mut state, &arriving);
            }
            let Some(rule) = self.program.rule(index) else { break };
            if let Some(before) = state.take() {
                state = self.rule(phase, index, rule, before);
            }
            index = rule.chain_end.max(index + 1);
        }
        let ends = std::mem::take(&mut self.arriving);
        for state in state.iter().chain(ends.values()) {
            self.leave(phase + 1, state);
        }
    }

    /// One rule or chain; the state behind it, if evaluation can come there.
    fn rule(&mut self, phase: u8, index: RuleIndex, rule: &Rule, mut state: State) -> Option<State> {
        match self.answer(rule, &state) {
            Some(false) => return Some(state),
            Some(true) if is_quiet(self.program, rule) && self.settle(index, rule, &mut state) => {
                self.folding.settled.insert(index);
                let Some(target) = rule.skip_after else { return Some(state) };
                self.arrive(target, &state);
                return None;
            }
            _ => {}
        }
        self.run = None;
        self.folding.visited.insert(index);
        if let (Some(step), Some(slot)) = (self.comparison(rule, &state), self.folding.steps.get_mut(index as usize)) {
            *slot = Some(step);
        }
        let before = state.clone();
        let mut jump = None;
        let mut last = index;
        for (number, link) in (index..rule.chain_end).filter_map(|number| Some((number, self.program.rule(number)?))) {
            for action in self.program.actions(link) {
                self.may_run(action, &mut state);
            }
            jump = link.skip_after.or(jump);
            last = number;
        }
        // What the chain's own actions change is not known by now.
        for (number, link) in (index..rule.chain_end).filter_map(|number| Some((number, self.program.rule(number)?))) {
            let operator = self.program.operator(link.operator);
            if matches!(operator.operator, Operator::Text(..) | Operator::Number(..))
                && matches!(self.argument(operator, &state), Some(Some(_)))
            {
                self.folding.constant_arguments.insert(number);
            }
        }
        let head = self.program.head(rule);
        match &head.disposition {
            Disposition::Pass => {}
            Disposition::Deny | Disposition::Drop | Disposition::Redirect(_) => self.leave(5, &state),
            Disposition::Allow(scope) => {
                let next = match scope {
                    AllowScope::Phase => phase + 1,
                    AllowScope::Request => 3.max(phase + 1),
                    AllowScope::Transaction => 5,
                };
                self.leave(next, &state);
            }
        }
        if let Some(target) = jump {
            self.folding.jumps.push((last, target));
            self.arrive(target, &state);
        } else if head.skip > 0 {
            let mut target = rule.chain_end;
            for _ in 0..head.skip {
                target = self.program.rule(target).map_or(target, |rule| rule.chain_end);
            }
            self.arrive(target, &state);
        }
        let mut after = Some(before);
        join(&mut after, &state);
        after
    }

    fn arrive(&mut self, target: RuleIndex, state: &State) {
        let mut slot = self.arriving.remove(&target);
        join(&mut slot, state);
        if let Some(state) = slot {
            self.arriving.insert(target, state);
        }
    }

    /// Does the rule match, as far as that is known?
    fn answer(&mut self, rule: &Rule, state: &State) -> Option<bool> {
        let [target] = self.program.targets(rule) else { return None };
        let operator = self.program.operator(rule.operator);
        if target.is_exclusion || rule.is_multi_match || rule.captures {
            return None;
        }
        if target.variable == Variable::RemoteAddr {
            let is_action = matches!(operator.operator, Operator::UnconditionalMatch)
                && !rule.is_negated
                && !target.is_count
                && matches!(target.selector, Selector::All);
            return is_action.then_some(true);
        }
        let Selector::Slot(slot) = target.selector else { return None };
        let argument = self.argument(operator, state)?;
        let held = self.held(slot, state)?;
        let mut value = match held {
            _ if target.is_count => if held.is_some() { b"1" } else { b"0" }.to_vec(),
            Some(value) => value.to_vec(),
            None => return Some(false),
        };
        let mut output = Vec::new();
        for transformation in self.program.pipeline(rule.pipeline) {
            if transformation.apply(&value, &mut output, &self.program.settings.transformations) {
                std::mem::swap(&mut value, &mut output);
            }
        }
        let mut evidence = Evidence::default();
        let mut context = OperatorContext { regexes: &mut self.regexes, evidence: &mut evidence, captures: false };
        match operator.operator.matches(argument.as_deref(), &value, &mut context) {
            Outcome::Match => Some(!rule.is_negated),
            Outcome::NoMatch => Some(rule.is_negated),
            Outcome::Undecided | Outcome::Exhausted => None,
        }
    }

    /// What a slot holds, or nothing; nothing at all when that is not known.
    fn held(&self, slot: TxSlot, state: &State) -> Option<Option<&[u8]>> {
        match state.get(slot.0 as usize).copied() {
            None | Some(UNKNOWN) => None,
            Some(ABSENT) => Some(None),
            Some(number) => self.constants.get(number as usize).map(|value| Some(&**value)),
        }
    }

    /// The operator's argument, when it has macros; nothing at all when what it says then is not known.
    fn argument(&self, operator: &CompiledOperator, state: &State) -> Option<Option<Vec<u8>>> {
        match operator.text() {
            None => operator.is_pure().then_some(None),
            Some(text) => text.evaluate(|slot| Some(self.held(slot, state)?.unwrap_or_default())).map(Some),
        }
    }

    /// A comparison of a number with one that is known by now.
    fn comparison(&self, rule: &Rule, state: &State) -> Option<Step> {
        let ([target], []) = (self.program.targets(rule), self.program.pipeline(rule.pipeline)) else { return None };
        let operator = self.program.operator(rule.operator);
        let (Operator::Number(comparison, _), Selector::Slot(slot)) = (&operator.operator, &target.selector) else {
            return None;
        };
        if target.is_exclusion || target.is_count || target.variable != Variable::Tx {
            return None;
        }
        let number = atoi(&self.argument(operator, state)??);
        Some(Step::Ask(Shape::Number(*slot, *comparison, number, !rule.is_negated)))
    }

    /// Does what a rule does that always matches, or says that it cannot be known.
    fn settle(&mut self, index: RuleIndex, rule: &Rule, state: &mut State) -> bool {
        let mut after = state.clone();
        let mut writes = Vec::new();
        let mut is_constant = true;
        for action in self.program.actions(rule) {
            let Action::SetVariable(set) = action else { return false };
            if mentions_matches(set) {
                return false;
            }
            let (Variable::Tx, Name::Slot(slot)) = (set.collection, &set.name) else {
                self.may_run(action, &mut after);
                is_constant = false;
                continue;
            };
            let value = self.value(set, *slot, &after);
            is_constant &= value != UNKNOWN;
            writes.push((*slot, value));
            if let Some(known) = after.get_mut(slot.0 as usize) {
                *known = value;
            }
        }
        *state = after;
        if !is_constant {
            self.run = None;
            self.folding.visited.insert(index);
            if let Some(step) = self.folding.steps.get_mut(index as usize) {
                *step = Some(Step::Act);
            }
            return true;
        }
        let target = rule.skip_after.unwrap_or(rule.chain_end);
        // What a jump passes over is not visited anyway, unless another one leads there.
        let is_passed = self.arriving.range(index + 1..target.max(index + 1)).next().is_none();
        if writes.is_empty() && self.run.is_none() && is_passed {
            return true;
        }
        let folding = &mut self.folding;
        let first = *self.run.get_or_insert(index);
        let start = (folding.writes.len() as u32, folding.text.len() as u32);
        let Some(step) = folding.steps.get_mut(first as usize) else { return false };
        let step = step.get_or_insert_with(|| {
            folding.visited.insert(index);
            let assignments = Assignments { next: target, writes: start.0..start.0, text: start.1..start.1 };
            Step::Assign(assignments)
        });
        let Step::Assign(assignments) = step else { return false };
        for (slot, value) in writes {
            let value = self.constants.get(value as usize).map(|text| {
                let at = folding.text.len() as u32 - assignments.text.start;
                folding.text.extend_from_slice(text);
                (at, text.len() as u32)
            });
            folding.writes.push(Write { slot, value });
        }
        assignments.next = target;
        assignments.writes.end = folding.writes.len() as u32;
        assignments.text.end = folding.text.len() as u32;
        if rule.skip_after.is_some() {
            self.run = None;
        }
        true
    }

    /// What a slot holds after a `setvar`.
    fn value(&mut self, set: &SetVariable, slot: TxSlot, state: &State) -> Known {
        let known = |slot: TxSlot| Some(self.held(slot, state)?.unwrap_or_default());
        let value = match &set.change {
            Change::Remove => return ABSENT,
            Change::Set(text) => text.evaluate(known),
            Change::Add(text) => text
                .evaluate(known)
                .zip(known(slot))
                .map(|(change, old)| crate::waf::action::setvar::sum(old, &change).to_string().into_bytes()),
        };
        value.map_or(UNKNOWN, |value| self.constant(value))
    }

    fn constant(&mut self, value: Vec<u8>) -> Known {
        let next = self.constants.len() as Known;
        let value = value.into_boxed_slice();
        *self.numbers.entry(value.clone()).or_insert_with(|| {
            self.constants.push(value);
            next
        })
    }

    /// An action that may run, once or often.
    fn may_run(&mut self, action: &Action, state: &mut State) {
        let Action::SetVariable(set) = action else { return };
        if set.collection != Variable::Tx {
            return;
        }
        let slot = match &set.name {
            Name::Slot(slot) => *slot,
            Name::Text(text) => {
                let prefix = beginning(text);
                for (slot, name) in self.program.tx_names.iter() {
                    if name.starts_with(&prefix)
                        && let Some(known) = state.get_mut(slot.0 as usize)
                    {
                        *known = UNKNOWN;
                    }
                }
                return;
            }
        };
        let value = match &set.change {
            // A macro's value may be another one by the time it runs again.
            Change::Set(text) if text.literal().is_none() => UNKNOWN,
            Change::Add(_) => UNKNOWN,
            Change::Set(_) | Change::Remove => self.value(set, slot, state),
        };
        if let Some(known) = state.get_mut(slot.0 as usize)
            && *known != value
        {
            *known = UNKNOWN;
        }
    }
}

/// Does a match leave no trace but what its actions do?
fn is_quiet(program: &Program, rule: &Rule) -> bool {
    let head = program.head(rule);
    rule.is_starter
        && !rule.has_link
        && !rule.captures
        && !rule.is_multi_match
        && !head.logs
        && !head.audits
        && head.severity.is_none()
        && head.skip == 0
        && matches!(head.disposition, Disposition::Pass)
}

const fn is_about_matches(variable: Variable) -> bool {
    matches!(
        variable,
        Variable::MatchedVar | Variable::MatchedVarName | Variable::MatchedVars | Variable::MatchedVarsNames
    )
}

fn mentions_matches(set: &SetVariable) -> bool {
    let name = match &set.name {
        Name::Slot(_) => None,
        Name::Text(text) => Some(text),
    };
    let value = match &set.change {
        Change::Set(text) | Change::Add(text) => Some(text),
        Change::Remove => None,
    };
    name.into_iter().chain(value).any(|text| text.mentions(is_about_matches))
}

/// Does a rule look at what another one matched?
fn looks_at_earlier_matches(program: &Program) -> bool {
    let mentions = |text: &Text| text.mentions(is_about_matches);
    program.rules.iter().filter(|rule| rule.is_starter).any(|rule| {
        program.operator(rule.operator).mentions(is_about_matches)
            || program.targets(rule).iter().any(|target| {
                is_about_matches(target.variable)
                    || matches!(&target.selector, Selector::Dynamic(text) if mentions(text))
            })
    })
}

/// Can the audit log have a part K?
fn notes_matches(program: &Program) -> bool {
    let adds = |action: &Action| match action {
        Action::Control(Ctl::AuditLogParts(PartsChange::Set(parts) | PartsChange::Add(parts))) => parts.contains(&b'K'),
        _ => false,
    };
    let can_be_on = program.settings.audit_engine != AuditEngine::Off
        || program.actions.iter().any(|action| matches!(action, Action::Control(Ctl::AuditEngine(_))));
    can_be_on && (program.settings.audit_parts.contains(&b'K') || program.actions.iter().any(adds))
}
