//! Against the reference, and of the bounds.

use super::super::{Captures, Regex, RegexCache, RegexOptions};
use super::*;
use crate::limits::REGEX_STATES_BYTES;

/// Are the groups of a match those of the reference, also when it is searched for from where the walk says?
fn assert_groups(regex: &Regex, reference: &Regex, cache: &mut RegexCache, value: &[u8]) {
    let [mut groups, mut expected] = [Captures::new(), Captures::new()];
    let Ok(is_match) = reference.captures(cache, value, &mut expected) else { return };
    let spans = |groups: &Captures| -> Vec<_> { (0..groups.len()).map(|at| groups.span(at)).collect() };
    assert_eq!(regex.match_captures(cache, value, &mut groups), Ok(is_match), "\"{}\"", value.escape_ascii());
    if is_match {
        assert_eq!(spans(&groups), spans(&expected), "{regex:?} on \"{}\"", value.escape_ascii());
    }
}

/// Numbers that look random.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn pattern(&mut self, depth: usize) -> String {
        let atoms = [
            "a", "b", "B", "c", "_", " ", r"\n", ".", "[ab]", "[^a]", r"\w", r"\W", r"\s", "^", "$", r"\b", r"\B",
            "ab", "(?m:^)", "(?m:$)", r"\z", r"\A", "",
        ];
        match if depth == 0 { 0 } else { self.below(7) } {
            0 | 1 => atoms[self.below(atoms.len())].to_owned(),
            2 | 3 => (0..1 + self.below(4)).map(|_| self.pattern(depth - 1)).collect(),
            4 => format!("({}|{})", self.pattern(depth - 1), self.pattern(depth - 1)),
            5 => {
                let many = ["*", "+", "?", "{2}", "{1,3}", "*?", "{0,2}?"][self.below(7)];
                format!("(?:{}){many}", self.pattern(depth - 1))
            }
            _ => format!("(?i:{})", self.pattern(depth - 1)),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        (0..self.below(14)).map(|_| b"aabbABc_ \n\xe9"[self.below(11)]).collect()
    }
}

/// Where the leftmost match begins, as the scanner says.
fn leftmost(pattern: &str, value: &[u8], from: usize) -> Option<usize> {
    let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
    let scanner = regex.inner.scanner.as_ref().unwrap();
    scanner.leftmost(&mut States::default(), &mut Workshop::default(), value, from)
}

#[test]
fn the_leftmost_match_is_found_also_if_others_end_before() {
    let cases: [(&str, &[u8], usize, Option<usize>); 9] = [
        ("a.{5}b|cd", b"xa.cd..b", 0, Some(1)),
        ("a.{5}b|cd", b"xa.cd..c", 0, Some(3)),
        // Each of them ends after the next.
        ("a.{8}q|b.{5}q|cd|d", b"xab.cd.qq.q.", 0, Some(1)),
        ("a.{8}q|b.{5}q|cd|d", b"xab.cd.qq.r.", 0, Some(2)),
        ("a.{8}q|b.{5}q|cd|d", b"xab.cd.qq.q.", 2, Some(2)),
        (r"\bcd|d$", b"xcd cd", 0, Some(4)),
        (r"\bcd|d$", b"xcdxcd", 0, Some(5)),
        ("x*", b"abc", 2, Some(2)),
        ("cd", b"xcd", 2, None),
    ];
    for (pattern, value, from, expected) in cases {
        assert_eq!(leftmost(pattern, value, from), expected, "/{pattern}/ on \"{}\"", value.escape_ascii());
    }
    // What had begun before and never ends is followed to the value's end.
    let value = [b"ab".repeat(3000), b"cd".to_vec(), b"ab".repeat(3000)].concat();
    assert_eq!(leftmost("b.*q|cd", &value, 0), Some(6000));
    assert_eq!(leftmost("b.*q|cd", &[value.as_slice(), b"q"].concat(), 0), Some(1));
}

#[test]
fn matches_begin_where_the_reference_says() {
    let mut draw = Draw(314_159_265_358_979);
    let (mut cache, mut captures) = (RegexCache::new(), Captures::new());
    let mut found = 0;
    for _ in 0..1500 {
        let pattern = draw.pattern(4);
        let options = RegexOptions { backtrack_steps: 20_000, ..RegexOptions::default() };
        let Ok(regex) = Regex::compile(pattern.as_bytes(), options) else { continue };
        let Some(scanner) = &regex.inner.scanner else { continue };
        let reference = RegexOptions { is_reference: true, ..options };
        let reference = Regex::compile(pattern.as_bytes(), reference).unwrap();
        let (mut states, mut workshop) = (States::default(), Workshop::default());
        for _ in 0..12 {
            let value = draw.value();
            let from = draw.below(value.len() / 4 + 1);
            let Ok(is_match) = reference.captures_at(&mut cache, &value, from, &mut captures) else { continue };
            let expected = captures.span(0).filter(|_| is_match).map(|(start, _)| start);
            let begin = scanner.leftmost(&mut states, &mut workshop, &value, from);
            assert_eq!(begin, expected, "/{pattern}/ on \"{}\" from {from}", value.escape_ascii());
            found += usize::from(begin.is_some());
        }
    }
    assert!(found > 1000, "{found}");
}

