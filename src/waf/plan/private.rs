//! What rules leave in TX that nothing else reads.
//!
//! A rule that matches often only for the sake of a later link leaves traces on the way: `capture` sets TX.0 to TX.9, and
//! ```text
//! SecRule REQUEST_HEADERS_NAMES "@rx ^.*$" "capture,setvar:'tx.name_%{tx.0}=%{tx.0}',chain"
//!   SecRule TX:/^name_/ "@within %{tx.forbidden}"
//! ```
//! makes a variable of each value. Where it is certain that nobody else reads these, a chain that ends without a match has
//! done nothing; and as each value of its first link is judged for itself, such a chain finds nothing in the same values
//! again.

use std::sync::Arc;

use super::fold::Folding;
use crate::waf::action::Action;
use crate::waf::action::setvar::{Change, Name, SetVariable};
use crate::waf::collection::Variable;
use crate::waf::expand::Text;
use crate::waf::operator::Operator;
use crate::waf::program::{Disposition, OperatorId, Program, Rule, RuleIndex, Selector, Target, TxSlot};
use crate::waf::regex::Regex;

/// Slots of the captures.
const CAPTURES: u32 = 10;

/// A chain of two links, of which the second looks at variables that the first made of its values, one of each.
#[derive(Debug)]
pub(crate) struct PrivateChain {
    pub(crate) starter: RuleIndex,
    /// Has a bit in the prefilter's answers that stands for the whole chain.
    pub(crate) stand_in: OperatorId,
    /// What the names of the variables begin with, lower-case.
    pub(crate) prefix: Box<[u8]>,
    /// Where other rules look for variables. A chain whose variables fit one of them does leave something behind.
    pub(crate) others: Box<[Arc<Regex>]>,
}

/// How a program uses TX, as far as it is not by the name of a variable.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Somebody reads what a rule of another chain may have captured.
    pub(super) exposes_captures: bool,
    /// Something is read that cannot be told beforehand.
    reads_all: bool,
    /// Patterns of targets.
    patterns: Vec<(RuleIndex, Arc<Regex>)>,
    /// What the names begin with that are put together to be read, lower-case.
    reads: Vec<Box<[u8]>>,
    /// And those that are put together to be written or removed.
    writes: Vec<(RuleIndex, Box<[u8]>)>,
}

/// Captures that a chain has made itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fresh {
    None,
    /// TX.0
    First,
    All,
}

impl Usage {
    pub(super) fn of(program: &Program) -> Self {
        let mut usage = Self::default();
        let mut fresh = Fresh::None;
        for (index, rule) in (0..).zip(&program.rules) {
            if rule.is_starter {
                fresh = Fresh::None;
            }
            let operator = program.operator(rule.operator);
            operator.text().into_iter().for_each(|text| usage.read(text, fresh));
            for target in program.targets(rule) {
                usage.read_target(index, target, fresh);
            }
            if rule.captures && !rule.is_negated {
                fresh = fresh.max(captured(&operator.operator));
            }
            for action in program.actions(rule) {
                usage.act(index, action, fresh);
            }
            if !rule.has_link {
                let head = program.head(rule);
                let location = match &head.disposition {
                    Disposition::Redirect(text) => Some(text),
                    _ => None,
                };
                let texts = head.message.iter().chain(&head.log_data).chain(&*head.tags).chain(location);
                texts.for_each(|text| usage.read(text, fresh));
            }
        }
        usage
    }

    fn read(&mut self, text: &Text, fresh: Fresh) {
        let searches = text.searches(Variable::Tx);
        self.reads_all |= searches;
        self.exposes_captures |= searches;
        text.slots().for_each(|slot| self.read_slot(slot, fresh));
    }

    fn read_slot(&mut self, slot: TxSlot, fresh: Fresh) {
        let is_own = match fresh {
            Fresh::None => false,
            Fresh::First => slot.0 == 0,
            Fresh::All => true,
        };
        self.exposes_captures |= !is_own && slot.0 < CAPTURES;
    }

    fn read_target(&mut self, index: RuleIndex, target: &Target, fresh: Fresh) {
        match &target.selector {
            Selector::Dynamic(text) => {
                self.read(text, fresh);
                if target.variable == Variable::Tx {
                    self.reads.push(beginning(text));
                    // The name may be that of a capture.
                    self.exposes_captures = true;
                }
            }
            _ if target.variable != Variable::Tx => {}
            Selector::Slot(slot) => self.read_slot(*slot, fresh),
            Selector::Regex(regex, slots) => {
                self.patterns.push((index, Arc::clone(regex)));
                slots.iter().for_each(|slot| self.read_slot(*slot, fresh));
            }
            Selector::All | Selector::Key(_) | Selector::XPath(_) => {
                self.reads_all = true;
                self.exposes_captures = true;
            }
        }
    }

