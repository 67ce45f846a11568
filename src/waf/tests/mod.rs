//! Each semantic of the reference on small rule sets in memory, one file per subject; and the Core Rule Set itself.

mod actions;
mod audit;
mod chains;
mod crs;
pub(in crate::waf) mod draws;
mod fast_paths;
mod flow;
mod folding;
mod hostile;
mod kept;
mod logging;
mod reloads;
mod remarks;
mod removal;
mod requests;
mod tables;
mod targets;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::diagnostics::{Diagnostics, Source};
use crate::seclang::source::MemoryLoader;
use crate::seclang::{SourceLoader, parse};

/// Compiles rules with the engine on; panics on any problem.
fn program(rules: &str) -> Program {
    program_with(rules, &EngineOptions::reference())
}

fn program_with(rules: &str, options: &EngineOptions) -> Program {
    let text = format!("SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n{rules}");
    try_compile(&text, &MemoryLoader::new(), options).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn try_compile(
    text: &str,
    loader: &dyn SourceLoader,
    options: &EngineOptions,
) -> Result<(Program, Diagnostics), Diagnostics> {
    let (ruleset, problems) = parse(&Source::new(Path::new("test.conf"), text), loader);
    if problems.has_errors() {
        return Err(problems);
    }
    Program::compile(&ruleset, loader, options)
}

/// A request with the response that answers it.
#[derive(Debug, Clone)]
struct Exchange {
    method: &'static str,
    target: String,
    protocol: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    status: u16,
    response_headers: Vec<(String, String)>,
    response_body: Vec<u8>,
    is_detection_only: bool,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    /// Phase and interruption.
    denied: Option<Interruption>,
    summary: Summary,
}

impl Exchange {
    fn get(target: &str) -> Self {
        Self {
            method: "GET",
            target: target.into(),
            protocol: "HTTP/1.1",
            headers: vec![("Host".into(), "www.example.com".into())],
            body: Vec::new(),
            status: 200,
            response_headers: vec![("Content-Type".into(), "text/html; charset=utf-8".into())],
            response_body: Vec::new(),
            is_detection_only: false,
        }
    }

    fn post(target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let mut exchange = Self { method: "POST", ..Self::get(target) };
        exchange.headers.push(("Content-Type".into(), content_type.into()));
        exchange.headers.push(("Content-Length".into(), body.len().to_string()));
        Self { body, ..exchange }
    }

    fn form(body: &str) -> Self {
        Self::post("/", "application/x-www-form-urlencoded", body)
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn response(mut self, status: u16, content_type: &str, body: &str) -> Self {
        self.status = status;
        self.response_headers = vec![("Content-Type".into(), content_type.into())];
        self.response_body = body.into();
        self
    }

    fn run(&self, program: &Program) -> Outcome {
        self.run_with(program, &mut Scratch::new())
    }

    fn run_with(&self, program: &Program, scratch: &mut Scratch) -> Outcome {
        let mut transaction = Transaction::new(program, scratch, &self.connection());
        let verdict = self.phases(program, scratch, &mut transaction);
        let summary = transaction.finish(program, scratch, Duration::from_millis(3));
        transaction.recycle(scratch);
        let denied = match verdict {
            Verdict::Deny(interruption) => Some(interruption),
            Verdict::Allow => None,
        };
        Outcome { denied, summary }
    }

    fn connection(&self) -> Connection<'static> {
        Connection {
            client_address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            client_port: 40_000,
            server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            server_port: 443,
            unique_id: "ZxyID0123456789",
            now: Duration::from_secs(1_700_000_000),
            is_detection_only: self.is_detection_only,
        }
    }

    /// All phases but the last, until one denies.
    fn phases(&self, program: &Program, scratch: &mut Scratch, transaction: &mut Transaction) -> Verdict {
        for phase in [Self::request_headers, Self::request_body, Self::response_headers, Self::response_body] {
            let verdict = phase(self, program, scratch, transaction);
            if verdict != Verdict::Allow {
                return verdict;
            }
        }
        Verdict::Allow
    }

    fn request_headers(&self, program: &Program, scratch: &mut Scratch, transaction: &mut Transaction) -> Verdict {
        let raw = format!("{} {} {}", self.method, self.target, self.protocol);
        let line = RequestLine {
            raw: raw.as_bytes(),
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            protocol: self.protocol.as_bytes(),
        };
        transaction.request_headers(program, scratch, line, pairs(&self.headers))
    }

    fn request_body(&self, program: &Program, scratch: &mut Scratch, transaction: &mut Transaction) -> Verdict {
        if transaction.wants_request_body() {
            for chunk in self.body.chunks(1000) {
                if transaction.request_body(program, chunk) != BodyStep::Continue {
                    break;
                }
            }
        }
        transaction.finish_request_body(program, scratch)
    }

    fn response_headers(&self, program: &Program, scratch: &mut Scratch, transaction: &mut Transaction) -> Verdict {
        let headers = pairs(&self.response_headers);
        transaction.response_headers(program, scratch, self.status, b"HTTP/1.1", headers)
    }

    fn response_body(&self, program: &Program, scratch: &mut Scratch, transaction: &mut Transaction) -> Verdict {
        if transaction.wants_response_body() {
            for chunk in self.response_body.chunks(1000) {
                if transaction.response_body(program, chunk) != BodyStep::Continue {
                    break;
                }
            }
        }
        transaction.finish_response_body(program, scratch)
    }
}

fn pairs(list: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    list.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

impl Outcome {
    /// Ids of the logged matches, in order.
    fn ids(&self) -> Vec<u32> {
        self.summary.matches.iter().map(|found| found.rule_id.0).collect()
    }

    /// Messages of the logged matches.
    fn messages(&self) -> Vec<String> {
        self.summary.matches.iter().map(|found| String::from_utf8_lossy(found.message()).into_owned()).collect()
    }

    /// Names of what matched.
    fn variables(&self) -> Vec<String> {
        self.summary.matches.iter().map(|found| String::from_utf8_lossy(&found.variable).into_owned()).collect()
    }

    /// Log lines.
    fn lines(&self) -> Vec<String> {
        self.summary.matches.iter().map(|found| String::from_utf8_lossy(&found.line_text).into_owned()).collect()
    }

    fn status(&self) -> Option<u16> {
        match self.denied.as_ref()?.disruption {
            Disruption::Deny { status } | Disruption::Redirect { status, .. } => Some(status),
            Disruption::Drop => None,
        }
    }
}

/// Runs a GET through rules.
fn get(rules: &str, target: &str) -> Outcome {
    Exchange::get(target).run(&program(rules))
}
