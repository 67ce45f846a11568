//! Case files that stand beside rules: requests and responses that must be found, and look-alikes that must not.
//!
//! `rules/170-sql-injection.yaml` belongs to `rules/170-sql-injection.conf`. A file has two lists, `attacks` and
//! `lookalikes`; a case has a `name` and what is sent:
//!
//! ```yaml
//! attacks:
//!   - name: a condition that is always true
//!     arguments: { id: "1' or '1'='1" }   # encoded by the runner
//!     match: [170100, 170120]             # all of these
//! lookalikes:
//!   - name: an Irish name
//!     form: { name: O'Brien }
//! ```
//!
//! Further keys: `method`, `target` (as sent), `headers`, `json` and `body` (texts), and `response` with `status`,
//! `headers` and `body`. An attack must match its rules and be blocked (unless it says `blocked: false`); a look-alike
//! must not be blocked, nor match a rule of its file (unless it lists some with `may_match`).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::diagnostics::{Diagnostics, Source};
use crate::waf::{Connection, Program, RequestLine, Scratch, Summary, Transaction, Verdict};
use crate::yaml::{self, Node, YamlLimits};

/// One case.
#[derive(Debug, Clone, Default)]
pub struct RuleCase {
    /// What it is about.
    pub name: String,
    /// Must it be found, or is it a look-alike?
    pub is_attack: bool,
    /// Must it be blocked?
    pub is_blocked: bool,
    /// Ids that must match, or (of a look-alike) that may.
    pub rules: Vec<u32>,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    response: Option<CaseResponse>,
}

#[derive(Debug, Clone, Default)]
struct CaseResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Reads a case file; all problems at once.
pub fn load(source: &Source) -> Result<Vec<RuleCase>, Diagnostics> {
    let root = yaml::parse_one(source, YamlLimits::DEFAULT)?;
    let mut problems = Diagnostics::new();
    let mut cases = Vec::new();
    for (key, list) in root.entries().unwrap_or_default() {
        let is_attack = match key.as_str() {
            Some("attacks") => true,
            Some("lookalikes") => false,
            _ => {
                problems.push(key.error(source, "a case file has `attacks` and `lookalikes`"));
                continue;
            }
        };
        for node in list.items().unwrap_or_default() {
            cases.push(read_case(source, node, is_attack, &mut problems));
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(cases) }
}

fn read_case(source: &Source, node: &Node, is_attack: bool, problems: &mut Diagnostics) -> RuleCase {
    let mut case = RuleCase { is_attack, is_blocked: is_attack, target: "/".into(), ..RuleCase::default() };
    let mut content_type = None;
    let mut query = None;
    for (key, value) in node.entries().unwrap_or_default() {
        match key.as_str().unwrap_or_default() {
            "name" => case.name = text(value),
            "blocked" => case.is_blocked = value.as_bool().unwrap_or(true),
            "match" | "may_match" => {
                let ids = value.items().unwrap_or_default().iter();
                case.rules = ids.filter_map(Node::as_i64).filter_map(|id| id.try_into().ok()).collect();
            }
            "method" => case.method = text(value),
            "target" => case.target = text(value),
            "arguments" => query = Some(encode_pairs(&pairs(value))),
            "headers" => case.headers = pairs(value),
            "form" => {
                case.body = encode_pairs(&pairs(value));
                content_type = Some("application/x-www-form-urlencoded");
            }
            "json" => {
                case.body = text(value);
                content_type = Some("application/json");
            }
            "body" => case.body = text(value),
            "response" => case.response = Some(read_response(source, value, problems)),
            other => problems.push(key.error(source, format!("a case has no `{other}`"))),
        }
    }
    if let Some(query) = query {
        case.target = format!("{}?{query}", case.target);
    }
    if case.method.is_empty() {
        case.method = if case.body.is_empty() { "GET" } else { "POST" }.into();
    }
    if case.name.is_empty() {
        problems.push(node.error(source, "a case needs a `name`"));
    }
    if is_attack && case.rules.is_empty() {
        problems.push(node.error(source, "an attack says in `match` which rules find it"));
    }
    if let Some(content_type) = content_type {
        add_default(&mut case.headers, "Content-Type", content_type);
    }
    if !case.body.is_empty() {
        let length = case.body.len().to_string();
        add_default(&mut case.headers, "Content-Length", &length);
    }
    add_default(&mut case.headers, "Host", "shop.example.com");
    add_default(
        &mut case.headers,
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    );
    add_default(&mut case.headers, "Accept", "*/*");
    case
}

fn read_response(source: &Source, node: &Node, problems: &mut Diagnostics) -> CaseResponse {
    let mut response = CaseResponse { status: 200, ..CaseResponse::default() };
    for (key, value) in node.entries().unwrap_or_default() {
        match key.as_str().unwrap_or_default() {
            "status" => response.status = value.as_i64().and_then(|status| status.try_into().ok()).unwrap_or(200),
            "headers" => response.headers = pairs(value),
            "body" => response.body = text(value),
            other => problems.push(key.error(source, format!("a response has no `{other}`"))),
        }
    }
    add_default(&mut response.headers, "Content-Type", "text/html; charset=utf-8");
    response
}

fn text(node: &Node) -> String {
    node.as_str().unwrap_or_default().to_owned()
}

/// A mapping; a list in it stands for the same name several times.
fn pairs(node: &Node) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in node.entries().unwrap_or_default() {
        match value.items() {
            Some(values) => pairs.extend(values.iter().map(|value| (text(name), text(value)))),
            None => pairs.push((text(name), text(value))),
        }
    }
    pairs
}

