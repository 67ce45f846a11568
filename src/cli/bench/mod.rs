//! `portcullis bench`: what inspection costs, with the scenarios that come with the program or with recorded requests.

mod table;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::rules::{RuleSetArguments, ended, problem};
use super::{Exit, Format, captures, output};
use crate::authoring::Answer;
use crate::authoring::bench::measure::{self, Budget};
use crate::authoring::bench::profile::{self, Breakdown};
use crate::authoring::bench::scenario;
use crate::authoring::bench::worst::Search;
use crate::authoring::bench::{Base, Decision, Figures, Setup, Subject};
use crate::authoring::wire;
use crate::config::BUILTIN;
use crate::diagnostics::Diagnostics;
use crate::runtime::clock;
use crate::waf::{EngineOptions, Program, Scratch};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rule_set: RuleSetArguments,
    /// Paranoia level of the Core Rule Set.
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: u8,
    /// Which evaluation.
    #[arg(long, value_enum, default_value_t = Engine::Fast)]
    engine: Engine,
    /// Only this scenario; may be repeated. `portcullis bench --list` names them.
    #[arg(long, value_name = "NAME", conflicts_with = "paths")]
    scenario: Vec<String>,
    /// Only name the scenarios.
    #[arg(long)]
    list: bool,
    /// Seconds for each scenario; with --worst, for the search.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,
    /// Times that each recorded request is run; the fastest counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Say where the time goes, per stage and per rule.
    #[arg(long)]
    profile: bool,
    /// Rules that --profile shows, and requests or bodies that are named.
    #[arg(long, value_name = "N", default_value_t = 15)]
    top: usize,
    /// Look for the request body that costs most.
    #[arg(long, conflicts_with_all = ["paths", "scenario", "profile"])]
    worst: bool,
    /// With --worst: length of the body.
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10, requires = "worst")]
    bytes: usize,
    /// With --worst: another number, another search.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "worst")]
    seed: u64,
    /// With --worst: write the requests found to this directory.
    #[arg(long, value_name = "DIR", requires = "worst")]
    save: Option<PathBuf>,
    /// How to print the results.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Recorded requests in place of the scenarios: files with one raw request each, directories (of whose files those
    /// that end in .http, .req, .txt or .raw) or .tar.gz archives.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Evaluations to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// As in traffic.
    Fast,
    /// The plain evaluation: every fast path off.
    Reference,
    /// Both, side by side.
    Both,
}

impl Engine {
    fn options(self) -> Vec<EngineOptions> {
        match self {
            Self::Fast => vec![EngineOptions::default()],
            Self::Reference => vec![EngineOptions::reference()],
            Self::Both => vec![EngineOptions::default(), EngineOptions::reference()],
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.001 and 86400".into()) }
}

/// Nanoseconds since the first call.
fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    clock::now().saturating_duration_since(*START.get_or_init(clock::now)).as_nanos() as u64
}

pub(super) fn run(arguments: Arguments) -> Exit {
    ended(arguments.run())
}

/// What one scenario cost.
struct Row {
    subject: Subject,
    decision: Decision,
    expected: Option<Decision>,
    /// Ids of the rules that matched.
    rules: Vec<u32>,
    /// By evaluation, in the order of [`Engine::options`].
    figures: Vec<Figures>,
    breakdown: Option<Breakdown>,
}

/// What recorded requests cost.
struct Recorded {
    subjects: Vec<Subject>,
    decisions: Vec<Decision>,
    /// Names of requests that the front end answers before any rule, and its answers.
    refused: Vec<(String, String)>,
    /// Nanoseconds by evaluation and request.
    times: Vec<Vec<u64>>,
    breakdown: Option<Breakdown>,
}

/// A program for each evaluation.
type Programs = Vec<Program>;

impl Arguments {
    fn run(self) -> Result<bool, Diagnostics> {
        if self.list {
            scenario::all().iter().for_each(|each| output::print(&format!("{:20} {}\n", each.name, each.about)));
            return Ok(true);
        }
        let setup = self.setup();
        // Said on the way, so that no figure stands without its rules.
        output::print_error(&format!("rules: {}\n", setup.describe()));
        if self.worst {
            return self.search(&setup);
        }
        if !self.paths.is_empty() {
            let recorded = self.recorded(&setup)?;
            output::print(&table::recorded(&recorded, &setup, &self));
            return Ok(true);
        }
        let rows = self.rows(&setup)?;
        output::print(&table::rows(&rows, &setup, &self));
        let is_as_expected = |row: &Row| row.expected.is_none_or(|expected| expected == row.decision);
        Ok(rows.iter().all(is_as_expected))
    }

    fn setup(&self) -> Setup {
        let files = self.rule_set.files();
        let (base, extra) = match self.rule_set.crs_directory() {
            Some(directory) => (Base::Core(directory.into()), files.to_vec()),
            None if files.is_empty() => (Base::find(|name| std::env::var_os(name), BUILTIN), Vec::new()),
            None => (Base::Own(files.to_vec()), Vec::new()),
        };
        Setup { extra, ..Setup::new(base, self.paranoia) }
    }

