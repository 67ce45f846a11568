//! Instructions that a scenario takes, counted by callgrind: the gate that tells whether a change made anything dearer.
//!
//! Counts repeat to a fraction of a per cent whatever else the machine does, which times do not. Run it through
//! `benches/instructions`. The program starts itself under valgrind with `--measure`; there, collection is off except
//! inside [`measured`], and callgrind writes one profile whenever that returns: one for each scenario, in order.
//!
//! Nothing that is counted depends on a seed or a clock: ids and times of the transactions are fixed, the rule engine
//! uses no random hashes while it evaluates, and each scenario has run several times before it is counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use portcullis::authoring::bench::{Base, Scenario, Setup, Subject, scenario};
use portcullis::config::BUILTIN;
use portcullis::waf::{EngineOptions, Program, Scratch};

/// Dearer than the stored count by more than this is a failure.
const TOLERANCE_PERCENT: f64 = 5.0;

/// Transactions that are counted of one scenario.
const RUNS: usize = 4;

/// Transactions before: as often as it takes until all that is made at need is there.
const WARM_UPS: usize = 12;

/// Where the counts are kept, next to this file.
const FIGURES: &str = "benches/instructions.csv";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--measure") => measure(arguments.get(1).map_or("", String::as_str)),
        Some("--update") => gate(true),
        Some("--check") => gate(false),
        // `cargo bench` comes by here too; the stored counts belong to another profile.
        Some("--bench") => {
            println!("instructions are counted by benches/instructions");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: benches/instructions [--check|--update]");
            ExitCode::from(2)
        }
    }
}

/// The rule sets: at each level, without and with bodies of responses.
fn setups() -> Vec<Setup> {
    let mut bases = vec![(Base::BuiltIn(BUILTIN), 1)];
    match Base::find(|name| std::env::var_os(name), BUILTIN) {
        Base::Core(directory) => bases.extend([1, 4].map(|level| (Base::Core(directory.clone()), level))),
        _ => eprintln!("SKIPPED for the Core Rule Set: there is none in ../shared/crs; set PORTCULLIS_CRS"),
    }
    let setup = |(base, level): (Base, u8)| {
        let requests = Setup::new(base, level);
        [requests.clone(), Setup { inspects_responses: true, ..requests }]
    };
    bases.into_iter().flat_map(setup).collect()
}

/// Scenarios that are counted with a setup. Those of 2 MB would take minutes, and show what those of 128 kB show.
fn scenarios(setup: &Setup) -> Vec<Scenario> {
    let mut all = scenario::all();
    all.retain(|scenario| scenario.inspects_response == setup.inspects_responses && scenario.request.len() < 1 << 18);
    all
}

/// What callgrind counts.
#[inline(never)]
fn measured(subject: &Subject, program: &Program, scratch: &mut Scratch) {
    for _ in 0..RUNS {
        drop(std::hint::black_box(subject.run(program, scratch)));
    }
}

/// Under valgrind: every scenario of one rule set.
fn measure(name: &str) -> ExitCode {
    let Some(setup) = setups().into_iter().find(|setup| key(setup) == name) else { return ExitCode::from(2) };
    let (program, _) = setup.compile(&EngineOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    for scenario in scenarios(&setup) {
        // What a worker keeps shall not depend on the scenarios before.
        let mut scratch = Scratch::new();
        let subject = Subject::of(&scenario).expect("scenarios are well-formed");
        let found = subject.run(&program, &mut scratch);
        let expected = scenario.expected.of(&setup).unwrap_or(found.decision);
        assert_eq!(found.decision, expected, "{} with {}", scenario.name, setup.describe());
        for _ in 1..WARM_UPS {
            drop(std::hint::black_box(subject.run(&program, &mut scratch)));
        }
        measured(&subject, &program, &mut scratch);
        println!("{}", scenario.name);
    }
    ExitCode::SUCCESS
}

/// The name of a rule set and of what of it is counted together.
fn key(setup: &Setup) -> String {
    format!("{}{}", setup.short_name(), if setup.inspects_responses { "-responses" } else { "" })
}

type Counts = BTreeMap<String, u64>;

fn gate(updates: bool) -> ExitCode {
    let has_valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !has_valgrind.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: valgrind is not installed, so no instructions are counted");
        return ExitCode::SUCCESS;
    }
    let stored = read(Path::new(FIGURES));
    let mut counts = Counts::new();
    for setup in setups() {
        eprintln!("RULES: {}", setup.describe());
        match count(&setup) {
            Ok(found) => counts.extend(found),
            Err(message) => {
                eprintln!("instructions: {message}");
                return ExitCode::FAILURE;
            }
        }
    }
    let is_worse = report(&stored, &counts);
    if updates {
        // What this machine has no rules for stays as it is.
        let all: Counts = stored.into_iter().chain(counts).collect();
        let lines: String = all.iter().map(|(name, count)| format!("{name},{count}\n")).collect();
        if let Err(error) = std::fs::write(FIGURES, format!("rules/scenario,instructions per request\n{lines}")) {
            eprintln!("instructions: cannot write {FIGURES}: {error}");
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    if is_worse {
        eprintln!("dearer by more than {TOLERANCE_PERCENT} %. If that is meant: benches/instructions --update");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs one rule set under callgrind.
fn count(setup: &Setup) -> Result<Counts, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        // The name in full: with a wildcard in both, callgrind 3.19 only toggles.
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=instructions::measured"])
        .args(["--dump-after=instructions::measured", "--compress-strings=no", "-q"])
        .arg(format!("--callgrind-out-file={}", directory.path().join("out").display()))
        .arg(program)
        .args(["--measure", &key(setup)])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("the run for {} ended with {}", key(setup), output.status));
    }
    let names: Vec<&str> = std::str::from_utf8(&output.stdout).map_err(|error| error.to_string())?.lines().collect();
    let mut found = Counts::new();
    for (number, name) in names.iter().enumerate() {
        let path: PathBuf = directory.path().join(format!("out.{}", number + 1));
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("summary: "));
        let total: u64 = line.and_then(|total| total.trim().parse().ok()).ok_or("a profile without a sum")?;
        if total == 0 {
            return Err(format!("nothing was counted for {name}"));
        }
        found.insert(format!("{}/{name}", setup.short_name()), total / RUNS as u64);
    }
    Ok(found)
}

fn read(path: &Path) -> Counts {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().skip(1).filter_map(|line| line.rsplit_once(','));
    rows.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}

/// Prints all counts; is one of them too high?
fn report(stored: &Counts, counts: &Counts) -> bool {
    let mut is_worse = false;
    println!("{:42} {:>12} {:>12} {:>9}", "rules/scenario", "stored", "now", "change");
    for (name, now) in counts {
        let Some(before) = stored.get(name) else {
            println!("{name:42} {:>12} {now:>12} {:>9}", "-", "new");
            continue;
        };
        let change = (*now as f64 / *before as f64 - 1.0) * 100.0;
        let is_over = change > TOLERANCE_PERCENT;
        is_worse |= is_over;
        println!("{name:42} {before:>12} {now:>12} {change:>+8.1}%{}", if is_over { "  DEARER" } else { "" });
    }
    is_worse
}
