//! Any rule set with any requests: the same outcome with every fast path on and off, and whatever the worker has
//! learned of values before. Rule set and requests are made by `tests/random_rules`; a difference is printed as the
//! smallest case that has it.
#![no_main]

#[path = "../../tests/random_rules/mod.rs"]
#[expect(dead_code, reason = "counts are for the test")]
mod random_rules;

use libfuzzer_sys::fuzz_target;
use random_rules::check;

fuzz_target!(|data: &[u8]| {
    if let Err(problem) = check(data) {
        panic!("{problem}");
    }
});
