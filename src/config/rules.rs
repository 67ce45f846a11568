//! The rules of a policy: texts found, parsed and compiled; equal ones once.
//!
//! A reload that did not touch the rules must not cost a compilation or a second copy: what was compiled before is
//! found again by a digest of every text and data file that went into it.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use super::decode::Spanned;
use super::raw::RawRules;
use crate::diagnostics::{Diagnostic, Diagnostics, Source};
use crate::seclang::ast::Ruleset;
use crate::seclang::source::{FileLoader, MemoryLoader};
use crate::seclang::{self, SourceLoader};
use crate::waf::operator::BlockList;
use crate::waf::{EngineOptions, Program};

/// The built-in rules: file name and text.
pub const BUILTIN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtin_rules.rs"));

/// The word that stands for them in `policies[].rules`.
const BUILTIN_NAME: &str = "builtin";

/// The directory that the built-in rules seem to be in.
const BUILTIN_ROOT: &str = "builtin:";

type Digest = [u8; 20];

/// Programs of one configuration, for the next one to find again.
#[derive(Debug, Clone, Default)]
pub struct RuleCache {
    compiled: Vec<Compiled>,
    block_list: Option<Arc<dyn BlockList>>,
}

impl RuleCache {
    /// An empty one; rules with `@rbl` will ask this. Without it they are refused.
    pub fn with_block_list(block_list: Arc<dyn BlockList>) -> Self {
        Self { compiled: Vec::new(), block_list: Some(block_list) }
    }

    /// Programs in it.
    pub fn len(&self) -> usize {
        self.compiled.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }
}

#[derive(Debug, Clone)]
struct Compiled {
    texts: Digest,
    /// Data files read while compiling: who asked, for what, and what it was.
    reads: Vec<(PathBuf, String, Digest)>,
    program: Arc<Program>,
    warnings: Diagnostics,
}

/// Compiles the rules of one configuration.
#[derive(Debug)]
pub(super) struct RuleCompiler<'c> {
    previous: &'c RuleCache,
    current: RuleCache,
}

impl<'c> RuleCompiler<'c> {
    /// `previous` is what the running configuration has.
    pub(super) fn new(previous: &'c RuleCache) -> Self {
        let current = RuleCache { compiled: Vec::new(), block_list: previous.block_list.clone() };
        Self { previous, current }
    }

    /// What was compiled, for the next configuration.
    pub(super) fn finish(self) -> RuleCache {
        self.current
    }

    /// The built-in rules alone.
    pub(super) fn builtin(&mut self, problems: &mut Diagnostics) -> Option<Arc<Program>> {
        let loader = Loader::new();
        let mut ruleset = Ruleset::default();
        let mut found = Diagnostics::new();
        add_builtin(&mut ruleset, &loader, &mut found);
        self.compile_parsed(ruleset, &loader, found, problems)
    }

    /// The rules of a policy, in order.
    pub(super) fn compile(
        &mut self,
        list: &Spanned<Vec<Spanned<RawRules>>>,
        problems: &mut Diagnostics,
    ) -> Option<Arc<Program>> {
        let loader = Loader::new();
        let mut ruleset = Ruleset::default();
        let mut found = Diagnostics::new();
        for entry in &list.value {
            match &entry.value {
                RawRules::Named(name) if name.value == BUILTIN_NAME => {
                    add_builtin(&mut ruleset, &loader, &mut found);
                }
                RawRules::Named(pattern) => match loader.include(pattern.location.source.path(), pattern) {
                    Ok(sources) if sources.is_empty() => {
                        found.push(pattern.error(format!("no rule file fits `{}`", pattern.value)));
                    }
                    Ok(sources) => sources.iter().for_each(|source| add(&mut ruleset, source, &loader, &mut found)),
                    Err(error) => {
                        let message = format!("cannot read the rules `{}`: {error}", pattern.value);
                        found.push(pattern.error(message));
                    }
                },
                RawRules::Inline(inline) => {
                    if let Some(text) = &inline.inline.0 {
                        let file = text.location.source.path().display();
                        let name = format!("{file} (inline rules, line {})", text.location.position.line);
                        let source = Source::new(name, text.value.as_bytes());
                        loader.record(&source);
                        add(&mut ruleset, &source, &loader, &mut found);
                    }
                }
            }
        }
        self.compile_parsed(ruleset, &loader, found, problems)
    }

