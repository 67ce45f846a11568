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
}

impl Topic {
    pub(crate) fn new(supply: &mut Supply<'_>) -> Self {
        Self { texts: [(); 3].map(|()| supply.pick(TEXTS)), names: [(); 3].map(|()| supply.pick(NAMES)) }
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

/// As a client might send one: several texts, some of them disguised, seldom longer than a worker remembers.
pub(crate) fn value(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..supply.pick(&[0, 1, 1, 1, 2, 2, 3, 5]) {
        disguise(supply, &mut out);
        if supply.one_in(3) {
            out.extend_from_slice(supply.pick(SEPARATORS).as_bytes());
        }
    }
    if supply.one_in(12) {
        let length = supply.below(400);
        let filler = [text(supply), "x"].concat();
        out.extend(filler.bytes().cycle().take(length));
    }
    out
}

const SEPARATORS: &[&str] =
    &[" ", "=", "/", ",", "\t", ";", "\n", ".", "+", "%", "\\", "&", "//", "  ", "/*", "./", "#", "\0", "\u{a0}"];

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
                quantify(supply, out);
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
                quantify(supply, out);
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

fn quantify(supply: &mut Supply<'_>, out: &mut String) {
    out.push_str(supply.pick(&["", "", "", "+", "*", "?", "+?", "*?", "{1,3}", "{2}", "{2,}", "{0,20}?"]));
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
