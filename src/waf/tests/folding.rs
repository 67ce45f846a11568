//! What is settled when rules are loaded changes nothing: with and without folding the same rules match.

use super::*;

/// The ids that match, with folding; without it they must be the same.
fn ids(rules: &str, target: &str) -> Vec<u32> {
    let run = |options| Exchange::get(target).run(&program_with(rules, &options)).ids();
    let folded = run(EngineOptions::default());
    assert_eq!(folded, run(EngineOptions::reference()));
    folded
}

const GATES: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1,setvar:tx.score=0"
    SecRule &TX:other "@eq 0" "id:2,phase:1,pass,nolog,setvar:tx.other=%{tx.level}"
"#;

#[test]
fn a_gate_that_is_always_taken_and_one_that_never_is() {
    let rules = format!(
        r#"{GATES}
        SecRule TX:LEVEL "@lt 1" "id:10,phase:2,pass,nolog,skipAfter:END"
        SecRule ARGS "@contains x" "id:11,phase:2,pass,setvar:tx.score=+5"
        SecRule TX:other "@lt 2" "id:12,phase:2,pass,nolog,skipAfter:END"
        SecRule ARGS "@contains x" "id:13,phase:2,pass"
        SecMarker END
        SecRule TX:score "@ge 5" "id:14,phase:2,pass"
        SecRule TX:score "@eq 0" "id:15,phase:2,pass"
    "#
    );
    assert_eq!(ids(&rules, "/?a=x"), [11, 14]);
    assert_eq!(ids(&rules, "/?a=y"), [15]);
}

#[test]
fn what_a_request_can_change_is_not_settled() {
    let rules = format!(
        r#"{GATES}
        SecRule ARGS:level "@rx ^(.)$" "id:9,phase:1,pass,nolog,capture,setvar:tx.level=%{{tx.1}}"
        SecRule TX:level "@lt 2" "id:10,phase:2,pass,nolog,skipAfter:END"
        SecRule ARGS "@contains 3" "id:11,phase:2,pass"
        SecMarker END
        SecAction "id:12,phase:2,pass"
    "#
    );
    assert_eq!(ids(&rules, "/?level=3"), [11, 12]);
    assert_eq!(ids(&rules, "/?other=3"), [12]);
}

#[test]
fn names_put_together_at_run_time_can_be_any_with_that_beginning() {
    let rules = format!(
        r#"{GATES}
        SecRule ARGS_NAMES "@rx ^v$" "id:9,phase:1,pass,nolog,setvar:'tx.le%{{MATCHED_VAR}}el=4'"
        SecRule TX:level "@lt 2" "id:10,phase:2,pass,nolog,skipAfter:END"
        SecAction "id:11,phase:2,pass"
        SecMarker END
    "#
    );
    assert_eq!(ids(&rules, "/?v=1"), [11]);
    assert!(ids(&rules, "/?w=1").is_empty());
}

#[test]
fn a_settled_rule_that_is_taken_away_settles_nothing() {
    let rules = format!(
        r#"{GATES}
        SecRule ARGS:off "@streq 1" "id:8,phase:1,pass,nolog,ctl:ruleRemoveById=10"
        SecRule ARGS:off "@streq 2" "id:9,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;TX:level"
        SecRule TX:level "@lt 2" "id:10,phase:1,pass,nolog,skipAfter:END,setvar:tx.seen=1"
        SecAction "id:11,phase:1,pass"
        SecMarker END
        SecRule &TX:seen "@eq 1" "id:12,phase:2,pass"
    "#
    );
    assert_eq!(ids(&rules, "/"), [12]);
    assert_eq!(ids(&rules, "/?off=1"), [11]);
    assert_eq!(ids(&rules, "/?off=2"), [11]);
}

#[test]
fn a_denial_in_between_leaves_phase_5_with_less() {
    let rules = r#"
        SecRule ARGS:stop "@streq 1" "id:1,phase:1,deny,status:403,nolog"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.a=1"
        SecRule &TX:a "@eq 0" "id:3,phase:5,pass"
        SecRule TX:a "@eq 1" "id:4,phase:5,pass"
    "#;
    assert_eq!(ids(rules, "/?stop=1"), [3]);
    assert_eq!(ids(rules, "/"), [4]);
}

