//! What a rule looks at, through which transformations, for what.

use portcullis::waf::transformation::Transformation;

use super::requests::{HEADERS, RESPONSE_HEADERS};
use super::supply::Supply;
use super::words::{NUMBERS, escape, name, pattern, text};

/// Variables of TX. Those that captures set are among them.
pub(crate) const TX: &[&str] =
    &["level", "mode", "score", "x", "y", "LEVEL", "0", "1", "2", "blocking_inbound_anomaly_score"];

/// What can stand behind the name of a variable.
#[derive(Clone, Copy)]
enum Keys {
    None,
    /// Names of arguments.
    Names,
    Of(&'static [&'static str]),
    Paths,
    /// One has to be there.
    Rule,
}

const XPATHS: &[&str] = &["/*", "//@*", "/a/b", "//b", "/a/b/@id", "/a/b/text()"];
const RULE_FIELDS: &[&str] = &["id", "msg", "severity", "logdata", "rev"];
const PERSISTENT: &[&str] = &["x", "score", "level"];
const GEO: &[&str] = &["COUNTRY_CODE", "CITY"];

/// Those that are looked at most stand first, and are chosen more often.
const VARIABLES: &[(&str, Keys)] = &[
    ("ARGS", Keys::Names),
    ("REQUEST_HEADERS", Keys::Of(HEADERS)),
    ("REQUEST_COOKIES", Keys::Names),
    ("ARGS_NAMES", Keys::Names),
    ("TX", Keys::Of(TX)),
    ("REQUEST_BODY", Keys::None),
    ("REQUEST_URI", Keys::None),
    ("XML", Keys::Paths),
    ("MATCHED_VARS", Keys::Names),
    ("MATCHED_VAR", Keys::None),
    ("MATCHED_VARS_NAMES", Keys::Names),
    ("MATCHED_VAR_NAME", Keys::None),
    ("ARGS_GET", Keys::Names),
    ("ARGS_POST", Keys::Names),
    ("ARGS_GET_NAMES", Keys::Names),
    ("ARGS_POST_NAMES", Keys::Names),
    ("REQUEST_COOKIES_NAMES", Keys::Names),
    ("REQUEST_HEADERS_NAMES", Keys::Of(HEADERS)),
    ("RESPONSE_BODY", Keys::None),
    ("RESPONSE_HEADERS", Keys::Of(RESPONSE_HEADERS)),
    ("RESPONSE_HEADERS_NAMES", Keys::Of(RESPONSE_HEADERS)),
    ("RESPONSE_STATUS", Keys::None),
    ("FILES", Keys::Names),
    ("FILES_NAMES", Keys::Names),
    ("ARGS_COMBINED_SIZE", Keys::None),
    ("AUTH_TYPE", Keys::None),
    ("DURATION", Keys::None),
    ("ENV", Keys::Of(PERSISTENT)),
    ("FILES_COMBINED_SIZE", Keys::None),
    ("FILES_SIZES", Keys::Names),
    ("FILES_TMP_CONTENT", Keys::Names),
    ("FULL_REQUEST", Keys::None),
    ("FULL_REQUEST_LENGTH", Keys::None),
    ("GEO", Keys::Of(GEO)),
    ("GLOBAL", Keys::Of(PERSISTENT)),
    ("HIGHEST_SEVERITY", Keys::None),
    ("INBOUND_DATA_ERROR", Keys::None),
    ("IP", Keys::Of(PERSISTENT)),
    ("MSC_PCRE_ERROR", Keys::None),
    ("MSC_PCRE_LIMITS_EXCEEDED", Keys::None),
    ("MULTIPART_FILENAME", Keys::None),
    ("MULTIPART_NAME", Keys::None),
    ("MULTIPART_PART_HEADERS", Keys::Names),
    ("MULTIPART_STRICT_ERROR", Keys::None),
    ("MULTIPART_UNMATCHED_BOUNDARY", Keys::None),
    ("OUTBOUND_DATA_ERROR", Keys::None),
    ("PATH_INFO", Keys::None),
    ("QUERY_STRING", Keys::None),
    ("REMOTE_ADDR", Keys::None),
    ("REMOTE_HOST", Keys::None),
    ("REMOTE_PORT", Keys::None),
    ("REMOTE_USER", Keys::None),
    ("REQBODY_ERROR", Keys::None),
    ("REQBODY_ERROR_MSG", Keys::None),
    ("REQBODY_PROCESSOR", Keys::None),
    ("REQUEST_BASENAME", Keys::None),
    ("REQUEST_BODY_LENGTH", Keys::None),
    ("REQUEST_FILENAME", Keys::None),
    ("REQUEST_LINE", Keys::None),
    ("REQUEST_METHOD", Keys::None),
    ("REQUEST_PROTOCOL", Keys::None),
    ("REQUEST_URI_RAW", Keys::None),
    ("RESOURCE", Keys::Of(PERSISTENT)),
    ("RESPONSE_CONTENT_LENGTH", Keys::None),
    ("RESPONSE_CONTENT_TYPE", Keys::None),
    ("RESPONSE_PROTOCOL", Keys::None),
    ("RULE", Keys::Rule),
    ("SERVER_ADDR", Keys::None),
    ("SERVER_NAME", Keys::None),
    ("SERVER_PORT", Keys::None),
    ("SESSION", Keys::Of(PERSISTENT)),
    ("SESSIONID", Keys::None),
    ("STATUS_LINE", Keys::None),
    ("TIME_EPOCH", Keys::None),
    ("UNIQUE_ID", Keys::None),
    ("URLENCODED_ERROR", Keys::None),
    ("USER", Keys::Of(PERSISTENT)),
    ("USERID", Keys::None),
    ("WEBAPPID", Keys::None),
];

