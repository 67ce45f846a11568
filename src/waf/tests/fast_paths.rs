//! Where the fast evaluation once differed from the plain one; found by the fuzz target `rules`.

use super::*;

/// Ids of the logged matches of each request, one worker for all of them, the same with every combination of options.
fn ids(rules: &str, targets: &[&str]) -> Vec<Vec<u32>> {
    let mut all = EngineOptions::combinations().into_iter().map(|(name, options)| {
        let program = program_with(rules, &options);
        let mut scratch = Scratch::new();
        let of = |target: &&str| Exchange::get(target).run_with(&program, &mut scratch).ids();
        (name, targets.iter().map(of).collect::<Vec<_>>())
    });
    let (_, expected) = all.next().unwrap();
    all.for_each(|(name, found)| assert_eq!(found, expected, "{name}"));
    expected
}

#[test]
fn what_a_value_does_not_match_its_lower_case_form_may() {
    let rules = r#"
        SecRule ARGS "@rx union" "id:1,phase:2,pass,log"
        SecRule ARGS "@rx union" "id:2,phase:2,pass,log,t:lowercase"
        SecRule ARGS "@rx union" "id:3,phase:2,pass,log,t:uppercase"
    "#;
    assert_eq!(ids(rules, &["/?q=UNION&z=union", "/?q=UNION"]), [vec![1, 2, 2], vec![2]]);
}

#[test]
fn a_value_that_is_tested_in_several_forms_is_a_candidate_for_each() {
    let rules = r#"SecRule ARGS "@rx union" "id:1,phase:2,pass,log,multiMatch,t:lowercase""#;
    assert_eq!(ids(rules, &["/?q=UNION", "/?q=UNION"]), [[1], [1]]);
}

#[test]
fn the_path_is_another_one_in_phase_2() {
    let rules = r#"
        SecRule REQUEST_URI "@lt 42" "id:1,phase:1,pass,log,msg:'%{MATCHED_VAR}'"
        SecRule REQUEST_URI "@lt 42" "id:2,phase:2,pass,log,msg:'%{MATCHED_VAR}'"
        SecRule MATCHED_VAR "!@rx 3" "id:3,phase:4,pass,log,t:urlDecodeUni"
    "#;
    assert_eq!(ids(rules, &["%2531"]), [[1, 2, 3]]);
}

#[test]
fn a_negated_rule_about_a_number_captures_what_it_does_not_match() {
    let rules = r#"
        SecAction "id:1,phase:1,nolog,pass,setvar:tx.level=0"
        SecRule ARGS "@rx b" "id:2,phase:2,pass,log,capture"
        SecRule TX:level "!@le 100" "id:3,phase:2,pass,log,capture"
        SecRule &TX:level "!@eq 1" "id:4,phase:2,pass,log"
        SecRule TX:0 "@rx ." "id:5,phase:2,pass,log"
        SecRule ARGS "@rx b" "id:6,phase:2,pass,log,capture"
        SecRule &TX:level "!@eq 1" "id:7,phase:2,pass,log,capture"
        SecRule TX:0 "@rx ." "id:8,phase:2,pass,log"
    "#;
    assert_eq!(ids(rules, &["/?q=b"]), [[2, 6]]);
}

