//! The audit log entry.

use super::*;

fn entry(rules: &str, exchange: &Exchange) -> Option<String> {
    let audit = exchange.run(&program(rules)).summary.audit?;
    Some(String::from_utf8_lossy(&audit).into_owned())
}

#[test]
fn relevance() {
    let get = Exchange::get("/");
    let missing = Exchange::get("/").response(404, "text/html", "");
    let wanted = |rules: &str, exchange: &Exchange| entry(rules, exchange).is_some();
    assert!(!wanted("SecAction \"id:1,phase:1,pass\"", &get));
    assert!(wanted("SecAuditEngine On", &get));
    assert!(!wanted("SecAuditEngine RelevantOnly", &get));
    assert!(wanted("SecAuditEngine RelevantOnly\nSecAction \"id:1,phase:1,pass\"", &get));
    assert!(!wanted("SecAuditEngine RelevantOnly\nSecAction \"id:1,phase:1,pass,noauditlog\"", &get));
    assert!(wanted("SecAuditEngine RelevantOnly\nSecAction \"id:1,phase:1,pass,nolog,auditlog\"", &get));
    let status = "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus \"^(?:5|4(?!04))\"";
    assert!(!wanted(status, &missing));
    assert!(wanted(status, &Exchange { status: 502, ..get.clone() }));
    assert!(wanted("SecAction \"id:1,phase:1,pass,nolog,ctl:auditEngine=On\"", &get));
}

#[test]
fn native() {
    let rules = r#"
        SecAuditEngine On
        SecAuditLogParts ABCEFHIJKZ
        SecComponentSignature "OWASP_CRS/4.28.0"
        SecRule ARGS:q "@streq x" "id:1,phase:2,deny,msg:'no',tag:'t'"
    "#;
    let exchange = Exchange::form("q=x&password=secret");
    let text = entry(rules, &exchange).unwrap();
    let boundary = &text[2..10];
    for line in [
        "[14/Nov/2023:22:13:20 +0000] ZxyID0123456789 192.0.2.7 40000 127.0.0.1 443",
        "POST / HTTP/1.1",
        "Host: www.example.com",
        "q=x&password=secret",
        "Action: Intercepted (phase 2)",
        "Producer: portcullis/0.1.0; OWASP_CRS/4.28.0.",
        "Engine-Mode: \"ENABLED\"",
        "[id \"1\"] [file \"test.conf\"] [line \"8\"]",
    ] {
        assert!(text.lines().any(|own| own == line), "{line:?} missing in\n{text}");
    }
    let message = "Message: Access denied with code 403 (phase 2). ";
    assert!(text.lines().any(|line| line.starts_with(message) && line.contains("[msg \"no\"]")), "{text}");
    for part in ["A", "B", "C", "F", "H", "K", "Z"] {
        assert!(text.contains(&format!("--{boundary}-{part}--\n")), "{part} missing in\n{text}");
    }
    assert!(text.contains("-F--\nHTTP/1.1 403\n\n"), "{text}");
    assert!(!text.contains("-E--") && !text.contains("-I--") && !text.contains("-J--"), "{text}");
}

#[test]
fn hidden_values_are_not_shown() {
    let rules = r#"
        SecAuditEngine On
        SecAuditLogParts ABCFHZ
        SecAction "id:1,phase:2,pass,nolog,sanitiseArg:password,sanitiseRequestHeader:Authorization"
        SecRule ARGS "@streq card" "id:2,phase:2,pass,nolog,sanitiseMatched"
        SecRule REQUEST_HEADERS "@beginsWith token" "id:4,phase:2,pass,nolog,sanitiseMatchedBytes:1/1"
        SecAction "id:3,phase:3,pass,nolog,sanitiseResponseHeader:Content-Type"
    "#;
    let mut exchange = Exchange::form("a=1&passwor%64=secret&n=card").header("Authorization", "Bearer abc");
    exchange = exchange.header("X-Token", "token-1");
    exchange.target = "/?password=hunter2&b=2".into();
    let text = entry(rules, &exchange).unwrap();
    assert!(text.contains("POST /?password=*******&b=2 HTTP/1.1\n"), "{text}");
    assert!(text.contains("a=1&passwor%64=******&n=****\n"), "{text}");
    assert!(text.contains("Authorization: **********\n"), "{text}");
    assert!(text.contains("Content-Type: ************************\n"), "{text}");
    for secret in ["hunter2", "secret", "Bearer", "card\n", "text/html", "token-1"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[test]
fn hidden_values_are_not_shown_however_they_are_written() {
    let rules = r#"
        SecAuditEngine On
        SecAuditLogParts ABCIHZ
        SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
        SecRule ARGS "@contains secret" "id:2,phase:2,pass,nolog,sanitiseMatched"
    "#;
    let json = |body: &str| entry(rules, &Exchange::post("/", "application/json", body)).unwrap();
    let text = json(r#"{"a":"fine","b":"a secret","c":"a secret"}"#);
    assert!(text.contains(r#"{"a":"fine","b":"********","c":"********"}"#), "{text}");
    for body in [r#"{"b":"a secr\u0065t"}"#, r#"{"b":"\"secret\""}"#] {
        let text = json(body);
        assert!(text.contains(&"*".repeat(body.len())) && !text.contains("secr"), "{text}");
    }
    // The name is quoted in messages otherwise than it was sent.
    let form = entry(rules, &Exchange::form("a%5cb=secret&c=fine")).unwrap();
    assert!(form.contains("a%5cb=******&c=fine\n"), "{form}");
    let separated = format!("SecArgumentSeparator ;\n{rules}");
    let form = entry(&separated, &Exchange::form("a=secret;c=fine")).unwrap();
    assert!(form.contains("a=******;c=fine\n"), "{form}");
    let parts = "--x\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\nsecret\r\n--x--\r\n";
    let multipart = entry(rules, &Exchange::post("/", "multipart/form-data; boundary=x", parts)).unwrap();
    assert!(multipart.contains("p=******\n") && !multipart.contains("secret"), "{multipart}");
}

#[test]
fn json() {
    let rules = r#"
        SecAuditEngine On
        SecAuditLogFormat JSON
        SecRule ARGS:q "@streq x" "id:1,phase:2,pass,msg:'Found %{MATCHED_VAR}',logdata:'d',severity:CRITICAL,tag:'t',ver:'v'"
    "#;
    let text = entry(rules, &Exchange::get("/p?q=x").header("X-Bytes", "a").header("x-bytes", "b")).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let transaction = &value["transaction"];
    assert_eq!(transaction["client_ip"], "192.0.2.7");
    assert_eq!(transaction["request"]["uri"], "/p?q=x");
    assert_eq!(transaction["request"]["headers"]["X-Bytes"], "a, b");
    assert_eq!(transaction["response"]["http_code"], 200);
    let message = &transaction["messages"][0];
    assert_eq!(message["message"], "Found x");
    assert_eq!(message["details"]["ruleId"], "1");
    assert_eq!(message["details"]["severity"], "2");
    assert_eq!(message["details"]["tags"][0], "t");
    assert_eq!(message["details"]["lineNumber"], "7");
}

#[test]
fn where_entries_go() {
    let path = |rules: &str| program(rules).audit_log().map(|log| (log.path.display().to_string(), log.mode));
    assert_eq!(path("SecRuleEngine On"), None);
    assert_eq!(path("SecAuditLog logs/a.log"), Some(("logs/a.log".into(), 0o640)));
    assert_eq!(path("SecAuditLogFileMode 0600\nSecAuditLog /x/a.log"), Some(("/x/a.log".into(), 0o600)));
}
