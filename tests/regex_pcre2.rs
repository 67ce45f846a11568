//! Our reading of patterns against PCRE2's own: every pattern of the rule sets at hand over strings from the Core Rule
//! Set's tests and mutations of them, and the groups of every match.
//!
//! `cargo test --no-default-features --features compare-pcre2 --test regex_pcre2`
//!
//! The crate `pcre2` cannot set DOLLAR_ENDONLY, so no text here ends in a newline. It brings PCRE2 10.43 or later, where
//! `{,2}` is a quantifier; to ModSecurity's PCRE it is text, and so it is to us.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portcullis::waf::regex::{Captures, Regex, RegexCache, RegexOptions};

/// Texts that each pattern is tried on.
const TEXTS: usize = 600;

fn shared() -> PathBuf {
    std::env::var_os("PORTCULLIS_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extensions, found);
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known)) {
            found.push(path);
        }
    }
    found.sort();
}

/// The distinct arguments of `@rx` in rule files.
fn patterns(folder: &Path) -> BTreeSet<Vec<u8>> {
    let mut paths = Vec::new();
    files(folder, &["conf"], &mut paths);
    let mut patterns = BTreeSet::new();
    for path in paths {
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap().replace("\\\n", "");
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("SecRule ")) {
            let Some(at) = line.find("\"@rx ").map(|at| at + 5).or(line.find("\"!@rx ").map(|at| at + 6)) else {
                continue;
            };
            let quoted = &line[at..];
            let end = quoted.match_indices('"').find(|(at, _)| !quoted[..*at].ends_with('\\')).unwrap().0;
            patterns.insert(quoted[..end].replace("\\\"", "\"").into_bytes());
        }
    }
    patterns
}

/// Values as they stand in the tests, percent escapes resolved.
fn payloads() -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    files(&shared().join("crs/tests"), &["yaml", "yml"], &mut paths);
    let mut texts = BTreeSet::new();
    for path in paths {
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        for line in text.lines().filter(|line| line.len() < 2000) {
            let Some((_, value)) = line.split_once(": ") else { continue };
            let value = value.trim_matches(['"', '\'', ' ']);
            texts.insert(unescape(value.as_bytes()));
            for part in value.split(['&', '?', '=']) {
                texts.insert(unescape(part.as_bytes()));
            }
        }
    }
    texts.into_iter().collect()
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'%', Some(digits)) = (byte, after.get(..2))
            && let Ok(value) = u8::from_str_radix(std::str::from_utf8(digits).unwrap_or("x"), 16)
        {
            out.push(value);
            rest = &after[2..];
        } else {
            out.push(byte);
        }
    }
    out
}

/// xorshift: the same texts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn mutate(text: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(4) {
            0 => text.insert(at, random.below(256) as u8),
            1 if at < text.len() => text[at] = random.below(256) as u8,
            2 if at < text.len() => text[at] ^= 0x20,
            _ => text.truncate(at.max(1)),
        }
    }
    while text.last() == Some(&b'\n') {
        text.pop();
    }
    text
}

fn compare(pattern: &[u8], texts: &[Vec<u8>], matches: &mut usize, compared: &mut usize) {
    let theirs = pcre2::bytes::RegexBuilder::new().dotall(true).build(std::str::from_utf8(pattern).unwrap()).unwrap();
    let ours = Regex::compile(pattern, RegexOptions::default()).unwrap();
    let mut cache = RegexCache::new();
    let mut captures = Captures::new();
    for text in texts {
        let Ok(expected) = theirs.captures(text) else { continue };
        let Ok(found) = ours.captures(&mut cache, text, &mut captures) else { continue };
        let shown = || format!("/{}/ on \"{}\"", pattern.escape_ascii(), text.escape_ascii());
        *compared += 1;
        assert_eq!(ours.is_match(&mut cache, text), Ok(found));
        assert_eq!(found, expected.is_some(), "{}", shown());
        let Some(expected) = expected else { continue };
        *matches += 1;
        for group in 0..captures.len() {
            let span = expected.get(group).map(|group| (group.start(), group.end()));
            assert_eq!(captures.span(group), span, "group {group} of {}", shown());
        }
    }
}

#[test]
fn rule_set_patterns_match_as_in_pcre2() {
    let payloads = payloads();
    let mut all = patterns(&shared().join("crs/rules"));
    all.extend(patterns(Path::new("/usr/share/modsecurity-crs/rules")));
    if all.is_empty() || payloads.is_empty() {
        println!("SKIPPED: no rule set");
        return;
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut matches, mut compared) = (0, 0);
    for pattern in &all {
        let texts: Vec<Vec<u8>> =
            (0..TEXTS).map(|_| mutate(&payloads[random.below(payloads.len())], &mut random)).collect();
        compare(pattern, &texts, &mut matches, &mut compared);
    }
    println!("{} patterns, {compared} comparisons, {matches} matches", all.len());
    assert!(matches > 1000);
}

#[test]
fn generated_patterns_match_as_in_pcre2() {
    const PIECES: &[&str] = &[
        "a",
        "b",
        "ab",
        ".",
        "[ab]",
        "[^a]",
        "\\w",
        "\\W",
        "\\d",
        "\\s",
        "\\b",
        "\\B",
        "^",
        "\\A",
        "\\z",
        "\\Z",
        "|",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?i:",
        "(?-s)",
        "(?m)",
        "(?=",
        "(?!",
        "(?<=a",
        "(?<!b",
        "(?>",
        "*",
        "+",
        "?",
        "*?",
        "+?",
        "??",
        "*+",
        "++",
        "?+",
        "{2}",
        "{1,2}",
        "{0,3}?",
        "{2",
        "\\1",
        "\\2",
        "\\x61",
        "\\x{62}",
        "[[:alpha:]]",
        "[]a]",
        "[a-\\d]",
        "[\\]b]",
        "\\Qa.\\E",
        "\\h",
        "\\v",
        "\\R",
        "\\N",
        "\\e",
        "(?#x)",
        "[^\\W_]",
        "$",
        "\\012",
        "\\G",
        "[a\\-b]",
        "(?<n>",
        "\\k<n>",
        "[&&b]",
        "[b~~]",
        "[a[b]",
        "\\cA",
        "(?x) a",
        "A",
        "B",
    ];
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut accepted, mut matches, mut compared, mut refused) = (0, 0, 0, 0);
    for _ in 0..20_000 {
        let pattern: String = (0..=random.below(9)).map(|_| PIECES[random.below(PIECES.len())]).collect();
        let theirs = pcre2::bytes::RegexBuilder::new().dotall(true).build(&pattern);
        let ours = Regex::compile(pattern.as_bytes(), RegexOptions::default());
        match (&ours, &theirs) {
            (Ok(_), Ok(_)) => accepted += 1,
            (Err(_), Ok(_)) => {
                refused += 1;
                println!("refused by us only: {pattern}");
                continue;
            }
            _ => continue,
        }
        let texts: Vec<Vec<u8>> = (0..12)
            .map(|_| (0..random.below(7)).map(|_| b"aabbAB1 _.-\n\r"[random.below(13)]).collect::<Vec<u8>>())
            .map(|mut text| {
                while text.last() == Some(&b'\n') {
                    text.pop();
                }
                text
            })
            .collect();
        compare(pattern.as_bytes(), &texts, &mut matches, &mut compared);
    }
    println!("{accepted} patterns, {compared} comparisons, {matches} matches, {refused} refused by us only");
    assert!(accepted > 1000);
}
