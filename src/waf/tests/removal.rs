//! Rules and targets taken away or changed: by directives when rules are loaded, by `ctl` at run time.

use super::*;

const THREE: &str = r#"
    SecRule ARGS "@rx a" "id:11,phase:1,pass,msg:'alpha one',tag:'attack-x',tag:'OWASP_CRS'"
    SecRule ARGS "@rx a" "id:12,phase:1,pass,msg:'beta two',tag:'attack-y'"
    SecRule ARGS "@rx a" "id:13,phase:1,pass,msg:'alpha three',chain"
        SecRule ARGS "@rx a" "tag:'attack-z'"
"#;

fn after(directive: &str) -> Vec<u32> {
    get(&format!("{THREE}{directive}"), "/?q=a").ids()
}

fn before(action: &str) -> Vec<u32> {
    get(&format!("SecAction \"id:1,phase:1,pass,nolog,{action}\"\n{THREE}"), "/?q=a").ids()
}

#[test]
fn directives_remove_rules() {
    assert_eq!(after(""), [11, 12, 13]);
    assert_eq!(after("SecRuleRemoveById 12"), [11, 13]);
    assert_eq!(after("SecRuleRemoveById 11-12 \"13\""), [0; 0]);
    assert_eq!(after("SecRuleRemoveByTag attack-[xy]"), [13]);
    assert_eq!(after("SecRuleRemoveByTag ^attack"), [13]);
    assert_eq!(after("SecRuleRemoveByTag ATTACK"), [11, 12, 13]);
    assert_eq!(after("SecRuleRemoveByMsg ^alpha"), [12]);
    assert_eq!(get(&format!("SecRuleRemoveById 11\n{THREE}"), "/?q=a").ids(), [12, 13]);
}

#[test]
fn ctl_removes_rules_for_the_rest_of_the_transaction() {
    assert_eq!(before("ctl:ruleRemoveById=12"), [11, 13]);
    assert_eq!(before("ctl:ruleRemoveById=11-13"), [0; 0]);
    assert_eq!(before("ctl:ruleRemoveByTag=attack-"), [0; 0]);
    assert_eq!(before("ctl:ruleRemoveByTag=attack-z"), [11, 12]);
    assert_eq!(before("ctl:ruleRemoveByMsg=^alpha"), [12]);
}

#[test]
fn ctl_removes_targets() {
    assert_eq!(before("ctl:ruleRemoveTargetById=11;ARGS:Q"), [12, 13]);
    assert_eq!(before("ctl:ruleRemoveTargetById=11-12;ARGS"), [13]);
    assert_eq!(before("ctl:ruleRemoveTargetById=11;ARGS:other"), [11, 12, 13]);
    assert_eq!(before("ctl:ruleRemoveTargetById=11;ARGS:/^q/"), [12, 13]);
    assert_eq!(before("ctl:ruleRemoveTargetByTag=attack-[xy];ARGS:q"), [13]);
    assert_eq!(before("ctl:ruleRemoveTargetByMsg=^beta;ARGS:q"), [11, 13]);
    assert_eq!(before("ctl:ruleRemoveTargetById=11;REQUEST_HEADERS:q"), [11, 12, 13]);
}

#[test]
fn targets_are_updated() {
    let ids = |directive: &str, target: &str| get(&format!("{THREE}{directive}"), target).ids();
    assert_eq!(ids("SecRuleUpdateTargetById 11 !ARGS:q", "/?q=a"), [12, 13]);
    assert_eq!(ids("SecRuleUpdateTargetById 13 !ARGS:q", "/?q=a"), [11, 12]);
    assert_eq!(ids("SecRuleUpdateTargetByTag attack-x \"!ARGS:/^q/\"", "/?q=a"), [12, 13]);
    assert_eq!(ids("SecRuleUpdateTargetByMsg beta REQUEST_URI", "/a"), [12]);
    assert_eq!(ids("SecRuleUpdateTargetById 12 REQUEST_URI ARGS", "/b?q=A"), [0; 0]);
    assert_eq!(ids("SecRuleUpdateTargetById 12 REQUEST_URI ARGS", "/b?x=a"), [11, 12, 13]);
    assert_eq!(ids("SecRuleUpdateTargetById 12 REQUEST_FILENAME ARGS", "/b?x=a"), [11, 13]);
    assert_eq!(ids("SecRuleUpdateTargetById 12 REQUEST_FILENAME ARGS_NAMES", "/a"), [0; 0]);
}

#[test]
fn actions_are_updated() {
    let run = |directive: &str| get(&format!("{THREE}{directive}"), "/?q=a");
    let outcome = run(r#"SecRuleUpdateActionById 12 "deny,status:409,msg:'new'""#);
    assert_eq!((outcome.status(), outcome.ids()), (Some(409), vec![11, 12]));
    assert_eq!(outcome.messages()[1], "new");
    assert_eq!(run(r#"SecRuleUpdateActionById 13:1 "setvar:tx.a=1""#).ids(), [11, 12, 13]);
    assert_eq!(run(r#"SecRuleUpdateActionById 11 "nolog,t:uppercase""#).ids(), [12, 13]);
    let text = format!("SecRuleEngine On\n{THREE}SecRuleUpdateActionById 12 \"phase:2\"");
    assert!(try_compile(&text, &MemoryLoader::new(), &EngineOptions::reference()).is_err());
}

#[test]
fn exclusions_that_mean_no_rule_are_told() {
    let warnings = |text: &str| {
        let (_, warnings) = try_compile(text, &MemoryLoader::new(), &EngineOptions::reference()).unwrap();
        warnings.to_string()
    };
    for directive in ["SecRuleRemoveById 99", "SecRuleRemoveByTag nothing", "SecRuleUpdateTargetById 99 !ARGS:q"] {
        let text = warnings(&format!("{directive}\n{THREE}"));
        assert!(text.contains("test.conf:1:1: warning: this changes nothing"), "{text}");
    }
    let early = warnings(&format!("SecRuleRemoveById 11\n{THREE}"));
    assert!(early.contains("test.conf:1:1: warning: no rule before this line fits"), "{early}");
    assert_eq!(warnings(&format!("{THREE}SecRuleRemoveById 11")), "");
}

#[test]
fn a_rule_takes_from_itself_what_is_still_to_come() {
    let rules = r#"SecRule ARGS:q "@le 1" "id:1,phase:2,pass,log,tag:own,ctl:'ruleRemoveTargetByTag=own;ARGS'""#;
    for (name, options) in EngineOptions::combinations() {
        let outcome = Exchange::get("/?q=0&q=1").run(&program_with(rules, &options));
        assert_eq!(outcome.ids(), [1], "{name}");
    }
}

#[test]
fn an_operator_that_cannot_be_used_is_reported_wherever_it_stands() {
    let rules = "SecRule ARGS \"@rx (\" \"id:1\"\nSecRule ARGS \"@rx (\" \"id:2\"\n";
    for (name, options) in EngineOptions::combinations() {
        let problems = try_compile(rules, &MemoryLoader::new(), &options).expect_err(&name).to_string();
        assert!(problems.contains("rule 1") && problems.contains("rule 2"), "{name}: {problems}");
    }
}
