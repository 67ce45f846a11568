//! A compiled ruleset: flat tables that refer to each other by small integers.
//!
//! Made by [`super::compile`], read by [`super::eval`]. Nothing in it changes after compilation, so one `Arc` of it
//! serves every site and worker. The rules of a phase lie next to each other in rule order, and a chain's links
//! directly after its starter: "the next rule" is an index plus one, and a paranoia gate is an index to go on at.

use std::ops::Range;
use std::sync::Arc;

use super::action::Action;
use super::action::ctl::ExcludedTarget;
use super::body::xml::XPath;
use super::collection::Variable;
use super::expand::Text;
use super::line::Written;
use super::names::NameIndex;
use super::operate::CompiledOperator;
use super::options::EngineOptions;
use super::plan::Plan;
use super::regex::Regex;
use super::settings::{AuditLog, Settings};
use super::transformation::Transformation;
use super::{Disruption, RuleId};

/// Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct Program {
    /// Unique in the process, and larger than those of all programs compiled before.
    pub(crate) number: u64,
    /// All rules, by phase, in order.
    pub(crate) rules: Vec<Rule>,
    /// Where each phase's rules are in `rules`.
    pub(crate) phases: [Range<u32>; 5],
    /// What the rules of one chain share; index by [`Rule::head`].
    pub(crate) heads: Vec<Head>,
    /// The targets of all rules.
    pub(crate) targets: Vec<Target>,
    /// The non-disruptive actions of all rules.
    pub(crate) actions: Vec<Action>,
    /// Distinct transformation chains; index by [`PipelineId`].
    pub(crate) pipelines: Vec<Box<[Transformation]>>,
    /// Operators; index by [`OperatorId`].
    pub(crate) operators: Vec<CompiledOperator>,
    /// Names of TX variables known at compile time.
    pub(crate) tx_names: TxNames,
    /// Sets of rules that `ctl` actions take away; index by [`RuleSetId`].
    pub(crate) rule_sets: Vec<RuleSet>,
    /// Targets that `ctl` actions take away; index by [`TargetListId`].
    pub(crate) target_lists: Vec<Box<[ExcludedTarget]>>,
    /// Distinct XPaths of XML targets; index by [`XPathId`].
    pub(crate) xpaths: Vec<NamedXPath>,
    /// What the directives other than rules say.
    pub(crate) settings: Settings,
    /// Do rules look at the content of uploaded files?
    pub(crate) uses_file_content: bool,
    /// What rules have in common, for the fast paths.
    pub(crate) plan: Plan,
    /// As given to the compiler.
    pub(crate) options: EngineOptions,
}

/// Index into [`Program::rules`].
pub(crate) type RuleIndex = u32;

/// Index into [`Program::pipelines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PipelineId(pub(crate) u16);

/// Index into [`Program::operators`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OperatorId(pub(crate) u32);

/// Index into [`Program::xpaths`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct XPathId(pub(crate) u32);

/// Index of a TX variable known at compile time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TxSlot(pub(crate) u32);

/// Index into [`Program::rule_sets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuleSetId(pub(crate) u32);

/// Index into [`Program::target_lists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetListId(pub(crate) u32);

/// One `SecRule` or `SecAction`, a link of a chain included.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The chain's metadata and disruptive action.
    pub(crate) head: u32,
    /// What is tested.
    pub(crate) operator: OperatorId,
    /// What is done to a value before.
    pub(crate) pipeline: PipelineId,
    /// In `Program::targets`.
    pub(crate) targets: Range<u32>,
    /// In `Program::actions`.
    pub(crate) actions: Range<u32>,
    /// The first rule after the chain.
    pub(crate) chain_end: RuleIndex,
    /// Where to go on when the chain has matched; beyond the phase's end when the marker is not in it.
    pub(crate) skip_after: Option<RuleIndex>,
    /// Line of the directive, in the file of the head.
    pub(crate) line: u32,
    /// Is it the first of its chain (or alone)?
    pub(crate) is_starter: bool,
    /// Does a link follow?
    pub(crate) has_link: bool,
    /// `!@op`
    pub(crate) is_negated: bool,
    /// `capture`
    pub(crate) captures: bool,
    /// `multiMatch`
    pub(crate) is_multi_match: bool,
}

/// An XPath as written and compiled with the namespaces of its rule.
#[derive(Debug)]
pub(crate) struct NamedXPath {
    pub(crate) path: Box<[u8]>,
    pub(crate) xpath: XPath,
}