    fn act(&mut self, index: RuleIndex, action: &Action, fresh: Fresh) {
        match action {
            Action::SetVariable(set) => {
                match &set.name {
                    Name::Slot(slot) if set.collection == Variable::Tx => {
                        // Who sets TX.0 himself wants it read by others.
                        self.exposes_captures |= slot.0 < CAPTURES;
                    }
                    Name::Slot(_) => {}
                    Name::Text(text) => {
                        self.read(text, fresh);
                        if set.collection == Variable::Tx {
                            let beginning = beginning(text);
                            self.exposes_captures |= beginning.first().is_none_or(u8::is_ascii_digit);
                            self.writes.push((index, beginning));
                        }
                    }
                }
                if let Change::Set(text) | Change::Add(text) = &set.change {
                    self.read(text, fresh);
                }
            }
            Action::Expire(timed) | Action::Deprecate(timed) => {
                self.read(&timed.name, fresh);
                self.read(&timed.value, fresh);
            }
            Action::Open(open) => self.read(&open.key, fresh),
            Action::SetEnvironment(name, value) => {
                self.read(name, fresh);
                self.read(value, fresh);
            }
            Action::Control(_) | Action::Sanitise(_) => {}
        }
    }

    /// The chain that begins with this rule, if it is one of those; it will go by `stand_in`.
    pub(super) fn chain(
        &self,
        program: &Program,
        folding: &Folding,
        starter: RuleIndex,
        stand_in: OperatorId,
    ) -> Option<PrivateChain> {
        let (first, last) = (program.rule(starter)?, program.rule(starter + 1)?);
        let operator = program.operator(first.operator);
        let is_simple = first.is_starter
            && first.chain_end == starter + 2
            && first.captures
            && !first.is_negated
            && !first.is_multi_match
            && operator.is_pure()
            && !operator.can_give_up();
        if !is_simple || self.exposes_captures || self.reads_all {
            return None;
        }
        let prefix = written(program, first)?;
        let [target] = program.targets(last) else { return None };
        let Target { variable: Variable::Tx, selector: Selector::Regex(looked_for, slots), .. } = target else {
            return None;
        };
        let judge = program.operator(last.operator);
        let is_constant = judge.is_pure() || folding.has_constant_argument(starter + 1);
        let looked_for = beginning_of_pattern(looked_for)?;
        if target.is_count
            || target.is_exclusion
            || !slots.is_empty()
            || !is_constant
            || judge.can_give_up()
            || !prefix.starts_with(&looked_for)
        {
            return None;
        }
        let meets = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
        let is_written_elsewhere =
            self.writes.iter().any(|(rule, other)| *rule != starter && meets(other, &looked_for));
        let is_read_elsewhere = self.reads.iter().any(|other| meets(other, &prefix));
        let is_named = program.tx_names.iter().any(|(_, name)| name.starts_with(&looked_for));
        if is_written_elsewhere || is_read_elsewhere || is_named {
            return None;
        }
        let others = self.patterns.iter().filter(|(rule, _)| *rule != starter + 1);
        let others = others.map(|(_, regex)| Arc::clone(regex)).collect();
        Some(PrivateChain { starter, stand_in, prefix, others })
    }
}

/// What a match of a rule with `capture` sets or removes.
const fn captured(operator: &Operator) -> Fresh {
    match operator {
        // These leave TX.1 to TX.9 as they are.
        Operator::DetectSqli | Operator::DetectXss { .. } => Fresh::First,
        Operator::GeoLookup(_) | Operator::Rbl(..) => Fresh::None,
        _ => Fresh::All,
    }
}

/// What the names of the variables begin with that a rule makes of a capture, if it does nothing else.
fn written(program: &Program, rule: &Rule) -> Option<Box<[u8]>> {
    let mut prefix = None;
    for action in program.actions(rule) {
        let Action::SetVariable(SetVariable { collection: Variable::Tx, name, change }) = action else { return None };
        let (Name::Text(name), Change::Set(value)) = (name, change) else { return None };
        if !name.depends_on_slots() || !value.depends_on_slots() {
            return None;
        }
        if name.slots().chain(value.slots()).any(|slot| slot.0 >= CAPTURES) {
            return None;
        }
        let own = beginning(name);
        if own.is_empty() || prefix.as_ref().is_some_and(|prefix| *prefix != own) {
            return None;
        }
        prefix = Some(own);
    }
    prefix
}

/// What a name begins with for certain, lower-case: names are escaped when they are put together, and only what stays as
/// it is tells them apart.
pub(super) fn beginning(text: &Text) -> Box<[u8]> {
    let prefix = text.literal_prefix();
    let plain = prefix.iter().take_while(|byte| is_plain(**byte)).count();
    prefix.get(..plain).unwrap_or_default().to_ascii_lowercase().into()
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What a name must begin with, lower-case, to fit a pattern that says nothing else.
fn beginning_of_pattern(regex: &Regex) -> Option<Box<[u8]>> {
    let text = regex.pattern().strip_prefix(b"^")?;
    (!text.is_empty() && text.iter().all(|byte| is_plain(*byte))).then(|| text.to_ascii_lowercase().into())
}
