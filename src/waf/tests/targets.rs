//! Targets: selectors, counts, exclusions, negation, absence.

use super::*;

fn variables(rules: &str, exchange: &Exchange) -> Vec<String> {
    exchange.run(&program(rules)).variables()
}

fn on_args(targets: &str) -> Vec<String> {
    let rule = format!("SecRule {targets} \"@rx ^\" \"id:1,phase:1,pass\"");
    variables(&rule, &Exchange::get("/?id=1&ID2=2&x=3&id=4").header("X-Id", "5"))
}

#[test]
fn selectors_ignore_case() {
    assert_eq!(on_args("ARGS:ID"), ["ARGS:id", "ARGS:id"]);
    assert_eq!(on_args("ARGS:/^ID/"), ["ARGS:id", "ARGS:ID2", "ARGS:id"]);
    assert_eq!(on_args("REQUEST_HEADERS:x-id"), ["REQUEST_HEADERS:X-Id"]);
    assert_eq!(on_args("ARGS_NAMES"), ["ARGS_NAMES:id", "ARGS_NAMES:ID2", "ARGS_NAMES:x", "ARGS_NAMES:id"]);
}

#[test]
fn exclusions_take_away_what_stands_before_them() {
    assert_eq!(on_args("ARGS|!ARGS:id"), ["ARGS:ID2", "ARGS:x"]);
    assert_eq!(on_args("ARGS|!ARGS:/id/"), ["ARGS:x"]);
    assert_eq!(on_args("!ARGS:id|ARGS"), ["ARGS:id", "ARGS:ID2", "ARGS:x", "ARGS:id"]);
    assert_eq!(on_args("ARGS|!ARGS:id|ARGS:id"), ["ARGS:ID2", "ARGS:x", "ARGS:id", "ARGS:id"]);
    assert_eq!(on_args("ARGS|ARGS_NAMES|!ARGS"), ["ARGS_NAMES:id", "ARGS_NAMES:ID2", "ARGS_NAMES:x", "ARGS_NAMES:id"]);
}

#[test]
fn counts() {
    let count = |target: &str, n: u32| {
        let rule = format!("SecRule {target} \"@eq {n}\" \"id:1,phase:1,pass\"");
        get(&rule, "/?id=1&ID2=2&x=3&id=4").ids().len()
    };
    assert_eq!(count("&ARGS", 4), 1);
    assert_eq!(count("&ARGS:id", 2), 1);
    assert_eq!(count("&ARGS:/^id/", 3), 1);
    assert_eq!(count("&ARGS:nothing", 0), 1);
    assert_eq!(count("&TX:nothing", 0), 1);
    assert_eq!(count("&REQUEST_HEADERS:Host", 1), 1);
}

#[test]
fn a_negated_operator_fires_for_each_value_that_fails() {
    let rule = r#"SecRule ARGS "!@streq 1" "id:1,phase:1,pass""#;
    assert_eq!(get(rule, "/?a=1&b=2&c=3").variables(), ["ARGS:b", "ARGS:c"]);
}

#[test]
fn absent_targets_do_not_match_even_negated() {
    let rules = r#"
        SecRule ARGS:nothing "!@streq 1" "id:1,phase:1,pass"
        SecRule REQUEST_HEADERS:Referer "!@rx ." "id:2,phase:1,pass"
        SecRule QUERY_STRING "!@rx ." "id:3,phase:1,pass"
        SecRule RESPONSE_STATUS "!@eq 1" "id:4,phase:1,pass"
    "#;
    assert_eq!(get(rules, "/").ids(), [0; 0]);
    assert_eq!(get(rules, "/?").ids(), [3]);
}

#[test]
fn tx_names_ignore_case_and_regex_selectors_see_names_made_at_run_time() {
    let rules = r#"
        SecRule ARGS "@rx ." "id:1,phase:1,pass,nolog,setvar:'tx.Param_%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.Known_param_=0"
        SecRule TX:/PARAM_/ "@rx ." "id:3,phase:1,pass,msg:'%{MATCHED_VAR}'"
        SecRule TX:PARAM_ARGS:B "@streq 2" "id:4,phase:1,pass"
    "#;
    let outcome = get(rules, "/?a=1&b=2");
    assert_eq!(outcome.variables(), ["TX:Param_ARGS:a", "TX:Param_ARGS:b", "TX:Known_param_", "TX:Param_ARGS:b"]);
    assert_eq!(outcome.messages()[..3], ["1", "2", "0"]);
}

#[test]
fn selectors_may_hold_macros() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.which=b"
        SecRule ARGS:%{tx.which} "@streq 2" "id:2,phase:1,pass"
    "#;
    assert_eq!(get(rules, "/?a=1&b=2").variables(), ["ARGS:b"]);
}

#[test]
fn multi_match_tests_after_each_change() {
    let rule = r#"SecRule ARGS:a "@rx ." "id:1,phase:1,pass,t:none,t:lowercase,t:urlDecode,t:trim,multiMatch,msg:'%{MATCHED_VAR}'""#;
    assert_eq!(get(rule, "/?a=X%2520").messages(), ["X%20", "x%20", "x ", "x"]);
    assert_eq!(get(rule, "/?a=x").messages(), ["x"]);
    let plain = r#"SecRule ARGS:a "@rx ." "id:1,phase:1,pass,t:none,multiMatch""#;
    assert_eq!(get(plain, "/?a=x").ids(), [1]);
    // ModSecurity 2 takes cmdLine's word for it that it changed the value.
    let always = r#"SecRule ARGS:a "@rx ." "id:1,phase:1,pass,t:none,t:cmdLine,t:lowercase,multiMatch""#;
    assert_eq!(get(always, "/?a=x").ids(), [1, 1]);
}

#[test]
fn names_in_matches_are_escaped() {
    let rule = r#"SecRule ARGS_NAMES "@rx ." "id:1,phase:1,pass""#;
    assert_eq!(get(rule, "/?a%0a%22%5c=1").variables(), [r#"ARGS_NAMES:a\n"\\"#]);
}

#[test]
fn rule_and_env() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setenv:colour=red"
        SecRule ENV:colour "@streq red" "id:2,phase:1,pass"
        SecRule RULE:id "@eq 3" "id:3,phase:1,pass,severity:ERROR,msg:'%{rule.id} %{rule.severity}'"
    "#;
    let outcome = get(rules, "/");
    assert_eq!(outcome.ids(), [2, 3]);
    assert_eq!(outcome.messages(), ["", "3 3"]);
}

#[test]
fn macros_may_choose_by_pattern() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.one_a=x,setvar:'tx.two_%{remote_port}=y'"
        SecAction "id:2,phase:1,pass,msg:'%{tx:/^ONE/} %{tx:/^two_/} %{tx:/none/}|'"
    "#;
    assert_eq!(get(rules, "/").messages(), ["x y |"]);
}
