//! Cases of the language, one row each; every row runs on the automata and on the reference interpretation.

use super::groups::WASTED_STEPS;
use super::*;

/// Pattern, text, and the groups that match (none: no match). In texts and groups `\n` and `\xHH` are escapes of Rust.
type Case = (&'static [u8], &'static [u8], Option<&'static [&'static str]>);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Bytes.
    (br"\x{c2}\x{b4}", b"\xc2\xb4", Some(&["\\xc2\\xb4"])),
    (br"[\x{c2}]", b"\xc2", Some(&["\\xc2"])),
    (br"[\x{e9}-\x{ff}]+", b"\xc3\xa9\xff", Some(&["\\xff"])),
    (br"^.$", b"\xc3\xa9", None),
    (br"\xff", b"\xff", Some(&["\\xff"])),
    (b"\xc3\xa9", b"a\xc3\xa9", Some(&["\\xc3\\xa9"])),
    (br"[^a]", b"\xff", Some(&["\\xff"])),
    (br"\x4", b"\x04", Some(&["\\x04"])),
    (br"a\xg", b"a\x00g", Some(&["a\\x00g"])),
    // Anchors.
    (br"a.b", b"a\nb", Some(&["a\\nb"])),
    (br"(?-s)a.b", b"a\nb", None),
    (br"a$", b"a\n", None),
    (br"a\Z", b"a\n", Some(&["a"])),
    (br"a\z", b"a\n", None),
    (br"^b", b"a\nb", None),
    (br"(?m)^b$", b"a\nb\nc", Some(&["b"])),
    (br"\Ab", b"ab", None),
    (br"(?m)\Ab", b"a\nb", None),
    (br"\bfoo\b", b"a foo.", Some(&["foo"])),
    (br"\Boo", b"foo", Some(&["oo"])),
    (br"\bx", b"\xe9x", Some(&["x"])),
    // Case.
    (br"(?i)SeLecT", b"sElEct", Some(&["sElEct"])),
    (br"(?i)[a-c]+", b"AbC", Some(&["AbC"])),
    (br"(?i)[^a]", b"A", None),
    (br"(?i)\xe9", b"\xc9", None),
    (br"(?i)k", b"\xe2\x84\xaa", None),
    (br"a(?i)b", b"aB", Some(&["aB"])),
    (br"a(?i)b", b"AB", None),
    (br"(a(?i)b)c", b"aBC", None),
    (br"a(?i:b)c", b"aBc", Some(&["aBc"])),
    (br"(?i)a(?-i)b", b"AB", None),
    (br"(a(?i)b|c)", b"C", Some(&["C", "C"])),
    (br"(?i)[[:upper:]]", b"a", Some(&["a"])),
    (br"(?i)[[:^upper:]]", b"a", None),
    // Classes.
    (br"[]a]+", b"]a", Some(&["]a"])),
    (br"[^]a]", b"]ab", Some(&["b"])),
    (br"[a-\d]+", b"-a5b", Some(&["-a5"])),
    (br"[\d-z]+", b"5-z7y", Some(&["5-z7"])),
    (br"[a&&b]+", b"&a&b", Some(&["&a&b"])),
    (br"[[a]+", b"[a", Some(&["[a"])),
    (br"[a~~b]+", b"a~b", Some(&["a~b"])),
    (br"[\b]", b"\x08", Some(&["\\x08"])),
    (br"[[:alpha:][:digit:]_]+", b"-aZ9_-", Some(&["aZ9_"])),
    (br"[[:^alpha:]]+", b"ab12", Some(&["12"])),
    (br"[[:alpha]+", b":lah[", Some(&[":lah["])),
    (br"[\h]+\H", b"\t \xa0x", Some(&["\\t \\xa0x"])),
    (br"\v+\V", b"\n\x0b\x0c\r\x85x", Some(&["\\n\\x0b\\x0c\\r\\x85x"])),
    (br"\s+", b"a\x0bb", Some(&["\\x0b"])),
    (br"[\Qa-z]\E]+", b"-]z", Some(&["-]z"])),
    (br"[\w-]+", b"a-b", Some(&["a-b"])),
    (br"[--a]+", b"-a", Some(&["-a"])),
    (br"[\]]", b"]", Some(&["]"])),
    (br"[\x{41}-\x43]+", b"ABCD", Some(&["ABC"])),
    (br"[\101-\103]+", b"ABCD", Some(&["ABC"])),
    // Escapes.
    (br"\e\a\f\t", b"\x1b\x07\x0c\t", Some(&["\\x1b\\x07\\x0c\\t"])),
    (br"\cA\c[", b"\x01\x1b", Some(&["\\x01\\x1b"])),
    (br"\Qa.b\E.", b"a.bX", Some(&["a.bX"])),
    (br"\Qa.b", b"a.b", Some(&["a.b"])),
    (br"\Qab\E+", b"abbb", Some(&["abbb"])),
    (br"\E\Ea", b"a", Some(&["a"])),
    (br"\0101", b"\x081", Some(&["\\x081"])),
    (br"\o{101}\101\x41", b"AAA", Some(&["AAA"])),
    (br"\/\'\:\@\_\-", b"/':@_-", Some(&["/\\':@_-"])),
    (br"a\Rb", b"a\r\nb", Some(&["a\\r\\nb"])),
    (br"a\Rb", b"a\x85b", Some(&["a\\x85b"])),
    (br"\R\n", b"\r\n", None),
    (br"\N+", b"ab\nc", Some(&["ab"])),
    (br"\N{2}", b"ab\nc", Some(&["ab"])),
    // Quantifiers.
    (br"a{,3}", b"a{,3}", Some(&["a{,3}"])),
    (br"a{1", b"a{1", Some(&["a{1"])),
    (br"a{x}", b"a{x}", Some(&["a{x}"])),
    (br"{", b"{", Some(&["{"])),
    (br"a{2}", b"aaa", Some(&["aa"])),
    (br"a{2,}", b"aaaa", Some(&["aaaa"])),
    (br"a{2,3}?", b"aaaa", Some(&["aa"])),
    (br"a+?b", b"aab", Some(&["aab"])),
    (br"(?U)a+", b"aaa", Some(&["a"])),
    (br"(?U)a+?", b"aaa", Some(&["aaa"])),
    (br"a{2}{2}", b"aaaaa", Some(&["aaaa"])),
    (br"a{0}b", b"ab", Some(&["b"])),
    (br"(a){0}b", b"ab", Some(&["b", "-"])),
    (br"a++b", b"aab", Some(&["aab"])),
    (br"a++ab", b"aab", None),
    (br".*+x", b"aax", None),
    (br"(?>a+)ab", b"aab", None),
    (br"(?>a|ab)c", b"abc", None),
    (br"(?>ab|a)b", b"ab", None),
    (br"<(?>[^<>!]++|!.)*+>", b"x<a!>b>y", Some(&["<a!>b>"])),
    (br"(?:a*)*b", b"aab", Some(&["aab"])),
    (br"(a*)*", b"b", Some(&["", ""])),
    (br"(a|b)*", b"ab", Some(&["ab", "b"])),
    (br"(?:(a)|b)*", b"ab", Some(&["ab", "a"])),
    (br"(a|ab)(c|bcd)(d*)", b"abcd", Some(&["abcd", "a", "bcd", ""])),
    // Comments and extended syntax.
    (br"a(?#comment)b", b"ab", Some(&["ab"])),
    (br"(?x) a b # comment", b"ab", Some(&["ab"])),
    (b"(?x)a #x)\n b", b"ab", Some(&["ab"])),
    (br"(?x)[a b]+", b" a", Some(&[" a"])),
    (br"(?x) a +", b"aa", Some(&["aa"])),
    (br"(?^)a.", b"A\n", None),
    // Groups.
    (br"(?<x>a)(?P<y>b)(?'z'c)", b"abc", Some(&["abc", "a", "b", "c"])),
    (br"(?:a|b)(c)?", b"b", Some(&["b", "-"])),
    (br"a||b", b"b", Some(&[""])),
    (br"()", b"b", Some(&["", ""])),
    (br"(?n)(a)(?<b>b)", b"ab", Some(&["ab", "b"])),
    // Look-around and references.
    (br"^(?:5|4(?!04))", b"404", None),
    (br"^(?:5|4(?!04))", b"403", Some(&["4"])),
    (br"(?<=a)b", b"ab", Some(&["b"])),
    (br"(?<!a)b", b"ab", None),
    (br"(?<=ab|c)d", b"cd", Some(&["d"])),
    (br"(?=(a+))a*b\1", b"baaabac", Some(&["aba", "a"])),
    (br"(?!(a)b)a\1?", b"aa", Some(&["a", "-"])),
    (br"(a)\1", b"aa", Some(&["aa", "a"])),
    (br"(?i)(a)\1", b"aA", Some(&["aA", "a"])),
    (br"(a)?\1b", b"b", None),
    (br"(?<n>.)\k<n>\k{n}\k'n'\g{n}(?P=n)\g1\g{-1}", b"aaaaaaaa", Some(&["aaaaaaaa", "a"])),
    (br"(.)\12", b"aa2", None),
    (br"x\12", b"x\n", Some(&["x\\n"])),
    (br"[[:<:]]foo[[:>:]]", b"a foo b", Some(&["foo"])),
    (br"(?:(?=a)){2}a", b"a", Some(&["a"])),
    (br"\G\d", b"a1", None),
    (br"(?=a)*b", b"b", Some(&["b"])),
    (br"\b*b", b"ab", Some(&["b"])),
];

