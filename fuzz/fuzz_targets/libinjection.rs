//! Any bytes as a value: no panic, short cuts that agree with the verdicts, tokens that move forward.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::waf::libinjection::html5::{Context, Tokenizer as Html};
use portcullis::waf::libinjection::sqli::{self, Dialect, Quote, Token, Tokenizer};
use portcullis::waf::libinjection::{detect_sqli, detect_xss, xss};

fuzz_target!(|value: &[u8]| {
    let found = sqli::detect_fully(value);
    assert_eq!(detect_sqli(value), found);
    if let Some(fingerprint) = found {
        assert!((1..=5).contains(&fingerprint.as_bytes().len()));
    }
    assert_eq!(detect_xss(value), xss::detect_fully(value));

    for quote in [Quote::None, Quote::Single, Quote::Double] {
        for dialect in [Dialect::Ansi, Dialect::MySql] {
            assert!(sqli::folded(value, quote, dialect).len() <= 8);
            let (mut tokenizer, mut token) = (Tokenizer::new(value, quote, dialect), Token::default());
            while tokenizer.next_into(&mut token) {}
            // Each token takes at least one byte.
            assert!(tokenizer.token_count() <= value.len());
        }
    }
    for context in [Context::Data, Context::Tag, Context::Quoted(b'\''), Context::Quoted(b'"'), Context::Quoted(b'`')] {
        // Each token, and each step between two, takes at least one byte.
        assert!(Html::new(value, context).count() <= value.len() + 1);
    }
});
