//! libinjection's own cases (`../shared/seclang-tests/libinjection`), and what the Core Rule Set's regression tests say
//! about the two rules that use it.
//!
//! A case is a file: `--TEST--` name, `--INPUT--` text, `--EXPECTED--` tokens or fingerprint, trailing white space
//! aside. The first word of its name says what it tests.

use portcullis::waf::libinjection::html5::{self, Context};
use portcullis::waf::libinjection::sqli::{Dialect, Kind, Quote, Token, Tokenizer, folded};
use portcullis::waf::libinjection::{detect_sqli, detect_xss, sqli, xss};
use std::path::PathBuf;

/// How many cases libinjection has of each sort.
const CASES: [(&str, usize); 4] = [("tokens", 249), ("folding", 118), ("sqli", 50), ("html5", 63)];

#[test]
fn libinjection_cases() {
    let Some(folder) = shared("seclang-tests/libinjection") else { return };
    let mut counts = CASES.map(|(sort, _)| (sort, 0));
    let mut failures = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let Some(sort) = name.strip_prefix("test-").and_then(|rest| rest.split('-').next()) else { continue };
        let count = counts.iter_mut().find(|(known, _)| *known == sort).expect("a known sort of case");
        count.1 += 1;
        let text = std::fs::read(&file).unwrap();
        let (input, expected) = split_case(&text);
        let actual = match sort {
            "tokens" => print_tokens(&tokens(input)),
            "folding" => print_tokens(&folded(input, Quote::None, Dialect::Ansi)),
            "sqli" => detect_sqli(input).map_or_else(Vec::new, |found| found.as_bytes().to_vec()),
            _ => print_html(input),
        };
        if trim_end(&actual) != expected {
            failures.push(format!(
                "{name}\n  expected {}\n  actual   {}",
                String::from_utf8_lossy(expected).escape_debug(),
                String::from_utf8_lossy(&actual).escape_debug()
            ));
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(counts, CASES, "the number of cases changed");
}

/// The short cuts never contradict the verdicts, on each case and on everything that a case can be cut and joined into.
#[test]
fn short_cuts_agree() {
    let Some(folder) = shared("seclang-tests/libinjection") else { return };
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        if text.starts_with(b"--TEST--") {
            inputs.push(split_case(&text).0.to_vec());
        }
    }
    let mut compared = 0;
    for (index, input) in inputs.iter().enumerate() {
        let other = &inputs[(index * 7 + 3) % inputs.len()];
        let joined = [&input[..], other].concat();
        for start in 0..joined.len().min(40) {
            for end in start..joined.len().min(start + 40) {
                let value = &joined[start..end];
                assert_eq!(detect_sqli(value), sqli::detect_fully(value), "{}", String::from_utf8_lossy(value));
                assert_eq!(detect_xss(value), xss::detect_fully(value), "{}", String::from_utf8_lossy(value));
                compared += 1;
            }
        }
    }
    assert!(compared > 100_000, "{compared}");
}

/// Values that take long for a careless automaton: nothing may be worse than linear.
#[test]
fn large_values_take_linear_time() {
    let patterns: [&[u8]; 16] = [
        b"a", b"'", b"\\'", b"''", b"/*", b"*/", b"$a$", b"(", b"1,", b"<", b"</>", b"<!-", b"-\0", b"&#0", b" onx=",
        b"//",
    ];
    for pattern in patterns {
        let value = pattern.repeat(100_000 / pattern.len());
        for prefix in [&b""[..], b"'", b"<a href=", b"<!--", b"q'("] {
            let value = [prefix, &value].concat();
            // No clock here: a quadratic automaton would need minutes.
            let _ = (detect_sqli(&value), detect_xss(&value));
        }
    }
}