#[test]
fn what_allow_skips_is_not_counted_on() {
    let rules = r#"
        SecRule ARGS:a "@streq phase" "id:1,phase:1,allow:phase,nolog"
        SecRule ARGS:a "@streq request" "id:2,phase:1,allow:request,nolog"
        SecAction "id:3,phase:1,pass,nolog,setvar:tx.a=1"
        SecRule TX:a "@eq 1" "id:4,phase:2,pass,setvar:tx.b=1"
        SecRule TX:b "@eq 1" "id:5,phase:3,pass"
        SecRule &TX:b "@eq 0" "id:6,phase:3,pass"
    "#;
    assert_eq!(ids(rules, "/?a=phase"), [6]);
    assert_eq!(ids(rules, "/?a=request"), [6]);
    assert_eq!(ids(rules, "/"), [4, 5]);
}

#[test]
fn assignments_run_together_end_where_somebody_else_comes_in() {
    let rules = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,nolog,skipAfter:HERE"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.a=1"
        SecMarker HERE
        SecAction "id:3,phase:1,pass,nolog,setvar:tx.b=1"
        SecAction "id:4,phase:1,pass,nolog,setvar:!tx.b,setvar:tx.c=%{tx.b}x"
        SecRule &TX:a "@eq 0" "id:5,phase:1,pass"
        SecRule TX:c "@streq x" "id:6,phase:1,pass"
        SecRule &TX:b "@eq 1" "id:7,phase:1,pass"
    "#;
    assert_eq!(ids(rules, "/?a=1"), [5, 6]);
    assert_eq!(ids(rules, "/"), [6]);
}

#[test]
fn rules_that_look_at_what_others_matched() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=7"
        SecRule TX:a "@eq 7" "id:2,phase:1,pass,nolog"
        SecRule MATCHED_VAR "@streq 7" "id:3,phase:1,pass"
    "#;
    assert_eq!(ids(rules, "/"), [3]);
}

#[test]
fn scores_that_are_never_raised() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=2,setvar:tx.total=0,setvar:tx.limit=7"
        SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.score=+3"
        SecRule TX:a "@ge 1" "id:3,phase:1,pass,nolog,setvar:'tx.total=+%{tx.score}'"
        SecRule TX:a "@ge 2" "id:4,phase:1,pass,nolog,setvar:'tx.total=+%{tx.score}',setvar:'tx.total=+1'"
        SecRule TX:total "@ge %{tx.limit}" "id:5,phase:1,pass"
        SecRule TX:total "@eq 1" "id:6,phase:1,pass"
        SecRule TX:a "!@eq %{tx.limit}" "id:7,phase:1,pass"
    "#;
    assert_eq!(ids(rules, "/?a=x"), [5, 7]);
    assert_eq!(ids(rules, "/"), [6, 7]);
}

#[test]
fn a_chain_is_begun_only_when_a_later_link_could_match() {
    let rules = r#"
        SecRule REQUEST_METHOD "@streq GET" "id:1,phase:1,pass,chain"
            SecRule REQUEST_HEADERS:X-A "!@rx ^0$" "chain"
            SecRule ARGS "@contains x"
        SecRule REQUEST_METHOD "@streq GET" "id:2,phase:1,pass,chain"
            SecRule &REQUEST_HEADERS:X-A "@eq 0"
        SecRule REQUEST_METHOD "@streq GET" "id:3,phase:1,pass,chain"
            SecRule ARGS "@contains x" "setvar:tx.seen=1"
        SecRule REQUEST_METHOD "@rx ^(G)" "id:4,phase:1,pass,nolog,capture,chain"
            SecRule ARGS "@contains z"
        SecRule TX:1 "@streq G" "id:5,phase:1,pass"
        SecRule REQUEST_METHOD "@streq GET" "id:6,phase:1,pass,nolog,setvar:tx.begun=1,chain"
            SecRule ARGS "@contains z"
        SecRule &TX:begun "@eq 1" "id:7,phase:1,pass"
        SecRule &TX:seen "@eq 1" "id:8,phase:1,pass"
    "#;
    assert_eq!(ids(rules, "/?a=x"), [2, 3, 5, 7, 8]);
    assert_eq!(ids(rules, "/?a=y"), [2, 5, 7]);
    let with_header = |target: &str, value: &str| {
        let exchange = Exchange::get(target).header("X-A", value);
        let run = |options| exchange.run(&program_with(rules, &options)).ids();
        assert_eq!(run(EngineOptions::default()), run(EngineOptions::reference()));
        run(EngineOptions::default())
    };
    assert_eq!(with_header("/?a=x", "1"), [1, 3, 5, 7, 8]);
    assert_eq!(with_header("/?a=x", "0"), [3, 5, 7, 8]);
}

