//! What a client may send to make the engine work, log or remember too much.

use super::*;
use crate::limits;

#[test]
fn log_lines_are_bounded() {
    let rules = r#"SecRule ARGS_NAMES|ARGS "@rx a" "id:1,phase:1,pass,msg:'%{MATCHED_VAR}',logdata:'%{MATCHED_VAR}',tag:'%{MATCHED_VAR_NAME}'""#;
    let long = "a".repeat(200_000);
    let outcome = get(rules, &format!("/{long}?{long}={long}"));
    assert_eq!(outcome.ids(), [1, 1]);
    for found in &outcome.summary.matches {
        assert!(found.line_text.len() < 5 * limits::WAF_LOG_TEXT_BYTES, "{}", found.line_text.len());
        assert!(found.message().len() <= limits::WAF_LOG_TEXT_BYTES);
        assert!(found.variable.len() <= limits::WAF_LOG_TEXT_BYTES);
    }
}

#[test]
fn many_arguments() {
    let query: Vec<String> = (0..10_000).map(|n| format!("a{n}={n}")).collect();
    let rules = r#"SecRule ARGS "@rx ." "id:1,phase:1,pass,setvar:tx.n=+1,setvar:'tx.%{MATCHED_VAR_NAME}=1'"
        SecAction "id:2,phase:2,pass,msg:'%{tx.n}'""#;
    let outcome = get(rules, &format!("/?{}", query.join("&")));
    // SecArgumentsLimit is 1,000.
    assert_eq!(outcome.ids().len(), 1001);
    assert_eq!(outcome.messages()[1000], "1000");
    let all = get(&format!("SecArgumentsLimit 10000\n{rules}"), &format!("/?{}", query.join("&")));
    assert_eq!(all.ids().len(), limits::WAF_MATCHES);
    assert_eq!(all.summary.matches[0].rule_id, RuleId(1));
}

#[test]
fn more_arguments_than_a_phase_remembers() {
    let query: Vec<String> = (0..=limits::WAF_PHASE_VALUES).map(|n| format!("{n}=")).collect();
    let rules = r#"SecArgumentsLimit 1000000
        SecRule ARGS_NAMES "@streq 12345" "id:1,phase:1,pass"
        SecRule ARGS_NAMES|REQUEST_METHOD "@rx ^(?:get|7{5})$" "id:2,phase:1,pass,t:lowercase"
        SecRule ARGS_NAMES "@contains never" "id:3,phase:1,pass""#;
    let target = format!("/?{}", query.join("&"));
    let [fast, plain] = [EngineOptions::default(), EngineOptions::reference()]
        .map(|options| Exchange::get(&target).run(&program_with(rules, &options)).ids());
    assert_eq!(plain, [1, 2, 2]);
    assert_eq!(fast, plain);
}

/// A rule that looks at several forms of a value while the room for these runs out: each form counts once.
#[test]
fn forms_of_values_when_there_is_no_room_left() {
    let rules = r#"SecRule REQUEST_HEADERS:X "@contains never" "id:1,phase:1,pass,t:none,t:hexEncode"
        SecRule ARGS_GET "@rx ^v" "id:2,phase:1,pass,nolog,multiMatch,t:none,t:hexEncode,setvar:tx.n=+1"
        SecAction "id:3,phase:1,pass,msg:'%{tx.n}'""#;
    // Forms of these are too long to be found again by their bytes; each is shorter than the one before, so that one of
    // them finds room once more, but not twice.
    let lengths = (limits::WAF_KEPT_VALUE_BYTES / 2 + 10..limits::WAF_KEPT_VALUE_BYTES).rev();
    let values: Vec<String> = lengths.map(|length| "v".repeat(length)).collect();
    let query: Vec<String> = values.iter().map(|value| format!("a={value}")).collect();
    let target = format!("/?{}", query.join("&"));
    // Room for the forms when candidates are looked for, and for some of them when the rule is tested.
    let forms = 2 * values.iter().map(String::len).sum::<usize>();
    let filling = "x".repeat((limits::WAF_PHASE_BYTES - forms - forms / 4) / 2);
    let exchange = Exchange::get(&target).header("X", &filling);
    for (name, options) in EngineOptions::combinations().into_iter().take(2) {
        let outcome = exchange.run(&program_with(rules, &options));
        assert_eq!(outcome.messages(), [values.len().to_string()], "{name}");
    }
}

#[test]
fn variables_do_not_grow_without_bound() {
    let rules = r#"
        SecArgumentsLimit 10000
        SecRule ARGS "@rx ." "id:1,phase:1,pass,nolog,setvar:'tx.all=%{tx.all}%{MATCHED_VAR}%{MATCHED_VAR}'"
        SecAction "id:2,phase:1,pass,setvar:tx.ok=1,msg:'%{tx.ok}'"
    "#;
    let query = format!("a={}&", "x".repeat(20)).repeat(4_000);
    let outcome = get(rules, &format!("/?{query}"));
    assert_eq!(outcome.ids(), [2]);
    assert!(outcome.messages()[0].len() <= 1);
}

#[test]
fn strange_requests() {
    let rules = r#"SecRule REQUEST_LINE|REQUEST_URI|REQUEST_BASENAME|ARGS|REQUEST_HEADERS|REQUEST_COOKIES|FULL_REQUEST "@rx ^" "id:1,phase:2,pass,nolog""#;
    let program = program(rules);
    for target in ["", "?", "#", "/#?x", "://", "http://", "http://?", "http:///", "*", "/%", "/%%", "/\u{0}", "//"] {
        for method in ["", "CONNECT", "GET"] {
            let mut exchange = Exchange { method, ..Exchange::get(target) };
            exchange.headers.push(("Host".into(), "[".into()));
            exchange.headers.push(("Authorization".into(), "Basic =".into()));
            exchange.headers.push(("Cookie".into(), ";=;,\"".into()));
            exchange.headers.push((String::new(), String::new()));
            assert_eq!(exchange.run(&program).status(), None);
        }
    }
}