/// Of [`VARIABLES`], those that are chosen more often.
const COMMON: usize = 24;

fn variable(supply: &mut Supply<'_>) -> (&'static str, Keys) {
    match supply.below(8) {
        0..=2 => VARIABLES[0],
        3..=6 => VARIABLES[supply.below(COMMON)],
        _ => supply.pick(VARIABLES),
    }
}

/// Targets of a rule, with exclusions and counts among them.
pub(crate) fn targets(supply: &mut Supply<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let mut last = VARIABLES[0];
    for _ in 0..supply.pick(&[1, 1, 1, 2, 2, 3]) {
        last = variable(supply);
        let count = if supply.one_in(10) { "&" } else { "" };
        all.push(format!("{count}{}{}", last.0, key(supply, last.1)));
        if supply.one_in(5) {
            all.push(exclusion(supply, last));
        }
    }
    if supply.one_in(8) {
        all.push(exclusion(supply, last));
        all.push(exclusion(supply, last));
    }
    if supply.one_in(16) {
        // One that takes nothing away, because what it would stands behind it.
        all.rotate_right(1);
    }
    if supply.one_in(12) {
        let again = all[0].clone();
        all.push(again);
    }
    all
}

/// One that takes away from `target`, or all of it.
pub(crate) fn part_of(supply: &mut Supply<'_>, target: &str) -> String {
    let (name, _) = target.split_once(':').unwrap_or((target, ""));
    let known = VARIABLES.iter().find(|(known, _)| *known == name);
    match known {
        Some((name, keys)) if supply.one_in(2) => {
            let key = key(supply, *keys);
            if key.contains('%') { (*name).to_owned() } else { format!("{name}{key}") }
        }
        _ => target.to_owned(),
    }
}

fn exclusion(supply: &mut Supply<'_>, of: (&'static str, Keys)) -> String {
    let (name, keys) = if supply.one_in(6) { variable(supply) } else { of };
    format!("!{name}{}", key(supply, keys))
}

/// A target as an exclusion names it at run time: without macros.
pub(crate) fn plain_target(supply: &mut Supply<'_>) -> String {
    let (name, keys) = variable(supply);
    let key = key(supply, keys);
    if key.contains('%') { name.to_owned() } else { format!("{name}{key}") }
}

fn key(supply: &mut Supply<'_>, keys: Keys) -> String {
    match keys {
        Keys::None => String::new(),
        Keys::Paths => format!(":{}", supply.pick(XPATHS)),
        Keys::Rule => format!(":{}", supply.pick(RULE_FIELDS)),
        Keys::Names => {
            let name = name(supply);
            named(supply, name)
        }
        Keys::Of(names) => {
            let name = supply.pick(names);
            named(supply, name)
        }
    }
}

fn named(supply: &mut Supply<'_>, name: &str) -> String {
    match supply.below(12) {
        0..=5 => String::new(),
        6..=8 => format!(":{name}"),
        9 => format!(":{}", name.to_ascii_uppercase()),
        10 => {
            let mut pattern = String::from(supply.pick(&["", "^", "(?:^|x)"]));
            escape(name, &mut pattern);
            pattern.push_str(supply.pick(&["", "$", ".", "\\d*$"]));
            format!(":/{}/", pattern.replace('/', "\\/"))
        }
        _ => format!(":%{{{}}}", supply.pick(&["tx.x", "tx.1", "MATCHED_VAR"])),
    }
}

