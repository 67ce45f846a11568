//! What `rules lint` says of rules that are no errors.

use crate::diagnostics::Source;
use crate::seclang::{parse, source::MemoryLoader};
use crate::waf::{EngineOptions, Program};

#[test]
fn slow_patterns_and_rules_that_never_match_are_named() {
    let text = r#"
SecRule ARGS "@rx a(?=b)" "id:1,phase:2,pass"
SecRule ARGS "@rx a(?:b|c)+" "id:2,phase:2,pass"
SecRule RESPONSE_STATUS "@streq 200" "id:3,phase:1,pass"
SecRule RESPONSE_BODY|REQUEST_URI "@contains x" "id:4,phase:2,pass"
SecRule FILES "@contains x" "id:5,phase:1,pass"
SecRule &FILES "@gt 0" "id:6,phase:1,pass"
SecRule ARGS "@rx [^\s\S]" "id:7,phase:2,pass"
SecRule RESPONSE_BODY "@contains x" "id:8,phase:4,pass"
SecRule ARGS "@rx x" "id:9,phase:2,pass,chain"
SecRule RESPONSE_BODY "!@contains x" ""
"#;
    let loader = MemoryLoader::new();
    let (ruleset, problems) = parse(&Source::new("a.conf", text), &loader);
    assert!(!problems.has_errors(), "{problems}");
    let program = Program::compile(&ruleset, &loader, &EngineOptions::default()).expect("compiles").0;
    let remarks = program.remarks(&loader);
    let named: Vec<_> = remarks.iter().map(|remark| (remark.rule_id, remark.message.as_str())).collect();
    let backtracks = "the pattern looks around, refers back or forbids giving back, so it runs on the backtracker";
    let expected = [
        (Some(3), "the rule can never match: in phase 1 there is no RESPONSE_STATUS yet"),
        (Some(5), "the rule can never match: in phase 1 there is no FILES yet"),
        (Some(1), backtracks),
        (Some(7), "the rule can never match: nothing can match its pattern"),
        (Some(9), "the rule can never match: in phase 2 there is no RESPONSE_BODY yet"),
    ];
    assert_eq!(named, expected);
}
