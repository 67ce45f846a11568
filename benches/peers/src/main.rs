//! Times rule engines on the same requests and rules in one run; see `README.md` beside it and `run`.

mod modsecurity;
mod set;
mod table;
mod zentinel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portcullis::authoring::bench::{Base, Decision, Setup, Subject};
use portcullis::config::BUILTIN;
use portcullis::waf::{EngineOptions, Program, Scratch};

use crate::set::Request;

/// The program's own, for the engines that run in this process.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Anything that goes wrong ends the run.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// An engine that was loaded with the rules.
trait Engine {
    /// Runs all requests once: nanoseconds of processor time, and the decision.
    fn pass(&mut self) -> Result<Vec<(u64, Decision)>>;
}

/// What the command line says.
struct Options {
    python: PathBuf,
    every: usize,
    rounds: usize,
    levels: Vec<u8>,
    scenarios_only: bool,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut options =
        Options { python: "python3".into(), every: 1, rounds: 3, levels: Vec::new(), scenarios_only: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--python" => options.python = value()?.into(),
            "--every" => options.every = value()?.parse::<usize>()?.max(1),
            "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
            "--paranoia" => options.levels.push(value()?.parse()?),
            "--scenarios-only" => options.scenarios_only = true,
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    if options.levels.is_empty() {
        options.levels = vec![1, 4];
    }
    Ok(options)
}

fn run(options: &Options) -> Result<()> {
    let base = Base::find(|name| std::env::var_os(name), BUILTIN);
    let Base::Core(directory) = &base else {
        return Err("the peers load the Core Rule Set only: set PORTCULLIS_CRS".into());
    };
    let directory = std::path::absolute(directory)?;
    let scenarios = set::scenarios();
    let recorded = if options.scenarios_only { Vec::new() } else { set::traffic(options.every)? };
    println!("{} scenarios, {} recorded requests, {} rounds", scenarios.len(), recorded.len(), options.rounds);
    let scratch = scratch_directory()?;
    for level in &options.levels {
        let setup = Setup::new(Base::Core(directory.clone()), *level);
        println!("\nRULES: {}", setup.describe());
        // The includes are absolute, so the text may stand anywhere.
        let rules = scratch.join(format!("rules-{level}.conf"));
        std::fs::write(&rules, setup.core_text(&directory.join("rules/*.conf")))?;
        // Apart from each other: what a worker keeps of large bodies that nobody recorded is not kept of traffic.
        for requests in [&scenarios, &recorded].into_iter().filter(|requests| !requests.is_empty()) {
            let columns = measure(options, &setup, &rules, requests, &scratch)?;
            check(&setup, requests, &columns[0])?;
            table::print(requests, if std::ptr::eq(requests, &scenarios) { requests.len() } else { 0 }, &columns);
        }
    }
    Ok(())
}

/// Runs all requests through every engine in turn, as often as is wanted.
fn measure(
    options: &Options,
    setup: &Setup,
    rules: &Path,
    requests: &[Request],
    scratch: &Path,
) -> Result<Vec<table::Column>> {
    let mut engines: Vec<(&str, Box<dyn Engine>)> = vec![
        ("portcullis", Box::new(Portcullis::new(setup, requests)?)),
        ("zentinel", Box::new(zentinel::Zentinel::new(rules, requests)?)),
        ("modsecurity 3", Box::new(modsecurity::ModSecurity::new(&options.python, rules, requests, scratch)?)),
    ];
    let mut results: Vec<table::Column> = Vec::new();
    for round in 0..options.rounds {
        for (number, (name, engine)) in engines.iter_mut().enumerate() {
            let answers = engine.pass()?;
            match results.get_mut(number) {
                Some(column) => column.merge(&answers),
                None => results.push(table::Column::new(name, &answers)),
            }
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    Ok(results)
}

/// Where rules and requests for the peers are written.
fn scratch_directory() -> Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("portcullis-peers-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The scenarios come to the decisions that they name; otherwise the times mean nothing.
fn check(setup: &Setup, requests: &[Request], column: &table::Column) -> Result<()> {
    for (request, decision) in requests.iter().zip(&column.decisions) {
        let expected = request.expected.and_then(|expected| expected.of(setup));
        if expected.is_some_and(|expected| expected != *decision) {
            let found = decision.as_str();
            return Err(format!("{}: {found} with {}", request.subject.name, setup.describe()).into());
        }
    }
    Ok(())
}

/// Nanoseconds that this thread was on a processor.
pub(crate) fn busy() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Portcullis<'r> {
    program: Program,
    scratch: Scratch,
    subjects: Vec<&'r Subject>,
}

impl<'r> Portcullis<'r> {
    fn new(setup: &Setup, requests: &'r [Request]) -> Result<Self> {
        let (program, _) = setup.compile(&EngineOptions::default()).map_err(|problems| problems.to_string())?;
        let subjects = requests.iter().map(|request| &request.subject).collect();
        Ok(Self { program, scratch: Scratch::new(), subjects })
    }
}

impl Engine for Portcullis<'_> {
    fn pass(&mut self) -> Result<Vec<(u64, Decision)>> {
        let mut answers = Vec::with_capacity(self.subjects.len());
        for subject in &self.subjects {
            let before = busy();
            let run = subject.run(&self.program, &mut self.scratch);
            let decision = run.decision;
            drop(run);
            answers.push((busy() - before, decision));
        }
        Ok(answers)
    }
}
