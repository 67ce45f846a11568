//! ModSecurity 3's regression cases: rules, a request and a response, and what must come of them, in JSON.
//!
//! What the engine decides is asserted: the status, the log lines, the audit entry, whether the rules load at all.
//! ModSecurity's debug log is no part of the language, but much of it states what the engine saw: a log is written
//! here from the engine's own trace in the same words as far as they say which value a rule tested, whether it
//! matched, and which rules were left out. An expectation about the debug log that this log does not meet is counted
//! as wording when it is the only one a case has or all others hold, and listed by name.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::diagnostics::{Diagnostics, Source};
use crate::seclang::{SourceLoader, parse};
use crate::waf::regex::{Regex, RegexCache, RegexOptions};
use crate::waf::{
    BodyStep, Connection, Disruption, EngineOptions, Interruption, Program, RequestLine, Scratch, Summary, Trace,
    TraceOutcome, Transaction, Verdict,
};

/// What came of a file.
#[derive(Debug, Default)]
pub struct RegressionReport {
    /// Cases that were run.
    pub cases: usize,
    /// Assertions that were checked.
    pub assertions: usize,
    /// Cases of which only the wording of a debug log is not met.
    pub wording: Vec<String>,
    /// Cases that come out otherwise for a reason: the case and the entry of `docs/modsecurity-differences.md`.
    pub known: Vec<(String, &'static str)>,
    /// Case and what is wrong with it.
    pub failures: Vec<(String, String)>,
}

impl RegressionReport {
    /// Adds the other's counts and names.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.assertions += other.assertions;
        self.wording.extend(other.wording);
        self.known.extend(other.known);
        self.failures.extend(other.failures);
    }
}

/// Cases that must come out otherwise here: file, number from 1, entry of `docs/modsecurity-differences.md`.
pub const KNOWN_DIFFERENCES: &[(&str, usize, &str)] = &[
    ("action-ctl_audit_engine.json", 1, "audit-log-separators"),
    ("action-disruptive.json", 6, "drop-has-no-answer"),
    ("action-xmlns.json", 3, "xmlns-takes-any-uri"),
    ("collection-lua.json", 1, "no-lua"),
    ("collection-lua.json", 2, "no-lua"),
    ("collection-lua.json", 3, "no-lua"),
    ("collection-lua.json", 4, "no-lua"),
    ("collection-lua.json", 5, "no-lua"),
    ("collection-lua.json", 6, "no-lua"),
    ("collection-lua.json", 7, "no-lua"),
    ("config-body_limits.json", 15, "limits-answer-413"),
    ("config-body_limits.json", 1, "response-limit-needs-access"),
    ("config-body_limits.json", 3, "limits-answer-413"),
    ("config-body_limits.json", 9, "limits-answer-413"),
    ("config-body_limits.json", 11, "limits-answer-413"),
    ("config-body_limits.json", 13, "limits-answer-413"),
    ("config-secdefaultaction.json", 6, "defaults-replace"),
    ("config-update-action-by-id.json", 4, "defaults-apply-without-block"),
    ("config-update-action-by-id.json", 6, "log-line-wording"),
    ("config-update-target-by-id.json", 4, "exclusions-name-one-variable"),
    ("issue-1825.json", 7, "multipart-as-version-2"),
    ("issue-1743.json", 1, "log-line-wording"),
    ("issue-1743.json", 2, "log-line-wording"),
    ("issue-2296.json", 1, "log-line-wording"),
    ("issue-2296.json", 5, "log-line-wording"),
    ("issue-2296.json", 6, "macro-patterns-keep-case"),
    ("issue-2296.json", 7, "log-line-wording"),
    ("issue-2423-msg-in-chain.json", 1, "chains-answer-as-their-first-rule"),
    ("issue-2423-msg-in-chain.json", 2, "chains-answer-as-their-first-rule"),
    ("issue-2423-msg-in-chain.json", 3, "chains-answer-as-their-first-rule"),
    ("issue-2423-msg-in-chain.json", 4, "chains-answer-as-their-first-rule"),
    ("issue-394.json", 1, "case-asserts-nothing"),
    ("operator-ipMatchFromFile.json", 3, "refused-operators"),
    ("request-body-parser-multipart.json", 50, "multipart-as-version-2"),
    ("request-body-parser-multipart.json", 51, "multipart-as-version-2"),
    ("request-body-parser-multipart.json", 52, "multipart-as-version-2"),
    ("request-body-parser-multipart.json", 53, "multipart-as-version-2"),
    ("request-body-parser-multipart.json", 54, "multipart-as-version-2"),
    ("request-body-parser-xml.json", 1, "refused-operators"),
    ("request-body-parser-xml.json", 2, "refused-operators"),
    ("request-body-parser-xml.json", 3, "refused-operators"),
    ("request-body-parser-xml.json", 4, "refused-operators"),
    ("request-body-parser-xml.json", 5, "refused-operators"),
    ("rule-920200.json", 1, "quotes-must-close"),
    ("variable-ARGS_POST_NAMES.json", 4, "log-line-wording"),
];