    fn compile_parsed(
        &mut self,
        ruleset: Ruleset,
        loader: &Loader,
        found: Diagnostics,
        problems: &mut Diagnostics,
    ) -> Option<Arc<Program>> {
        let has_errors = found.has_errors();
        problems.extend(found);
        if has_errors {
            return None;
        }
        let geo = super::geo::named(&ruleset);
        if let Some((path, _)) = &geo {
            loader.record_file(path);
        }
        let texts = loader.digest();
        let known = self.current.compiled.iter().chain(&self.previous.compiled);
        let known = known.filter(|compiled| compiled.texts == texts).find(|compiled| compiled.is_current(loader));
        if let Some(known) = known.cloned() {
            let program = Arc::clone(&known.program);
            let is_new = !self.current.compiled.iter().any(|compiled| Arc::ptr_eq(&compiled.program, &program));
            if is_new {
                problems.extend(known.warnings.clone());
                self.current.compiled.push(known);
            }
            return Some(program);
        }
        let mut options = EngineOptions { block_list: self.current.block_list.clone(), ..EngineOptions::default() };
        if let Some((path, location)) = geo {
            match super::geo::open(&path, location) {
                Ok(database) => options.geo = Some(database),
                Err(problem) => problems.push(problem),
            }
        }
        match Program::compile(&ruleset, loader, &options) {
            Ok((program, warnings)) => {
                let program = Arc::new(program);
                problems.extend(warnings.clone());
                let reads = loader.reads.borrow().clone();
                self.current.compiled.push(Compiled { texts, reads, program: Arc::clone(&program), warnings });
                Some(program)
            }
            Err(errors) => {
                problems.extend(errors);
                None
            }
        }
    }
}

impl Compiled {
    /// Are the data files still what they were?
    fn is_current(&self, loader: &Loader) -> bool {
        self.reads
            .iter()
            .all(|(from, name, known)| loader.inner(from).read(from, name).is_ok_and(|bytes| digest(&bytes) == *known))
    }
}

fn add(ruleset: &mut Ruleset, source: &Source, loader: &Loader, found: &mut Diagnostics) {
    let (parsed, problems) = seclang::parse(source, loader);
    ruleset.directives.extend(parsed.directives);
    found.extend(problems);
}

fn add_builtin(ruleset: &mut Ruleset, loader: &Loader, found: &mut Diagnostics) {
    for (name, text) in BUILTIN.iter().filter(|(name, _)| name.ends_with(".conf")) {
        let source = Source::new(Path::new(BUILTIN_ROOT).join(name), *text);
        loader.record(&source);
        add(ruleset, &source, loader, found);
    }
}

/// Files and built-in rules; remembers what it gave out.
struct Loader {
    builtin: MemoryLoader,
    texts: RefCell<Sha1>,
    reads: RefCell<Vec<(PathBuf, String, Digest)>>,
}

impl Loader {
    fn new() -> Self {
        let builtin = BUILTIN
            .iter()
            .fold(MemoryLoader::new(), |loader, (name, text)| loader.with(Path::new(BUILTIN_ROOT).join(name), *text));
        Self { builtin, texts: RefCell::new(Sha1::new()), reads: RefCell::new(Vec::new()) }
    }

    fn inner(&self, from: &Path) -> &dyn SourceLoader {
        if from.starts_with(BUILTIN_ROOT) { &self.builtin } else { &FileLoader }
    }

    fn record(&self, source: &Source) {
        let mut texts = self.texts.borrow_mut();
        for part in [source.path().as_os_str().as_encoded_bytes(), source.text()] {
            texts.update((part.len() as u64).to_le_bytes());
            texts.update(part);
        }
    }

    /// A large file stands in the digest with its name, size and time of change.
    fn record_file(&self, path: &Path) {
        let stamp = std::fs::metadata(path).and_then(|file| Ok((file.len(), file.modified()?)));
        self.texts.borrow_mut().update(format!("{} {:?}", path.display(), stamp.ok()));
    }

    fn digest(&self) -> Digest {
        self.texts.borrow().clone().finalize().into()
    }
}

impl SourceLoader for Loader {
    fn include(&self, from: &Path, pattern: &str) -> io::Result<Vec<Source>> {
        let sources = self.inner(from).include(from, pattern)?;
        sources.iter().for_each(|source| self.record(source));
        Ok(sources)
    }

    fn read(&self, from: &Path, name: &str) -> io::Result<Vec<u8>> {
        let bytes = self.inner(from).read(from, name)?;
        self.reads.borrow_mut().push((from.to_owned(), name.to_owned(), digest(&bytes)));
        Ok(bytes)
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Sha1::digest(bytes).into()
}

/// The rules of the `rules` command's own use: the built-in ones, parsed.
pub fn builtin_ruleset() -> (Ruleset, Diagnostics) {
    let mut ruleset = Ruleset::default();
    let mut found = Diagnostics::new();
    add_builtin(&mut ruleset, &Loader::new(), &mut found);
    (ruleset, found)
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("reads", &self.reads.borrow().len()).finish_non_exhaustive()
    }
}

/// A problem of a whole file, for those who open one for a person.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::error(None, format!("cannot read {}: {error}", path.display()))
}