/// What belongs to a chain as a whole.
#[derive(Debug)]
pub(crate) struct Head {
    /// `id`
    pub(crate) id: RuleId,
    /// `skip:N`: that many rules or chains are left out after a match.
    pub(crate) skip: u32,
    /// What a match does.
    pub(crate) disposition: Disposition,
    /// `status`, for deny and redirect.
    pub(crate) status: u16,
    /// `log`
    pub(crate) logs: bool,
    /// `auditlog`
    pub(crate) audits: bool,
    /// `msg`
    pub(crate) message: Option<Text>,
    /// `logdata`
    pub(crate) log_data: Option<Text>,
    /// `severity`, 0 to 7.
    pub(crate) severity: Option<u8>,
    /// `tag`, in order.
    pub(crate) tags: Box<[Text]>,
    /// `tags`, when none of them has macros.
    pub(crate) plain_tags: Option<Vec<Vec<u8>>>,
    /// `ver`
    pub(crate) version: Option<Box<[u8]>>,
    /// `rev`
    pub(crate) revision: Option<Box<[u8]>>,
    /// `maturity`
    pub(crate) maturity: Option<u8>,
    /// `accuracy`
    pub(crate) accuracy: Option<u8>,
    /// File of the starter.
    pub(crate) file: Arc<str>,
    /// Line of the starter.
    pub(crate) line: u32,
    /// What every log line about it has.
    pub(crate) written: Written,
}

impl Head {
    /// `msg`, when it has no macros.
    pub(crate) fn plain_message(&self) -> Option<Vec<u8>> {
        self.message.as_ref()?.literal().map(super::line::bounded)
    }
}

/// Disruptive actions with their expanded-later arguments.
#[derive(Debug, Clone)]
pub(crate) enum Disposition {
    /// `pass`
    Pass,
    /// `allow`, `allow:phase`, `allow:request`
    Allow(AllowScope),
    /// `deny` (and `block` where that is the default)
    Deny,
    /// `drop`
    Drop,
    /// `redirect:URL`
    Redirect(Text),
}

impl Disposition {
    /// The public form, when it ends the transaction.
    pub(crate) fn disruption(&self, status: u16, location: Vec<u8>) -> Option<Disruption> {
        match self {
            Self::Pass | Self::Allow(_) => None,
            Self::Deny => Some(Disruption::Deny { status }),
            Self::Drop => Some(Disruption::Drop),
            Self::Redirect(_) => {
                // ModSecurity 2 turns any other status into 302.
                let status = if matches!(status, 301 | 302 | 303 | 307) { status } else { 302 };
                Some(Disruption::Redirect { status, location })
            }
        }
    }
}

/// How far an `allow` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AllowScope {
    /// The rest of this phase.
    Phase,
    /// The request's phases.
    Request,
    /// Everything up to phase 4.
    Transaction,
}

/// One target of a rule, in list order.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Which collection or value.
    pub(crate) variable: Variable,
    /// Which members of it.
    pub(crate) selector: Selector,
    /// `!`: takes away from what stands before it.
    pub(crate) is_exclusion: bool,
    /// `&`
    pub(crate) is_count: bool,
    /// As written, for log lines about values that are not there.
    pub(crate) label: Box<[u8]>,
}

/// Which members of a collection.
#[derive(Debug, Clone)]
pub(crate) enum Selector {
    /// All.
    All,
    /// Those of this name, whatever case.
    Key(Box<[u8]>),
    /// Those of a name that holds macros.
    Dynamic(Text),
    /// A TX variable known at compile time.
    Slot(TxSlot),
    /// Those whose name matches; for TX with the matching slots already known.
    Regex(Arc<Regex>, Box<[TxSlot]>),
    /// XML nodes.
    XPath(XPathId),
}

/// Names of TX variables that the rules mention, lower-case; and XPaths, which macros as well as targets add to.
#[derive(Debug, Default)]
pub(crate) struct TxNames {
    xpaths: Vec<NamedXPath>,
    names: Vec<Box<[u8]>>,
    /// As the first setvar spells them.
    spelled: Vec<Option<Box<[u8]>>>,
    by_name: NameIndex,
}

impl TxNames {
    /// With `0` to `9` in the first ten slots, for captures.
    pub(crate) fn new() -> Self {
        let mut names = Self::default();
        for digit in b'0'..=b'9' {
            names.intern(&[digit]);
        }
        names
    }

    /// The number of an XPath, made if need be.
    pub(crate) fn xpath(&mut self, path: &[u8], xpath: XPath) -> XPathId {
        let known = self.xpaths.iter().position(|own| *own.path == *path && own.xpath == xpath);
        let index = known.unwrap_or_else(|| {
            self.xpaths.push(NamedXPath { path: path.into(), xpath });
            self.xpaths.len() - 1
        });
        XPathId(index as u32)
    }

