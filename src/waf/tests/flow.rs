//! The order of rules: phases, skip, skipAfter, allow, block, the engine's modes.

use super::*;

#[test]
fn rules_run_by_phase_then_in_order() {
    let rules = r#"
        SecAction "id:5,phase:5,pass,msg:'five'"
        SecAction "id:2,phase:2,pass,msg:'two'"
        SecAction "id:1,phase:1,pass,msg:'one'"
        SecAction "id:4,phase:response,pass,msg:'four'"
        SecAction "id:3,phase:3,pass,msg:'three'"
        SecAction "id:22,phase:request,pass"
    "#;
    assert_eq!(get(rules, "/").ids(), [1, 2, 22, 3, 4, 5]);
}

#[test]
fn skip_after_leads_behind_the_marker_of_the_same_phase() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,skipAfter:END"
        SecAction "id:2,phase:1,pass"
        SecAction "id:3,phase:2,pass"
        SecMarker END
        SecAction "id:4,phase:1,pass"
        SecAction "id:5,phase:2,pass"
    "#;
    assert_eq!(get(rules, "/").ids(), [4, 3, 5]);
}

#[test]
fn skip_after_a_missing_marker_ends_the_phase_only() {
    let rules = r#"
        SecMarker NOWHERE
        SecAction "id:1,phase:1,pass,nolog,skipAfter:NOWHERE"
        SecAction "id:2,phase:1,pass"
        SecAction "id:3,phase:2,pass"
    "#;
    assert_eq!(get(rules, "/").ids(), [3]);
}

#[test]
fn skip_after_a_rule_id() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,skipAfter:3"
        SecAction "id:2,phase:1,pass"
        SecAction "id:3,phase:1,pass"
        SecAction "id:4,phase:1,pass"
    "#;
    assert_eq!(get(rules, "/").ids(), [4]);
}

#[test]
fn skip_after_of_a_chain_needs_the_whole_chain() {
    let rules = r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,nolog,skipAfter:END,chain"
            SecRule ARGS:b "@streq 1" "chain"
            SecRule ARGS:c "@streq 1"
        SecAction "id:2,phase:1,pass"
        SecMarker END
    "#;
    assert_eq!(get(rules, "/?a=1&b=1&c=2").ids(), [2]);
    assert_eq!(get(rules, "/?a=1&b=1&c=1").ids(), [0; 0]);
}

#[test]
fn skip_counts_chains_as_one_and_not_markers() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,skip:2"
        SecRule ARGS:a "@streq 1" "id:2,phase:1,pass,chain"
            SecRule ARGS:a "@streq 1"
        SecMarker M
        SecAction "id:3,phase:1,pass"
        SecAction "id:4,phase:1,pass"
    "#;
    assert_eq!(get(rules, "/?a=1").ids(), [4]);
}

#[test]
fn deny_ends_everything_but_phase_5() {
    let rules = r#"
        SecAction "id:1,phase:1,deny,status:418,msg:'no'"
        SecAction "id:2,phase:1,pass"
        SecAction "id:3,phase:2,pass"
        SecAction "id:4,phase:5,pass"
    "#;
    let outcome = get(rules, "/");
    assert_eq!(outcome.ids(), [1, 4]);
    assert_eq!(outcome.status(), Some(418));
    let denied = outcome.denied.unwrap();
    assert_eq!((denied.rule_id, denied.phase, denied.message.as_slice()), (RuleId(1), 1, &b"no"[..]));
    assert_eq!(outcome.summary.interruption.unwrap().rule_id, RuleId(1));
}

#[test]
fn phase_5_sees_the_answer_of_a_denial() {
    let rules = |phase: u8, what: &str| {
        format!(
            r#"
            SecRule ARGS:q "@streq x" "id:1,phase:{phase},nolog,{what}"
            SecAction "id:5,phase:5,pass,msg:'%{{RESPONSE_STATUS}} %{{STATUS_LINE}} %{{RESPONSE_HEADERS.Content-Type}}'"
        "#
        )
    };
    for phase in 1..=4 {
        assert_eq!(get(&rules(phase, "deny,status:405"), "/?q=x").messages(), ["405 HTTP/1.1 405 "]);
        assert_eq!(get(&rules(phase, "redirect:https://a.test/"), "/?q=x").messages(), ["302 HTTP/1.1 302 "]);
        assert_eq!(get(&rules(phase, "drop"), "/?q=x").messages(), ["403 HTTP/1.1 403 "]);
        let other = "200 HTTP/1.1 200 text/html; charset=utf-8";
        assert_eq!(get(&rules(phase, "deny"), "/?q=y").messages(), [other]);
        let detected = Exchange { is_detection_only: true, ..Exchange::get("/?q=x") };
        assert_eq!(detected.run(&program(&rules(phase, "deny"))).messages(), [other]);
    }
}

