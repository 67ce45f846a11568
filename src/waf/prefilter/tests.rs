//! The conditions are necessary: whatever an operator matches, the prefilter lets through.

use std::path::Path;

use super::*;
use crate::seclang::source::MemoryLoader;
use crate::waf::operator::{CompileContext, Evidence, OperatorContext, Outcome};
use crate::waf::program::TxNames;
use crate::waf::regex::RegexCache;

fn compile(operators: &[(&'static str, &str)]) -> Vec<CompiledOperator> {
    let loader = MemoryLoader::new();
    let context = CompileContext::new(&loader, Path::new("test.conf"));
    let compile = |(name, argument): &(&'static str, &str)| {
        CompiledOperator::compile(name, argument.as_bytes(), &context, &mut TxNames::new()).unwrap()
    };
    operators.iter().map(compile).collect()
}

fn candidates(filter: &Prefilter, value: &[u8]) -> Vec<u32> {
    let mut classes = Classes::new(filter.words());
    let class = filter.ask(&mut Memory::default(), &mut classes, value);
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
    let mut cache = RegexCache::new();
    let mut evidence = Evidence::new();
    let mut asked = 0;
    for first in pieces {
        for second in pieces {
            for third in pieces {
                let value = [first, second, third].concat();
                let found = candidates(&filter, &value);
                for (number, operator) in (0..).zip(&operators) {
                    let mut context = OperatorContext { regexes: &mut cache, evidence: &mut evidence, captures: false };
                    let outcome = operator.operator.matches(None, &value, &mut context);
                    let is_no = outcome == Outcome::NoMatch || found.contains(&number);
                    assert!(is_no, "{:?} of {}", OPERATORS[number as usize], value.escape_ascii());
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 200_000);
}

#[test]
fn ordinary_values_are_candidates_of_little() {
    let filter = Prefilter::new(&compile(OPERATORS), &[], 0, |_| true);
    assert_eq!(candidates(&filter, b"winter"), [1, 5, 11, 18]);
    assert_eq!(candidates(&filter, b"2024-05-01"), [5, 11, 15, 18]);
}