/// Adds a header unless the case has it, or takes it away with an empty value.
fn add_default(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    match headers.iter().position(|(own, _)| own.eq_ignore_ascii_case(name)) {
        Some(index) if headers.get(index).is_some_and(|(_, own)| own.is_empty()) => {
            headers.remove(index);
        }
        Some(_) => {}
        None => headers.push((name.into(), value.into())),
    }
}

fn encode_pairs(pairs: &[(String, String)]) -> String {
    let mut encoded = String::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            encoded.push('&');
        }
        encode(name, &mut encoded);
        encoded.push('=');
        encode(value, &mut encoded);
    }
    encoded
}

fn encode(text: &str, encoded: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else if byte == b' ' {
            encoded.push('+');
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
}

impl RuleCase {
    /// Runs the case; `Err` says what is wrong. `own_rules` are the ids of the file that the case belongs to.
    pub fn run(&self, program: &Program, scratch: &mut Scratch, own_rules: std::ops::Range<u32>) -> Result<(), String> {
        let (is_blocked, summary) = self.converse(program, scratch);
        let ids: Vec<u32> = summary.matches.iter().map(|found| found.rule_id.0).collect();
        let said = || {
            let lines = summary.matches.iter().map(|found| String::from_utf8_lossy(&found.line_text).into_owned());
            lines.collect::<Vec<_>>().join("\n    ")
        };
        if self.is_blocked != is_blocked {
            let verdict = if is_blocked { "is blocked" } else { "is not blocked" };
            return Err(format!("{}: {verdict}; matched: {ids:?}\n    {}", self.name, said()));
        }
        if self.is_attack {
            return match self.rules.iter().find(|id| !ids.contains(id)) {
                Some(missing) => Err(format!("{}: rule {missing} does not match; matched: {ids:?}", self.name)),
                None => Ok(()),
            };
        }
        match ids.iter().find(|id| own_rules.contains(id) && !self.rules.contains(id)) {
            Some(id) => Err(format!("{}: rule {id} matches a look-alike\n    {}", self.name, said())),
            None => Ok(()),
        }
    }

    fn converse(&self, program: &Program, scratch: &mut Scratch) -> (bool, Summary) {
        let connection = Connection {
            client_address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
            client_port: 40_000,
            server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            server_port: 443,
            unique_id: "case",
            now: Duration::from_secs(1_780_000_000),
            is_detection_only: false,
        };
        let mut transaction = Transaction::new(program, scratch, &connection);
        let is_blocked = self.phases(program, scratch, &mut transaction);
        let summary = transaction.finish(program, scratch, Duration::from_millis(1));
        (is_blocked, summary)
    }

    fn phases(&self, program: &Program, scratch: &mut Scratch, transaction: &mut Transaction) -> bool {
        let raw = format!("{} {} HTTP/1.1", self.method, self.target);
        let line = RequestLine {
            raw: raw.as_bytes(),
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            protocol: b"HTTP/1.1",
        };
        if transaction.request_headers(program, scratch, line, bytes_of(&self.headers)) != Verdict::Allow {
            return true;
        }
        if transaction.wants_request_body() {
            transaction.request_body(program, self.body.as_bytes());
        }
        if transaction.finish_request_body(program, scratch) != Verdict::Allow {
            return true;
        }
        let Some(response) = &self.response else { return false };
        let headers = bytes_of(&response.headers);
        if transaction.response_headers(program, scratch, response.status, b"HTTP/1.1", headers) != Verdict::Allow {
            return true;
        }
        if transaction.wants_response_body() {
            transaction.response_body(program, response.body.as_bytes());
        }
        transaction.finish_response_body(program, scratch) != Verdict::Allow
    }
}

fn bytes_of(headers: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}