fn groups(regex: &Regex, haystack: &[u8]) -> Option<Vec<String>> {
    let mut captures = Captures::new();
    let mut cache = RegexCache::new();
    let is_match = regex.is_match(&mut cache, haystack).unwrap();
    assert_eq!(regex.captures(&mut cache, haystack, &mut captures), Ok(is_match), "{regex:?}");
    is_match.then(|| {
        let text = |group| {
            captures.text(group, haystack).map_or_else(|| "-".to_owned(), |text| text.escape_ascii().to_string())
        };
        (0..captures.len()).map(text).collect()
    })
}

#[test]
fn patterns_mean_what_pcre_means() {
    for (pattern, haystack, expected) in CASES {
        let expected = expected.map(|groups| groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
        for is_reference in [false, true] {
            let options = RegexOptions { is_reference, ..RegexOptions::default() };
            let regex =
                Regex::compile(pattern, options).unwrap_or_else(|error| panic!("{}: {error}", pattern.escape_ascii()));
            let found = groups(&regex, haystack);
            let (pattern, haystack) = (pattern.escape_ascii(), haystack.escape_ascii());
            assert_eq!(found, expected, "/{pattern}/ on \"{haystack}\", reference: {is_reference}");
        }
    }
}

#[test]
fn errors_say_what_and_where() {
    use ErrorKind::*;
    let cases: &[(&[u8], usize, ErrorKind)] = &[
        (b"(a", 0, UnclosedGroup),
        (b"a)", 1, UnopenedGroup),
        (b"x[a", 1, UnclosedClass),
        (b"[]", 0, UnclosedClass),
        (b"*a", 0, NothingToRepeat),
        (b"a|*", 2, NothingToRepeat),
        (b"{2}", 0, NothingToRepeat),
        (b"a{3,2}", 1, RepeatOutOfOrder),
        (b"a{70000}", 1, RepeatTooLarge),
        (b"[z-a]", 4, RangeOutOfOrder),
        (b"[a--]", 4, RangeOutOfOrder),
        (b"[[:foo:]]", 1, UnknownPosixClass),
        (br"\x{100}", 2, CodePointTooLarge),
        (br"[\x{2028}]", 3, CodePointTooLarge),
        (br"a\K", 3, Unsupported("\\K")),
        (b"(?R)", 2, Unsupported("recursion or a subroutine call")),
        (b"(?<=a+)b", 0, LookBehindNotFixed),
        (br"\2(a)", 2, UnknownGroup),
        (br"a\", 2, TrailingBackslash),
        (br"\y", 1, InvalidEscape),
        (b"(?z)a", 2, UnknownGroupOption),
        (b"(?<1>a)", 3, InvalidGroupName),
    ];
    for (pattern, position, kind) in cases {
        let error = Regex::compile(pattern, RegexOptions::default()).unwrap_err();
        assert_eq!((error.position, error.kind), (*position, *kind), "/{}/", pattern.escape_ascii());
    }
}

#[test]
fn multi_line_and_other_options() {
    let multi = RegexOptions { is_multi_line: true, ..RegexOptions::default() };
    assert!(groups(&Regex::compile(b"^b$", multi).unwrap(), b"a\nb\n").is_some());
    let dollar = RegexOptions { is_dollar_end_only: false, ..RegexOptions::default() };
    assert!(groups(&Regex::compile(b"a$", dollar).unwrap(), b"a\n").is_some());
    let folded = RegexOptions { is_case_insensitive: true, ..RegexOptions::default() };
    assert!(groups(&Regex::compile(b"abc", folded).unwrap(), b"xABC").is_some());
}

#[test]
fn an_exhausted_budget_is_an_outcome() {
    let mut cache = RegexCache::new();
    let regex = Regex::compile(br"(?:a|a)+(?=b)c", RegexOptions::default()).unwrap();
    // The superset says no first.
    assert_eq!(regex.is_match(&mut cache, &[b'a'; 5000]), Ok(false));
    let regex = Regex::compile(br"((?:a|a)+)\1b", RegexOptions::default()).unwrap();
    let haystack = [b"a".repeat(40), b"cb".to_vec()].concat();
    assert_eq!(regex.is_match(&mut cache, &haystack), Err(LimitExceeded));
    let mut matches = regex.find_iter(&mut cache, &haystack);
    assert_eq!(matches.next(), Some(Err(LimitExceeded)));
    assert_eq!(matches.next(), None);
}

#[test]
fn patterns_too_large_for_automata_count() {
    let regex = Regex::compile(b"^(?:(?:ab){1000}){60000}$", RegexOptions::default()).unwrap();
    assert!(regex.uses_backtracker());
    assert!(regex.memory_usage() < 10_000);
    assert_eq!(regex.is_match(&mut RegexCache::new(), &b"ab".repeat(3000)), Ok(false));
}

#[test]
fn nesting_is_bounded() {
    for count in [150, 199, 100_000] {
        for (open, close) in [("(", ")"), ("(?:a{1}{1}", "){1}{1}"), ("(?=", ")"), ("(?>a|", ")+")] {
            let pattern = [open.repeat(count), "a".to_owned(), close.repeat(count)].concat();
            let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default());
            assert_eq!(regex.is_ok(), count < 200, "{open} {count}");
            if let Ok(regex) = regex {
                regex.is_match(&mut RegexCache::new(), b"aaaa").ok();
            }
        }
    }
    assert!(Regex::compile(&[b'a'; 200_000], RegexOptions::default()).is_err());
    assert!(Regex::compile(&[b'('; 2_000_000], RegexOptions::default()).is_err());
    assert!(
        Regex::compile([b"a".to_vec(), b"{1}".repeat(10_000)].concat().as_slice(), RegexOptions::default()).is_err()
    );
}

#[test]
fn matches_follow_each_other() {
    let all = |pattern: &[u8], haystack: &[u8]| -> Vec<(usize, usize)> {
        let regex = Regex::compile(pattern, RegexOptions::default()).unwrap();
        let mut cache = RegexCache::new();
        regex.find_iter(&mut cache, haystack).map(Result::unwrap).collect()
    };
    assert_eq!(all(b"a+", b"aabaa"), [(0, 2), (3, 5)]);
    assert_eq!(all(b"a*", b"baac"), [(0, 0), (1, 3), (4, 4)]);
    assert_eq!(all(b"^a", b"aa"), [(0, 1)]);
    assert_eq!(all(br"(?<=a)a", b"aaa"), [(1, 2), (2, 3)]);
    assert_eq!(all(br"\Ga", b"aab"), [(0, 1), (1, 2)]);
}

#[test]
fn caches_are_bounded() {
    let mut cache = RegexCache::new();
    let mut regexes = Vec::new();
    for round in 0..3000 {
        let pattern = format!("[a-z]+{round}[0-9]*x");
        let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
        assert_eq!(regex.is_match(&mut cache, format!("foo{round}12x").as_bytes()), Ok(true));
        assert_eq!(regex.is_match(&mut cache, b"foo"), Ok(false));
        regexes.push(regex);
    }
    assert!(cache.memory_usage() < 3 * crate::limits::REGEX_CACHE_BYTES, "{}", cache.memory_usage());
}

#[test]
fn what_was_kept_for_a_regex_that_is_gone_is_forgotten() {
    let compile = |pattern: &[u8]| Regex::compile(pattern, RegexOptions::default()).unwrap();
    let mut cache = RegexCache::new();
    let stays = compile(b"[a-z]+[0-9]");
    for _ in 0..100 {
        let goes = compile(b"[a-z]+[1-9](x)");
        assert_eq!(goes.is_match(&mut cache, b"a1x"), Ok(true));
    }
    assert_eq!(stays.is_match(&mut cache, b"a1"), Ok(true));
    // Tests beside this one number regexes too, so two may share a slot.
    assert!(cache.len() > 90, "{}", cache.len());
    cache.forget_gone();
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_span_without_groups_is_pcres_too() {
    // Rounds of a loop that consume nothing: the automaton alone would end the match elsewhere.
    let text = b"\xff*?(\xcb\x11?*?+\xcb\x11\n\xff*?(\n\xc3[";
    let pattern = b".?*?+\xcb\x11";
    let spans = [false, true].map(|is_reference| {
        let options = RegexOptions { is_reference, ..RegexOptions::default() };
        let regex = Regex::compile(pattern, options).unwrap();
        let mut captures = Captures::new();
        assert_eq!(regex.captures(&mut RegexCache::new(), text, &mut captures), Ok(true));
        captures.span(0)
    });
    assert_eq!(spans[0], spans[1]);
}

#[test]
fn groups_are_the_same_whoever_finds_them() {
    let mut cache = RegexCache::new();
    for (pattern, text, _) in CASES {
        let untraced = RegexOptions { traces_matches: false, ..RegexOptions::default() };
        let [traced, untraced] =
            [RegexOptions::default(), untraced].map(|options| Regex::compile(pattern, options).unwrap());
        assert_eq!(groups(&traced, text), groups(&untraced, text), "/{}/", pattern.escape_ascii());
    }
    // One that takes the backtracker too long unless it begins where the match does, and one that does even so.
    let text = [b"x".repeat(60), b"-xxy".to_vec()].concat();
    let hard = b"x".repeat(60);
    let hard_text = [hard.as_slice(), b"y"].concat();
    let cases = [
        ("(x+x+)+(y)", &text, [Some((61, 64)), Some((61, 63)), Some((63, 64))], false),
        ("(?:(x+x+)+z|x+(y))", &hard_text, [Some((0, 61)), None, Some((60, 61))], true),
    ];
    for (pattern, text, expected, is_automaton) in cases {
        let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
        let mut captures = Captures::new();
        for _ in 0..3 {
            assert_eq!(regex.captures(&mut cache, text, &mut captures), Ok(true));
            assert_eq!([0, 1, 2].map(|group| captures.span(group)), expected);
        }
        assert_eq!(regex.inner.automaton.get().is_some(), is_automaton);
    }
    // So many steps for so few bytes are not taken again and again.
    let regex = Regex::compile(b"(?:(x+x+)+z|x+(y))", RegexOptions::default()).unwrap();
    let mut captures = Captures::new();
    for _ in 0..100 {
        assert_eq!(regex.captures(&mut cache, &hard_text, &mut captures), Ok(true));
    }
    let wasted = regex.inner.wasted.load(Ordering::Relaxed);
    assert!((WASTED_STEPS..2 * WASTED_STEPS).contains(&wasted), "{wasted}");
}
