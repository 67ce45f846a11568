//! Programs that people use, through the gateway to an nginx that verifies client certificates.

use std::process::{Command, Output, Stdio};

use crate::backend::nginx;
use crate::lab::{EDGE, Gateway, Lab, Process, is_installed};

fn start() -> Option<(Lab, Process, Gateway)> {
    let lab = Lab::new();
    let (address, nginx) = nginx(&lab, "nginx", None)?;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    let gateway = Gateway::start(&lab, &configuration.text());
    Some((lab, nginx, gateway))
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    (output, text)
}

fn curl(lab: &Lab, gateway: &Gateway, arguments: &[&str], target: &str) -> String {
    let port = gateway.address().port();
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "-o", "-", "-w", "[%{http_code} %{http_version}]", "--cacert"]);
    command.arg(lab.path("root.pem")).arg("--resolve").arg(format!("{EDGE}:{port}:127.0.0.1")).args(arguments);
    let (output, text) = run(command.arg(format!("https://{EDGE}:{port}{target}")));
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn curl_in_every_version() {
    if !is_installed("curl", "--version") {
        return;
    }
    let Some((lab, _nginx, mut gateway)) = start() else { return };
    for (version, told) in [("--http1.0", "1.1"), ("--http1.1", "1.1"), ("--http2", "2")] {
        let text = curl(&lab, &gateway, &[version], "/hello?name=world");
        assert!(text.starts_with("nginx saw SUCCESS CN=gateway GET edge.example"), "{text}");
        assert!(text.ends_with(&format!("[200 {told}]")), "{version}: {text}");
        let text = curl(&lab, &gateway, &[version], "/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20");
        assert!(text.contains("[403 ") && text.contains("request_id"), "{text}");
        let text = curl(&lab, &gateway, &[version, "-d", "{\"a\":1}", "-H", "Content-Type: application/json"], "/");
        assert!(text.contains(" POST ") && text.contains("[200 "), "{text}");
    }
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let text = curl(&lab, &gateway, &[version, "--tls-max", &version[6..]], "/");
        assert!(text.contains("[200 "), "{text}");
    }
    let records = gateway.records(11);
    assert_eq!(records[0]["protocol"], "HTTP/1.0");
    assert_eq!(records[6]["protocol"], "HTTP/2.0");
    assert_eq!(records[9]["tls"]["version"], "TLSv1.2", "{}", records[9]);
    assert_eq!(records[10]["tls"]["version"], "TLSv1.3", "{}", records[10]);
    gateway.assert_sound();
}

#[test]
fn openssl_resumes_sessions_and_agrees_on_protocols() {
    if !is_installed("openssl", "version") {
        return;
    }
    let Some((lab, _nginx, mut gateway)) = start() else { return };
    let session = lab.path("session");
    let s_client = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.arg("s_client").arg("-connect").arg(gateway.address().to_string());
        command.args(["-servername", EDGE, "-verify_return_error", "-verify_hostname", EDGE, "-ign_eof", "-CAfile"]);
        command.arg(lab.path("root.pem")).args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl");
        let mut stdin = child.stdin.take().expect("a pipe");
        let request = format!("GET /openssl HTTP/1.1\r\nHost: {EDGE}\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stdin, request.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("openssl");
        drop(stdin);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let file = session.to_str().expect("a path");
    for version in ["-tls1_2", "-tls1_3"] {
        let first = s_client(&[version, "-alpn", "http/1.1", "-sess_out", file]);
        assert!(first.contains("nginx saw SUCCESS CN=gateway GET edge.example"), "{first}");
        assert!(first.contains("ALPN protocol: http/1.1") && first.contains("New, TLSv1"), "{first}");
        let second = s_client(&[version, "-sess_in", file]);
        assert!(second.contains("nginx saw SUCCESS") && second.contains("Reused, TLSv1"), "{second}");
    }
    let old = s_client(&["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"]);
    assert!(!old.contains("nginx saw") && old.contains("alert"), "{old}");
    gateway.assert_sound();
}

#[test]
fn h2load_in_both_versions() {
    if !is_installed("h2load", "--version") {
        return;
    }
    let Some((_lab, _nginx, mut gateway)) = start() else { return };
    let port = gateway.address().port();
    for arguments in [&["-m", "10"][..], &["--h1"]] {
        let mut command = Command::new("h2load");
        command.args(["-n", "400", "-c", "4", "-T", "30", "-N", "30"]).args(arguments);
        let (output, text) = run(command.arg(format!("https://localhost:{port}/load")));
        assert!(output.status.success(), "{text}");
        assert!(text.contains("400 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
        assert!(text.contains("status codes: 400 2xx"), "{text}");
    }
    assert_eq!(gateway.records(800).len(), 800);
    gateway.assert_sound();
}