#[test]
fn a_gate_that_is_always_taken_stands_behind_a_jump() {
    let rules = r#"
        SecAction "id:1,phase:2,pass,nolog,skipAfter:109,chain"
            SecRule ARGS:a "@streq 1"
        SecAction "id:2,phase:1,pass,nolog,setvar:tx.mode=7"
        SecRule TX:mode "!@within 5" "id:108,phase:2,pass,nolog,skipAfter:END"
        SecRule TX:mode "@eq 7" "id:109,phase:2,pass"
        SecRule REQUEST_METHOD "@streq GET" "id:115,phase:2,pass"
    "#;
    assert_eq!(ids(rules, "/?a=1"), [115]);
    assert!(ids(rules, "/?a=2").is_empty());
}

/// The matches of several requests in a row, as one worker sees them; plainly they must be the same.
fn ids_of_all(rules: &str, targets: &[&str]) -> Vec<Vec<u32>> {
    let program = program_with(rules, &EngineOptions::default());
    let mut scratch = Scratch::new();
    let mut run = |target: &&str| Exchange::get(target).run_with(&program, &mut scratch).ids();
    let found: Vec<Vec<u32>> = targets.iter().map(&mut run).collect();
    let plain: Vec<Vec<u32>> = targets.iter().map(|target| ids(rules, target)).collect();
    assert_eq!(found, plain);
    found
}

const PRIVATE: &str = r#"
    SecAction "id:1,phase:1,pass,nolog,setvar:'tx.forbidden=/b/ /c/'"
    SecRule ARGS_NAMES "@rx ^.*$" "id:2,phase:1,pass,capture,t:lowercase,setvar:'tx.name_%{tx.0}=/%{tx.0}/',chain"
        SecRule TX:/^name_/ "@within %{tx.forbidden}"
"#;

#[test]
fn a_chain_that_found_nothing_in_a_value_looks_at_it_again_next_to_others() {
    let targets = ["/?a=1", "/?a=1", "/?A=1&b=2", "/?a=1", "/?a=1&d=1", "/?b=1", "/?d=1&a=1"];
    let found = ids_of_all(PRIVATE, &targets);
    assert_eq!(found, [vec![], vec![], vec![2], vec![], vec![], vec![2], vec![]]);
}

#[test]
fn what_a_chain_leaves_for_others_is_left_again() {
    let targets = ["/?a=1", "/?a=1", "/?x=1", "/?x=1"];
    for reader in
        ["TX:name_a \"@rx .", "TX:/a$/ \"@rx .", "TX:/^name/ \"@streq /a/", "TX \"@streq /a/", "TX:0 \"@streq a"]
    {
        let rules = format!("{PRIVATE} SecRule {reader}\" \"id:3,phase:2,pass,t:none\"");
        assert_eq!(ids_of_all(&rules, &targets), [vec![3], vec![3], vec![], vec![]], "{reader}");
    }
    let macros = [
        r#"SecRule ARGS "@streq %{tx.0}" "id:3,phase:2,pass,t:none""#,
        r#"SecRule ARGS "@streq 1" "id:3,phase:2,pass,t:none,chain"
               SecRule TX:%{ARGS_NAMES} "!@streq /""#,
    ];
    for reader in macros {
        ids_of_all(&format!("{PRIVATE}{reader}"), &["/?a=1&b=a&name_a=1", "/?a=1&c=a", "/?a=1&d=a", "/?a=1&d=a"]);
    }
}

#[test]
fn an_argument_that_is_always_the_same_is_learned() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:'tx.allowed=GET POST',setvar:tx.word=x"
        SecRule REQUEST_METHOD "!@within %{tx.allowed}" "id:2,phase:1,pass"
        SecRule ARGS "@streq %{tx.word}" "id:3,phase:1,pass,setvar:tx.found=1"
        SecRule ARGS:more "@streq 1" "id:4,phase:1,pass,nolog,setvar:tx.word=y"
        SecRule ARGS "@streq %{tx.word}" "id:5,phase:2,pass"
    "#;
    let found = ids_of_all(rules, &["/?a=x", "/?a=x", "/?a=y", "/?a=y&more=1", "/?a=y", "/?a=y&more=1"]);
    assert_eq!(found, [vec![3, 5], vec![3, 5], vec![], vec![5], vec![], vec![5]]);
}
