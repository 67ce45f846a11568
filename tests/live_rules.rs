//! `portcullis rules test --live` against a server that answers as a gateway would and writes the rules' log: what it
//! sees there is what it sees in process, and it fails when the log is another one or an assertion does not hold.
#![cfg(feature = "gateway")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use portcullis::authoring::exchange::read;
use portcullis::authoring::{Answer, Engine, Target, rule_set};
use portcullis::seclang::source::FileLoader;
use portcullis::waf::Program;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:X-CRS-Test "@rx ^.*$" "id:999999,phase:1,pass,t:none,log,msg:'X-CRS-Test %{MATCHED_VAR}',ctl:ruleRemoveById=1-999999"
SecRule ARGS "@rx attack" "id:100,phase:2,deny,status:403,log,msg:'found',logdata:'%{MATCHED_VAR_NAME}'"
SecRule REQUEST_HEADERS:User-Agent "@contains odd" "id:101,phase:1,pass,log"
"#;

const CASES: &str = r#"
rule_id: 100
tests:
  - test_id: 1
    stages:
      - input:
          method: POST
          uri: /x
          headers: {Host: localhost, User-Agent: odd}
          data: "a=attack me"
        output:
          status: 403
          log:
            expect_ids: [100, 101]
            match_regex: 'data "ARGS:a"'
  - test_id: 2
    stages:
      - input: {uri: "/x?a=fine", headers: {Host: localhost}}
        output:
          status: 200
          log: {no_expect_ids: [100], no_match_regex: '\[id "\d+"\]'}
  - test_id: 3
    stages:
      - input: {uri: "/x", version: "", headers: {Host: localhost}}
        output: {expect_error: true}
  - test_id: 4
    stages:
      - input: {method: HEAD, uri: "/x", headers: {Host: localhost}}
        output: {status: 200}
"#;

/// Answers one request on a connection, and writes what the rules log.
fn serve(mut stream: impl Read + Write, program: &Program, log: &Path) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while let Err(Answer::None(reason)) = read(&request) {
        if !reason.contains("incomplete") {
            break;
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(length) => request.extend_from_slice(&chunk[..length]),
        }
    }
    let exchange = Engine::new(program).send(&request);
    let mut file = std::fs::OpenOptions::new().append(true).open(log).unwrap();
    for line in &exchange.log {
        file.write_all(&[line, &b"\n"[..]].concat()).unwrap();
    }
    if exchange.answer != Answer::None(String::new()) {
        drop(stream.write_all(&exchange.response).and_then(|()| stream.flush()));
    }
}

fn start(log: &Path, tls: Option<Arc<ServerConfig>>) -> u16 {
    let directory = log.parent().unwrap();
    std::fs::write(directory.join("rules.conf"), RULES).unwrap();
    std::fs::write(log, "an older line [id \"100\"]\n").unwrap();
    let root = FileLoader::open(directory.join("rules.conf")).unwrap();
    let program = Arc::new(rule_set::compile(&root, &FileLoader).unwrap().0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = log.to_owned();
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let tcp: TcpStream = tcp;
            match &tls {
                None => serve(tcp, &program, &log),
                Some(config) => {
                    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                    let mut stream = StreamOwned::new(connection, tcp);
                    serve(&mut stream, &program, &log);
                    stream.conn.send_close_notify();
                    drop(stream.flush());
                }
            }
        }
    });
    port
}

fn run(url: &str, log: &Path, cases: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["rules", "test", "--live", url, "--log"])
        .args([log, cases])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn plain() {
    let directory = tempfile::tempdir().unwrap();
    let (log, cases) = (directory.path().join("rules.log"), directory.path().join("cases.yaml"));
    std::fs::write(&cases, CASES).unwrap();
    let url = format!("http://127.0.0.1:{}", start(&log, None));
    let (passed, text) = run(&url, &log, &cases);
    assert!(passed, "{text}");
    assert!(text.contains("1 files, 4 tests, 4 stages, 9 assertions: 4 passed, 0 failed"), "{text}");

    // A case that does not hold fails.
    std::fs::write(&cases, CASES.replace("expect_ids: [100, 101]", "expect_ids: [100, 102]")).unwrap();
    let (passed, text) = run(&url, &log, &cases);
    assert!(!passed && text.contains("rule 102 was not logged"), "{text}");

    // A log that the gateway does not write to fails.
    let other = directory.path().join("other.log");
    std::fs::write(&other, "").unwrap();
    std::fs::write(&cases, "rule_id: 1\ntests:\n  - test_id: 1\n    stages:\n      - input: {uri: /, headers: {Host: a}}\n        output: {log: {no_expect_ids: [100]}}\n").unwrap();
    let (passed, text) = run(&url, &other, &cases);
    assert!(!passed && text.contains("is this the right log?"), "{text}");
}

#[test]
fn over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (log, cases) = (directory.path().join("rules.log"), directory.path().join("cases.yaml"));
    std::fs::write(&cases, CASES).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let url = format!("https://127.0.0.1:{}", start(&log, Some(Arc::new(config))));
    let (passed, text) = run(&url, &log, &cases);
    assert!(passed, "{text}");
}
