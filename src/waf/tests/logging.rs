//! Log lines as ModSecurity writes them.

use super::*;

#[test]
fn a_warning_with_all_metadata() {
    let rule = r#"SecRule ARGS:q "@rx ^(a+)\"b" "id:1234,phase:1,pass,capture,t:none,msg:'Hit %{TX.1}',logdata:'Data \"%{MATCHED_VAR}\"',severity:CRITICAL,ver:'X/1',rev:2,maturity:3,accuracy:4,tag:'one',tag:'two %{tx.0}'""#;
    let outcome = get(rule, "/x/y?q=aa%22b%0a");
    let line = "ModSecurity: Warning. Pattern match \"^(a+)\\\"b\" at ARGS:q. [file \"test.conf\"] [line \"4\"] \
                [id \"1234\"] [rev \"2\"] [msg \"Hit aa\"] [data \"Data \\x22aa\\x22b\\x0a\\x22\"] \
                [severity \"CRITICAL\"] [ver \"X/1\"] [maturity \"3\"] [accuracy \"4\"] [tag \"one\"] \
                [tag \"two aa\\\"b\"] [hostname \"www.example.com\"] [uri \"/x/y\"] [unique_id \"ZxyID0123456789\"]";
    assert_eq!(outcome.lines(), [line]);
    let found = &outcome.summary.matches[0];
    assert_eq!(found.message(), b"Hit aa");
    assert_eq!(found.rule.severity, Some(2));
    assert_eq!((found.rule.maturity, found.rule.accuracy), (Some(3), Some(4)));
    assert_eq!(found.rule.tags, [b"one".to_vec(), b"two aa\"b".to_vec()]);
    assert!(!found.is_disruptive);
}

#[test]
fn a_denial() {
    let rule = r#"SecRule REQUEST_METHOD "!@within GET HEAD" "id:7,phase:1,deny,status:405""#;
    let outcome = Exchange { method: "PUT", ..Exchange::get("/") }.run(&program(rule));
    let line = &outcome.lines()[0];
    let start = "ModSecurity: Access denied with code 405 (phase 1). Match of \"within GET HEAD\" against \
                 \"REQUEST_METHOD\" required. [file ";
    assert!(line.starts_with(start), "{line}");
}

#[test]
fn counts_are_named_in_full() {
    let rule = r#"SecRule &REQUEST_HEADERS:Accept "!@eq 1" "id:7,phase:1,pass""#;
    let line = &get(rule, "/").lines()[0];
    assert!(line.contains("Match of \"eq 1\" against \"&REQUEST_HEADERS:Accept\" required."), "{line}");
}

#[test]
fn nolog_is_silent() {
    let rules = r#"
        SecAction "id:1,phase:1,pass,nolog"
        SecAction "id:2,phase:1,pass,nolog,log"
        SecAction "id:3,phase:1,pass,noauditlog"
        SecAction "id:4,phase:1,nolog,deny"
    "#;
    let outcome = get(rules, "/");
    assert_eq!(outcome.ids(), [2, 3]);
    assert_eq!(outcome.status(), Some(403));
}