#[test]
fn allow_has_three_reaches() {
    let rules = |allow: &str| {
        format!(
            r#"
            SecAction "id:1,phase:1,{allow},nolog"
            SecAction "id:10,phase:1,pass"
            SecAction "id:20,phase:2,pass"
            SecAction "id:30,phase:3,pass"
            SecAction "id:40,phase:4,pass"
            SecAction "id:50,phase:5,pass"
        "#
        )
    };
    assert_eq!(get(&rules("allow"), "/").ids(), [50]);
    assert_eq!(get(&rules("allow:request"), "/").ids(), [30, 40, 50]);
    assert_eq!(get(&rules("allow:phase"), "/").ids(), [20, 30, 40, 50]);
    assert_eq!(get(&rules("pass"), "/").ids(), [10, 20, 30, 40, 50]);
}

#[test]
fn block_does_what_the_default_says() {
    let rules = |default: &str| format!("SecDefaultAction \"phase:1,log,{default}\"\nSecAction \"id:1,phase:1,block\"");
    assert_eq!(get(&rules("pass"), "/").status(), None);
    assert_eq!(get(&rules("deny,status:429"), "/").status(), Some(429));
    let outcome = get(&rules("redirect:https://other.example/"), "/");
    let location = b"https://other.example/".to_vec();
    assert_eq!(outcome.denied.unwrap().disruption, Disruption::Redirect { status: 302, location });
    assert_eq!(get(&rules("drop"), "/").denied.unwrap().disruption, Disruption::Drop);
}

#[test]
fn rules_inherit_from_the_last_default() {
    let rules = r#"
        SecDefaultAction "phase:2,nolog,pass,t:lowercase"
        SecRule ARGS:a "@streq abc" "id:1,log"
        SecRule ARGS:a "@streq abc" "id:2,log,t:none"
        SecRule ARGS:a "@streq abc" "id:3"
        SecDefaultAction "phase:1,log,deny"
        SecRule ARGS:a "@streq ABC" "id:4"
    "#;
    let outcome = get(rules, "/?a=ABC");
    assert_eq!(outcome.ids(), [4]);
    assert_eq!(outcome.denied.unwrap().phase, 1);
    assert_eq!(get(rules, "/?a=Abc").ids(), [1]);
}

#[test]
fn detection_only_logs_and_remembers_the_first_interruption() {
    let rules = r#"
        SecRuleEngine DetectionOnly
        SecAction "id:1,phase:1,deny,status:418"
        SecAction "id:2,phase:2,deny"
    "#;
    let outcome = get(rules, "/");
    assert_eq!(outcome.denied, None);
    assert_eq!(outcome.ids(), [1, 2]);
    assert!(outcome.summary.matches.iter().all(|found| found.is_disruptive));
    assert_eq!(outcome.summary.interruption.unwrap().rule_id, RuleId(1));
}

#[test]
fn the_policy_can_force_detection() {
    let program = program(r#"SecAction "id:1,phase:1,deny""#);
    let exchange = Exchange { is_detection_only: true, ..Exchange::get("/") };
    let outcome = exchange.run(&program);
    assert_eq!(outcome.denied, None);
    assert_eq!(outcome.ids(), [1]);
}

#[test]
fn engine_off_runs_nothing() {
    assert_eq!(get("SecRuleEngine Off\nSecAction \"id:1,phase:1,deny\"", "/").ids(), [0; 0]);
}

#[test]
fn ctl_rule_engine_takes_effect_at_once() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
        SecAction "id:2,phase:1,deny"
        SecAction "id:3,phase:1,pass,nolog,ctl:ruleEngine=Off"
        SecAction "id:4,phase:1,deny"
        SecAction "id:5,phase:2,deny"
    "#;
    let outcome = get(rules, "/");
    assert_eq!(outcome.ids(), [2]);
    assert_eq!(outcome.denied, None);
}

#[test]
fn redirect_expands_its_url() {
    let rules = r#"SecAction "id:1,phase:1,status:307,redirect:https://x.example/?from=%{request_uri}""#;
    let location = b"https://x.example/?from=/a?b".to_vec();
    assert_eq!(get(rules, "/a?b").denied.unwrap().disruption, Disruption::Redirect { status: 307, location });
}
