//! setvar, ctl and the other actions that change the transaction.

use super::*;

fn message(rules: &str, target: &str) -> String {
    get(rules, target).messages().join(";")
}

#[test]
fn setvar() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=5,setvar:tx.a=+3,setvar:tx.b=-4,setvar:tx.c,setvar:tx.d=x,setvar:!tx.d"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.text=abc,setvar:tx.text=+2,setvar:'tx.e=%{tx.a}-%{tx.none}',setvar:tx.f=+%{tx.a}"
        SecAction "id:3,phase:1,pass,msg:'%{tx.A} %{tx.b} %{tx.c} [%{tx.d}] %{tx.text} %{tx.e} %{tx.f}'"
    "#;
    assert_eq!(message(rules, "/"), "8 0 1 [] 2 8- 8");
}

#[test]
fn setvar_runs_for_each_match() {
    let rules = r#"
        SecRule ARGS "@rx a" "id:1,phase:1,pass,nolog,setvar:tx.score=+%{tx.step},setvar:tx.step=10"
        SecAction "id:2,phase:1,pass,msg:'%{tx.score}'"
    "#;
    assert_eq!(message(rules, "/?x=a&y=a&z=b&w=a"), "20");
}

#[test]
fn a_value_seen_by_a_rule_does_not_change_while_the_rule_looks() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.p_a=1,setvar:tx.p_b=1"
        SecRule TX:/^p_/ "@streq 1" "id:2,phase:1,pass,setvar:tx.p_a=9,setvar:tx.p_b=9,msg:'%{MATCHED_VAR}'"
    "#;
    assert_eq!(message(rules, "/"), "1;1");
}

#[test]
fn names_made_from_macros_are_escaped() {
    let rules = r#"
        SecRule ARGS_NAMES "@rx ." "id:1,phase:1,pass,nolog,setvar:'tx.seen_%{MATCHED_VAR}=1'"
        SecRule TX:/^seen_/ "@eq 1" "id:2,phase:1,pass"
    "#;
    assert_eq!(get(rules, "/?a%01b=1").variables(), [r"TX:seen_a\\x01b"]);
}

#[test]
fn persistent_collections_are_left_alone_until_opened() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:ip.n=+1"
        SecAction "id:2,phase:1,pass,nolog,initcol:ip=%{remote_addr},setvar:ip.n=+2"
        SecRule IP:n "@eq 2" "id:3,phase:1,pass,msg:'%{ip.key} %{ip.is_new} %{ip.create_time}'"
    "#;
    assert_eq!(message(rules, "/"), "192.0.2.7 1 1700000000");
}

#[test]
fn persistent_collections_live_in_the_store() {
    use std::sync::Arc;

    use crate::waf::MemoryStore;

    let rules = r#"
        SecCollectionTimeout 60
        SecAction "id:1,phase:1,pass,nolog,setsid:abc,setvar:session.n=+2,setvar:session.gone=1,expirevar:session.gone=0"
        SecAction "id:2,phase:1,pass,msg:'%{session.n} %{session.is_new} %{session.gone} %{sessionid} %{session.update_counter}'"
    "#;
    let program = program(rules);
    let store = Arc::new(MemoryStore::new());
    let mut scratch = Scratch::with_collections(Arc::clone(&store) as Arc<dyn CollectionStore>);
    let exchange = Exchange::get("/");
    assert_eq!(exchange.run_with(&program, &mut scratch).messages(), ["2 1 1 abc 0"]);
    assert_eq!(exchange.run_with(&program, &mut scratch).messages(), ["4 0 1 abc 1"]);
    let now = Duration::from_secs(1_700_000_000);
    let stored = store.load(b"default_SESSION", b"abc", now).unwrap();
    let mut shown: Vec<_> =
        stored.iter().map(|v| format!("{}={}", v.name.escape_ascii(), v.value.escape_ascii())).collect();
    shown.sort();
    // `gone` has expired, IS_NEW and UPDATE_RATE are not stored.
    let expected =
        ["CREATE_TIME=1700000000", "KEY=abc", "LAST_UPDATE_TIME=1700000000", "TIMEOUT=60", "UPDATE_COUNTER=2", "n=4"];
    assert_eq!(shown, expected);
    assert!(store.load(b"default_SESSION", b"abc", now + Duration::from_secs(61)).is_none());
}

#[test]
fn deprecatevar_lowers_with_time() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=x,setvar:ip.n=100,setvar:ip.last_update_time=1699999940,deprecatevar:ip.n=5/20"
        SecAction "id:2,phase:1,pass,msg:'%{ip.n}'"
    "#;
    assert_eq!(message(rules, "/"), "85");
}

#[test]
fn severity_of_the_worst_match() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,severity:WARNING"
        SecAction "id:2,phase:1,pass,nolog,severity:2"
        SecAction "id:3,phase:1,pass,nolog,severity:NOTICE"
        SecRule HIGHEST_SEVERITY "@eq 2" "id:4,phase:1,pass,msg:'%{highest_severity}'"
    "#;
    assert_eq!(message(rules, "/"), "2");
}

#[test]
fn many_names_are_found_again() {
    let rules = r#"
        SecRule ARGS_NAMES "@rx ." "id:1,phase:1,pass,nolog,setvar:'tx.seen_%{MATCHED_VAR}=+1'"
        SecRule TX:/^seen_/ "@eq 2" "id:2,phase:1,pass,msg:'%{MATCHED_VAR_NAME}'"
    "#;
    for count in [31, 32, 33, 34, 100] {
        // Each twice, the second time in the other case.
        let names = (0..count).map(|at| format!("n{at}=&"));
        let again = (0..count).map(|at| format!("N{at}=&"));
        let outcome = get(rules, &format!("/?{}", names.chain(again).collect::<String>()));
        let expected: Vec<_> = (0..count).map(|at| format!("TX:seen_n{at}")).collect();
        assert_eq!(outcome.messages(), expected);
    }
}
