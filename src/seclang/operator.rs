//! The operators that a rule can apply to a value.

use super::table::{Named, Origin, Support};

/// What an operator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorArgument {
    /// Nothing; an argument is allowed and not looked at, as in ModSecurity.
    None,
    /// Text, may hold macros and may be empty.
    Text,
    /// A regular expression.
    Regex,
    /// A whole number or a macro.
    Number,
    /// Words separated by white space, at least one.
    Words,
    /// A file with one entry per line.
    File,
    /// Something else that must not be empty.
    Required,
}

/// One row.
#[derive(Debug)]
pub struct Operator {
    /// Without `@`.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub argument: OperatorArgument,
    /// Who knows it.
    pub origin: Origin,
    /// Is it carried out?
    pub support: Support,
    /// One sentence.
    pub doc: &'static str,
}

impl Named for Operator {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }
}

const fn takes(argument: OperatorArgument, name: &'static str, doc: &'static str) -> Operator {
    Operator { name, aliases: &[], argument, origin: Origin::Both, support: Support::Full, doc }
}

const fn v3(row: Operator) -> Operator {
    Operator { origin: Origin::V3, ..row }
}

const fn refused(reason: &'static str, row: Operator) -> Operator {
    Operator { support: Support::Refused(reason), ..row }
}

use OperatorArgument::{File, None, Number, Regex, Required, Text, Words};

/// All operators, in alphabetical order.
pub const OPERATORS: &[Operator] = &[
    takes(Text, "beginsWith", "The value begins with the text."),
    takes(Text, "contains", "The text occurs in the value."),
    takes(Text, "containsWord", "The text occurs in the value as a whole word."),
    takes(None, "detectSQLi", "libinjection finds SQL injection in the value."),
    takes(None, "detectXSS", "libinjection finds cross-site scripting in the value."),
    takes(Text, "endsWith", "The value ends with the text."),
    takes(Number, "eq", "The value, read as a number, equals the argument."),
    refused(
        "fuzzy hashing (ssdeep) is not built in",
        takes(Required, "fuzzyHash", "The value is similar to one of the hashes in a file."),
    ),
    takes(Number, "ge", "The value, read as a number, is at least the argument."),
    takes(None, "geoLookup", "Looks the address up in the database of SecGeoLookupDb and fills GEO."),
    refused(
        "the Google Safe Browsing database that it reads is no longer published",
        takes(Text, "gsbLookup", "A URL in the value is in the Safe Browsing database."),
    ),
    takes(Number, "gt", "The value, read as a number, is greater than the argument."),
    refused(
        "portcullis starts no programs and no Lua from rules",
        takes(Required, "inspectFile", "A program inspects an uploaded file."),
    ),
    takes(Words, "ipMatch", "The address is in one of the networks, separated by commas."),
    Operator {
        aliases: &["ipMatchF"],
        ..takes(File, "ipMatchFromFile", "The address is in one of the networks of a file.")
    },
    takes(Number, "le", "The value, read as a number, is at most the argument."),
    takes(Number, "lt", "The value, read as a number, is less than the argument."),
    takes(None, "noMatch", "Never matches."),
    takes(Words, "pm", "One of the words occurs in the value, whatever its case."),
    Operator {
        aliases: &["pmf"],
        ..takes(File, "pmFromFile", "One of the lines of a file occurs in the value, whatever its case.")
    },
    takes(Required, "rbl", "The address is listed by a DNS block list."),
    refused(
        "portcullis never rewrites bodies",
        takes(Required, "rsub", "Replaces a pattern in STREAM_INPUT_BODY or STREAM_OUTPUT_BODY."),
    ),
    takes(Regex, "rx", "The regular expression matches the value; the default operator."),
    v3(takes(Regex, "rxGlobal", "As @rx, with capture of every match.")),
    takes(Text, "streq", "The value equals the text."),
    takes(Text, "strmatch", "The text occurs in the value."),
    takes(None, "unconditionalMatch", "Always matches."),
    takes(Required, "validateByteRange", "A byte of the value is outside of the ranges."),
    refused(
        "portcullis does not validate documents against external definitions",
        takes(Required, "validateDTD", "The XML body does not fit a DTD."),
    ),
    refused(
        "portcullis adds no hashes to links, so there is nothing to validate",
        takes(Required, "validateHash", "A link lacks the hash that SecHashEngine added."),
    ),
    refused(
        "portcullis does not validate documents against external definitions",
        takes(Required, "validateSchema", "The XML body does not fit a schema."),
    ),
    takes(None, "validateUrlEncoding", "A per cent sign is not followed by two hexadecimal digits."),
    takes(None, "validateUtf8Encoding", "The value is not valid UTF-8."),
    takes(Regex, "verifyCC", "The pattern finds a number with a right check digit of payment cards."),
    takes(Regex, "verifyCPF", "The pattern finds a valid Brazilian CPF number."),
    takes(Regex, "verifySSN", "The pattern finds a plausible US social security number."),
    v3(takes(Regex, "verifySVNR", "The pattern finds a valid Austrian social security number.")),
    takes(Text, "within", "The value occurs in the text."),
];
