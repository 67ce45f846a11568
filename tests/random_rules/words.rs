//! Texts that rules look for and requests are made of: the same ones, so that rules match.

use super::supply::Supply;

/// None of them has a double quote, which rule files and header lines would have to hide.
const TEXTS: &[&str] = &[
    "union",
    "select",
    "from",
    "passwd",
    "/etc/",
    "boot.ini",
    "../",
    "..\\",
    "<script",
    "</script>",
    "onload=",
    "alert(1)",
    "' or 1=1",
    "1' OR '1'='1",
    "--",
    "/*",
    "*/",
    "#",
    "admin",
    "root",
    "php",
    "eval(",
    "exec",
    "id",
    "q",
    "0",
    "1",
    "2",
    "7",
    "41",
    "42",
    "-1",
    "0x41",
    "0x616263",
    "a",
    "b",
    "ab",
    "abc",
    "bcd",
    "d",
    "abd",
    "%",
    "%2e",
    "+",
    " ",
    "  ",
    "=",
    "&lt;",
    "&#x41;",
    "\\x41",
    "\\u0041",
    "\\n",
    "YWJj",
    "616263",
    ";",
    "|cat",
    "$(id)",
    "`ls`",
    "127.0.0.1",
    "10.1.2.3",
    "192.0.2.7",
    "4111111111111111",
    "219-09-9999",
    "529.982.247-25",
    "é",
    "\u{212a}",
    "\u{17f}elect",
    "\u{ff1c}script",
    ".",
    "/",
    "//",
    "/./",
    "\\",
    "'",
    "^",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|",
    "!",
    "true",
    "null",
    "text/html",
    "GET",
    "POST",
    "localhost",
    "Mozilla/5.0",
    "curl",
    "stack trace",
];

/// Of arguments, headers, cookies, form fields and elements.
pub(crate) const NAMES: &[&str] =
    &["id", "q", "a", "b", "ab", "user", "x.y", "_ga", "file", "json.a", "a[0]", "Q", "passwd", "select"];

/// Numbers that operators compare with and variables hold.
pub(crate) const NUMBERS: &[&str] = &["0", "1", "2", "3", "4", "5", "7", "10", "41", "42", "100", "-1"];

