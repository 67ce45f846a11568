//! The actions of a rule.

use super::table::{Named, Origin, Support};

/// What an action is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionGroup {
    /// Describes the rule: id, msg, severity.
    Metadata,
    /// Decides about the transaction: deny, pass.
    Disruptive,
    /// Changes which rule comes next: chain, skip.
    Flow,
    /// Parameter of a disruptive action: status.
    Parameter,
    /// Everything else: t, setvar, ctl, log.
    Other,
}

impl ActionGroup {
    /// For the reference page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Disruptive => "disruptive",
            Self::Flow => "flow",
            Self::Parameter => "parameter",
            Self::Other => "other",
        }
    }
}

/// What stands behind the colon; the parser checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionArgument {
    /// No colon.
    None,
    /// Any text, may hold macros.
    Text,
    /// Nothing or any text.
    OptionalText,
    /// A rule id.
    Id,
    /// 1 to 5, or request, response, logging.
    Phase,
    /// 0 to 7 or a name.
    Severity,
    /// A whole number.
    Number,
    /// An HTTP status.
    Status,
    /// Nothing, `phase` or `request`.
    Allow,
    /// A transformation.
    Transformation,
    /// `option=value`, see the table of ctl options.
    Control,
    /// `collection.name`, `collection.name=value`, `!collection.name`.
    SetVariable,
    /// `collection.name=value`.
    CollectionVariable,
    /// `collection=key`.
    Collection,
    /// `name=value`.
    Pair,
}

impl ActionArgument {
    /// For the reference page and messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Text => "text",
            Self::OptionalText => "text or nothing",
            Self::Id => "a number",
            Self::Phase => "1 to 5, request, response or logging",
            Self::Severity => "0 to 7 or EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG",
            Self::Number => "a whole number",
            Self::Status => "an HTTP status, 100 to 599",
            Self::Allow => "nothing, phase or request",
            Self::Transformation => "a transformation",
            Self::Control => "option=value",
            Self::SetVariable => "collection.name=value, =+n, =-n, or !collection.name",
            Self::CollectionVariable => "collection.name=value",
            Self::Collection => "collection=key",
            Self::Pair => "name=value",
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct ActionRow {
    /// Canonical spelling.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// What it is for.
    pub group: ActionGroup,
    /// Behind the colon.
    pub argument: ActionArgument,
    /// May a rule have several?
    pub repeats: bool,
    /// Who knows it.
    pub origin: Origin,
    /// Is it carried out?
    pub support: Support,
    /// One sentence.
    pub doc: &'static str,
}

impl Named for ActionRow {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }
}

const fn row(group: ActionGroup, name: &'static str, argument: ActionArgument, doc: &'static str) -> ActionRow {
    let support = Support::Full;
    ActionRow { name, aliases: &[], group, argument, repeats: false, origin: Origin::Both, support, doc }
}

const fn several(row: ActionRow) -> ActionRow {
    ActionRow { repeats: true, ..row }
}

const fn v2(row: ActionRow) -> ActionRow {
    ActionRow { origin: Origin::V2, ..row }
}

const fn refused(reason: &'static str, row: ActionRow) -> ActionRow {
    ActionRow { support: Support::Refused(reason), ..row }
}

const fn inert(reason: &'static str, row: ActionRow) -> ActionRow {
    ActionRow { support: Support::Inert(reason), ..row }
}

const fn sanitise(aliases: &'static [&'static str], row: ActionRow) -> ActionRow {
    ActionRow { aliases, origin: Origin::V2, repeats: true, ..row }
}

const NO_INJECTION: &str = "portcullis never rewrites bodies";

use ActionArgument as Takes;
use ActionGroup::{Disruptive, Flow, Metadata, Other, Parameter};

