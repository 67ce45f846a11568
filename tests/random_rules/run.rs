//! One case through every combination of the engine's switches.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use portcullis::authoring::rule_set;
use portcullis::diagnostics::Source;
use portcullis::seclang::source::MemoryLoader;
use portcullis::waf::operator::{BlockList, GeoDatabase, GeoRecord};
use portcullis::waf::{
    BodyStep, Connection, EngineOptions, Interruption, MemoryStore, Program, RequestLine, RuleMatch, Scratch, Summary,
    Transaction, Verdict,
};

use super::requests::Request;
use super::{Case, Counts};

/// Which combinations are compared with the plain evaluation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sweep {
    All,
    /// The default, and one of the others.
    DefaultAnd(usize),
}

/// Runs a case; the first difference is an error.
pub(super) fn compare(case: &Case, sweep: Sweep) -> Result<Counts, String> {
    let text = case.rules();
    let mut combinations = EngineOptions::combinations().into_iter();
    let Some((_, plain)) = combinations.next() else { return Err("there are no options".into()) };
    let mut others: Vec<(String, EngineOptions)> = combinations.collect();
    if let Sweep::DefaultAnd(number) = sweep {
        let other = 1 + number % (others.len() - 1);
        others.swap(1, other);
        others.truncate(2);
    }
    let reference = compile(case, &text, &plain);
    let mut programs = Vec::new();
    for (name, options) in &others {
        match (&reference, compile(case, &text, options)) {
            (Ok(_), Ok(program)) => programs.push((name, program)),
            (Err(expected), Err(found)) if *expected == found => {}
            (expected, found) => {
                let shown = [expected.as_ref().err(), found.as_ref().err()];
                return Err(format!("DIFFERS with {name}: compiling\n  {shown:?}"));
            }
        }
    }
    let Ok(reference) = reference else { return Ok(Counts { refused: 1, ..Counts::default() }) };
    let mut counts = Counts { compiled: 1, requests: case.requests.len(), ..Counts::default() };

    let mut store = None;
    let expected: Vec<Observed> = case
        .requests
        .iter()
        .enumerate()
        .map(|(number, request)| observe(&reference, &mut new_scratch(case, &mut store), case, request, number))
        .collect();
    for observed in &expected {
        counts.matches += observed.matches.len();
        counts.interruptions += usize::from(observed.interruption.is_some());
    }
    let workers = if case.choices.shares_worker { 1 } else { programs.len() };
    let mut workers: Vec<Scratch> = (0..workers).map(|_| new_scratch(case, &mut None)).collect();
    for (number, (request, expected)) in case.requests.iter().zip(&expected).enumerate() {
        for (index, (name, program)) in programs.iter().enumerate() {
            let worker = index % workers.len();
            let found = observe(program, &mut workers[worker], case, request, number);
            if found != *expected {
                return Err(format!("DIFFERS with {name}: request {number}\n{}", difference(expected, &found)));
            }
        }
    }
    Ok(counts)
}

fn new_scratch(case: &Case, store: &mut Option<Arc<MemoryStore>>) -> Scratch {
    if !case.choices.has_store {
        return Scratch::new();
    }
    Scratch::with_collections(Arc::clone(store.get_or_insert_default()) as _)
}

/// The names of the fields that differ, with what they are.
fn difference(expected: &Observed, found: &Observed) -> String {
    let (expected, found) = (format!("{expected:#?}"), format!("{found:#?}"));
    let mut out = String::new();
    for (number, (one, other)) in expected.lines().zip(found.lines()).enumerate() {
        if one != other {
            out.push_str(&format!("  line {number} of what is observed\n  - {one}\n  + {other}\n"));
            break;
        }
    }
    out + &format!("EXPECTED {expected}\nFOUND {found}\n")
}

fn compile(case: &Case, text: &str, options: &EngineOptions) -> Result<Program, String> {
    let loader = MemoryLoader::new()
        .with("words.data", "union select\npasswd\n/etc/\n<script\nadmin\nab\nabcd\n")
        .with("networks.data", "10.0.0.0/8\n192.0.2.7\n");
    let options = EngineOptions {
        complete_phrases: case.choices.complete_phrases,
        any_event: case.choices.any_event,
        geo: Some(Arc::new(Atlas)),
        block_list: Some(Arc::new(Blocked)),
        ..options.clone()
    };
    match rule_set::compile_with(&Source::new("random.conf", text), &loader, &options) {
        Ok((program, _)) => Ok(program),
        Err(problems) => Err(problems.to_string()),
    }
}

/// Knows where addresses that begin with 1 are.
#[derive(Debug)]
struct Atlas;

impl GeoDatabase for Atlas {
    fn lookup(&self, address: IpAddr) -> Option<GeoRecord> {
        let city = address.to_string();
        city.starts_with('1').then(|| GeoRecord { country_code: "DE".into(), city, ..GeoRecord::default() })
    }
}