/// Is this a file of such cases (and not of operators and transformations)?
pub fn is_regression_file(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"\"rules\"").is_some() && memchr::memmem::find(text, b"\"expected\"").is_some()
}

/// Runs all cases of a file; data files are looked for in the folder `regression-data` beside the file's.
pub fn run(source: &Source, loader: &dyn SourceLoader) -> Result<RegressionReport, String> {
    let file = source.path().display().to_string();
    let json: Json = serde_json::from_slice(source.text()).map_err(|error| format!("{file}: {error}"))?;
    let cases = match &json {
        Json::List(cases) => cases.iter().map(Case::read).collect::<Result<Vec<_>, _>>(),
        case => Case::read(case).map(|case| vec![case]),
    };
    let cases = cases.map_err(|error| format!("{file}: {error}"))?;
    if cases.is_empty() {
        return Err(format!("{file}: no cases"));
    }
    let mut report = RegressionReport::default();
    for (index, case) in cases.iter().enumerate() {
        let stem = source.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{stem} {}: {}", index + 1, case.title);
        report.cases += 1;
        let judged = judge(case, source.path(), loader);
        report.assertions += judged.assertions;
        let known = KNOWN_DIFFERENCES.iter().find(|(file, number, _)| *file == stem && *number == index + 1);
        if let Some((_, _, entry)) = known.filter(|_| !judged.wrong.is_empty() || judged.assertions == 0) {
            report.known.push((name, entry));
        } else if let Some((_, _, entry)) = known {
            report.failures.push((name, format!("it passes, so it is no longer the known difference {entry}")));
        } else if !judged.wrong.is_empty() {
            report.failures.push((name, judged.wrong.join("; ")));
        } else if judged.misses_wording {
            report.wording.push(name);
        } else if judged.assertions == 0 {
            report.failures.push((name, "the case asserts nothing, so it could only pass".into()));
        }
    }
    Ok(report)
}

#[derive(Debug, Default)]
struct Case {
    title: String,
    expected: Expected,
    client: Peer,
    server: Peer,
    request: Message,
    response: Message,
    rules: Vec<String>,
}

#[derive(Debug, Default)]
struct Expected {
    http_code: Option<u16>,
    error_log: Option<String>,
    audit_log: Option<String>,
    debug_log: Option<String>,
    parser_error: Option<String>,
}

#[derive(Debug, Default)]
struct Peer {
    ip: Option<IpAddr>,
    port: u16,
}

#[derive(Debug, Default)]
struct Message {
    headers: Vec<(String, String)>,
    uri: String,
    method: Option<String>,
    version: Option<String>,
    protocol: Option<String>,
    body: Vec<u8>,
}

impl Message {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

/// JSON with the order and the repetitions of its keys: a case may say a header twice, and some say `expected` twice.
#[derive(Debug)]
enum Json {
    Object(Vec<(String, Self)>),
    List(Vec<Self>),
    Text(String),
    Number(String),
    Nothing,
}

impl Json {
    fn entries(&self) -> &[(String, Self)] {
        if let Self::Object(entries) = self { entries } else { &[] }
    }

