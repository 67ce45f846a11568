//! `portcullis rules`

use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::live::{Live, LiveOptions};
use super::{Exit, case_files, output, suite_backend};
use crate::authoring::cases::{self, CaseFile, Pattern};
use crate::authoring::explain::explain;
use crate::authoring::report::{self, Format};
use crate::authoring::{Engine, Outcome, Results, Target, rule_set, run_cases, run_json};
use crate::config::{BUILTIN, builtin_ruleset, geo};
use crate::diagnostics::{Diagnostic, Diagnostics, Source};
use crate::seclang::source::FileLoader;
use crate::seclang::{format, parse};
use crate::waf::{EngineOptions, Program};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the built-in rules, to read them or to start one's own from.
    Builtin,
    /// Run regression cases, in process or live against a running gateway.
    Test(TestArguments),
    /// Report every problem of rule files.
    Lint(LintArguments),
    /// Say what a rule does in words, what passes it over, and what takes it away or changes it.
    Explain(ExplainArguments),
    /// Bring rule files into one layout; comments are kept.
    Format(FormatArguments),
    /// Be the backend that the Core Rule Set's regression cases need, for live runs.
    Backend(suite_backend::Arguments),
}

/// Which rules.
#[derive(Debug, Args)]
pub(super) struct RuleSetArguments {
    /// Directory of a Core Rule Set: crs-setup.conf.example, test-setup.conf and rules/*.conf.
    #[arg(long, value_name = "DIR", value_parser = core_rule_set)]
    crs: Option<PathBuf>,
    /// Rule files, in order.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
}

/// A directory that has the rule set's own.
fn core_rule_set(text: &str) -> Result<PathBuf, String> {
    let directory = PathBuf::from(text);
    if directory.join("rules").is_dir() { Ok(directory) } else { Err("it has no directory `rules`".into()) }
}

impl RuleSetArguments {
    /// The directory of the Core Rule Set.
    pub(super) fn crs_directory(&self) -> Option<&std::path::Path> {
        self.crs.as_deref()
    }

    /// The rule files.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.rules
    }

    /// The root text: the rule set, then the files.
    pub(super) fn root(&self) -> Option<Source> {
        match &self.crs {
            Some(directory) if self.rules.is_empty() => Some(rule_set::core_rule_set(directory)),
            Some(directory) => {
                let mut files = vec![
                    directory.join("crs-setup.conf.example"),
                    directory.join("test-setup.conf"),
                    directory.join("rules/*.conf"),
                ];
                files.extend(self.rules.iter().cloned());
                Some(rule_set::files(&files))
            }
            None if self.rules.is_empty() => None,
            None => Some(rule_set::files(&self.rules)),
        }
    }
}

/// Arguments of `rules test`.
#[derive(Debug, Args)]
struct TestArguments {
    #[command(flatten)]
    rule_set: RuleSetArguments,
    /// Send the requests to a running gateway instead, for example https://127.0.0.1:8462.
    #[arg(long, value_name = "URL", requires = "log")]
    live: Option<String>,
    /// The log in which the gateway writes its rule messages.
    #[arg(long, value_name = "FILE", requires = "live")]
    log: Option<PathBuf>,
    /// How to print the results.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    format: Output,
    /// Threads; a live run has one.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Run only tests whose name matches this pattern; of JSON cases, only files whose path does.
    #[arg(long, value_name = "REGEX")]
    filter: Option<String>,
    /// Print the log lines of stages that failed.
    #[arg(long)]
    show_log: bool,
    /// Case files, or directories of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Failures, then counts.
    Human,
    /// One JSON object.
    Json,
    /// JUnit XML.
    Junit,
}

/// Arguments of `rules lint`.
#[derive(Debug, Args)]
struct LintArguments {
    /// Rule files, read as one rule set in this order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Fail on warnings too.
    #[arg(long)]
    strict: bool,
}

/// Arguments of `rules explain`.
#[derive(Debug, Args)]
struct ExplainArguments {
    #[command(flatten)]
    rule_set: RuleSetArguments,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ExplainFormat::Human)]
    format: ExplainFormat,
    /// Ids of rules. The built-in rules are meant without --crs and --rules.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    /// Text.
    Human,
    /// One JSON object for each rule, a line each.
    Json,
}

