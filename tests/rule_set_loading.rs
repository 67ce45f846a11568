//! What it costs to load a whole rule set: processor time and memory.
//!
//! Measured with optimisation only: `cargo test --profile quick --test rule_set_loading -- --ignored --test-threads=1`.

use std::path::{Path, PathBuf};

use portcullis::authoring::rule_set;
use portcullis::diagnostics::Source;
use portcullis::seclang::source::FileLoader;

/// Most processor time and memory that a rule set may take.
const MILLISECONDS: u64 = 400;
const KILOBYTES: u64 = 80 * 1024;

fn shared() -> PathBuf {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")))
}

/// A number of this process from /proc, by its place behind the name.
fn statistic(place: usize) -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind = &text[text.rfind(')').unwrap() + 2..];
    behind.split(' ').nth(place).unwrap().parse().unwrap()
}

/// Processor time of the process; the kernel counts hundredths of a second.
fn processor_milliseconds() -> u64 {
    (statistic(11) + statistic(12)) * 10
}

fn resident_kilobytes() -> u64 {
    statistic(21) * 4
}

/// The best of three: other work on the machine only makes it dearer.
fn loads_cheaply(root: &Source) {
    let costs = [(); 3].map(|()| cost(root));
    let time = costs.iter().map(|(time, _)| *time).min().unwrap();
    let memory = costs.iter().map(|(_, memory)| *memory).max().unwrap();
    assert!(time <= MILLISECONDS, "{time} ms");
    assert!(memory <= KILOBYTES, "{memory} kB");
}

/// Milliseconds and kilobytes.
fn cost(root: &Source) -> (u64, u64) {
    let (time, memory) = (processor_milliseconds(), resident_kilobytes());
    let (program, warnings) = rule_set::compile(root, &FileLoader).unwrap_or_else(|problems| panic!("{problems}"));
    let (time, memory) = (processor_milliseconds() - time, resident_kilobytes().saturating_sub(memory));
    let rules = program.rule_count();
    eprintln!("{}: {rules} rules in {time} ms of processor time, {memory} kB resident", root.path().display());
    // Of Debian's rules some look addresses up, which needs a database and name servers that are not here.
    let is_expected = |message: &str| message.starts_with("@geoLookup never") || message.starts_with("@rbl never");
    assert!(warnings.iter().all(|warning| is_expected(&warning.message)), "{warnings}");
    (time, memory)
}

#[test]
#[ignore = "a measurement, which needs optimisation"]
fn core_rule_set_4() {
    let directory = shared().join("crs");
    if !directory.is_dir() {
        return eprintln!("SKIPPED: there is no {}", directory.display());
    }
    loads_cheaply(&rule_set::core_rule_set_at(&directory, 1, true));
}

#[test]
#[ignore = "a measurement, which needs optimisation"]
fn core_rule_set_3_of_debian() {
    let directory = Path::new("/usr/share/modsecurity-crs");
    if !directory.is_dir() {
        return eprintln!("SKIPPED: Debian's package modsecurity-crs is not installed");
    }
    loads_cheaply(&FileLoader::open(directory.join("owasp-crs.load")).unwrap());
}