/// A few texts and names that most of a case's rules and requests are about, so that they have to do with each other.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Topic {
    texts: [&'static str; 3],
    names: [&'static str; 3],
    /// Functions of most lanes, and what they change.
    functions: [(&'static str, &'static str); 3],
    /// Of so many values one is long.
    long: usize,
}

/// Transformations, each with something that it changes.
const FUNCTIONS: &[(&str, &str)] = &[
    ("lowercase", "Ab"),
    ("uppercase", "aB"),
    ("removeWhitespace", "a b "),
    ("compressWhitespace", "a  b\t"),
    ("urlDecodeUni", "%61+"),
    ("cssDecode", "\\61 "),
    ("htmlEntityDecode", "&#97;"),
    ("jsDecode", "\\x61"),
    ("escapeSeqDecode", "\\n"),
    ("removeNulls", "a\0"),
    ("cmdLine", "a^\""),
    ("replaceComments", "a/**/b"),
    ("removeCommentsChar", "a--b"),
    ("normalizePath", "a/./b//"),
    ("utf8toUnicode", "é"),
    ("trim", " "),
    ("urlEncode", "<>"),
    ("hexEncode", "x"),
    ("base64Encode", "x"),
    ("base64Decode", "YWJj"),
    ("hexDecode", "61"),
    ("length", "x"),
];

impl Topic {
    pub(crate) fn new(supply: &mut Supply<'_>) -> Self {
        Self {
            texts: [(); 3].map(|()| supply.pick(TEXTS)),
            names: [(); 3].map(|()| supply.pick(NAMES)),
            functions: [(); 3].map(|()| supply.pick(FUNCTIONS)),
            long: supply.pick(&[2, 6, 6, 12]),
        }
    }
}

pub(crate) fn text(supply: &mut Supply<'_>) -> &'static str {
    let Topic { texts, .. } = supply.topic;
    if supply.one_in(5) { supply.pick(TEXTS) } else { supply.pick(&texts) }
}

pub(crate) fn name(supply: &mut Supply<'_>) -> &'static str {
    let Topic { names, .. } = supply.topic;
    if supply.one_in(5) { supply.pick(NAMES) } else { supply.pick(&names) }
}

/// The name of a transformation.
pub(crate) fn function(supply: &mut Supply<'_>) -> &'static str {
    let Topic { functions, .. } = supply.topic;
    if supply.one_in(5) { supply.pick(FUNCTIONS).0 } else { supply.pick(&functions).0 }
}

/// As a client might send one: several texts, some of them disguised; now and then longer than a worker remembers, or one
/// that the request has elsewhere too, perhaps in another case.
pub(crate) fn value(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if !supply.repeated.is_empty() && supply.one_in(5) {
        return match supply.below(4) {
            0 => supply.repeated.to_ascii_uppercase(),
            1 => supply.repeated.to_ascii_lowercase(),
            _ => supply.repeated.clone(),
        };
    }
    for _ in 0..supply.pick(&[0, 1, 1, 1, 2, 2, 3, 5]) {
        disguise(supply, &mut out);
        if supply.one_in(3) {
            out.extend_from_slice(supply.pick(SEPARATORS).as_bytes());
        }
    }
    if supply.one_in(supply.topic.long) {
        lengthen(supply, &mut out);
    }
    out
}

/// Longest value that a worker keeps; fuzz targets have another one.
const KEPT: usize = portcullis::limits::WAF_KEPT_VALUE_BYTES;

/// Lengths around that, around 64, from which on texts that were found are noted, and others.
const LENGTHS: &[usize] =
    &[20, 30, 62, 66, KEPT - 6, KEPT + 2, KEPT + 14, KEPT * 5 / 4, KEPT * 3 / 2, KEPT * 2, KEPT * 6, KEPT * 16];

/// Of bytes that mean nothing and of such as transformations look for, of few kinds and of many.
const FILLERS: &[&str] = &[
    "x", "aB", "ab c ", "a-b_", "k=v&", "/a/", "a, 'b' ", "f(x); ", "line\r\n", "<b>", "\u{212a}", "[x]", "7", "\u{1}",
];

/// Puts bytes before and behind that make it a long one.
fn lengthen(supply: &mut Supply<'_>, out: &mut Vec<u8>) {
    let length = supply.pick(LENGTHS);
    let Topic { functions, .. } = supply.topic;
    let filler = match supply.below(6) {
        0 => [text(supply), "x"].concat(),
        1 => [supply.pick(FILLERS), supply.pick(&functions).1].concat(),
        2 => supply.pick(&functions).1.to_owned(),
        3 => [supply.pick(FILLERS), supply.pick(FILLERS)].concat(),
        _ => supply.pick(FILLERS).to_owned(),
    };
    let filled = length.saturating_sub(out.len());
    let before = if supply.one_in(3) { filled } else { supply.below(length) * filled / length };
    let mut all: Vec<u8> = filler.bytes().cycle().take(before).collect();
    all.append(out);
    all.extend(filler.bytes().cycle().take(filled - before));
    if supply.one_in(2) {
        disguise(supply, &mut all);
    }
    *out = all;
}

/// One of some hundred words of two to four bytes, of nearly all bytes that there are.
fn short_word(number: usize) -> String {
    let printable = |at: usize| char::from(b'#' + (at % 92) as u8);
    let mut word = String::from_iter([printable(number * 7), printable(number * 11 + number / 92 + 3)]);
    match number % 3 {
        0 => word.push(printable(number * 5 + 40)),
        1 => word.push(if number.is_multiple_of(2) { 'é' } else { 'ÿ' }),
        _ => {}
    }
    word
}

/// Distinct words of two texts each, with those that the case is about among them.
pub(crate) fn phrases(supply: &mut Supply<'_>, count: usize) -> Vec<String> {
    let (first, step) = (supply.below(TEXTS.len()), supply.pick(&[1, 5, 7, 11, 13]));
    let Topic { texts, .. } = supply.topic;
    let mut all: Vec<String> = texts.iter().take(supply.below(4)).map(|text| (*text).to_owned()).collect();
    let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    all.retain(|text| is_word(text));
    let at = |place: usize| TEXTS.get(place % TEXTS.len()).copied().unwrap_or_default();
    let are_short = supply.one_in(4);
    let words = (0..).map(|number| match are_short {
        true => short_word(first + number),
        false => [at(first + number * step), at(number * 3 + number / TEXTS.len() + 17)].concat(),
    });
    all.extend(words.filter(|word| is_word(word)).take(count));
    all.sort_unstable();
    all.dedup();
    all
}

const SEPARATORS: &[&str] = &[
    " ", "=", "/", ",", "\t", ";", "\n", ".", "+", "%", "\\", "&", "//", "  ", "/*", "./", "#", "\0", "\u{a0}", "?",
    "\u{7f}", "\u{ff}",
];

/// Adds a text in one of the ways that transformations undo.
fn disguise(supply: &mut Supply<'_>, out: &mut Vec<u8>) {
    let text = text(supply).as_bytes();
    let middle = text.len() / 2;
    let split = |out: &mut Vec<u8>, between: &[u8]| {
        out.extend_from_slice(&text[..middle]);
        out.extend_from_slice(between);
        out.extend_from_slice(&text[middle..]);
    };
    let each = |out: &mut Vec<u8>, write: &dyn Fn(u8) -> String| {
        text.iter().for_each(|byte| out.extend_from_slice(write(*byte).as_bytes()));
    };
    match supply.below(40) {
        0 => out.extend(text.to_ascii_uppercase()),
        1 => out.extend(
            text.iter().enumerate().map(|(at, byte)| if at % 2 == 0 { byte.to_ascii_uppercase() } else { *byte }),
        ),
        2 => each(out, &|byte| format!("%{byte:02x}")),
        3 => each(out, &|byte| format!("%25{byte:02X}")),
        4 => each(out, &|byte| format!("%u00{byte:02x}")),
        5 => each(out, &|byte| format!("&#{byte};")),
        6 => each(out, &|byte| format!("\\x{byte:02x}")),
        7 => each(out, &|byte| format!("\\u00{byte:02x}")),
        // Only in lower case is this what it looks like.
        20 => each(out, &|byte| format!("\\X{byte:02x}")),
        8 => each(out, &|byte| format!("\\{byte:x} ")),
        9 => each(out, &|byte| format!("{byte:02x}")),
        10 => split(out, b"/**/"),
        11 => split(out, b"\0"),
        12 => split(out, b" \t "),
        13 => split(out, b"\""),
        14 => split(out, b"^"),
        15 => split(out, b"%"),
        16 => out.extend_from_slice(super::base64(text).as_bytes()),
        17 => out.extend([supply.byte(), supply.byte()]),
        19 => out.extend_from_slice(short_word(supply.below(120)).as_bytes()),
        18 => out.extend(text.iter().map(|byte| byte | 0x80)),
        _ => out.extend_from_slice(text),
    }
}

/// A pattern that can be made of texts and classes; nearly always a valid one.
pub(crate) fn pattern(supply: &mut Supply<'_>) -> String {
    let mut out = String::from(supply.pick(&["", "", "", "(?i)", "(?i)", "(?s)", "(?m)"]));
    if supply.one_in(2) {
        // One that is found often.
        out.push_str(supply.pick(&["", "", "", "(", "^", "\\b", "[^a-z]?", ".?", "(?:x|", "(\\w*)"]));
        let opens = out.matches('(').count() > out.matches(')').count();
        escape(text(supply), &mut out);
        out.push_str(supply.pick(&["", "", "", "+", "?", "{1,2}", "[^<>]*", ".", "\\W", "(\\d+)?"]));
        if opens {
            out.push(')');
        }
        return out;
    }
    if supply.one_in(5) {
        out.push('^');
    }
    sequence(supply, 2, &mut out);
    if supply.one_in(6) {
        out.push('$');
    }
    if supply.one_in(40) {
        out.push_str(supply.pick(&["(?=", "(?!", "(?<=", "(?<!"]));
        escape(text(supply), &mut out);
        out.push(')');
    }
    out
}

fn sequence(supply: &mut Supply<'_>, depth: usize, out: &mut String) {
    for _ in 0..supply.pick(&[1, 1, 2, 2, 3, 4]) {
        match supply.below(16) {
            0 => out.push_str("\\b"),
            1 | 2 if depth > 0 => {
                out.push_str(supply.pick(&["(?:", "("]));
                sequence(supply, depth - 1, out);
                for _ in 0..supply.below(4) {
                    out.push('|');
                    sequence(supply, depth - 1, out);
                }
                out.push(')');
                quantify(supply, "{0,3}?", out);
            }
            3..=6 => {
                out.push_str(supply.pick(&[
                    "\\d",
                    "\\s",
                    "\\w",
                    "\\W",
                    ".",
                    "[a-z]",
                    "[^a-z]",
                    "[0-9a-f]",
                    "[^\\d]",
                    "[<>]",
                    "[\\x80-\\xff]",
                    "[;|`]",
                    "[^&=]",
                    "\\x41",
                    "[aeiou]",
                ]));
                quantify(supply, "{0,20}?", out);
            }
            7 if depth > 0 => {
                out.push('(');
                sequence(supply, depth - 1, out);
                out.push(')');
            }
            _ => escape(text(supply), out),
        }
    }
}

/// `most` is few for what has repetitions inside: thousands of states, walked for each byte of each value of each rule, take
/// the instrumented fuzz target seconds.
fn quantify(supply: &mut Supply<'_>, most: &str, out: &mut String) {
    out.push_str(supply.pick(&["", "", "", "+", "*", "?", "+?", "*?", "{1,3}", "{2}", "{2,}", most]));
}

/// As part of a pattern.
pub(crate) fn escape(text: &str, out: &mut String) {
    for each in text.chars() {
        if each.is_ascii_punctuation() && !matches!(each, '<' | '>' | '\'' | '`' | '=' | '_' | '%' | '/' | ' ') {
            out.push('\\');
        }
        out.push(each);
    }
}
