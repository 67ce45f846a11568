//! `portcullis replay`: recorded requests through the rule engine in process, one JSON line each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::rules::{RuleSetArguments, compile_with, ended, problem, progress};
use super::{Exit, captures, output};
use crate::authoring::{Answer, Engine, Exchange, Target, modsecurity_2, rule_set, wire};
use crate::diagnostics::{Diagnostics, Source};
use crate::waf::EngineOptions;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rule_set: RuleSetArguments,
    /// With --crs: paranoia level of the rule set, as released (crs-setup.conf.example) but in detection.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=4), requires = "crs")]
    paranoia: Option<u8>,
    /// With --paranoia: requests may be blocked.
    #[arg(long, requires = "paranoia")]
    block: bool,
    /// Send the bytes as they are; without it a request gets a right Content-Length and Connection: close, and loses
    /// Expect, Upgrade and Transfer-Encoding, as it stands alone.
    #[arg(long)]
    verbatim: bool,
    /// Report the rules that this engine's log would name, bug for bug: for comparisons with its answers.
    ///
    /// By default a rule matches what it says. ModSecurity 2 gives up on values that take PCRE more than SecPcreMatchLimit
    /// steps, misses some phrases of @pm, ships older tables of libinjection and loses ids of rules from long log lines;
    /// an attacker can make use of that, so a gateway should not copy it, and a comparison has to. Of 8,408 real requests
    /// ModSecurity 2.9.7 named the same rules of the Core Rule Set 4.28.0 on 99.96 % at paranoia level 1 and 99.92 % at
    /// level 4 with this option, and on 98.49 % and 96.19 % without it. docs/modsecurity-differences.md explains every
    /// other request by name.
    #[arg(long, value_enum, value_name = "ENGINE")]
    like: Option<Like>,
    /// Compare the sets of matched rules with a JSONL file (.gz allowed) of {"request", "rules"}; print differences. Give
    /// --like as well if the file comes from that engine.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Files with one raw request each, directories or .tar.gz archives of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Like {
    /// ModSecurity 2.9.7: match limits, missed phrases, an older libinjection, log lines that are cut.
    #[value(name = "modsecurity-2")]
    ModSecurity2,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    ended(arguments.replay())
}

impl Arguments {
    fn root(&self) -> Option<Source> {
        match (self.paranoia, self.rule_set.crs_directory()) {
            (Some(level), Some(directory)) => Some(rule_set::core_rule_set_at(directory, level, self.block)),
            _ => self.rule_set.root(),
        }
    }

    fn replay(self) -> Result<bool, Diagnostics> {
        let root = self.root().ok_or_else(|| problem("say which rules: --crs DIR or --rules FILE"))?;
        let options = match self.like {
            None => EngineOptions::default(),
            Some(Like::ModSecurity2) => EngineOptions::modsecurity_2(),
        };
        let program = compile_with(&root, &options)?;
        let requests = captures::read(&self.paths)?;
        let reference = self.compare.as_deref().map(read_reference).transpose()?;
        let bar = progress(requests.len());
        let mut engine = Engine::new(&program);
        let mut agreement = Agreement::default();
        for (name, request) in &requests {
            let request = if self.verbatim { request.clone() } else { wire::alone(request) };
            #[expect(clippy::disallowed_methods, reason = "the command reports how long each request took")]
            let start = std::time::Instant::now();
            let exchange = engine.send(&request);
            let elapsed = start.elapsed();
            let rules = match self.like {
                None => matched(&exchange),
                Some(Like::ModSecurity2) => {
                    modsecurity_2::logged_rules(&exchange.log, Some(modsecurity_2::FOLDER_BYTES))
                }
            };
            let line = match &reference {
                None => Some(describe(name, &exchange, &rules, elapsed)),
                Some(reference) => agreement.judge(name, &rules, reference),
            };
            if let Some(line) = line {
                bar.suspend(|| output::print(&format!("{line}\n")));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if reference.is_some() {
            output::print_error(&agreement.summary());
            return Ok(agreement.different == 0 && agreement.same > 0);
        }
        Ok(!requests.is_empty())
    }
}

/// Ids of the logged matches in order, each once.
fn matched(exchange: &Exchange) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    let matches = exchange.summary.iter().flat_map(|summary| &summary.matches);
    matches.map(|each| each.rule_id.0).filter(|id| seen.insert(*id)).collect()
}

fn describe(name: &str, exchange: &Exchange, rules: &[u32], elapsed: std::time::Duration) -> String {
    let summary = exchange.summary.as_ref();
    let status = match exchange.answer {
        Answer::Status(status) => Some(status),
        Answer::None(_) | Answer::Unknown(_) => None,
    };
    let verdict = match (summary, status) {
        (None, _) => "refused",
        (Some(summary), _) if summary.is_interrupted => "block",
        (Some(summary), _) if summary.interruption.is_some() => "would_block",
        (Some(_), Some(413)) => "refused",
        _ => "allow",
    };
    serde_json::json!({
        "name": name,
        "verdict": verdict,
        "status": status,
        "score": summary.and_then(|summary| summary.inbound_score),
        "rules": rules,
        "microseconds": u64::try_from(elapsed.as_nanos()).map_or(f64::MAX, |nanos| nanos as f64 / 1000.0),
    })
    .to_string()
}

/// What another engine said: rules by request name; nothing where no rules ran.
type Reference = BTreeMap<String, Option<BTreeSet<u32>>>;

fn read_reference(path: &Path) -> Result<Reference, Diagnostics> {
    #[derive(serde::Deserialize)]
    struct Line {
        request: String,
        rules: Option<BTreeSet<u32>>,
    }
    let fail = |error: &dyn std::fmt::Display| problem(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(|error| fail(&error))?;
    let reader: Box<dyn Read> = match path.extension() {
        Some(extension) if extension == "gz" => Box::new(flate2::read::GzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut reference = Reference::new();
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(|error| fail(&error))?;
        let line: Line = serde_json::from_str(&line).map_err(|error| fail(&error))?;
        reference.insert(line.request, line.rules);
    }
    Ok(reference)
}

#[derive(Debug, Default)]
struct Agreement {
    same: usize,
    different: usize,
    unknown: usize,
}

impl Agreement {
    /// The difference as a line.
    fn judge(&mut self, name: &str, rules: &[u32], reference: &Reference) -> Option<String> {
        let Some(Some(theirs)) = reference.get(name) else {
            self.unknown += 1;
            return None;
        };
        let ours: BTreeSet<u32> = rules.iter().copied().collect();
        if ours == *theirs {
            self.same += 1;
            return None;
        }
        self.different += 1;
        let only_here: Vec<_> = ours.difference(theirs).collect();
        let only_there: Vec<_> = theirs.difference(&ours).collect();
        Some(serde_json::json!({"name": name, "only_here": only_here, "only_there": only_there}).to_string())
    }

    fn summary(&self) -> String {
        let judged = self.same + self.different;
        let share = if judged == 0 { 0.0 } else { 100.0 * self.same as f64 / judged as f64 };
        let (same, different, unknown) = (self.same, self.different, self.unknown);
        format!("{same} the same, {different} different ({share:.2} % agree), {unknown} not in the reference\n")
    }
}