    /// A text or number; lines of a list joined.
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::List(lines) => lines.iter().map(Self::text).collect::<Vec<_>>().join("\n"),
            Self::Object(_) | Self::Nothing => String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Json::Object(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Number(number.to_string()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number.to_string()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number.to_string()))
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Number(u8::from(value).to_string()))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Json, E> {
                Ok(Json::Nothing)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Case {
    /// A key that is not known is an error: what it asks for would not be checked.
    fn read(json: &Json) -> Result<Self, String> {
        let mut case = Self::default();
        for (key, value) in json.entries() {
            match key.as_str() {
                "title" => case.title = value.text(),
                "expected" => case.expected.read(value)?,
                "client" => case.client = Peer::read(value)?,
                "server" => case.server = Peer::read(value)?,
                "request" => case.request = Message::read(value)?,
                "response" => case.response = Message::read(value)?,
                "rules" => {
                    let Json::List(rules) = value else { return Err("rules must be a list".into()) };
                    case.rules = rules.iter().map(Json::text).collect();
                }
                "enabled" | "version_min" | "version_max" | "resource" | "url" | "github_issue" | "gihub_issue"
                | "issue" => {}
                other => return Err(format!("unknown key {other}")),
            }
        }
        Ok(case)
    }
}

impl Expected {
    fn read(&mut self, json: &Json) -> Result<(), String> {
        for (key, value) in json.entries() {
            match key.as_str() {
                "http_code" => {
                    let status = value.text();
                    self.http_code = Some(status.parse().map_err(|_| format!("{status} is not a status"))?);
                }
                "error_log" => self.error_log = Some(value.text()),
                "audit_log" => self.audit_log = Some(value.text()),
                "debug_log" => self.debug_log = Some(value.text()),
                "parser_error" => self.parser_error = Some(value.text()),
                // One case has these, which ModSecurity's own runner does not read.
                "audit_logs" | "debug_logs" | "error_logs" => {}
                other => return Err(format!("unknown key {other} in expected")),
            }
        }
        Ok(())
    }
}

impl Peer {
    fn read(json: &Json) -> Result<Self, String> {
        let mut peer = Self::default();
        for (key, value) in json.entries() {
            let text = value.text();
            match key.as_str() {
                "ip" => peer.ip = Some(text.parse().map_err(|_| format!("{text} is not an address"))?),
                "port" => peer.port = text.parse().map_err(|_| format!("{text} is not a port"))?,
                // Sets SERVER_NAME in ModSecurity; here the Host header does.
                "hostname" => {}
                other => return Err(format!("unknown key {other} of a peer")),
            }
        }
        Ok(peer)
    }
}

impl Message {
    fn read(json: &Json) -> Result<Self, String> {
        let mut message = Self::default();
        for (key, value) in json.entries() {
            match key.as_str() {
                "headers" => {
                    message.headers = value.entries().iter().map(|(name, v)| (name.clone(), v.text())).collect();
                }
                "uri" => message.uri = value.text(),
                "method" => message.method = Some(value.text()),
                "http_version" => message.version = Some(value.text()),
                "protocol" => message.protocol = Some(value.text()),
                // ModSecurity's runner ends each line of a list with a line feed, the last one too.
                "body" => {
                    let ending = if matches!(value, Json::List(lines) if !lines.is_empty()) { "\n" } else { "" };
                    message.body = (value.text() + ending).into_bytes();
                }
                other => return Err(format!("unknown key {other} of a message")),
            }
        }
        Ok(message)
    }
}

/// The cases name their files by the place where ModSecurity keeps them.
struct CaseLoader<'l> {
    inner: &'l dyn SourceLoader,
    /// A file in the folder with the data files.
    beside: PathBuf,
}

impl SourceLoader for CaseLoader<'_> {
    fn include(&self, _: &Path, pattern: &str) -> io::Result<Vec<Source>> {
        self.inner.include(&self.beside, pattern.trim_start_matches("test-cases/data/"))
    }