/// All actions, in alphabetical order.
pub const ACTIONS: &[ActionRow] = &[
    row(Metadata, "accuracy", Takes::Number, "How sure the rule is, 1 to 9."),
    row(Disruptive, "allow", Takes::Allow, "Lets the transaction pass without further rules (but phase 5)."),
    v2(inert(NO_INJECTION, row(Other, "append", Takes::Text, "Appends text to the response body."))),
    row(Other, "auditlog", Takes::None, "A match makes the transaction relevant for the audit log."),
    row(Disruptive, "block", Takes::None, "Does what SecDefaultAction says for the phase."),
    row(Other, "capture", Takes::None, "Stores what the operator captured in TX:0 to TX:9."),
    row(Flow, "chain", Takes::None, "The rule matches only if the next one matches too."),
    several(row(Other, "ctl", Takes::Control, "Changes a setting for this transaction; see the ctl options.")),
    row(Disruptive, "deny", Takes::None, "Answers with the status of the rule, 403 by default."),
    v2(several(row(Other, "deprecatevar", Takes::CollectionVariable, "Lets a number fall over time: amount/seconds."))),
    row(Disruptive, "drop", Takes::None, "Closes the connection without an answer."),
    several(refused(
        "portcullis starts no programs and no Lua from rules",
        row(Other, "exec", Takes::Text, "Runs a program."),
    )),
    several(row(Other, "expirevar", Takes::CollectionVariable, "Removes a variable after a number of seconds.")),
    row(Metadata, "id", Takes::Id, "The rule's number, unique in the rule set."),
    several(row(Other, "initcol", Takes::Collection, "Opens a persistent collection under a key.")),
    row(Other, "log", Takes::None, "A match is logged; the default."),
    row(Metadata, "logdata", Takes::Text, "Text to log with a match."),
    v2(refused(
        "markers are directives of their own: write SecMarker",
        row(Flow, "marker", Takes::Text, "Marks a place for skipAfter."),
    )),
    row(Metadata, "maturity", Takes::Number, "How well tested the rule is, 1 to 9."),
    row(Metadata, "msg", Takes::Text, "The message of a match."),
    row(Other, "multiMatch", Takes::None, "Applies the operator after each transformation that changed the value."),
    row(Other, "noauditlog", Takes::None, "A match does not make the transaction relevant for the audit log."),
    row(Other, "nolog", Takes::None, "A match is logged nowhere."),
    row(Disruptive, "pass", Takes::None, "Goes on with the next rule."),
    v2(inert(
        "holding a request back costs the gateway more than the client",
        row(Parameter, "pause", Takes::Text, "Waits before the disruptive action."),
    )),
    row(Metadata, "phase", Takes::Phase, "When the rule runs: 1 to 5, 2 by default."),
    v2(inert(NO_INJECTION, row(Other, "prepend", Takes::Text, "Prepends text to the response body."))),
    v2(refused(
        "a rule cannot choose a backend; routes do",
        row(Disruptive, "proxy", Takes::Text, "Forwards the request to another server."),
    )),
    row(Disruptive, "redirect", Takes::Text, "Answers with a redirect to a URL."),
    row(Metadata, "rev", Takes::Text, "Revision of the rule."),
    sanitise(
        &["sanitizeArg"],
        row(Other, "sanitiseArg", Takes::Text, "Hides an argument in the request line and body of the audit log."),
    ),
    sanitise(
        &["sanitizeMatched"],
        row(Other, "sanitiseMatched", Takes::None, "Hides the argument or header field that matched in the audit log."),
    ),
    sanitise(
        &["sanitizeMatchedBytes"],
        row(Other, "sanitiseMatchedBytes", Takes::OptionalText, "As sanitiseMatched; always the whole value."),
    ),
    sanitise(
        &["sanitizeRequestHeader"],
        row(Other, "sanitiseRequestHeader", Takes::Text, "Hides a request header in the audit log."),
    ),
    sanitise(
        &["sanitizeResponseHeader"],
        row(Other, "sanitiseResponseHeader", Takes::Text, "Hides a response header in the audit log."),
    ),
    several(row(Other, "setenv", Takes::Pair, "Sets a value of ENV.")),
    row(Other, "setrsc", Takes::Text, "Opens the collection RESOURCE under a key."),
    row(Other, "setsid", Takes::Text, "Opens the collection SESSION under a key."),
    row(Other, "setuid", Takes::Text, "Opens the collection USER under a key."),
    several(row(Other, "setvar", Takes::SetVariable, "Sets, adds to, or removes a variable of a collection.")),
    row(Metadata, "severity", Takes::Severity, "How bad a match is."),
    row(Flow, "skip", Takes::Number, "Skips this many rules or chains."),
    row(Flow, "skipAfter", Takes::Text, "Goes on behind the marker (or rule id) of that name."),
    row(Parameter, "status", Takes::Status, "Status for deny and redirect."),
    several(row(Other, "t", Takes::Transformation, "Transforms values before the operator looks at them.")),
    several(row(Metadata, "tag", Takes::Text, "A class that the rule belongs to.")),
    row(Metadata, "ver", Takes::Text, "Version of the rule set."),
    several(row(Other, "xmlns", Takes::Pair, "Declares a name space prefix for XPath.")),
];

/// The collections that setvar and its like can change.
pub const COLLECTIONS: &[&str] = &["TX", "IP", "GLOBAL", "RESOURCE", "SESSION", "USER"];

/// Names of severities, by number.
pub const SEVERITIES: &[&str] = &["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