    /// All XPaths, by number.
    pub(crate) fn take_xpaths(&mut self) -> Vec<NamedXPath> {
        std::mem::take(&mut self.xpaths)
    }

    /// The slot of a name, made if need be.
    pub(crate) fn intern(&mut self, name: &[u8]) -> TxSlot {
        if let Some(slot) = self.find(name) {
            return slot;
        }
        let slot = TxSlot(self.names.len() as u32);
        self.names.push(name.to_ascii_lowercase().into_boxed_slice());
        self.spelled.push(None);
        self.by_name.insert(self.by_name.hash(name), slot.0);
        slot
    }

    /// As [`TxNames::intern`], and the name is shown as spelled here.
    pub(crate) fn intern_spelled(&mut self, name: &[u8]) -> TxSlot {
        let slot = self.intern(name);
        if let Some(spelled) = self.spelled.get_mut(slot.0 as usize) {
            spelled.get_or_insert_with(|| name.into());
        }
        slot
    }

    /// The name of a slot as rules spell it where they set it.
    pub(crate) fn spelled(&self, slot: TxSlot) -> &[u8] {
        match self.spelled.get(slot.0 as usize) {
            Some(Some(name)) => name,
            _ => self.name(slot),
        }
    }

    /// The slot of a name, whatever its case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<TxSlot> {
        let is_it = |number| self.name(TxSlot(number)).eq_ignore_ascii_case(name);
        self.by_name.find(self.by_name.hash(name), is_it).map(TxSlot)
    }

    /// The lower-case name of a slot.
    pub(crate) fn name(&self, slot: TxSlot) -> &[u8] {
        self.names.get(slot.0 as usize).map(|name| &**name).unwrap_or_default()
    }

    /// All slots with their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TxSlot, &[u8])> {
        self.names.iter().enumerate().map(|(index, name)| (TxSlot(index as u32), &**name))
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

/// A set of rule indices, one bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleSet {
    words: Vec<u64>,
}

impl RuleSet {
    /// Adds one.
    pub(crate) fn insert(&mut self, rule: RuleIndex) {
        let word = (rule / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << (rule % 64);
        }
    }

    /// Is it in?
    pub(crate) fn contains(&self, rule: RuleIndex) -> bool {
        self.words.get((rule / 64) as usize).is_some_and(|word| word & (1 << (rule % 64)) != 0)
    }

    /// Have both a rule in common?
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(own, theirs)| own & theirs != 0)
    }

    /// Adds all of another set.
    pub(crate) fn union(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (own, theirs) in self.words.iter_mut().zip(&other.words) {
            *own |= theirs;
        }
    }
}

impl Program {
    /// Where the audit entries of its transactions ([`super::Summary::audit`]) are to be written.
    pub fn audit_log(&self) -> Option<&Arc<AuditLog>> {
        self.settings.audit_log.as_ref()
    }

    /// How many rules, links of chains included.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The rules' ids with their files and lines, in order of evaluation.
    pub fn rule_ids(&self) -> impl Iterator<Item = (RuleId, &str, u32)> {
        self.heads.iter().map(|head| (head.id, &*head.file, head.line))
    }

    /// What `SecComponentSignature` says.
    pub fn component_signatures(&self) -> &[String] {
        &self.settings.component_signatures
    }

    pub(crate) fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(index as usize)
    }

    #[expect(clippy::indexing_slicing, reason = "the compiler gives each rule a head")]
    pub(crate) fn head(&self, rule: &Rule) -> &Head {
        &self.heads[rule.head as usize]
    }

    pub(crate) fn target_list(&self, id: TargetListId) -> &[ExcludedTarget] {
        self.target_lists.get(id.0 as usize).map(|list| &**list).unwrap_or_default()
    }

    pub(crate) fn targets(&self, rule: &Rule) -> &[Target] {
        self.targets.get(rule.targets.start as usize..rule.targets.end as usize).unwrap_or_default()
    }

    pub(crate) fn actions(&self, rule: &Rule) -> &[Action] {
        self.actions.get(rule.actions.start as usize..rule.actions.end as usize).unwrap_or_default()
    }

    pub(crate) fn pipeline(&self, id: PipelineId) -> &[Transformation] {
        self.pipelines.get(usize::from(id.0)).map(|p| &**p).unwrap_or_default()
    }

    #[expect(clippy::indexing_slicing, reason = "the compiler gives each rule an operator")]
    pub(crate) fn operator(&self, id: OperatorId) -> &CompiledOperator {
        &self.operators[id.0 as usize]
    }

    pub(crate) fn phase(&self, phase: u8) -> Range<u32> {
        self.phases.get(usize::from(phase).wrapping_sub(1)).cloned().unwrap_or(0..0)
    }
}