/// Values of few classes and of many, some of them often, for rules that look at forms of them.
#[test]
fn of_many_values_the_same_match() {
    let rules = r#"
        SecRule ARGS "@rx union" "id:1,phase:2,pass,log,t:lowercase"
        SecRule ARGS|!ARGS:n12 "@rx union s" "id:2,phase:2,pass,log,t:compressWhitespace,t:lowercase,\
            ctl:ruleRemoveTargetById=3;ARGS:n24"
        SecRule ARGS "@contains evil" "id:3,phase:2,pass,log,t:base64Decode,t:lowercase"
        SecRule ARGS "@contains evil" "id:4,phase:2,pass,log,multiMatch,t:removeWhitespace,t:base64Decode"
        SecRule ARGS "@rx [0-9]{3}$" "id:5,phase:2,pass,log,t:removeWhitespace,chain"
        SecRule ARGS_NAMES "@streq N77" "t:uppercase,setvar:tx.found=+1"
        SecRule TX:found "@ge 1" "id:6,phase:2,pass,log"
        SecRule ARGS "!@rx ." "id:7,phase:2,pass,log"
    "#;
    let value = |number: usize| match number % 12 {
        0 => "Union++Select".to_owned(),
        1 => "zxZpbA%3D%3D".to_owned(),
        2 => "ZXZpbA%3D%3D".to_owned(),
        3 => "RVZJTA%3D%3D".to_owned(),
        4 => "ev+il".to_owned(),
        5 => "UNION".to_owned(),
        6 => "Zg".to_owned(),
        _ => format!("item+{}{}", number * 37 % 1000, ["", ".", "+%26"][number % 3]),
    };
    let request = |from: usize| {
        let pairs: Vec<String> = (from..from + 240).map(|number| format!("n{number}={}", value(number))).collect();
        format!("/?{}", pairs.join("&"))
    };
    let requests = [request(0), request(100), request(0), "/?a=item+1".to_owned(), "/?a".to_owned()];
    let found = ids(rules, &requests.each_ref().map(String::as_str));
    let count = |of: &[u32], id: u32| of.iter().filter(|found| **found == id).count();
    let first = &found[0];
    let counts = [1, 2, 3, 4, 5, 6, 7].map(|id| count(first, id));
    assert_eq!(counts, [40, 19, 40, 40, 1, 1, 0]);
    assert_eq!(found[2], *first);
    assert_eq!(found[3], [0; 0]);
    assert_eq!(found[4], [7]);
}

/// Two sources whose rules have the same operators, in each other's lanes: what one of them makes of a long value is
/// asked about what the other does not ask of it.
#[test]
fn the_same_operators_in_other_lanes_are_another_scope() {
    let words: Vec<String> = (0..40).map(|number| format!("heavy{number}word")).collect();
    let rules = format!(
        "SecRule ARGS \"@rx evilword\" \"id:1,phase:1,pass,log,t:removeWhitespace\"\n\
         SecRule ARGS \"@rx otherword\" \"id:2,phase:1,pass,log,t:cssDecode\"\n\
         SecRule REQUEST_HEADERS:X \"@rx evilword\" \"id:3,phase:1,pass,log,t:cssDecode\"\n\
         SecRule REQUEST_HEADERS:X \"@rx otherword\" \"id:4,phase:1,pass,log,t:removeWhitespace\"\n\
         SecRule REQUEST_URI \"@pm {}\" \"id:5,phase:1,pass,log,t:none\"\n",
        words.join(" ")
    );
    let value = format!("{} o t h e r w o r d \\65vilword", "a b c d ".repeat(90));
    let exchange = Exchange::get("/").header("X", &value);
    for (name, options) in EngineOptions::combinations() {
        assert_eq!(exchange.run(&program_with(&rules, &options)).ids(), [3, 4], "{name}");
    }
}

/// What the prefilter says "no" to matches a negated rule, without that its operator is asked.
#[test]
fn a_negated_rule_matches_what_cannot_have_a_text() {
    let rules = r#"
        SecRule ARGS:a "!@pm evilword otherword" "id:1,phase:2,pass,log,capture,msg:'%{MATCHED_VAR} %{TX.0}'"
        SecRule ARGS:a "!@rx ^evil[a-z]+$" "id:2,phase:2,pass,log,t:lowercase"
        SecRule ARGS:a "!@contains evilword" "id:3,phase:2,pass,log,multiMatch,t:removeWhitespace"
        SecRule ARGS:a "@rx (evil)" "id:4,phase:2,pass,log,capture"
        SecRule ARGS:a "!@rx (ev)ilword" "id:5,phase:2,pass,log,capture,chain"
        SecRule TX:1 "@streq ev" "t:none"
    "#;
    let long = |end: &str| format!("/?a={}{end}", "plain+text+".repeat(40));
    let (with, without) = (long("evilword"), long("harmless"));
    let found = ids(rules, &["/?a=evilword", "/?a=harmless", "/?a=EVILWORD", "/?a=evil+word", &with, &without]);
    let expected: [&[u32]; 6] = [&[4], &[1, 2, 3], &[3], &[1, 2, 3, 4], &[2, 4], &[1, 2, 3, 3]];
    assert_eq!(found, expected);
}