/// Arguments of `rules format`.
#[derive(Debug, Args)]
struct FormatArguments {
    /// Rule files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Rewrite the files in place.
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Only say which files would change, and fail if any would.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    ended(match arguments.command {
        Command::Builtin => {
            for (name, text) in BUILTIN.iter().filter(|(name, _)| name.ends_with(".conf")) {
                output::print(&format!("# {name}\n{}\n", String::from_utf8_lossy(text)));
            }
            Ok(true)
        }
        Command::Test(arguments) => arguments.run(),
        Command::Lint(arguments) => arguments.run(),
        Command::Explain(arguments) => arguments.run(),
        Command::Format(arguments) => arguments.run(),
        Command::Backend(arguments) => suite_backend::run(&arguments),
    })
}

/// Prints problems, if that is what came out.
pub(super) fn ended(done: Result<bool, Diagnostics>) -> Exit {
    match done {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Problems,
        Err(problems) => {
            complain(&problems);
            Exit::Problems
        }
    }
}

fn complain(problems: &Diagnostics) {
    output::print_error(&output::human(problems, output::Colours::stderr()));
}

/// One problem as a list of problems.
pub(super) fn problem(message: impl Into<String>) -> Diagnostics {
    let mut problems = Diagnostics::new();
    problems.push(Diagnostic::error(None, message));
    problems
}

/// The compiled rules; warnings go to standard error.
pub(super) fn compile(root: &Source) -> Result<Program, Diagnostics> {
    compile_with(root, &EngineOptions::default())
}

/// [`compile`] with engine options.
pub(super) fn compile_with(root: &Source, options: &EngineOptions) -> Result<Program, Diagnostics> {
    let (program, warnings) = load(root, options)?;
    if !warnings.is_empty() {
        complain(&warnings);
    }
    Ok(program)
}

