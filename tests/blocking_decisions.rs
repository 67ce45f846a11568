//! The Core Rule Set in prevention, at each paranoia level: is a request of its regression suite blocked, with which
//! score, by which rule?
//!
//! The suite itself runs in detection and so says nothing about decisions: an engine that denied every request, or
//! none, would pass it. Here each stage runs once in detection at paranoia 4. What matched there, each match worth its
//! severity and counted from its paranoia level on, says what must be decided at each level; then the stage runs in
//! prevention, and decision, rule, phase, status, score and matches are compared with that.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::authoring::{Answer, Engine, Exchange, Target, cases, rule_set, wire};
use portcullis::diagnostics::Source;
use portcullis::seclang::source::FileLoader;
use portcullis::waf::{Disruption, Program, RuleMatch};

const INBOUND_THRESHOLD: u32 = 5;
const OUTBOUND_THRESHOLD: u32 = 4;

/// The folder with reference data that is not part of the project; tests say loudly when it is absent.
fn core_rule_set() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    if root.join("crs/tests").is_dir() {
        return Some(root.join("crs"));
    }
    eprintln!("SKIPPED: {} is absent; set PORTCULLIS_SHARED", root.join("crs/tests").display());
    None
}

/// One stage of the suite.
struct Stage {
    name: String,
    request: Vec<u8>,
    expect_ids: Vec<u32>,
}

fn stages(directory: &Path, stages: &mut Vec<Stage>) {
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            self::stages(&path, stages);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let file = cases::load(&FileLoader::open(&path).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
            stages.extend(file.tests.iter().flat_map(|test| {
                test.stages.iter().map(|stage| Stage {
                    name: test.name.clone(),
                    request: wire::request(&stage.input),
                    expect_ids: stage.expected.expect_ids.clone(),
                })
            }));
        }
    }
}

/// How the rules are set up.
#[derive(Debug, Clone, Copy)]
struct Setup {
    level: u8,
    blocks: bool,
    is_early: bool,
    inbound_threshold: u32,
}

impl Setup {
    const DETECTION: Self = Self { level: 4, blocks: false, is_early: false, inbound_threshold: INBOUND_THRESHOLD };

    fn prevention(level: u8) -> Self {
        Self { level, blocks: true, ..Self::DETECTION }
    }

    fn threshold(self, rule: u32) -> u32 {
        if is_outbound(rule) { OUTBOUND_THRESHOLD } else { self.inbound_threshold }
    }

