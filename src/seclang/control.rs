//! The options of the action `ctl`.

use super::table::{Named, Origin, Support};

/// What stands behind the equals sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlValue {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number.
    Number,
    /// `+EF`, `-EF` or `ABC`.
    Parts,
    /// Rule ids and ranges.
    Ids,
    /// A pattern or text.
    Text,
    /// Rule ids, a semicolon, a target.
    IdsAndTarget,
    /// A pattern or text, a semicolon, a target.
    TextAndTarget,
}

impl ControlValue {
    /// For the reference page and messages.
    pub fn describe(self) -> String {
        match self {
            Self::OneOf(words) => words.join(", "),
            Self::Number => "a whole number".into(),
            Self::Parts => "letters A to K and Z, with + or - to add or remove".into(),
            Self::Ids => "a rule id or a range such as 1-99".into(),
            Self::Text => "text".into(),
            Self::IdsAndTarget => "a rule id, a semicolon, a target".into(),
            Self::TextAndTarget => "text, a semicolon, a target".into(),
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Control {
    /// Canonical spelling.
    pub name: &'static str,
    /// Behind the equals sign.
    pub value: ControlValue,
    /// Who knows it.
    pub origin: Origin,
    /// Is it carried out?
    pub support: Support,
    /// One sentence.
    pub doc: &'static str,
}

impl Named for Control {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
}

const fn row(name: &'static str, value: ControlValue, doc: &'static str) -> Control {
    Control { name, value, origin: Origin::Both, support: Support::Full, doc }
}

const fn v2(row: Control) -> Control {
    Control { origin: Origin::V2, ..row }
}

const fn refused(reason: &'static str, row: Control) -> Control {
    Control { support: Support::Refused(reason), ..row }
}

const SWITCH: ControlValue = ControlValue::OneOf(&["On", "Off"]);
const NO_HASH: &str = "portcullis adds no hashes to links";

/// All ctl options, in alphabetical order.
pub const CONTROLS: &[Control] = &[
    row("auditEngine", ControlValue::OneOf(&["On", "Off", "RelevantOnly"]), "SecAuditEngine for this transaction."),
    row("auditLogParts", ControlValue::Parts, "SecAuditLogParts for this transaction."),
    v2(Control {
        support: Support::Inert("portcullis has no debug log of rules; see `portcullis rules explain`"),
        ..row("debugLogLevel", ControlValue::Number, "SecDebugLogLevel for this transaction.")
    }),
    row("forceRequestBodyVariable", SWITCH, "Fills REQUEST_BODY although no body processor was chosen."),
    v2(refused(NO_HASH, row("HashEnforcement", SWITCH, "Hash enforcement for this transaction."))),
    v2(refused(NO_HASH, row("HashEngine", SWITCH, "SecHashEngine for this transaction."))),
    row(
        "parseXmlIntoArgs",
        ControlValue::OneOf(&["On", "Off", "OnlyArgs"]),
        "SecParseXmlIntoArgs for this transaction.",
    ),
    row("requestBodyAccess", SWITCH, "SecRequestBodyAccess for this transaction; in phase 1."),
    v2(row("requestBodyLimit", ControlValue::Number, "SecRequestBodyLimit for this transaction; in phase 1.")),
    row(
        "requestBodyProcessor",
        ControlValue::OneOf(&["URLENCODED", "MULTIPART", "XML", "JSON"]),
        "How the request body is read; in phase 1.",
    ),
    v2(row("responseBodyAccess", SWITCH, "SecResponseBodyAccess for this transaction; up to phase 3.")),
    v2(row("responseBodyLimit", ControlValue::Number, "SecResponseBodyLimit for this transaction; up to phase 3.")),
    row("ruleEngine", ControlValue::OneOf(&["On", "Off", "DetectionOnly"]), "SecRuleEngine for this transaction."),
    row("ruleRemoveById", ControlValue::Ids, "Removes rules for the rest of this transaction."),
    v2(row("ruleRemoveByMsg", ControlValue::Text, "Removes rules whose msg matches the pattern.")),
    row("ruleRemoveByTag", ControlValue::Text, "Removes rules with a tag that matches the pattern."),
    row("ruleRemoveTargetById", ControlValue::IdsAndTarget, "Removes a target from rules."),
    v2(row("ruleRemoveTargetByMsg", ControlValue::TextAndTarget, "Removes a target from rules by msg.")),
    row("ruleRemoveTargetByTag", ControlValue::TextAndTarget, "Removes a target from rules by tag."),
];
