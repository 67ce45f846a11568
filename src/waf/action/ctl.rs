//! `ctl`: settings and rules changed for the rest of the transaction.
//!
//! Which rules an option names is known when the rules are compiled, so at run time taking rules away is the union of
//! two bit sets.

use crate::waf::collection::{Value, Variable};
use crate::waf::plan::Folding;
use crate::waf::program::{Program, RuleIndex, RuleSetId, TargetListId};
use crate::waf::regex::Regex;
use crate::waf::scratch::RegexCaches;
use crate::waf::settings::{AuditEngine, EngineMode, XmlArguments};
use crate::waf::transaction::Transaction;
use std::sync::Arc;

/// The options.
#[derive(Debug, Clone)]
pub(crate) enum Ctl {
    RuleEngine(EngineMode),
    /// `ruleRemoveById`, `ruleRemoveByTag`, `ruleRemoveByMsg`
    RemoveRules(RuleSetId),
    /// `ruleRemoveTargetById`, `ruleRemoveTargetByTag`, `ruleRemoveTargetByMsg`
    RemoveTargets(RuleSetId, TargetListId),
    RequestBodyAccess(bool),
    ForceRequestBodyVariable(bool),
    RequestBodyProcessor(Box<[u8]>),
    RequestBodyLimit(u64),
    ResponseBodyAccess(bool),
    ResponseBodyLimit(u64),
    AuditEngine(AuditEngine),
    AuditLogParts(PartsChange),
    ParseXmlIntoArgs(XmlArguments),
    /// `debugLogLevel`: nothing to do, said at compile time.
    Nothing,
}

/// `ctl:auditLogParts`
#[derive(Debug, Clone)]
pub(crate) enum PartsChange {
    Set(Vec<u8>),
    Add(Vec<u8>),
    Remove(Vec<u8>),
}

/// A target that rules no longer look at.
#[derive(Debug, Clone)]
pub(crate) struct ExcludedTarget {
    pub(crate) variable: Variable,
    pub(crate) member: ExcludedMember,
}

/// Which members of it.
#[derive(Debug, Clone)]
pub(crate) enum ExcludedMember {
    All,
    /// Of this name, whatever its case.
    Key(Box<[u8]>),
    /// Whose name matches.
    Regex(Arc<Regex>),
}

/// What a `ctl` of this transaction took away.
#[derive(Debug, Clone)]
pub(crate) struct RemovedTarget {
    rules: RuleSetId,
    targets: TargetListId,
}

impl Ctl {
    pub(crate) fn run(&self, program: &Program, transaction: &mut Transaction) {
        let control = &mut transaction.control;
        match self {
            Self::RuleEngine(mode) => {
                control.engine = *mode;
                if *mode == EngineMode::DetectionOnly {
                    control.process_partial();
                }
            }
            Self::RemoveRules(set) => {
                if let Some(set) = program.rule_sets.get(set.0 as usize) {
                    transaction.removed_rules.union(set);
                    transaction.is_folded &= !program.plan.needs_any(set);
                }
            }
            Self::RemoveTargets(rules, targets) => {
                if program.target_list(*targets).iter().any(|target| Folding::looks_at(target.variable))
                    && let Some(set) = program.rule_sets.get(rules.0 as usize)
                {
                    transaction.is_folded &= !program.plan.needs_any(set);
                }
                transaction.removed_targets.push(RemovedTarget { rules: *rules, targets: *targets });
            }
            Self::RequestBodyAccess(is_on) => control.request_body_access = *is_on,
            Self::ForceRequestBodyVariable(is_on) => control.force_request_body = *is_on,
            Self::RequestBodyProcessor(name) => transaction.body.processor = name.to_vec(),
            Self::RequestBodyLimit(limit) => control.request_body_limit = *limit,
            Self::ResponseBodyAccess(is_on) => control.response_body_access = *is_on,
            Self::ResponseBodyLimit(limit) => control.response_body_limit = *limit,
            Self::AuditEngine(engine) => {
                control.audit_engine = *engine;
                transaction.is_folded &= *engine == AuditEngine::Off || program.plan.allows_audit();
            }
            Self::AuditLogParts(change) => change.apply(control.audit_parts_mut(program)),
            Self::ParseXmlIntoArgs(value) => control.parse_xml_into_args = *value,
            Self::Nothing => {}
        }
    }
}

impl PartsChange {
    fn apply(&self, parts: &mut Vec<u8>) {
        match self {
            Self::Set(new) => *parts = new.clone(),
            Self::Add(new) => {
                for part in new {
                    if !parts.contains(part) {
                        parts.push(*part);
                    }
                }
            }
            Self::Remove(old) => parts.retain(|part| !old.contains(part)),
        }
    }
}

impl Transaction {
    /// Did a `ctl` take values away from this rule?
    pub(crate) fn has_removed_targets(&self, program: &Program, rule: RuleIndex) -> bool {
        self.removed_targets
            .iter()
            .any(|removed| program.rule_sets.get(removed.rules.0 as usize).is_some_and(|set| set.contains(rule)))
    }

    /// Did a `ctl` take this value away from this rule?
    pub(crate) fn is_target_removed(
        &self,
        program: &Program,
        rule: RuleIndex,
        value: &Value,
        text: &[u8],
        caches: &mut RegexCaches,
    ) -> bool {
        self.removed_targets.iter().any(|removed| {
            let concerns = program.rule_sets.get(removed.rules.0 as usize).is_some_and(|set| set.contains(rule));
            concerns
                && program.target_list(removed.targets).iter().any(|target| {
                    let key = value.key.map(|key| self.bytes(program, text, key));
                    target.fits(value.variable, key, caches)
                })
        })
    }
}

impl ExcludedTarget {
    fn fits(&self, variable: Variable, key: Option<&[u8]>, caches: &mut RegexCaches) -> bool {
        self.variable == variable
            && match (&self.member, key) {
                (ExcludedMember::All, _) => true,
                (ExcludedMember::Key(own), Some(key)) => own.eq_ignore_ascii_case(key),
                (ExcludedMember::Regex(regex), Some(key)) => caches.excludes(regex, key),
                (ExcludedMember::Key(_) | ExcludedMember::Regex(_), None) => false,
            }
    }
}