    fn program(self, directory: &Path) -> Program {
        let Self { level, blocks, is_early, inbound_threshold } = self;
        let engine = if blocks { "On" } else { "DetectionOnly" };
        let early = u8::from(is_early);
        let text = format!(
            r#"SecRuleEngine {engine}
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecResponseBodyLimit 1048576
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecAction "id:900005,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={level},setvar:tx.early_blocking={early},setvar:tx.inbound_anomaly_score_threshold={inbound_threshold},setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
Include crs-setup.conf.example
Include rules/*.conf
"#
        );
        let root = Source::new(directory.join("portcullis-decisions.conf"), text);
        rule_set::compile(&root, &FileLoader).unwrap_or_else(|problems| panic!("{problems}")).0
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Allow,
    Deny { rule: u32, phase: u8, status: u16, score: u32 },
}

/// `paranoia-level/2`
fn level_of(matched: &RuleMatch) -> Option<u8> {
    let level = matched.rule.tags.iter().find_map(|tag| tag.strip_prefix(b"paranoia-level/"))?;
    std::str::from_utf8(level).ok()?.parse().ok()
}

/// CRITICAL, ERROR, WARNING, NOTICE.
fn weight_of(matched: &RuleMatch) -> u32 {
    match matched.rule.severity {
        Some(2) => 5,
        Some(3) => 4,
        Some(4) => 3,
        Some(5) => 2,
        other => panic!("rule {} has severity {other:?}", matched.rule_id.0),
    }
}

fn is_outbound(rule: u32) -> bool {
    (950_000..960_000).contains(&rule)
}

/// The matches that count at a level, up to a phase.
fn counted(matches: &[RuleMatch], level: u8, phase: u8) -> impl Iterator<Item = &RuleMatch> {
    matches.iter().filter(move |matched| {
        level_of(matched).is_some_and(|of| of <= level) && matched.phase <= phase && matched.phase < 5
    })
}

/// What must be decided, from what matched in detection.
fn expected(matches: &[RuleMatch], setup: Setup) -> Decision {
    for (rule, phase, is_early) in [(949_111, 1, true), (949_110, 2, false), (959_101, 3, true), (959_100, 4, false)] {
        let same_side = |matched: &&RuleMatch| is_outbound(matched.rule_id.0) == is_outbound(rule);
        let score = counted(matches, setup.level, phase).filter(same_side).map(weight_of).sum();
        if score >= setup.threshold(rule) && (!is_early || setup.is_early) {
            return Decision::Deny { rule, phase, status: 403, score };
        }
    }
    Decision::Allow
}

/// What was decided; an error says that the engine contradicts itself.
fn found(exchange: &Exchange) -> Result<Decision, String> {
    let summary = exchange.summary.as_ref().ok_or("the rules did not run")?;
    let Some(interruption) = &summary.interruption else {
        return match summary.matches.iter().find(|matched| matched.is_disruptive) {
            Some(matched) => Err(format!("rule {} was disruptive and nothing came of it", matched.rule_id.0)),
            None => Ok(Decision::Allow),
        };
    };
    let rule = interruption.rule_id.0;
    let Disruption::Deny { status } = interruption.disruption else {
        return Err(format!("rule {rule} did something else: {:?}", interruption.disruption));
    };
    if exchange.answer != Answer::Status(status) {
        return Err(format!("the answer is {:?}, the rules said {status}", exchange.answer));
    }
    let message = String::from_utf8_lossy(&interruption.message);
    let score = message.rsplit_once("Total Score: ").and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
    let score = score.ok_or_else(|| format!("no score in {message:?}"))?;
    let kept = if is_outbound(rule) { summary.outbound_score } else { summary.inbound_score };
    if kept != Some(i64::from(score)) {
        return Err(format!("the message says {score}, the summary {kept:?}"));
    }
    let logged: Vec<_> = summary.matches.iter().filter(|matched| matched.is_disruptive).collect();
    if logged.len() != 1
        || logged.iter().any(|matched| matched.rule_id.0 != rule || matched.message() != interruption.message)
    {
        return Err(format!("{} matches are disruptive, or another rule's or message", logged.len()));
    }
    Ok(Decision::Deny { rule, phase: interruption.phase, status, score })
}

/// Sends every stage; results in order.
fn send_all(program: &Program, stages: &[&Stage]) -> Vec<Exchange> {
    let next = AtomicUsize::new(0);
    let exchanges = Mutex::new(Vec::with_capacity(stages.len()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut engine = Engine::new(program);
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(stage) = stages.get(index) else { break };
                    let exchange = engine.send(&stage.request);
                    exchanges.lock().unwrap().push((index, exchange));
                }
            });
        }
    });
    let mut exchanges = exchanges.into_inner().unwrap();
    exchanges.sort_by_key(|(index, _)| *index);
    exchanges.into_iter().map(|(_, exchange)| exchange).collect()
}

fn names(matches: &[RuleMatch], level: u8, phase: u8) -> Vec<(u32, String)> {
    let name = |matched: &RuleMatch| (matched.rule_id.0, String::from_utf8_lossy(&matched.variable).into_owned());
    counted(matches, level, phase).map(name).collect()
}

/// Everything that is wrong with a decision.
fn judge(stage: &Stage, setup: Setup, detected: &Exchange, decided: &Exchange) -> Vec<String> {
    let Some(matches) = detected.summary.as_ref().map(|summary| &summary.matches) else {
        // The front end refused it before any rule ran.
        let same = decided.summary.is_none() && decided.answer == detected.answer;
        return if same { Vec::new() } else { vec!["the front end decides otherwise".into()] };
    };
    let expected = expected(matches, setup);
    let found = match found(decided) {
        Ok(found) => found,
        Err(problem) => return vec![problem],
    };
    let mut wrong = Vec::new();
    if found != expected {
        wrong.push(format!("{found:?}, expected {expected:?}"));
    }
    let phase = match found {
        Decision::Allow => 4,
        Decision::Deny { phase, .. } => phase,
    };
    let own = decided.summary.as_ref().map(|summary| names(&summary.matches, setup.level, phase)).unwrap_or_default();
    let theirs = names(matches, setup.level, phase);
    if own != theirs {
        wrong.push(format!("matched {own:?}, in detection {theirs:?}"));
    }
    if found == Decision::Allow && decided.answer != detected.answer {
        wrong.push(format!("the answer is {:?}, in detection {:?}", decided.answer, detected.answer));
    }
    // What the suite says, without any sum: a critical rule that must match blocks, a clean request passes.
    let is_critical = |id: &u32| {
        let mut rules = counted(matches, setup.level, 4).filter(|matched| matched.rule_id.0 == *id);
        rules.any(|matched| matched.rule.severity == Some(2) && weight_of(matched) >= setup.threshold(*id))
    };
    if stage.expect_ids.iter().any(is_critical) && found == Decision::Allow {
        wrong.push(format!("a critical rule of {:?} is expected and the request passes", stage.expect_ids));
    }
    if matches.is_empty() && found != Decision::Allow {
        wrong.push(format!("it is clean and {found:?}"));
    }
    wrong
}

/// Runs a set-up over all stages; how many were denied by which rule.
fn run(setup: Setup, directory: &Path, cases: &[(&Stage, &Exchange)], wrong: &mut Vec<String>) -> Counts {
    let mut counts = Counts::default();
    let stages: Vec<_> = cases.iter().map(|(stage, _)| *stage).collect();
    let decided = send_all(&setup.program(directory), &stages);
    for ((stage, detected), decided) in cases.iter().zip(&decided) {
        let problems = judge(stage, setup, detected, decided);
        wrong.extend(problems.iter().map(|problem| format!("{setup:?}: {}: {problem}", stage.name)));
        match found(decided) {
            Ok(Decision::Allow) => counts.allowed += 1,
            Ok(Decision::Deny { rule: 949_110, .. }) => counts.inbound += 1,
            Ok(Decision::Deny { rule: 949_111, .. }) => counts.early_inbound += 1,
            Ok(Decision::Deny { rule: 959_100, .. }) => counts.outbound += 1,
            Ok(Decision::Deny { rule: 959_101, .. }) => counts.early_outbound += 1,
            Ok(Decision::Deny { .. }) | Err(_) => counts.other += 1,
        }
    }
    eprintln!("{setup:?}: {counts:?}");
    counts
}

#[derive(Debug, Default)]
struct Counts {
    allowed: usize,
    inbound: usize,
    early_inbound: usize,
    outbound: usize,
    early_outbound: usize,
    /// Refused by the front end.
    other: usize,
}

#[test]
fn every_stage_is_decided_as_its_matches_say() {
    let Some(directory) = core_rule_set() else { return };
    let mut stages = Vec::new();
    self::stages(&directory.join("tests"), &mut stages);
    assert!(stages.len() > 1000, "{} stages", stages.len());
    // No case of the suite has a rule of phase 3 match: this is 950100, at paranoia 2.
    let request = b"POST /reflect HTTP/1.1\r\nHost: localhost\r\nUser-Agent: OWASP CRS test agent\r\nAccept: */*\r\n\
        Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\": 500}";
    stages.push(Stage { name: "a server error".into(), request: request.to_vec(), expect_ids: vec![950_100] });
    let detection = Setup::DETECTION.program(&directory);
    let detected = send_all(&detection, &stages.iter().collect::<Vec<_>>());
    let all: Vec<_> = stages.iter().zip(&detected).collect();
    let matches = |exchange: &Exchange, is_wanted: fn(&RuleMatch) -> bool| {
        exchange.summary.as_ref().is_some_and(|summary| summary.matches.iter().any(is_wanted))
    };
    let clean = detected.iter().filter(|exchange| !matches(exchange, |_| true)).count();
    let is_response = |(_, exchange): &(&Stage, &Exchange)| matches(exchange, |matched| is_outbound(matched.rule_id.0));
    let responses: Vec<_> = all.iter().copied().filter(is_response).collect();
    eprintln!("{} stages, {clean} without a match, {} with one in the response", all.len(), responses.len());

    let mut wrong = Vec::new();
    let mut run = |setup, cases: &[_]| run(setup, &directory, cases, &mut wrong);
    let levels: Vec<_> = (1..=4).map(|level| run(Setup::prevention(level), &all)).collect();
    let early = run(Setup { is_early: true, ..Setup::prevention(2) }, &all);
    // Most requests that provoke such a response are themselves attacks, the higher the level: let them all through.
    let through = |setup| Setup { inbound_threshold: 10_000, ..setup };
    let outbound: Vec<_> = (1..=4).map(|level| run(through(Setup::prevention(level)), &responses)).collect();
    let early_outbound = run(through(Setup { is_early: true, ..Setup::prevention(4) }), &responses);
    for problem in wrong.iter().take(60) {
        eprintln!("{problem}");
    }
    assert!(wrong.is_empty(), "{} decisions are wrong", wrong.len());

    // Neither all nor nothing, on both sides, and more from level to level.
    for counts in &levels {
        assert!(counts.allowed > 250 && counts.inbound > 2000, "{counts:?}");
        assert_eq!(counts.early_inbound + counts.early_outbound, 0, "{counts:?}");
    }
    assert!(levels[0].outbound > 20, "{levels:?}");
    assert!(levels.is_sorted_by(|lower, higher| lower.allowed > higher.allowed), "{levels:?}");
    assert_eq!(early.allowed, levels[1].allowed, "{early:?}");
    assert!(early.early_inbound > 100 && early.inbound > 100 && early.outbound > 20, "{early:?}");
    for counts in &outbound {
        assert!(counts.outbound > 40 && counts.inbound == 0, "{counts:?}");
    }
    assert!(outbound.is_sorted_by(|lower, higher| lower.allowed >= higher.allowed), "{outbound:?}");
    assert!(early_outbound.early_outbound > 0 && early_outbound.outbound > 40, "{early_outbound:?}");

    // The judge itself: an engine that denied nothing is found out. (One that denied everything, by what is clean.)
    let attacks: Vec<_> = all.iter().copied().filter(|(_, exchange)| matches(exchange, |_| true)).take(200).collect();
    let is_missed = |(stage, exchange): &&(&Stage, &Exchange)| {
        !judge(stage, Setup::prevention(4), exchange, &Engine::new(&detection).send(&stage.request)).is_empty()
    };
    let missed = attacks.iter().filter(is_missed).count();
    assert!(missed > 150, "{missed}");
}
