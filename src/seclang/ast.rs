//! The tree that the parser makes: one [`Directive`] per logical line, in order, includes already spliced in.
//!
//! Names of variables, operators, transformations and actions are checked by the parser against the tables of the
//! language, so an unknown one is a diagnostic and never reaches the tree. Values that may hold macros are kept as
//! written, bytes and all; `waf::expand` splits them.
//!
//! Two trees are equal when they say the same, wherever their texts stand.

use crate::diagnostics::Location;

/// A ruleset: every directive of the root file and its includes, in the order in which they take effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// In order.
    pub directives: Vec<Directive>,
}

/// One logical line.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Where its first word begins.
    pub location: Location,
    /// What it says.
    pub kind: DirectiveKind,
}

/// The directives with structure of their own; all others are [`DirectiveKind::Setting`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectiveKind {
    /// `SecRule VARIABLES OPERATOR [ACTIONS]`
    Rule(Rule),
    /// `SecAction ACTIONS`: a rule without variables.
    Action(Vec<Action>),
    /// `SecMarker NAME`
    Marker(Vec<u8>),
    /// `SecDefaultAction ACTIONS`
    DefaultAction(Vec<Action>),
    /// `SecRuleRemoveById 1 2-5 "6"`
    RemoveById(Vec<IdRange>),
    /// `SecRuleRemoveByTag REGEX` (one argument)
    RemoveByTag(Vec<u8>),
    /// `SecRuleRemoveByMsg REGEX`
    RemoveByMsg(Vec<u8>),
    /// `SecRuleUpdateTargetById IDS TARGETS [REPLACED]`
    UpdateTargetById(Vec<IdRange>, TargetUpdate),
    /// `SecRuleUpdateTargetByTag REGEX TARGETS [REPLACED]`
    UpdateTargetByTag(Vec<u8>, TargetUpdate),
    /// `SecRuleUpdateTargetByMsg REGEX TARGETS [REPLACED]`
    UpdateTargetByMsg(Vec<u8>, TargetUpdate),
    /// `SecRuleUpdateActionById ID[:OFFSET] ACTIONS`; the offset names a link of a chain.
    UpdateActionById {
        /// The chain starter.
        id: u32,
        /// 0 is the starter itself.
        offset: u32,
        /// Replacing actions.
        actions: Vec<Action>,
    },
    /// Every other directive: canonical name (`SecRuleEngine`) and arguments, unquoted.
    Setting(Setting),
}

/// `SecRequestBodyLimit 131072` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As the tables spell it, whatever case the file has.
    pub name: &'static str,
    /// Unquoted, unescaped.
    pub arguments: Vec<Vec<u8>>,
}

/// Inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First.
    pub first: u32,
    /// Last.
    pub last: u32,
}

/// Change of a rule's targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUpdate {
    /// Added targets, or with `!` exclusions.
    pub targets: Vec<Target>,
    /// The target that these replace, if one was named.
    pub replaces: Option<Vec<Target>>,
}

/// `SecRule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// In order; exclusions stay where they were written.
    pub targets: Vec<Target>,
    /// The operator.
    pub operator: OperatorCall,
    /// In order, `t:` and all.
    pub actions: Vec<Action>,
}

/// A variable as chosen by a rule: `&REQUEST_HEADERS:Host`, `!ARGS:/^x/`, `XML:/*`.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it begins.
    pub location: Location,
    /// `!`: takes away from what earlier targets added.
    pub is_exclusion: bool,
    /// `&`: the number of values instead of the values.
    pub is_count: bool,
    /// Canonical upper-case name, from the table in `seclang::variable`.
    pub name: &'static str,
    /// What stands behind the colon.
    pub selector: Option<Selector>,
}

/// Behind the colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A key, as written (case and quotes removed by the parser); may hold macros.
    Key(Vec<u8>),
    /// `/regex/`, without slashes, `\/` unescaped.
    Regex(Vec<u8>),
    /// An XPath expression (only for XML).
    XPath(Vec<u8>),
}

/// `!@rx pattern`.
#[derive(Debug, Clone)]
pub struct OperatorCall {
    /// Where the operator string begins.
    pub location: Location,
    /// `!`
    pub is_negated: bool,
    /// Canonical name without `@` as the table in `seclang::operator` spells it (`rx`, `pmFromFile`).
    pub name: &'static str,
    /// Argument as given to the operator: quotes and `\"` removed, no other change.
    pub argument: Vec<u8>,
}

/// `setvar:'tx.a=+1'`.
#[derive(Debug, Clone)]
pub struct Action {
    /// Where its name begins.
    pub location: Location,
    /// Canonical lower-case name as the table in `seclang::action` spells it (`skipAfter` keeps its capital).
    pub name: &'static str,
    /// What stands behind the colon, single quotes removed; `None` without colon. `ctl:ruleEngine=Off` is name
    /// `ctl`, argument `ruleEngine=Off`.
    pub argument: Option<Vec<u8>>,
}

impl PartialEq for Directive {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Directive {}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        (self.is_exclusion, self.is_count, self.name) == (other.is_exclusion, other.is_count, other.name)
            && self.selector == other.selector
    }
}

impl Eq for Target {}

impl PartialEq for OperatorCall {
    fn eq(&self, other: &Self) -> bool {
        (self.is_negated, self.name, &self.argument) == (other.is_negated, other.name, &other.argument)
    }
}

impl Eq for OperatorCall {}

impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.argument) == (other.name, &other.argument)
    }
}

impl Eq for Action {}