/// The payloads of the Core Rule Set's tests of 942100 and 941100, where they are simple enough to be taken without the
/// engine: one argument in the query string.
#[test]
fn core_rule_set_payloads() {
    let Some(tests) = shared("crs/tests") else { return };
    let mut counts = (0, 0);
    for (folder, rule) in
        [("REQUEST-942-APPLICATION-ATTACK-SQLI", "942100"), ("REQUEST-941-APPLICATION-ATTACK-XSS", "941100")]
    {
        for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for stage in text.split("- test_id:").skip(1) {
                let Some(value) = single_argument(stage) else { continue };
                let mentions = |key: &str| {
                    stage
                        .split(key)
                        .nth(1)
                        .and_then(|rest| rest.split(']').next())
                        .is_some_and(|ids| ids.contains(rule))
                };
                let is_found = if rule == "942100" { detect_sqli(&value).is_some() } else { detect_xss(&value) };
                if mentions(" expect_ids: [") {
                    assert!(is_found, "{rule} must find {}", String::from_utf8_lossy(&value));
                    counts.0 += 1;
                } else if mentions("no_expect_ids: [") {
                    assert!(!is_found, "{rule} must not find {}", String::from_utf8_lossy(&value));
                    counts.1 += 1;
                }
            }
        }
    }
    eprintln!("payloads that must be found: {}, that must not: {}", counts.0, counts.1);
    assert!(counts.0 >= 10, "payloads that must be found: {}, that must not: {}", counts.0, counts.1);
}

fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let folder = root.join(path);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there; set PORTCULLIS_SHARED", folder.display());
    None
}

fn split_case(text: &[u8]) -> (&[u8], &[u8]) {
    let find = |text: &[u8], mark: &[u8]| text.windows(mark.len()).position(|window| window == mark).unwrap();
    let input = &text[find(text, b"--INPUT--\n") + 10..];
    let expected = find(input, b"--EXPECTED--\n");
    (trim_end(&input[..expected]), trim_end(&input[expected + 13..]))
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r')).map_or(0, |last| last + 1);
    &text[..end]
}

fn tokens(input: &[u8]) -> Vec<Token> {
    let mut tokenizer = Tokenizer::new(input, Quote::None, Dialect::Ansi);
    let mut tokens = Vec::new();
    let mut token = Token::default();
    while tokenizer.next_into(&mut token) {
        tokens.push(token);
    }
    tokens
}

fn print_tokens(tokens: &[Token]) -> Vec<u8> {
    let mut text = Vec::new();
    for token in tokens {
        text.extend([token.kind.letter(), b' ']);
        let is_quoted = matches!(token.kind, Kind::String | Kind::Variable);
        if token.kind == Kind::Variable {
            text.extend(std::iter::repeat_n(b'@', usize::from(token.at_signs)));
        }
        text.extend(is_quoted.then_some(token.open).filter(|&quote| quote != 0));
        text.extend(token.value());
        text.extend(is_quoted.then_some(token.close).filter(|&quote| quote != 0));
        text.push(b'\n');
    }
    text
}

fn print_html(input: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for token in html5::Tokenizer::new(input, Context::Data) {
        let kind = match token.kind {
            html5::Kind::DataText => "DATA_TEXT",
            html5::Kind::TagNameOpen => "TAG_NAME_OPEN",
            html5::Kind::TagNameClose => "TAG_NAME_CLOSE",
            html5::Kind::TagNameSelfClose => "TAG_NAME_SELFCLOSE",
            html5::Kind::TagClose => "TAG_CLOSE",
            html5::Kind::AttributeName => "ATTR_NAME",
            html5::Kind::AttributeValue => "ATTR_VALUE",
            html5::Kind::TagComment => "TAG_COMMENT",
            html5::Kind::Doctype => "DOCTYPE",
        };
        text.extend(format!("{kind},{},", token.text.len()).bytes());
        text.extend(token.text);
        text.push(b'\n');
    }
    text
}

/// The decoded value of `uri: /path?name=value` or `data: "name=value"`, if a test has nothing else.
fn single_argument(stage: &str) -> Option<Vec<u8>> {
    let field = |name: &str| stage.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    if stage.contains("encoded_request") || stage.contains("encoded_data") || stage.contains("Content-Type") {
        return None;
    }
    let text = match field("data:") {
        Some(data) => data.strip_prefix('"')?.strip_suffix('"')?.replace("\\\"", "\""),
        None => field("uri:")?.trim_matches(['"', '\'']).split_once('?')?.1.to_owned(),
    };
    let (_, value) = text.split_once('=')?;
    if value.contains(['&', '\\']) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            _ => bytes.push(byte),
        }
    }
    Some(bytes)
}
