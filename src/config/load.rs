//! From a path to a checked configuration: read, substitute, include, decode, build.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::build::{Places, build};
use super::decode::{Decode as _, Decoder};
use super::environment::{Environment, substitute};
use super::model::Configuration;
use super::raw::RawConfiguration;
use super::rules::{RuleCache, RuleCompiler, unreadable};
use crate::diagnostics::{Diagnostic, Diagnostics, Source};
use crate::limits::{CONFIGURATION_BYTES, CONFIGURATION_FRAGMENTS};
use crate::seclang::SourceLoader as _;
use crate::seclang::source::FileLoader;
use crate::yaml::{self, YamlLimits};

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    /// What to run on.
    pub configuration: Configuration,
    /// Nothing that stops it, but worth a look.
    pub warnings: Diagnostics,
    /// For problems that are found when the parts are made.
    pub places: Places,
    /// Compiled rules, for the next load.
    pub rules: RuleCache,
    /// The file and its fragments.
    pub files: Vec<PathBuf>,
}

/// Reads a file and its fragments as far as they can be read, with everything that is wrong: for `portcullis check`,
/// which goes on to look at the certificates all the same. A configuration with errors is not one to run.
pub fn survey(source: Source, environment: &Environment<'_>, previous: &RuleCache) -> (Loaded, Diagnostics) {
    let mut problems = Diagnostics::new();
    let loaded = read_parts(&source, environment, previous, &mut problems);
    (loaded, sorted(&problems))
}

/// The text of a file.
pub fn source(path: &Path) -> Result<Source, Diagnostics> {
    read(path).map_err(|problem| {
        let mut problems = Diagnostics::new();
        problems.push(problem);
        problems
    })
}

/// Reads a file and its fragments. `previous` holds the rules that are running, so that unchanged ones are kept.
pub fn load(path: &Path, environment: &Environment<'_>, previous: &RuleCache) -> Result<Loaded, Diagnostics> {
    load_source(source(path)?, environment, previous)
}

/// The same for a text that is in memory; relative paths are relative to the directory of its name.
pub fn load_source(source: Source, environment: &Environment<'_>, previous: &RuleCache) -> Result<Loaded, Diagnostics> {
    let mut problems = Diagnostics::new();
    let loaded = read_parts(&source, environment, previous, &mut problems);
    let problems = sorted(&problems);
    if problems.has_errors() {
        return Err(problems);
    }
    Ok(Loaded { warnings: problems, ..loaded })
}

fn read_parts(
    source: &Source,
    environment: &Environment<'_>,
    previous: &RuleCache,
    problems: &mut Diagnostics,
) -> Loaded {
    let mut files = vec![source.path().to_owned()];
    let mut raw = decode(source, environment, problems).unwrap_or_default();
    for pattern in raw.include.take().unwrap_or_default() {
        let fragments = match FileLoader.include(source.path(), &pattern) {
            Ok(fragments) => fragments,
            // A pattern may fit nothing (an empty conf.d); a plain name may not.
            Err(error) => {
                problems.push(pattern.error(format!("cannot include `{}`: {error}", pattern.value)));
                continue;
            }
        };
        if files.len() + fragments.len() > CONFIGURATION_FRAGMENTS {
            problems.push(pattern.error(format!("more than {CONFIGURATION_FRAGMENTS} files")));
            continue;
        }
        for fragment in fragments {
            files.push(fragment.path().to_owned());
            if let Some(part) = decode(&fragment, environment, problems) {
                merge(&mut raw, part, &fragment, problems);
            }
        }
    }
    let mut rules = RuleCompiler::new(previous);
    let (configuration, places) = build(raw, &mut rules, problems);
    Loaded { configuration, warnings: Diagnostics::new(), places, rules: rules.finish(), files }
}

/// In the order of the text, each file's together; those of no place last.
fn sorted(problems: &Diagnostics) -> Diagnostics {
    let mut entries: Vec<Diagnostic> = problems.iter().cloned().collect();
    entries.sort_by(|a, b| match (&a.location, &b.location) {
        (Some(a), Some(b)) => (a.source.path(), a.position).cmp(&(b.source.path(), b.position)),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    let mut out = Diagnostics::new();
    entries.into_iter().for_each(|entry| out.push(entry));
    out
}

/// The configuration that runs when none is given.
pub fn embedded() -> Source {
    Source::new("(built-in configuration)", include_str!("embedded.yaml"))
}

fn read(path: &Path) -> Result<Source, Diagnostic> {
    // Not by the length that the system tells: a pipe or a device has none.
    let mut text = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(CONFIGURATION_BYTES as u64 + 1).read_to_end(&mut text));
    match read {
        Err(error) => Err(unreadable(path, &error)),
        Ok(_) if text.len() > CONFIGURATION_BYTES => {
            let message = format!("{} is larger than {CONFIGURATION_BYTES} bytes", path.display());
            Err(Diagnostic::error(None, message))
        }
        Ok(_) => Ok(Source::new(path, text)),
    }
}

/// The first half of loading, which opens no file: text to raw values. For tools and fuzzing.
pub fn parse(source: &Source, environment: &Environment<'_>) -> Result<RawConfiguration, Diagnostics> {
    let mut problems = Diagnostics::new();
    match decode(source, environment, &mut problems) {
        Some(raw) if !problems.has_errors() => Ok(raw),
        _ => Err(sorted(&problems)),
    }
}

fn decode(source: &Source, environment: &Environment<'_>, problems: &mut Diagnostics) -> Option<RawConfiguration> {
    let limits = YamlLimits { bytes: CONFIGURATION_BYTES, ..YamlLimits::DEFAULT };
    let mut node = match yaml::parse_one(source, limits) {
        Ok(node) => node,
        Err(found) => {
            problems.extend(found);
            return None;
        }
    };
    if node.is_null() {
        return Some(RawConfiguration::default());
    }
    substitute(&mut node, source, environment, problems);
    RawConfiguration::decode(&node, &mut Decoder { source, problems })
}

/// Lists grow; what there is only one of may stand in one file only.
fn merge(into: &mut RawConfiguration, part: RawConfiguration, fragment: &Source, problems: &mut Diagnostics) {
    for pattern in part.include.iter().flatten() {
        problems.push(pattern.error("a fragment cannot include others"));
    }
    append(&mut into.listeners, part.listeners);
    append(&mut into.sites, part.sites);
    append(&mut into.pools, part.pools);
    append(&mut into.policies, part.policies);
    let mut once = |is_there: bool, comes: bool, key: &str| {
        if is_there && comes {
            let message = format!("{}: `{key}` stands in another file already", fragment.path().display());
            problems.push(Diagnostic::error(None, message));
        }
    };
    once(into.admin.is_some(), part.admin.is_some(), "admin");
    once(into.logs.is_some(), part.logs.is_some(), "logs");
    once(into.runtime.is_some(), part.runtime.is_some(), "runtime");
    into.admin = into.admin.take().or(part.admin);
    into.logs = into.logs.take().or(part.logs);
    into.runtime = into.runtime.take().or(part.runtime);
}

fn append<T>(into: &mut Option<Vec<T>>, part: Option<Vec<T>>) {
    if let Some(part) = part {
        into.get_or_insert_default().extend(part);
    }
}