/// Lists addresses that end in 7.
#[derive(Debug)]
struct Blocked;

impl BlockList for Blocked {
    fn listed(&self, name: &str) -> Option<Ipv4Addr> {
        name.starts_with('7').then_some(Ipv4Addr::new(127, 0, 0, 2))
    }
}

/// What must not depend on how it was computed.
#[derive(Debug, PartialEq)]
struct Observed {
    verdicts: Vec<Verdict>,
    wants: Vec<bool>,
    steps: Vec<BodyStep>,
    matches: Vec<Shown>,
    notices: Vec<String>,
    interruption: Option<Interruption>,
    scores: (Option<i64>, Option<i64>),
    audit: Option<String>,
}

/// A match, with its line for people.
#[derive(PartialEq)]
struct Shown(RuleMatch);

impl std::fmt::Debug for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = &self.0;
        let texts =
            [&each.variable, each.message(), &each.data, &each.line_text].map(|text| text.escape_ascii().to_string());
        let tags: Vec<_> = each.rule.tags.iter().map(|tag| tag.escape_ascii().to_string()).collect();
        write!(
            out,
            "{} phase {} {texts:?} {tags:?} {:?} {}",
            each.rule_id.0, each.phase, each.rule.severity, each.is_disruptive
        )
    }
}

fn observe(program: &Program, scratch: &mut Scratch, case: &Case, request: &Request, number: usize) -> Observed {
    let unique_id = format!("random-{number}");
    let connection = Connection {
        client_address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)),
        client_port: 1024,
        server_address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        server_port: 443,
        unique_id: &unique_id,
        now: Duration::from_secs(1_780_000_000 + number as u64),
        is_detection_only: case.choices.is_detection_only,
    };
    let mut transaction = Transaction::new(program, scratch, &connection);
    let mut observed = converse(program, scratch, &mut transaction, request);
    let Summary { matches, notices, interruption, inbound_score, outbound_score, audit, .. } =
        transaction.finish(program, scratch, Duration::from_millis(1));
    transaction.recycle(scratch);
    let show = |bytes: Vec<u8>| bytes.escape_ascii().to_string();
    observed.matches = matches.into_iter().map(Shown).collect();
    observed.notices = notices.into_iter().map(show).collect();
    observed.interruption = interruption;
    observed.scores = (inbound_score, outbound_score);
    observed.audit = audit.map(show);
    observed
}

/// Phases 1 to 4, as far as the rules let them come.
fn converse(program: &Program, scratch: &mut Scratch, transaction: &mut Transaction, request: &Request) -> Observed {
    let mut observed = Observed {
        verdicts: Vec::new(),
        wants: Vec::new(),
        steps: Vec::new(),
        matches: Vec::new(),
        notices: Vec::new(),
        interruption: None,
        scores: (None, None),
        audit: None,
    };
    let raw = [&request.method, b" ".as_slice(), &request.target, b" HTTP/1.1"].concat();
    let line = RequestLine { raw: &raw, method: &request.method, target: &request.target, protocol: b"HTTP/1.1" };
    fn pairs(list: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
        list.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
    fn chunks(body: &[u8], piece: usize) -> impl Iterator<Item = &[u8]> {
        body.chunks(piece.min(body.len().max(1)))
    }
    observed.verdicts.push(transaction.request_headers(program, scratch, line, pairs(&request.headers)));
    if !observed.goes_on() {
        return observed;
    }
    observed.wants.push(transaction.wants_request_body());
    if transaction.wants_request_body() {
        for chunk in chunks(&request.body, request.piece) {
            let step = transaction.request_body(program, chunk);
            if observed.ends_with(step) {
                break;
            }
        }
    }
    if !observed.goes_on() {
        return observed;
    }
    observed.verdicts.push(transaction.finish_request_body(program, scratch));
    if !observed.goes_on() {
        return observed;
    }
    let headers = pairs(&request.response_headers);
    observed.verdicts.push(transaction.response_headers(program, scratch, request.status, b"HTTP/1.1", headers));
    if !observed.goes_on() {
        return observed;
    }
    observed.wants.push(transaction.wants_response_body());
    if transaction.wants_response_body() {
        for chunk in chunks(&request.response_body, request.piece) {
            let step = transaction.response_body(program, chunk);
            if observed.ends_with(step) {
                break;
            }
        }
    }
    if observed.goes_on() {
        observed.verdicts.push(transaction.finish_response_body(program, scratch));
    }
    observed
}

impl Observed {
    fn goes_on(&self) -> bool {
        let is_refused = self.steps.contains(&BodyStep::Reject);
        !is_refused && self.verdicts.iter().all(|verdict| *verdict == Verdict::Allow)
    }

    /// Notes what is to be done after a part of a body; is that the last one?
    fn ends_with(&mut self, step: BodyStep) -> bool {
        self.steps.push(step);
        step != BodyStep::Continue
    }
}
