//! The directives of a rule file.

use super::table::{Named, Origin, Support};

/// What a directive takes; the parser checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// Nothing.
    None,
    /// One of these words, whatever its case.
    OneOf(&'static [&'static str]),
    /// One whole number.
    Number,
    /// One octal number or `default`.
    Mode,
    /// One text.
    Text,
    /// One text and perhaps a second.
    TextAndOptional,
    /// Two texts.
    TwoTexts,
    /// One or more texts.
    Texts,
    /// Its own structure in the tree.
    Structured,
}

impl Arguments {
    /// For the reference page and messages.
    pub fn describe(self) -> String {
        match self {
            Self::None => "nothing".into(),
            Self::OneOf(words) => words.join(", "),
            Self::Number => "a whole number".into(),
            Self::Mode => "an octal number or default".into(),
            Self::Text => "one text".into(),
            Self::TextAndOptional => "one or two texts".into(),
            Self::TwoTexts => "two texts".into(),
            Self::Texts => "one or more texts".into(),
            Self::Structured => "see the text".into(),
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct DirectiveRow {
    /// Canonical spelling.
    pub name: &'static str,
    /// What it takes.
    pub arguments: Arguments,
    /// Who knows it.
    pub origin: Origin,
    /// Is it carried out?
    pub support: Support,
    /// First arguments with which an inert or refused directive asks for nothing, so that nothing is said.
    pub harmless: &'static [&'static str],
    /// One sentence.
    pub doc: &'static str,
}

impl Named for DirectiveRow {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
}

const fn row(name: &'static str, arguments: Arguments, doc: &'static str) -> DirectiveRow {
    DirectiveRow { name, arguments, origin: Origin::Both, support: Support::Full, harmless: &[], doc }
}

const fn inert(reason: &'static str, row: DirectiveRow) -> DirectiveRow {
    DirectiveRow { support: Support::Inert(reason), ..row }
}

const fn refused(reason: &'static str, row: DirectiveRow) -> DirectiveRow {
    DirectiveRow { support: Support::Refused(reason), ..row }
}

const fn unless(harmless: &'static [&'static str], row: DirectiveRow) -> DirectiveRow {
    DirectiveRow { harmless, ..row }
}

const fn of(origin: Origin, row: DirectiveRow) -> DirectiveRow {
    DirectiveRow { origin, ..row }
}

const SWITCH: Arguments = Arguments::OneOf(&["On", "Off"]);
const ENGINE: Arguments = Arguments::OneOf(&["On", "Off", "DetectionOnly"]);
const LIMIT_ACTION: Arguments = Arguments::OneOf(&["Reject", "ProcessPartial"]);
const OFF: &[&str] = &["Off"];

const NO_HASH: &str = "portcullis adds no hashes to links";
const NO_DEBUG_LOG: &str = "portcullis has no debug log of rules; see `portcullis rules explain`";
const SERIAL_ONLY: &str = "the audit log is one file; it makes no directories";
const NO_UPLOADS: &str = "uploaded files are inspected in memory and never written to disk";
const NO_STREAM: &str = "portcullis never rewrites bodies";
const NO_CONNECTIONS: &str = "connections are limited by the listener's settings, not by rules";
const LINEAR: &str = "patterns run in linear time, and the backtracker for look-around has a budget of its own";

use Arguments::{Mode, None, Number, Structured, Text, TextAndOptional, Texts, TwoTexts};

/// All directives, in alphabetical order.
pub const DIRECTIVES: &[DirectiveRow] = &[
    row("Include", Text, "Reads the files of a path or pattern in its place; none is an error."),
    of(Origin::V2, row("IncludeOptional", Text, "As Include, but finding none is fine.")),
    row("SecAction", Structured, "A rule that always matches."),
    row("SecArgumentSeparator", Text, "The character between arguments, & by default."),
    row("SecArgumentsLimit", Number, "The most arguments that are read."),
    row("SecAuditEngine", Arguments::OneOf(&["On", "Off", "RelevantOnly"]), "Which transactions have an audit entry."),
    row("SecAuditLog", Text, "File of the audit log, beside the rule file unless it is absolute."),
    inert("there is one audit log", row("SecAuditLog2", Text, "Second file of the audit log.")),
    inert(SERIAL_ONLY, row("SecAuditLogDirMode", Mode, "Permissions of directories of the audit log.")),
    row("SecAuditLogFileMode", Mode, "Permissions of files of the audit log."),
    row("SecAuditLogFormat", Arguments::OneOf(&["Native", "JSON"]), "Format of audit entries."),
    row("SecAuditLogParts", Text, "Parts of an audit entry, letters A to K and Z."),
    inert("entries have a fixed form", of(Origin::V3, row("SecAuditLogPrefix", Text, "Text before each audit entry."))),
    row("SecAuditLogRelevantStatus", Text, "Pattern of the statuses that make a transaction relevant."),
    inert(SERIAL_ONLY, row("SecAuditLogStorageDir", Text, "Directory of the entries of a concurrent audit log.")),
    row(
        "SecAuditLogType",
        Arguments::OneOf(&["Serial", "Concurrent", "Parallel", "HTTPS"]),
        "One file for all entries or one file each; only Serial is taken.",
    ),
    inert(
        "transformed values are always shared between rules",
        row("SecCacheTransformations", TextAndOptional, "Cache of transformed values."),
    ),
    refused(
        "the service manager confines the process, for example systemd's RootDirectory",
        row("SecChrootDir", Text, "Changes the root directory of the server."),
    ),
    row("SecCollectionTimeout", Number, "Seconds until an unused record of a persistent collection expires."),
    row("SecComponentSignature", Text, "Names a part of the rule set in the audit log."),
    unless(OFF, inert(NO_CONNECTIONS, row("SecConnEngine", ENGINE, "Limits of connections per address."))),
    inert(NO_CONNECTIONS, row("SecConnReadStateLimit", TextAndOptional, "Most connections of an address that read.")),
    inert(NO_CONNECTIONS, row("SecConnWriteStateLimit", TextAndOptional, "Most connections of an address that write.")),
    unless(OFF, inert(NO_STREAM, row("SecContentInjection", SWITCH, "Lets rules append to and prepend bodies."))),
    row("SecCookieFormat", Arguments::OneOf(&["0", "1"]), "Version of the cookie format."),
    row("SecCookieV0Separator", Text, "The character between cookies, ; by default."),
    inert("persistent collections are kept in memory", row("SecDataDir", Text, "Directory of persistent collections.")),
    inert(NO_DEBUG_LOG, row("SecDebugLog", Text, "File of the debug log.")),
    unless(&["0"], inert(NO_DEBUG_LOG, row("SecDebugLogLevel", Number, "Detail of the debug log, 0 to 9."))),
    row("SecDefaultAction", Structured, "What the following rules of a phase inherit."),
    unless(
        OFF,
        inert(
            "the route decides which headers are forwarded",
            row("SecDisableBackendCompression", SWITCH, "Asks backends not to compress."),
        ),
    ),
    row("SecGeoLookupDb", Text, "MaxMind database of @geoLookup."),
    refused(
        "the Google Safe Browsing database that it reads is no longer published",
        row("SecGsbLookupDb", Text, "Database of @gsbLookup."),
    ),
    refused(
        "portcullis starts no programs; read the firewall log instead",
        row("SecGuardianLog", TextAndOptional, "Sends each request to a program."),
    ),
    unless(OFF, refused(NO_HASH, row("SecHashEngine", SWITCH, "Adds hashes to links in responses."))),
    refused(NO_HASH, row("SecHashKey", TwoTexts, "Key of the hashes.")),
    refused(NO_HASH, row("SecHashMethodPm", TwoTexts, "Which links get a hash, by words.")),
    refused(NO_HASH, row("SecHashMethodRx", TwoTexts, "Which links get a hash, by pattern.")),
    refused(NO_HASH, row("SecHashParam", Text, "Name of the parameter with the hash.")),
    row("SecHttpBlKey", Text, "Access key for the Project Honey Pot list of @rbl."),
    unless(
        OFF,
        inert(
            "an error of the engine itself is answered as the policy says",
            row("SecInterceptOnError", SWITCH, "Stops a transaction when a rule cannot be evaluated."),
        ),
    ),
    row("SecMarker", Structured, "A place that skipAfter can name."),
    row(
        "SecParseXmlIntoArgs",
        Arguments::OneOf(&["On", "Off", "OnlyArgs"]),
        "Makes arguments of the elements of an XML body.",
    ),
    inert(LINEAR, row("SecPcreMatchLimit", Number, "Bound of a pattern's work.")),
    inert(LINEAR, row("SecPcreMatchLimitRecursion", Number, "Bound of a pattern's recursion.")),
    of(
        Origin::V2,
        inert(NO_CONNECTIONS, row("SecReadStateLimit", TextAndOptional, "Most connections of an address that read.")),
    ),
    refused(
        "a gateway must not load rules from elsewhere while it starts; fetch them before",
        row("SecRemoteRules", Texts, "Loads rules from a URL."),
    ),
    inert(
        "rules are never loaded from elsewhere",
        row("SecRemoteRulesFailAction", Arguments::OneOf(&["Abort", "Warn"]), "What follows if SecRemoteRules fails."),
    ),
    row("SecRequestBodyAccess", SWITCH, "Are request bodies read?"),
    inert(
        "the whole inspected window is kept in memory",
        row("SecRequestBodyInMemoryLimit", Number, "Most bytes of a request body kept in memory."),
    ),
    row("SecRequestBodyJsonDepthLimit", Number, "Deepest nesting of a JSON body."),
    row("SecRequestBodyLimit", Number, "Most bytes of a request body."),
    row("SecRequestBodyLimitAction", LIMIT_ACTION, "What happens to a longer request body."),
    row("SecRequestBodyNoFilesLimit", Number, "Most bytes of a request body, uploaded files not counted."),
    of(
        Origin::V2,
        inert("ModSecurity never used it", row("SecRequestEncoding", Text, "Character encoding of requests.")),
    ),
    row("SecResponseBodyAccess", SWITCH, "Are response bodies read?"),
    row("SecResponseBodyLimit", Number, "Most bytes of a response body."),
    row("SecResponseBodyLimitAction", LIMIT_ACTION, "What happens to a longer response body."),
    row("SecResponseBodyMimeType", Texts, "Adds types of responses whose body is read."),
    row("SecResponseBodyMimeTypesClear", None, "Empties the list of SecResponseBodyMimeType."),
    row("SecRule", Structured, "Targets, an operator and actions."),
    row("SecRuleEngine", ENGINE, "Do rules run, and may they interrupt?"),
    unless(
        &["On"],
        inert(
            "every policy of the configuration names its own rule files",
            row("SecRuleInheritance", SWITCH, "Do inner sections inherit rules?"),
        ),
    ),
    inert(
        "time per rule is shown by the bench command",
        row("SecRulePerfTime", Number, "Microseconds above which a rule is reported as slow."),
    ),
    row("SecRuleRemoveById", Structured, "Removes rules by id or range."),
    row("SecRuleRemoveByMsg", Structured, "Removes rules whose msg matches a pattern."),
    row("SecRuleRemoveByTag", Structured, "Removes rules with a tag that matches a pattern."),
    refused("portcullis runs no Lua", row("SecRuleScript", TextAndOptional, "A rule written in Lua.")),
    row("SecRuleUpdateActionById", Structured, "Replaces actions of a rule."),
    row("SecRuleUpdateTargetById", Structured, "Adds, excludes or replaces targets of rules, by id."),
    row("SecRuleUpdateTargetByMsg", Structured, "Adds, excludes or replaces targets of rules, by msg."),
    row("SecRuleUpdateTargetByTag", Structured, "Adds, excludes or replaces targets of rules, by tag."),
    row("SecSensorId", Text, "Name of this sensor in the audit log."),
    inert(
        "portcullis sends no Server header of its own; set one in the route's response headers",
        row("SecServerSignature", Text, "Replaces the Server header."),
    ),
    unless(
        OFF,
        inert(
            "portcullis reports to nobody",
            row("SecStatusEngine", SWITCH, "Reports the version in use to the authors."),
        ),
    ),
    unless(OFF, inert(NO_STREAM, row("SecStreamInBodyInspection", SWITCH, "Fills STREAM_INPUT_BODY."))),
    unless(OFF, inert(NO_STREAM, row("SecStreamOutBodyInspection", SWITCH, "Fills STREAM_OUTPUT_BODY."))),
    inert(NO_UPLOADS, row("SecTmpDir", Text, "Directory of temporary files.")),
    unless(OFF, inert(NO_UPLOADS, row("SecTmpSaveUploadedFiles", SWITCH, "Writes uploaded files to disk."))),
    of(Origin::V2, row("SecUnicodeCodePage", Number, "Code page of SecUnicodeMapFile.")),
    row("SecUnicodeMapFile", TextAndOptional, "Best-fit map of t:urlDecodeUni and its code page."),
    inert(NO_UPLOADS, row("SecUploadDir", Text, "Directory of uploaded files.")),
    row("SecUploadFileLimit", Number, "Most files in one multipart body."),
    inert(NO_UPLOADS, row("SecUploadFileMode", Mode, "Permissions of uploaded files.")),
    unless(
        OFF,
        inert(
            NO_UPLOADS,
            row("SecUploadKeepFiles", Arguments::OneOf(&["On", "Off", "RelevantOnly"]), "Keeps uploaded files."),
        ),
    ),
    row("SecWebAppId", Text, "Name space of persistent collections SESSION and USER."),
    of(
        Origin::V2,
        inert(NO_CONNECTIONS, row("SecWriteStateLimit", TextAndOptional, "Most connections of an address that write.")),
    ),
    unless(
        OFF,
        refused(
            "loading what an XML body names opens the gateway to its sender",
            row("SecXmlExternalEntity", SWITCH, "Loads external entities of XML bodies."),
        ),
    ),
];