/// The rules as the gateway would load them: the database of @geoLookup is opened, or the reason is told why not.
/// Name servers are not asked here, which is a warning where rules want it.
fn load(root: &Source, options: &EngineOptions) -> Result<(Program, Diagnostics), Diagnostics> {
    let (ruleset, mut problems) = parse(root, &FileLoader);
    let mut options = options.clone();
    if let Some((path, location)) = geo::named(&ruleset) {
        match geo::open(&path, location) {
            Ok(database) => options.geo = Some(database),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    match Program::compile(&ruleset, &FileLoader, &options) {
        Ok((program, warnings)) => {
            problems.extend(warnings);
            Ok((program, problems))
        }
        Err(found) => {
            problems.extend(found);
            Err(problems)
        }
    }
}

impl TestArguments {
    fn run(self) -> Result<bool, Diagnostics> {
        #[expect(clippy::disallowed_methods, reason = "the command reports how long it took")]
        let start = std::time::Instant::now();
        let (files, json) = self.load()?;
        let filter = self.filter.as_deref().map(Pattern::new).transpose();
        let filter = filter.map_err(|error| problem(format!("the filter is malformed: {error}")))?;
        let is_wanted = |name: &str| filter.as_ref().is_none_or(|filter| filter.regex.is_match(name));
        let count = files.iter().flat_map(|file| &file.tests).filter(|test| is_wanted(&test.name)).count();
        let bar = progress(count + json.len());
        let done = |_: &Outcome| bar.inc(1);
        let mut results = Results::default();
        match (&self.live, &self.log) {
            (Some(url), Some(log)) => {
                let options = LiveOptions::new(url, log).map_err(problem)?;
                let live = || Box::new(Live::new(&options)) as Box<dyn Target>;
                results.add(run_cases::run(&files, 1, &is_wanted, &live, &done));
            }
            _ if !files.is_empty() => {
                let root = self.rule_set.root().ok_or_else(|| problem("say which rules: --crs DIR or --rules FILE"))?;
                let program = compile(&root)?;
                let jobs = self.jobs.unwrap_or_else(threads);
                let engine = || Box::new(Engine::new(&program)) as Box<dyn Target + '_>;
                results.add(run_cases::run(&files, jobs, &is_wanted, &engine, &done));
            }
            _ => {}
        }
        // JSON cases are chosen by the file: many have no name of their own.
        for source in json.iter().filter(|source| is_wanted(&source.path().to_string_lossy())) {
            results.add(run_json::run(source, &FileLoader).map_err(problem)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let format = match self.format {
            Output::Human => Format::Human,
            Output::Json => Format::Json,
            Output::Junit => Format::Junit,
        };
        output::print(&report::render(&results, format, start.elapsed(), self.show_log));
        Ok(results.has_passed())
    }

    /// The Core Rule Set's case files, and ModSecurity's JSON files.
    fn load(&self) -> Result<(Vec<CaseFile>, Vec<Source>), Diagnostics> {
        let (mut files, mut json) = (Vec::new(), Vec::new());
        let mut problems = Diagnostics::new();
        for path in case_files::find(&self.paths, &["yaml", "yml", "json"])? {
            match FileLoader::open(&path) {
                Err(error) => problems.extend(problem(format!("cannot read {}: {error}", path.display()))),
                Ok(source) if path.extension().is_some_and(|extension| extension == "json") => json.push(source),
                Ok(source) => match cases::load(&source) {
                    Ok(file) => files.push(file),
                    Err(found) => problems.extend(found),
                },
            }
        }
        if self.live.is_some() && !json.is_empty() {
            problems.extend(problem("ModSecurity's JSON cases bring their own rules, so they cannot run live"));
        }
        if files.is_empty() && json.is_empty() && !problems.has_errors() {
            return Err(problem("there are no case files (*.yaml, *.yml, *.json) here"));
        }
        if problems.has_errors() { Err(problems) } else { Ok((files, json)) }
    }
}

/// As many threads as the machine runs at once.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A bar on standard error, if that is a terminal.
pub(super) fn progress(count: usize) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(count as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}

impl LintArguments {
    fn run(self) -> Result<bool, Diagnostics> {
        let (program, mut warnings) = load(&rule_set::files(&self.files), &EngineOptions::default())?;
        warnings.extend(program.remarks(&FileLoader));
        if !warnings.is_empty() {
            complain(&warnings);
        }
        Ok(warnings.is_empty() || !self.strict)
    }
}

impl ExplainArguments {
    fn run(self) -> Result<bool, Diagnostics> {
        let (ruleset, problems) = match (&self.rule_set.crs, self.rule_set.files()) {
            (None, []) => builtin_ruleset(),
            (None, files) => parse(&rule_set::files(files), &FileLoader),
            (Some(directory), files) => {
                let mut all = vec![directory.join("crs-setup.conf.example"), directory.join("rules/*.conf")];
                all.extend(files.iter().cloned());
                parse(&rule_set::files(&all), &FileLoader)
            }
        };
        if problems.has_errors() {
            return Err(problems);
        }
        let mut missing = Diagnostics::new();
        for (index, id) in self.ids.iter().enumerate() {
            match (explain(&ruleset, *id), self.format) {
                (None, _) => missing.extend(problem(format!("no rule of this rule set has the id {id}"))),
                (Some(found), ExplainFormat::Human) => {
                    output::print(&format!("{}{found}", if index > 0 { "\n" } else { "" }));
                }
                (Some(found), ExplainFormat::Json) => {
                    let json = serde_json::to_string(&found);
                    output::print(&format!("{}\n", json.map_err(|error| problem(error.to_string()))?));
                }
            }
        }
        if missing.has_errors() { Err(missing) } else { Ok(true) }
    }
}

impl FormatArguments {
    fn run(self) -> Result<bool, Diagnostics> {
        let mut is_clean = true;
        let mut problems = Diagnostics::new();
        for path in &self.files {
            let source = match FileLoader::open(path) {
                Ok(source) => source,
                Err(error) => {
                    problems.extend(problem(format!("cannot read {}: {error}", path.display())));
                    continue;
                }
            };
            let laid_out = match format::file(&source) {
                Ok(laid_out) => laid_out,
                Err(found) => {
                    problems.extend(found);
                    continue;
                }
            };
            let changes = laid_out != source.text();
            if self.check {
                if changes {
                    is_clean = false;
                    output::print(&format!("{}\n", path.display()));
                }
            } else if !self.write {
                output::print_bytes(&laid_out);
            } else if changes && let Err(error) = fs::write(path, &laid_out) {
                problems.extend(problem(format!("cannot write {}: {error}", path.display())));
            }
        }
        if problems.has_errors() { Err(problems) } else { Ok(is_clean) }
    }
}