/// `t:…`, in order.
pub(crate) fn transformations(supply: &mut Supply<'_>, actions: &mut Vec<String>) {
    if supply.one_in(3) {
        actions.push("t:none".into());
    }
    for _ in 0..supply.pick(&[0, 0, 0, 1, 1, 2, 3, 4]) {
        let name = match supply.below(3) {
            // What rule sets use, so that rules share them.
            0 => supply.pick(&["lowercase", "urlDecodeUni", "htmlEntityDecode", "removeNulls", "compressWhitespace"]),
            1 => supply.pick(&["urlDecodeUni", "jsDecode", "cssDecode", "cmdLine", "normalizePath", "replaceComments"]),
            _ => supply.pick(&Transformation::ALL).name(),
        };
        actions.push(format!("t:{name}"));
    }
    if supply.one_in(8) {
        actions.push("multiMatch".into());
    }
}

/// `@rx …`, perhaps negated.
pub(crate) fn operator(supply: &mut Supply<'_>) -> String {
    let negation = if supply.one_in(8) { "!" } else { "" };
    format!("{negation}@{}", plain_operator(supply))
}

fn plain_operator(supply: &mut Supply<'_>) -> String {
    match supply.below(40) {
        0..=11 => format!("rx {}", pattern(supply)),
        12 => format!("rxGlobal {}", pattern(supply)),
        13..=17 => {
            let name =
                supply.pick(&["contains", "contains", "beginsWith", "endsWith", "containsWord", "streq", "strmatch"]);
            format!("{name} {}", argument(supply))
        }
        18 | 19 => format!("within {}", words(supply)),
        20..=22 => format!("pm {}", words(supply)),
        23 => "pmFromFile words.data".into(),
        24..=28 => {
            let name = supply.pick(&["eq", "ge", "gt", "le", "lt"]);
            format!("{name} {}", number(supply))
        }
        29 | 30 => "detectSQLi".into(),
        31 | 32 => "detectXSS".into(),
        33 => format!("validateByteRange {}", supply.pick(&["32-126", "1-255", "9,10,13,32-126", "97-122", "0-127"])),
        34 => supply.pick(&["validateUrlEncoding", "validateUtf8Encoding"]).to_string(),
        35 => {
            let name = supply.pick(&["verifyCC", "verifySSN", "verifyCPF", "verifySVNR"]);
            format!("{name} {}", supply.pick(&["\\d{13,16}", "\\d{3}-?\\d{2}-?\\d{4}", "[\\d.-]{11,14}", "\\d+"]))
        }
        36 => match supply.below(4) {
            0 => "ipMatchFromFile networks.data".into(),
            1 => "geoLookup".into(),
            2 => "rbl list.example.com".into(),
            _ => format!("ipMatch {}", supply.pick(&["127.0.0.1", "10.0.0.0/8,192.0.2.0/24", "::1/64", "192.0.2.7"])),
        },
        37 => supply.pick(&["unconditionalMatch", "noMatch"]).to_string(),
        // A number as text, as in "TX:mode @streq 1".
        _ => format!("{} {}", supply.pick(&["streq", "within", "rx", "contains"]), supply.pick(NUMBERS)),
    }
}

fn argument(supply: &mut Supply<'_>) -> String {
    match supply.below(10) {
        0 => supply.pick(&["%{tx.x}", "%{ARGS.id}", "%{MATCHED_VAR}", "%{REQUEST_METHOD}", "a%{tx.1}"]).to_string(),
        1 | 2 => format!("{}{}", text(supply).trim(), text(supply)),
        _ => loop_until_visible(supply),
    }
}

/// White space alone would be no argument.
fn loop_until_visible(supply: &mut Supply<'_>) -> String {
    let text = text(supply);
    if text.trim().is_empty() { "id".into() } else { text.into() }
}

fn words(supply: &mut Supply<'_>) -> String {
    let words: Vec<String> = (0..supply.between(1, 5)).map(|_| loop_until_visible(supply)).collect();
    words.join(" ")
}

pub(crate) fn number(supply: &mut Supply<'_>) -> String {
    match supply.below(8) {
        0 => format!("%{{tx.{}}}", supply.pick(TX)),
        1 => supply.pick(&["%{HIGHEST_SEVERITY}", "%{MATCHED_VAR}", "%{ARGS.id}"]).to_string(),
        _ => supply.pick(NUMBERS).to_string(),
    }
}