    fn programs(&self, setup: &Setup) -> Result<Programs, Diagnostics> {
        self.engine.options().iter().map(|options| Ok(setup.compile(options)?.0)).collect()
    }

    fn rows(&self, setup: &Setup) -> Result<Vec<Row>, Diagnostics> {
        let mut scenarios = scenario::all();
        if !self.scenario.is_empty() {
            if let Some(unknown) = self.scenario.iter().find(|name| scenarios.iter().all(|each| each.name != **name)) {
                return Err(problem(format!("there is no scenario {unknown}: see portcullis bench --list")));
            }
            scenarios.retain(|each| self.scenario.iter().any(|name| name == each.name));
        }
        let for_responses = Setup { inspects_responses: true, ..setup.clone() };
        let mut compiled: [Option<Programs>; 2] = [None, None];
        let mut rows = Vec::new();
        for scenario in scenarios {
            let subject = Subject::of(&scenario).map_err(|answer| problem(format!("{}: {answer:?}", scenario.name)))?;
            let setup = if scenario.inspects_response { &for_responses } else { setup };
            let slot = &mut compiled[usize::from(scenario.inspects_response)];
            let programs = match slot {
                Some(programs) => programs,
                None => slot.insert(self.programs(setup)?),
            };
            rows.push(self.row(subject, programs, scenario.expected.of(setup)));
        }
        Ok(rows)
    }

    fn row(&self, subject: Subject, programs: &Programs, expected: Option<Decision>) -> Row {
        let seconds = self.seconds.unwrap_or(SCENARIO_SECONDS);
        let budget = Budget { nanoseconds: (seconds * 1e9) as u64, least: 5, most: 1_000_000 };
        let mut scratch = Scratch::new();
        let mut found = None;
        let mut figures = Vec::new();
        for program in programs {
            found.get_or_insert_with(|| subject.run(program, &mut scratch));
            figures.push(measure::repeat(&subject, program, &mut scratch, nanoseconds, budget));
        }
        let rules = found.iter().flat_map(|run| &run.summary.matches).map(|each| each.rule_id.0).collect();
        let decision = found.map_or(Decision::Passes, |run| run.decision);
        let runs = (seconds * 1e9 / figures.first().map_or(1.0, |first| first.mean.max(1) as f64) / 4.0) as usize;
        let breakdown = self.breakdown(std::slice::from_ref(&subject), programs, runs.clamp(3, 20_000));
        Row { subject, decision, expected, rules, figures, breakdown }
    }

    fn recorded(&self, setup: &Setup) -> Result<Recorded, Diagnostics> {
        let mut subjects = Vec::new();
        let mut refused = Vec::new();
        for (name, request) in captures::read(&self.paths)? {
            match Subject::new(name.as_str(), &wire::alone(&request)) {
                Ok(subject) => subjects.push(subject),
                Err(Answer::Status(status)) => refused.push((name, status.to_string())),
                Err(Answer::None(why) | Answer::Unknown(why)) => refused.push((name, why)),
            }
        }
        if subjects.is_empty() {
            let mut message = "there is no request that rules get to see".to_owned();
            message.push_str(table::refusals(&refused, self.top).trim_end());
            return Err(problem(message));
        }
        let programs = self.programs(setup)?;
        let mut scratch = Scratch::new();
        let decisions = programs.first().map_or_else(Vec::new, |program| {
            subjects.iter().map(|subject| subject.run(program, &mut scratch).decision).collect()
        });
        let times = programs
            .iter()
            .map(|program| measure::each(&subjects, program, &mut scratch, nanoseconds, usize::from(self.rounds)))
            .collect();
        let breakdown = self.breakdown(&subjects, &programs, usize::from(self.rounds));
        Ok(Recorded { refused, subjects, decisions, times, breakdown })
    }

    fn breakdown(&self, subjects: &[Subject], programs: &Programs, runs: usize) -> Option<Breakdown> {
        let program = programs.first().filter(|_| self.profile)?;
        Some(profile::of(subjects, program, &mut Scratch::new(), nanoseconds, runs))
    }

    fn search(&self, setup: &Setup) -> Result<bool, Diagnostics> {
        let programs = self.programs(setup)?;
        let Some(program) = programs.first() else { return Ok(false) };
        let seconds = self.seconds.unwrap_or(SEARCH_SECONDS);
        let search = Search { bytes: self.bytes, nanoseconds: (seconds * 1e9) as u64, seed: self.seed, keep: self.top };
        let report = search.run(setup, program, nanoseconds)?;
        output::print(&table::worst(&report, setup, self));
        if let Some(directory) = &self.save {
            std::fs::create_dir_all(directory)
                .map_err(|error| problem(format!("cannot make {}: {error}", directory.display())))?;
            for (number, find) in report.finds.iter().enumerate() {
                let path = directory.join(format!("worst-{:02}.http", number + 1));
                std::fs::write(&path, find.recipe.request(self.bytes))
                    .map_err(|error| problem(format!("cannot write {}: {error}", path.display())))?;
            }
        }
        Ok(!report.finds.is_empty())
    }
}

/// For one scenario.
const SCENARIO_SECONDS: f64 = 0.3;

/// For a search, after everything was tried once.
const SEARCH_SECONDS: f64 = 60.0;
