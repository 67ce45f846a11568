//! Any bytes through any chain of transformations: no panic, `false` exactly when nothing changes, and what is skipped
//! unchanged gives the same as what is not. Operators that take no argument look at every value on the way.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use portcullis::seclang::source::MemoryLoader;
use portcullis::waf::operator::{CompileContext, Evidence, Operator, OperatorContext, Outcome};
use portcullis::waf::regex::RegexCache;
use portcullis::waf::transformation::{Transformation, TransformationContext};

fuzz_target!(|data: &[u8]| {
    // The first bytes choose the chain.
    let Some((choice, value)) = data.split_at_checked(4) else { return };
    let chain = choice.iter().map(|byte| Transformation::ALL[usize::from(*byte) % Transformation::ALL.len()]);
    let contexts = [TransformationContext::default(), TransformationContext { unicode_map: None }];
    let context = &contexts[usize::from(choice[0] >> 7)];
    let mut value = value.to_vec();
    let mut out = Vec::new();
    for function in chain {
        let is_changed = function.apply(&value, &mut out, context);
        assert!(!is_changed || out != value, "{} claims a change", function.name());
        assert!(out.len() <= 4 * value.len() + 24, "{} grows {} to {}", function.name(), value.len(), out.len());
        // The same with what it must not skip in front.
        if let Some((switch, result)) = switch(function) {
            let expected = [result, if is_changed { &out } else { &value }].concat();
            let longer = [switch, &value].concat();
            let mut slow = Vec::new();
            let slow = if function.apply(&longer, &mut slow, context) { slow } else { longer };
            assert_eq!(slow, expected, "{}", function.name());
        }
        std::hint::black_box(function.reports_change(&value, if is_changed { &out } else { &value }));
        if is_changed {
            std::mem::swap(&mut value, &mut out);
        }
    }
    operators(&value);
});

/// Something that makes the function work, and what becomes of it.
fn switch(function: Transformation) -> Option<(&'static [u8], &'static [u8])> {
    Some(match function {
        Transformation::UrlDecode | Transformation::UrlDecodeUni => (b"%41", b"A"),
        Transformation::JsDecode | Transformation::EscapeSeqDecode => (b"\\x41", b"A"),
        Transformation::HtmlEntityDecode => (b"&lt;", b"<"),
        Transformation::Lowercase => (b"A", b"a"),
        Transformation::Uppercase => (b"a", b"A"),
        Transformation::RemoveNulls | Transformation::Utf8ToUnicode => (b"\0", b""),
        Transformation::ReplaceNulls => (b"\0", b" "),
        Transformation::RemoveWhitespace => (b" ", b""),
        Transformation::ReplaceComments => (b"/**/", b" "),
        Transformation::RemoveCommentsChar => (b"/*", b""),
        Transformation::UrlEncode => (b"%", b"%25"),
        _ => return None,
    })
}

fn operators(value: &[u8]) {
    let loader = MemoryLoader::new();
    let context = CompileContext::new(&loader, Path::new("fuzz.conf"));
    let (mut regexes, mut evidence) = (RegexCache::new(), Evidence::new());
    let mut message = Vec::new();
    for (name, argument) in [
        ("validateUtf8Encoding", ""),
        ("validateUrlEncoding", ""),
        ("validateByteRange", "32-126"),
        ("ipMatch", "10.0.0.0/8,::/16"),
        ("detectSQLi", ""),
        ("detectXSS", ""),
        ("pm", "select union |41 42| ../"),
        ("containsWord", "or"),
        ("verifyCC", "\\d{13,16}"),
        ("rxGlobal", "([a-z])(\\d)?"),
        ("ge", "10"),
    ] {
        let operator = Operator::compile(name, argument.as_bytes(), &context).expect("compiles");
        let mut asked = OperatorContext { regexes: &mut regexes, evidence: &mut evidence, captures: true };
        let outcome = operator.matches(None, value, &mut asked);
        if outcome == Outcome::Match {
            for capture in 0..evidence.captures.len() {
                assert!(evidence.capture(capture, value).is_some(), "@{name}: capture {capture} outside");
            }
            message.clear();
            operator.message(None, value, &evidence, b"ARGS:x", &mut message);
            assert!(!message.is_empty(), "@{name} says nothing");
        }
        let mut asked = OperatorContext { regexes: &mut regexes, evidence: &mut evidence, captures: false };
        assert_eq!(operator.matches(None, value, &mut asked), outcome, "@{name} with and without captures");
    }
    // The standard library agrees about UTF-8, but for codes beyond Unicode.
    if std::str::from_utf8(value).is_ok() {
        let operator = Operator::compile("validateUtf8Encoding", b"", &context).expect("compiles");
        let mut asked = OperatorContext { regexes: &mut regexes, evidence: &mut evidence, captures: false };
        assert_eq!(operator.matches(None, value, &mut asked), Outcome::NoMatch);
    }
}
