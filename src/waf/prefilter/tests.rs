//! The conditions are necessary: whatever an operator matches, the prefilter lets through.

use std::path::Path;

use regex_syntax::hir::{Class, Hir, HirKind};

use super::*;
use crate::seclang::source::MemoryLoader;
use crate::waf::operator::{CompileContext, Evidence, Operator, OperatorContext, Outcome};
use crate::waf::program::TxNames;
use crate::waf::regex::RegexCache;
use crate::waf::tests::draws::draws;

fn try_to_compile(name: &'static str, argument: &str) -> Option<CompiledOperator> {
    let loader = MemoryLoader::new();
    let context = CompileContext::new(&loader, Path::new("test.conf"));
    CompiledOperator::compile(name, argument.as_bytes(), &context, &mut TxNames::new()).ok()
}

fn compile(operators: &[(&'static str, &str)]) -> Vec<CompiledOperator> {
    operators.iter().map(|(name, argument)| try_to_compile(name, argument).unwrap()).collect()
}

/// What operators are asked with.
#[derive(Default)]
struct Asking {
    cache: RegexCache,
    evidence: Evidence,
}

impl Asking {
    fn outcome(&mut self, operator: &CompiledOperator, value: &[u8]) -> Outcome {
        let mut context = OperatorContext { regexes: &mut self.cache, evidence: &mut self.evidence, captures: false };
        operator.operator.matches(None, value, &mut context)
    }

    fn is_match(&mut self, operator: &CompiledOperator, value: &[u8]) -> bool {
        self.outcome(operator, value) == Outcome::Match
    }
}

fn candidates(filter: &Prefilter, value: &[u8]) -> Vec<u32> {
    let mut classes = Classes::new(filter.words());
    let class = filter.ask(&mut Memory::default(), &mut classes, value, ALL);
    let is_maybe = |id: &u32| filter.bit(OperatorId(*id)).is_none_or(|bit| is_set(classes.answer(class), bit));
    (0..OPERATORS.len() as u32).filter(is_maybe).collect()
}

const OPERATORS: &[(&str, &str)] = &[
    ("rx", r"(?i)\bunion\s+(?:all\s+)?select\b"),
    ("rx", r"^[a-z]+$"),
    ("rx", r"(?:a|bc)?d{2,4}[^x]"),
    ("rx", r"<(?:script|img)[^>]*>"),
    ("rx", r"(?i)[\s/]on(?:load|error)="),
    ("rx", r"x*"),
    ("rx", r"(?:\.\./){2,}|%2e%2e"),
    ("pm", "wget curl nc"),
    ("contains", "Abc"),
    ("streq", "ab"),
    ("endsWith", "/x"),
    ("within", "ab cd"),
    ("validateByteRange", "32-126"),
    ("validateUrlEncoding", ""),
    ("validateUtf8Encoding", ""),
    ("detectSQLi", ""),
    ("detectXSS", ""),
    ("noMatch", ""),
    ("unconditionalMatch", ""),
];

#[test]
fn never_says_no_where_the_operator_says_yes() {
    let operators = compile(OPERATORS);
    let filter = Prefilter::new(&operators, &[], 0, |_| true);
    let pieces: [&[u8]; 22] = [
        b"",
        b"union",
        b" ",
        b"ALL",
        b"Select",
        b"a",
        b"bc",
        b"dd",
        b"<script>",
        b"<IMG x>",
        b"/onload=",
        b"x",
        b"../",
        b"%2e%2e",
        b"wGet",
        b"Abc",
        b"ab",
        b"/x",
        b"\xC3\xBC",
        b"\xFF",
        b"' or 1=1--",
        b"%g",
    ];
    let mut asking = Asking::default();
    let mut asked = 0;
    for first in pieces {
        for second in pieces {
            for third in pieces {
                let value = [first, second, third].concat();
                let found = candidates(&filter, &value);
                for (number, operator) in (0..).zip(&operators) {
                    let is_no = asking.outcome(operator, &value) == Outcome::NoMatch || found.contains(&number);
                    assert!(is_no, "{:?} of {}", OPERATORS[number as usize], value.escape_ascii());
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 200_000);
}

/// A pattern with what matters for what stands around texts: borders, branches, repetitions, what may be empty.
fn draw_pattern(draw: &mut impl FnMut(usize) -> usize, depth: usize) -> String {
    const ATOMS: [&str; 16] =
        ["a", "b", "ab", "ba;", ";", "_", r"\ba", r"b\b", "^", "$", r"\b", r"\B", ".", "[ab;]", "[^a]", "[^;_b]"];
    if depth == 0 {
        return ATOMS[draw(ATOMS.len())].to_owned();
    }
    match draw(4) {
        0 | 1 => (0..2 + draw(3)).map(|_| draw_pattern(draw, depth - 1)).collect(),
        2 => {
            let branches: Vec<String> = (0..2 + draw(2)).map(|_| draw_pattern(draw, depth - 1)).collect();
            format!("(?:{}{})", branches.join("|"), ["", "", "|"][draw(3)])
        }
        _ => {
            let often = ["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?"][draw(8)];
            format!("(?:{}){often}", draw_pattern(draw, depth - 1))
        }
    }
}

#[test]
fn what_stands_around_texts_is_never_a_reason_to_say_no_to_a_match() {
    let mut draw = draws();
    let mut asking = Asking::default();
    let (mut matches, mut refused) = (0, 0);
    for round in 0..if cfg!(debug_assertions) { 2_000 } else { 20_000 } {
        let flags = ["", "(?i)", "(?m)", ""][round % 4];
        let pattern = format!("{flags}{}", draw_pattern(&mut draw, 2 + round % 3));
        let Some(operator) = try_to_compile("rx", &pattern) else {
            // Nothing to repeat.
            continue;
        };
        let operators = [operator];
        let filter = Prefilter::new(&operators, &[], 0, |_| true);
        let mut memory = Memory::default();
        let mut classes = Classes::new(filter.words());
        for _ in 0..40 {
            let value: Vec<u8> = (0..draw(10)).map(|_| b"aAabb;_ \n\0\xC3"[draw(11)]).collect();
            let is_match = asking.is_match(&operators[0], &value);
            let class = filter.ask(&mut memory, &mut classes, &value, ALL);
            let is_maybe = filter.bit(OperatorId(0)).is_none_or(|bit| is_set(classes.answer(class), bit));
            assert!(is_maybe || !is_match, "{pattern} of {}", value.escape_ascii());
            matches += usize::from(is_match);
            refused += usize::from(!is_maybe);
        }
    }
    assert!(matches > 10_000 && refused > 10_000, "{matches} {refused}");
}

/// A pattern that allows for rare bytes between others, as against evasion, with texts, classes of few and of many
/// characters, products and borders.
fn draw_evasive_pattern(draw: &mut impl FnMut(usize) -> usize, depth: usize) -> String {
    const RARE: [&str; 8] = [
        r#"["'\\]*"#,
        r"\\?",
        r"(?:\$[a-z0-9]*)?",
        "(?:[a-z ]*['!])?",
        r#"(?:"|')?"#,
        r"(?:\^|[a-c]+\$)*",
        "[!@#]*",
        r#"["^]*"#,
    ];
    const ATOMS: [&str; 32] = [
        "ea",
        "ie",
        "aa",
        "en",
        "a",
        "b",
        ";",
        ";",
        "union",
        "selEct",
        "[;|]",
        "(?:^|[;|])",
        "(?:[ ,]|$)",
        "[^x]",
        "[^x]+",
        "[a-z]*",
        "[a-z ]+",
        "[^;_b]",
        "[0-9a-f]",
        r"\s",
        r"\W",
        r"\bid",
        r"ls\b",
        r"\B",
        "^",
        "$",
        "n{2}",
        "[se]{3}",
        "t{5,}",
        r"\xc3[\x80-\xbf]",
        r"\x00",
        ".",
    ];
    if depth > 0 && draw(4) == 0 {
        // A short text is met often, so it is asked for with what stands before it.
        let texts = ["ea", "ie", "aa", "en", "a"];
        let (first, last) = (texts[draw(5)], texts[draw(4)]);
        let between = [RARE[draw(RARE.len())], ["[a-z]*", "[a-z ]*", r"\w*", "[^;]*"][draw(4)]];
        let [one, other] = if draw(2) == 0 { [0, 1] } else { [1, 0] }.map(|which: usize| between[which]);
        return format!("{first}{one}{other}{last}");
    }
    if depth == 0 || draw(5) == 0 {
        return if draw(4) == 0 { RARE[draw(RARE.len())] } else { ATOMS[draw(ATOMS.len())] }.to_owned();
    }
    match draw(7) {
        0..4 => (0..2 + draw(3)).map(|_| draw_evasive_pattern(draw, depth - 1)).collect(),
        4 | 5 => {
            let branches: Vec<String> = (0..2 + draw(3)).map(|_| draw_evasive_pattern(draw, depth - 1)).collect();
            format!("(?:{}{})", branches.join("|"), ["", "", "", "|"][draw(4)])
        }
        _ => {
            let often = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "{3,4}", "{2,5}", "{6}", "{0}", "+?"][draw(11)];
            format!("(?:{}){often}", draw_evasive_pattern(draw, depth - 1))
        }
    }
}

/// Adds what a pattern is likely to match.
fn draw_match(hir: &Hir, draw: &mut impl FnMut(usize) -> usize, value: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Literal(literal) => value.extend_from_slice(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            let all: Vec<u8> = class.ranges().iter().flat_map(|range| range.start()..=range.end()).collect();
            let liked: Vec<u8> = all.iter().copied().filter(|byte| b"aAb;_ '\"\n\0e0".contains(byte)).collect();
            let some = if liked.is_empty() || draw(4) == 0 { &all } else { &liked };
            value.extend((!some.is_empty()).then(|| some[draw(some.len())]));
        }
        HirKind::Capture(capture) => draw_match(&capture.sub, draw, value),
        HirKind::Concat(parts) => parts.iter().for_each(|part| draw_match(part, draw, value)),
        HirKind::Alternation(branches) => draw_match(&branches[draw(branches.len())], draw, value),
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX).min(repetition.min + 3);
            let rounds = repetition.min as usize + draw((most - repetition.min + 1) as usize);
            (0..rounds).for_each(|_| draw_match(&repetition.sub, draw, value));
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Unicode(_)) => {}
    }
}

/// Several operators together, of all and of a scope, for values in lower case and as they are.
#[test]
fn rare_bytes_in_optional_parts_are_never_a_reason_to_say_no_to_a_match() {
    let mut draw = draws();
    let mut asking = Asking::default();
    let (mut matches, mut refused) = (0, 0);
    for round in 0..if cfg!(debug_assertions) { 500 } else { 5_000 } {
        let mut patterns: Vec<String> = Vec::new();
        for _ in 0..[1, 1, 1, 4][round % 4] {
            let flags = ["", "(?i)", "(?m)", "(?im)"][draw(4)];
            let depth = 1 + draw(3);
            patterns.push(format!("{flags}{}", draw_evasive_pattern(&mut draw, depth)));
        }
        // Without those that have nothing to repeat.
        let (patterns, operators): (Vec<&String>, Vec<CompiledOperator>) =
            patterns.iter().filter_map(|pattern| Some((pattern, try_to_compile("rx", pattern)?))).unzip();
        let mut filter = Prefilter::new(&operators, &[], 0, |_| true);
        let some = draw(16);
        let scoped = (0..operators.len() as u32).filter(|id| some >> id & 1 != 0).map(OperatorId);
        let mask = filter.operators(scoped);
        let scope = filter.add_scope(mask.clone()).unwrap();
        let mut memory = Memory::default();
        let mut classes = Classes::new(filter.words());
        for number in 0..20 * operators.len() {
            let mut value: Vec<u8> = Vec::new();
            for most in [[1, 2, 6, 70][draw(4)], [1, 2, 6, 34][draw(4)]] {
                if value.len() < 100
                    && let Operator::Rx(Some(regex), _) = &operators[number % operators.len()].operator
                {
                    draw_match(regex.hir(), &mut draw, &mut value);
                }
                value.extend((0..draw(most)).map(|_| b"aAbb;_ \n\0\xC3'\"$!e"[draw(15)]));
            }
            let folded = value.to_ascii_lowercase();
            let [all, within] = [ALL, scope].map(|scope| filter.ask(&mut memory, &mut classes, &value, scope));
            for (id, operator) in (0..).zip(&operators) {
                let Some(bit) = filter.bit(OperatorId(id)) else { continue };
                let is_maybe =
                    is_set(classes.answer(all), bit) && (!is_set(&mask, bit) || is_set(classes.answer(within), bit));
                refused += usize::from(!is_maybe);
                for value in [&value, &folded] {
                    let is_match = asking.is_match(operator, value);
                    assert!(is_maybe || !is_match, "{} of {}", patterns[id as usize], value.escape_ascii());
                    matches += usize::from(is_match);
                }
            }
        }
    }
    assert!(matches > 10_000 && refused > 10_000, "{matches} {refused}");
}

/// What is optional and has rare bytes is taken to be absent, but not by what is said of its neighbours.
#[test]
fn what_stands_around_texts_is_said_of_values_with_rare_bytes_too() {
    let cases: [(&str, &[u8]); 6] = [
        (r#";(?:["'][a-z ]*)?(?:ea[^x]+y|ie[^x]+z)"#, b";'aeaby"),
        (r#"ea(?:(?:[a-z ]*["'])?;[^x]|:[^x])"#, b"eab';a"),
        (r#"aa["'\\]*[a-z]*ea"#, b"aa''\\eay"),
        (r#"(?:^|[;|])(?:["'][a-z ]*)?(?:en[^x]+y|ls[^y]+[0-9])"#, b";'als 5"),
        (r#"(?im)(?:[abe]){2,}_*b(?:"|')?[!@#]*[^x]+"#, b"_'ba_bb\"\0\na"),
        (r"(?i)[a-z](?:[a-z ]*['!])?[a-z]*ab", b"aYAy'aB"),
    ];
    for (pattern, value) in cases {
        let operators = [try_to_compile("rx", pattern).unwrap()];
        let filter = Prefilter::new(&operators, &[], 0, |_| true);
        let mut classes = Classes::new(filter.words());
        let class = filter.ask(&mut Memory::default(), &mut classes, value, ALL);
        let bit = filter.bit(OperatorId(0)).unwrap();
        assert!(Asking::default().is_match(&operators[0], value), "{pattern}");
        assert!(is_set(classes.answer(class), bit), "{pattern} of {}", value.escape_ascii());
    }
}

#[test]
fn ordinary_values_are_candidates_of_little() {
    let filter = Prefilter::new(&compile(OPERATORS), &[], 0, |_| true);
    assert_eq!(candidates(&filter, b"winter"), [1, 5, 11, 18]);
    assert_eq!(candidates(&filter, b"2024-05-01"), [5, 11, 15, 18]);
}

/// Values of all kinds, short and long, with texts in them.
fn drawn_values() -> Vec<Vec<u8>> {
    const PIECES: [&[u8]; 18] = [
        b"union",
        b"select",
        b" ",
        b"dd",
        b"<script",
        b"/onload=",
        b"../",
        b"%2e%2e",
        b"wget",
        b"Abc",
        b"ab",
        b"/x",
        b"\n",
        b"'",
        b"(",
        b"\xC3",
        b"q",
        b"1",
    ];
    let mut draw = draws();
    let mut value = |round: usize| {
        let (first, spread) = (draw(PIECES.len()), 1 + round % PIECES.len());
        let mut value = Vec::new();
        for _ in 0..draw([4, 12, 60][round % 3]) {
            value.extend_from_slice(PIECES[(first + draw(spread)) % PIECES.len()]);
        }
        value
    };
    (0..3000).map(&mut value).collect()
}

#[test]
fn what_is_remembered_of_values_is_true_of_others() {
    let telling = signature::of_value(b"%<") | signature::CAPITALS | signature::SLASHES;
    let filter = Prefilter::new(&compile(OPERATORS), &[], telling, |_| true);
    let (mut memory, mut kept) = (Memory::default(), Classes::new(filter.words()));
    for value in drawn_values() {
        let mut fresh = Classes::new(filter.words());
        let (one, other) =
            (filter.ask(&mut memory, &mut kept, &value, ALL), filter.ask(&mut memory, &mut fresh, &value, ALL));
        assert_eq!(kept.answer(one), fresh.answer(other), "{}", value.escape_ascii());
        assert_eq!(kept.signature(one), fresh.signature(other), "{}", value.escape_ascii());
    }
    assert!(kept.len() > 100, "{}", kept.len());
}

#[test]
fn a_scope_says_the_same_of_its_operators() {
    let mut filter = Prefilter::new(&compile(OPERATORS), &[], 0, |_| true);
    let operators = filter.operators([0, 4, 7, 12].map(OperatorId).into_iter());
    let scope = filter.add_scope(operators.clone()).unwrap();
    assert_ne!(scope, ALL);
    let (mut memory, mut classes) = (Memory::default(), Classes::new(filter.words()));
    let mut met = 0;
    for value in drawn_values() {
        let [all, some] = [ALL, scope].map(|scope| {
            let class = filter.ask(&mut memory, &mut classes, &value, scope);
            classes.answer(class).iter().zip(&operators).map(|(answer, mask)| answer & mask).collect::<Vec<_>>()
        });
        assert_eq!(all, some, "{}", value.escape_ascii());
        met += usize::from(all.iter().any(|word| *word != 0));
    }
    assert!(met > 500, "{met}");
}

/// A form is asked about where it differs from its value only, and nothing is missed.
#[test]
fn a_form_that_differs_little_is_asked_about_as_a_whole_one_is() {
    // Stands within a text, and is gone in the form.
    const MARK: u8 = b'~';
    const LONG: &str = "it is a phrase of more bytes than are looked for at once";
    let more = [
        ("pm", "metadata instance sleep waitfor xp_cmdshell"),
        ("contains", LONG),
        ("rx", r"(?i)sleep\("),
        ("rx", r"\bbenchmark\b"),
        ("rx", r"[;|]\s*id\b"),
        ("rx", r"^aa.*zz$"),
        ("rx", r"%(?!zz)"),
        ("rx", r"<[a-z]+ on[a-z]+="),
        // Looked for only in values that have the other thing too.
        ("rx", r"mailto[^x(]*\("),
        (
            "pm",
            "q;a q;b q;c q;d q;e q;f q;g q;h q;i q;j q;k q;l q;m q;n q;o q;p q;q q;r q;s q;t q;u q;v q;w q;x q;y q;z",
        ),
    ];
    let operators = compile(&[OPERATORS, more.as_slice()].concat());
    let mut filter = Prefilter::new(&operators, &[], 0, |_| true);
    let scoped = filter.operators((0..operators.len() as u32).filter(|id| id % 3 != 0).map(OperatorId));
    let scope = filter.add_scope(scoped.clone()).unwrap();
    let pieces: [&[u8]; 21] = [
        b"union select",
        b"UNION  ALL SELECT",
        b"dddd!",
        b"<script>",
        b"/onload=",
        b"../../",
        b"%2e%2e",
        b"wget",
        b"abc",
        LONG.as_bytes(),
        b"xp_CmdShell",
        b"sleep(",
        b"sleep",
        b"(",
        b" benchmark ",
        b";id ",
        b"<a onx=",
        b"mailto",
        b"aa",
        b"zz",
        b"instance",
    ];
    let mut draw = draws();
    let (mut memory, mut classes) = (Memory::default(), Classes::new(filter.words()));
    let mut asking = Asking::default();
    let (mut compared, mut matches, mut more) = (0, 0, 0);
    for round in 0..if cfg!(debug_assertions) { 400 } else { 4000 } {
        let letters: &[u8] = [b"abcdeflnst ".as_slice(), b"abc/=. 123\n", b"a\xc3(;'\"b{ "][round % 3];
        let filler = |draw: &mut dyn FnMut(usize) -> usize, most: usize| -> Vec<u8> {
            (0..draw(most)).map(|_| letters[draw(letters.len())]).collect()
        };
        let mut value = filler(&mut draw, 200);
        while value.len() < COMPARED + 200 {
            value.extend(filler(&mut draw, 400));
            let mut piece = pieces[draw(pieces.len())].to_vec();
            if draw(2) == 0 {
                piece.insert(draw(piece.len()), MARK);
            }
            value.extend(piece);
        }
        let mut form = value.clone();
        form.retain(|byte| *byte != MARK || draw(3) == 0);
        for _ in 0..draw(4) {
            let place = draw(form.len());
            let gone = form.len().min(place + draw(4));
            let instead = if draw(3) == 0 { pieces[draw(pieces.len())] } else { [b"".as_slice(), b"(", b"i"][draw(3)] };
            form.splice(place..gone, instead.iter().copied());
        }
        let of_value = [ALL, scope][draw(2)];
        let of_form = [of_value, scope][draw(2)];
        let _ = filter.ask(&mut memory, &mut classes, &value, of_value);
        let Look { texts, kind } = memory.look().unwrap();
        let texts = texts.to_vec();
        if !memory.compare(&filter, &value, &form) {
            continue;
        }
        compared += 1;
        let part = filter.ask_form(&mut memory, &mut classes, &form, of_form, Some(Look { texts: &texts, kind }));
        let whole = filter.ask(&mut Memory::default(), &mut classes, &form, of_form);
        for (id, operator) in (0..).zip(&operators) {
            let Some(bit) = filter.bit(OperatorId(id)) else { continue };
            if of_form == scope && !is_set(&scoped, bit) {
                continue;
            }
            let [in_part, in_whole] = [part, whole].map(|class| is_set(classes.answer(class), bit));
            assert!(in_part || !in_whole, "{id} of {}, made of {}", form.escape_ascii(), value.escape_ascii());
            more += usize::from(in_part && !in_whole);
            let is_match = asking.is_match(operator, &form);
            assert!(in_part || !is_match, "{id} of {}, made of {}", form.escape_ascii(), value.escape_ascii());
            matches += usize::from(is_match);
        }
    }
    assert!(compared > 200 && matches > 1000 && more < matches / 10, "{compared} {matches} {more}");
}