#[test]
fn automata_and_groups_are_those_of_the_reference() {
    let mut draw = Draw(88_172_645_463_325_252);
    let mut cache = RegexCache::new();
    let (mut groups, mut expected_groups) = (Captures::new(), Captures::new());
    let mut counts = [0, 0];
    for _ in 0..1500 {
        let pattern = draw.pattern(4);
        let options = RegexOptions { backtrack_steps: 20_000, ..RegexOptions::default() };
        let Ok(regex) = Regex::compile(pattern.as_bytes(), options) else { continue };
        let reference = RegexOptions { is_reference: true, ..options };
        let reference = Regex::compile(pattern.as_bytes(), reference).unwrap();
        for _ in 0..12 {
            let value = draw.value();
            let Ok(expected) = reference.is_match(&mut cache, &value) else { continue };
            let found = regex.is_match(&mut cache, &value);
            assert_eq!(found, Ok(expected), "/{pattern}/ on \"{}\"", value.escape_ascii());
            counts[usize::from(expected)] += 1;
            // And the backtracker that looks ahead finds the groups of the one that does not.
            if reference.captures(&mut cache, &value, &mut expected_groups) == Ok(true) {
                assert_eq!(regex.captures(&mut cache, &value, &mut groups), Ok(true));
                let spans = |groups: &Captures| -> Vec<_> { (0..groups.len()).map(|at| groups.span(at)).collect() };
                assert_eq!(spans(&groups), spans(&expected_groups), "/{pattern}/ on \"{}\"", value.escape_ascii());
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
}

#[test]
fn states_are_bounded_and_forgotten_in_the_middle_of_a_value() {
    let regex = Regex::compile(br"\ba[ab]*a[ab]{16}c", RegexOptions::default()).unwrap();
    let scanner = regex.inner.scanner.as_ref().unwrap();
    let mut draw = Draw(5);
    let (mut states, mut workshop) = (States::default(), Workshop::default());
    let mut most = 0;
    let mut times = 0;
    for _ in 0..40 {
        let mut value: Vec<u8> = (0..3000).map(|_| b"ab"[draw.below(2)]).collect();
        value[0] = b'a';
        assert!(!scanner.is_match(&mut states, &mut workshop, &value));
        let length = value.len();
        value[length - 17] = b'a';
        value.push(b'c');
        assert!(scanner.is_match(&mut states, &mut workshop, &value));
        value[length - 17] = b'b';
        assert!(!scanner.is_match(&mut states, &mut workshop, &value));
        times += usize::from(states.memory_usage() < most);
        most = most.max(states.memory_usage());
    }
    assert!(times > 0 && most < 2 * REGEX_STATES_BYTES, "{times} {most}");
}

#[test]
fn a_pattern_whose_states_are_too_large_is_simulated() {
    // Each place is followed by hundreds of others.
    let regex = Regex::compile(br"(?:a?b?[c-f]?){600}q", RegexOptions::default()).unwrap();
    let scanner = regex.inner.scanner.as_ref().unwrap();
    let (mut states, mut workshop) = (States::default(), Workshop::default());
    for value in [&b"abcabcfq"[..], b"abcabcf", b"q", b"", b"xxabcdefabcdefxx", b"acbbbbq"] {
        // All else is optional.
        let expected = value.contains(&b'q');
        assert_eq!(scanner.is_match(&mut states, &mut workshop, value), expected, "{}", value.escape_ascii());
    }
    assert!(states.are_too_large && states.memory_usage() < 1024, "{}", states.memory_usage());
}

/// And not left to the backtracker, whose steps are bounded.
#[test]
fn a_pattern_with_too_many_places_is_simulated() {
    let regex = Regex::compile(br"^(?:ab){40000}$", RegexOptions::default()).unwrap();
    let scanner = regex.inner.scanner.as_ref().unwrap();
    assert!(scanner.has_too_many_places && !regex.uses_backtracker());
    let (mut states, mut workshop) = (States::default(), Workshop::default());
    let value = b"ab".repeat(40_000);
    for (value, expected) in [(&value[..], true), (&value[2..], false), (b"ab", false), (&value[1..], false)] {
        assert_eq!(scanner.is_match(&mut states, &mut workshop, value), expected, "{} bytes", value.len());
    }
    assert_eq!(states.memory_usage(), 0);
}

/// Values in which states are passed many bytes at a time: of few bytes, with one that leads on here and there.
#[test]
fn long_values_match_as_the_reference_says() {
    let mut draw = Draw(88_172_645_463_325_252);
    let mut cache = RegexCache::new();
    let mut counts = [0, 0];
    for round in 0..1500 {
        let pattern = draw.pattern(3);
        let options = RegexOptions { backtrack_steps: 1_000_000, ..RegexOptions::default() };
        let Ok(regex) = Regex::compile(pattern.as_bytes(), options) else { continue };
        let reference = RegexOptions { is_reference: true, ..options };
        let reference = Regex::compile(pattern.as_bytes(), reference).unwrap();
        for _ in 0..4 {
            let common = b"a;\x9c\n"[draw.below(4)];
            let mut value = vec![common; 60 + draw.below(300)];
            for _ in 0..round % 4 {
                let at = draw.below(value.len());
                value[at] = b"abBc_ \n\xe9"[draw.below(8)];
            }
            let Ok(expected) = reference.is_match(&mut cache, &value) else { continue };
            assert_eq!(regex.is_match(&mut cache, &value), Ok(expected), "/{pattern}/ on \"{}\"", value.escape_ascii());
            assert_groups(&regex, &reference, &mut cache, &value);
            counts[usize::from(expected)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
}

/// Patterns of words, so that few places are where a match may begin, in text of parts of such words.
#[test]
fn words_are_found_in_long_text() {
    let mut draw = Draw(271_828_182_845);
    let mut cache = RegexCache::new();
    let (mut counts, mut with_sieve) = ([0, 0], 0);
    for round in 0..1200 {
        let mut word = |most: usize| -> String {
            let parts = ["ca", "t", "se", "lect", "x+", "[yz]", r"\s*", r"[^q]*", "q?", "(?:en|d)", ".{2,5}"];
            (0..1 + draw.below(most)).map(|_| parts[draw.below(parts.len())]).collect()
        };
        let words: Vec<String> = (0..1 + round % 5).map(|_| word(4)).collect();
        let before = ["", r"\b", "(?m:^)", "^", r"\B", "(?i)"][draw.below(6)];
        let behind = ["", r"\b", "$", "(?m:$)", "", "x"][draw.below(6)];
        let pattern = format!("{before}(?:{}){behind}", words.join("|"));
        let options = RegexOptions { backtrack_steps: 1_000_000, ..RegexOptions::default() };
        let Ok(regex) = Regex::compile(pattern.as_bytes(), options) else { continue };
        let reference = RegexOptions { is_reference: true, ..options };
        let reference = Regex::compile(pattern.as_bytes(), reference).unwrap();
        for length in [20, 70, 200, 700, 1500, 5000] {
            let mut value: Vec<u8> = Vec::new();
            let rare = draw.below(300);
            while value.len() < length {
                let common: [&[u8]; 6] = [b"ab ", b"ca", b"sel", b"\n", b"0123456789", b"cc_"];
                let parts: [&[u8]; 8] = [b"cat", b"select", b"y", b"xx", b"q", b"end", b"Cat", b" "];
                let is_rare = draw.below(300) < rare;
                value.extend_from_slice(if is_rare { parts[draw.below(8)] } else { common[draw.below(6)] });
            }
            let Ok(expected) = reference.is_match(&mut cache, &value) else { continue };
            assert_eq!(regex.is_match(&mut cache, &value), Ok(expected), "/{pattern}/ on \"{}\"", value.escape_ascii());
            assert_groups(&regex, &reference, &mut cache, &value);
            counts[usize::from(expected)] += 1;
        }
        let made = regex.inner.scanner.as_ref().and_then(|scanner| scanner.beginnings.get());
        with_sieve += usize::from(made.is_some_and(Option::is_some));
    }
    assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
    assert!(with_sieve > 100 || !crate::waf::sieve::is_fast(), "{with_sieve}");
}

/// A match is found wherever it lies: within a lane, over the border of two, over a whole one.
#[test]
fn matches_are_found_over_the_borders_of_lanes() {
    let mut cache = RegexCache::new();
    // A match may begin at so many places that there is no sieve, but every few bytes no place is left.
    let filler: Vec<u8> = b"abnonopoyz".iter().copied().cycle().take(900).collect();
    for (pattern, middle) in [(r"[a-m]..7", 2), (r"\b[a-m]..7", 2), (r"[a-m].{150}7", 150), (r"[a-m].{300}7", 300)] {
        let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
        let text = [b"-b".as_slice(), &vec![b'-'; middle], b"7"].concat();
        for at in 0..filler.len() - text.len() {
            let mut value = filler.clone();
            value.splice(at..at + text.len(), text.iter().copied());
            assert_eq!(regex.is_match(&mut cache, &value), Ok(true), "/{pattern}/ at {at}");
            value[at + 1] = b'-';
            assert_eq!(regex.is_match(&mut cache, &value), Ok(false), "/{pattern}/ at {at}");
        }
    }
}