    fn read(&self, _: &Path, name: &str) -> io::Result<Vec<u8>> {
        self.inner.read(&self.beside, name.trim_start_matches("test-cases/data/"))
    }
}

#[derive(Default)]
struct Judged {
    assertions: usize,
    misses_wording: bool,
    wrong: Vec<String>,
}

fn judge(case: &Case, file: &Path, loader: &dyn SourceLoader) -> Judged {
    let directory = file.parent().and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let loader = CaseLoader { inner: loader, beside: directory.join("regression-data/case.conf") };
    let root = Source::new(file, case.rules.join("\n"));
    let options = EngineOptions { trace: true, ..EngineOptions::default() };
    let mut judged = Judged::default();
    let program = match (compile(&root, &loader, &options), &case.expected.parser_error) {
        (Ok(program), None) => program,
        (Ok(_), Some(_)) => {
            judged.wrong.push("the rules load, but must be refused".into());
            return judged;
        }
        (Err(_), Some(_)) => {
            judged.assertions += 1;
            return judged;
        }
        (Err(problems), None) => {
            judged.wrong.push(format!("the rules do not load: {problems}"));
            return judged;
        }
    };
    let (status, summary) = execute(&program, case);
    compare(&case.expected, status, &summary, &mut judged);
    judged
}

/// ModSecurity 3 reads request bodies unless it is told not to, and the cases are written for it.
fn compile(root: &Source, loader: &dyn SourceLoader, options: &EngineOptions) -> Result<Program, Diagnostics> {
    let (defaults, _) = parse(&Source::new("defaults", "SecRequestBodyAccess On\n"), loader);
    let (mut ruleset, diagnostics) = parse(root, loader);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    ruleset.directives.splice(0..0, defaults.directives);
    Program::compile(&ruleset, loader, options).map(|(program, _)| program)
}

fn compare(expected: &Expected, status: Option<u16>, summary: &Summary, judged: &mut Judged) {
    if let Some(wanted) = expected.http_code {
        judged.assertions += 1;
        if status != Some(wanted) {
            let found = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            judged.wrong.push(format!("the status is {found}, not {wanted}"));
        }
    }
    let asked = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let log: Vec<u8> = summary.matches.iter().flat_map(|each| [&each.line_text[..], b"\n"].concat()).collect();
    for (wanted, text, what) in [
        (asked(&expected.error_log), &log, "error log"),
        (asked(&expected.audit_log), summary.audit.as_ref().unwrap_or(&Vec::new()), "audit log"),
    ] {
        let Some(wanted) = wanted else { continue };
        judged.assertions += 1;
        match matches(&wanted, text) {
            Ok(true) => {}
            Ok(false) => judged.wrong.push(format!("the {what} does not match {wanted}")),
            Err(problem) => judged.wrong.push(problem),
        }
    }
    if let Some(wanted) = asked(&expected.debug_log) {
        let notices: Vec<u8> = summary.notices.join(&b'\n');
        let log = [debug_log(summary.trace.as_ref()), outcome(summary), log, notices].concat();
        match matches(&wanted, &log) {
            Ok(true) => judged.assertions += 1,
            Ok(false) => judged.misses_wording = true,
            Err(problem) => judged.wrong.push(problem),
        }
    }
}

/// ModSecurity's runner searches with PCRE.
fn matches(pattern: &str, text: &[u8]) -> Result<bool, String> {
    let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).map_err(|error| error.to_string())?;
    regex.is_match(&mut RegexCache::default(), text).map_err(|_| format!("the pattern {pattern} is too expensive"))
}

