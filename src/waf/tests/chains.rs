//! Chains: what runs when, and what MATCHED_* holds.

use super::*;

#[test]
fn all_links_must_match() {
    let rules = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,deny,chain"
            SecRule ARGS:b "@streq 2" "chain"
            SecRule ARGS:c "@streq 3"
    "#;
    assert_eq!(get(rules, "/?a=1&b=2&c=3").status(), Some(403));
    assert_eq!(get(rules, "/?a=1&b=2&c=4").status(), None);
    assert_eq!(get(rules, "/?a=1&b=3&c=3").status(), None);
    assert_eq!(get(rules, "/?b=2&c=3").status(), None);
}

#[test]
fn actions_of_a_link_run_although_a_later_link_fails() {
    let rules = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,nolog,setvar:tx.first=1,chain"
            SecRule ARGS:b "@streq 2" "setvar:tx.second=1,chain"
            SecRule ARGS:c "@streq 3" "setvar:tx.third=1"
        SecAction "id:2,phase:1,pass,msg:'%{tx.first}|%{tx.second}|%{tx.third}'"
    "#;
    assert_eq!(get(rules, "/?a=1&b=2").messages(), ["1|1|"]);
}

#[test]
fn the_starter_logs_once_per_match_of_the_last_link() {
    let rules = r#"
        SecRule ARGS "@streq 1" "id:1,phase:1,pass,msg:'%{MATCHED_VAR_NAME}',chain"
            SecRule ARGS_NAMES "@rx ^[ab]$"
    "#;
    let outcome = get(rules, "/?a=1&b=1&c=1");
    assert_eq!(outcome.messages(), ["ARGS_NAMES:a", "ARGS_NAMES:b"]);
}

#[test]
fn an_interruption_stops_at_the_first_match() {
    let rules = r#"SecRule ARGS "@streq 1" "id:1,phase:1,deny,msg:'%{MATCHED_VAR_NAME}'""#;
    assert_eq!(get(rules, "/?a=1&b=1").messages(), ["ARGS:a"]);
}

#[test]
fn matched_vars_grow_through_a_chain_and_leave_themselves_out() {
    let rules = r#"
        SecRule ARGS "@rx ^x" "id:1,phase:1,pass,nolog,chain"
            SecRule MATCHED_VARS "@rx y$" "setvar:tx.n=+1"
        SecRule &MATCHED_VARS "@eq 0" "id:2,phase:1,pass,msg:'%{tx.n}'"
    "#;
    assert_eq!(get(rules, "/?a=xy&b=xz&c=y&d=xxy").messages(), ["2"]);
}

#[test]
fn matched_vars_keep_the_names_of_what_matched() {
    let rules = r#"
        SecRule ARGS|REQUEST_HEADERS:User-Agent "@rx ^x" "id:1,phase:1,pass,chain"
            SecRule MATCHED_VARS_NAMES "@rx ARGS:" "chain"
            SecRule MATCHED_VARS "@rx ."
    "#;
    let outcome = Exchange::get("/?a=x1&b=y").header("User-Agent", "x2").run(&program(rules));
    // The second link matched ARGS:a under its own name, so there are three values for the last.
    assert_eq!(outcome.variables(), ["ARGS:a", "REQUEST_HEADERS:User-Agent", "ARGS:a"]);
}

#[test]
fn matched_var_is_the_last_match_after_transformation() {
    let rules = r#"
        SecRule ARGS "@contains B" "id:1,phase:1,pass,t:uppercase,chain,msg:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
            SecRule MATCHED_VAR "@contains B"
        SecRule ARGS "@streq nothing" "id:2,phase:1,pass"
        SecAction "id:3,phase:1,pass,msg:'%{MATCHED_VAR_NAME}'"
    "#;
    let outcome = get(rules, "/?a=ab&c=d");
    assert_eq!(outcome.messages(), ["MATCHED_VAR=AB", "REMOTE_ADDR"]);
}

#[test]
fn captures_of_an_earlier_link_are_kept_for_later_ones() {
    let rules = r#"
        SecRule ARGS:a "@rx ^(.)(.)?(.)$" "id:1,phase:1,pass,capture,chain,msg:'%{tx.0}/%{tx.1}/%{tx.2}/%{tx.3}'"
            SecRule ARGS:b "@streq %{tx.1}"
    "#;
    assert_eq!(get(rules, "/?a=xz&b=x").messages(), ["xz/x//z"]);
    assert_eq!(get(rules, "/?a=xz&b=z").ids(), [0; 0]);
}

#[test]
fn captures_are_cleared_before_they_are_set() {
    let rules = r#"
        SecRule ARGS:a "@rx (.)(.)" "id:1,phase:1,pass,nolog,capture"
        SecRule ARGS:a "@rx ." "id:2,phase:1,pass,nolog,capture"
        SecAction "id:3,phase:1,pass,msg:'%{tx.0}/%{tx.1}/%{tx.2}'"
    "#;
    assert_eq!(get(rules, "/?a=xy").messages(), ["x//"]);
}

#[test]
fn a_chain_without_all_its_links_left_is_skipped_whole() {
    let rules = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,deny,chain"
            SecRule ARGS:a "@streq 1"
        SecAction "id:2,phase:1,pass"
        SecRuleRemoveById 1
    "#;
    assert_eq!(get(rules, "/?a=1").ids(), [2]);
}