/// What ModSecurity's debug log says of the same things, in its words.
fn debug_log(trace: Option<&Trace>) -> Vec<u8> {
    let mut out = Vec::new();
    for step in trace.iter().flat_map(|trace| &trace.steps) {
        let id = step.rule_id.0;
        if matches!(step.outcome, TraceOutcome::Removed | TraceOutcome::Skipped) {
            out.extend_from_slice(format!("Skipped rule id '{id}'\n").as_bytes());
            if step.outcome == TraceOutcome::Removed {
                let text = format!("Rule id: {id} was skipped due to a ruleRemoveById action.\n");
                out.extend_from_slice(text.as_bytes());
            }
            continue;
        }
        out.extend_from_slice(format!("(Rule: {id}) Executing operator\n").as_bytes());
        for test in &step.tests {
            out.extend_from_slice(b" Target value: \"");
            out.extend_from_slice(&test.value);
            out.extend_from_slice(b"\" (Variable: ");
            out.extend_from_slice(&test.variable);
            out.extend_from_slice(b")\n");
        }
        let matched = u8::from(step.outcome == TraceOutcome::Match);
        out.extend_from_slice(format!("Rule returned {matched}.\n").as_bytes());
    }
    out
}

/// Likewise of what matches left behind.
fn outcome(summary: &Summary) -> Vec<u8> {
    let mut out = Vec::new();
    for each in &summary.matches {
        out.extend_from_slice(&[b"Saving msg: ", each.message(), b"\n"].concat());
        for tag in &each.rule.tags {
            out.extend_from_slice(&[b"Rule tag: ", &tag[..], b"\n"].concat());
        }
    }
    if let Some(Interruption { disruption: Disruption::Deny { .. }, .. }) = &summary.interruption {
        out.extend_from_slice(b" Running action deny\n");
    }
    out
}

/// Why a conversation ended early.
enum Ended {
    Interrupted(Interruption),
    Refused(u16),
}

fn decided(verdict: Verdict) -> Result<(), Ended> {
    match verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny(interruption) => Err(Ended::Interrupted(interruption)),
    }
}

fn execute(program: &Program, case: &Case) -> (Option<u16>, Summary) {
    let mut scratch = Scratch::default();
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let connection = Connection {
        client_address: case.client.ip.unwrap_or(local),
        client_port: case.client.port,
        server_address: case.server.ip.unwrap_or(local),
        server_port: case.server.port,
        unique_id: "regression",
        now: Duration::from_secs(1_780_000_000),
        is_detection_only: false,
    };
    let mut transaction = Transaction::new(program, &mut scratch, &connection);
    let ended = converse(program, &mut scratch, &mut transaction, case);
    let summary = transaction.finish(program, &mut scratch, Duration::from_millis(1));
    let status = match ended {
        Ok(()) => Some(200),
        Err(Ended::Refused(status)) => Some(status),
        Err(Ended::Interrupted(interruption)) => match interruption.disruption {
            Disruption::Deny { status } | Disruption::Redirect { status, .. } => Some(status),
            Disruption::Drop => None,
        },
    };
    (status, summary)
}

fn converse(program: &Program, scratch: &mut Scratch, transaction: &mut Transaction, case: &Case) -> Result<(), Ended> {
    let request = &case.request;
    let method = request.method.as_deref().unwrap_or("GET");
    let version = request.version.as_deref().unwrap_or("1.1");
    let protocol = format!("HTTP/{version}");
    let raw = format!("{method} {} {protocol}", request.uri);
    let line = RequestLine {
        raw: raw.as_bytes(),
        method: method.as_bytes(),
        target: request.uri.as_bytes(),
        protocol: protocol.as_bytes(),
    };
    decided(transaction.request_headers(program, scratch, line, request.fields()))?;
    if transaction.wants_request_body() && transaction.request_body(program, &request.body) == BodyStep::Reject {
        return Err(Ended::Refused(413));
    }
    decided(transaction.finish_request_body(program, scratch))?;
    let response = &case.response;
    let protocol = response.protocol.as_deref().unwrap_or("HTTP/1.1");
    let headers = response.fields();
    decided(transaction.response_headers(program, scratch, 200, protocol.as_bytes(), headers))?;
    if transaction.wants_response_body() && transaction.response_body(program, &response.body) == BodyStep::Reject {
        return Err(Ended::Refused(502));
    }
    decided(transaction.finish_response_body(program, scratch))
}
