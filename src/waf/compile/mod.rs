//! From the tree to the program.
//!
//! In order: [`link`] reads the directives from top to bottom, puts chains together and lets SecRuleRemove… and
//! SecRuleUpdate… change what has been read so far, as ModSecurity 2 does; [`layout`] sorts the chains by phase and
//! gives every rule its index; [`rule`], [`target`] and [`action`] translate; [`removal`] finds out which rules each
//! `ctl` means. Every problem is reported, not only the first.

mod action;
mod actions;
mod layout;
mod link;
mod removal;
mod rule;
mod setting;
mod target;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::action::ctl::ExcludedTarget;
use super::collection::Variable;
use super::operate::CompiledOperator;
use super::options::EngineOptions;
use super::plan::Plan;
use super::program::{OperatorId, PipelineId, Program, RuleSet, TxNames};
use super::regex::Regex;
use super::transformation::Transformation;
use crate::diagnostics::{Diagnostic, Diagnostics, Location};
use crate::seclang::SourceLoader;
use crate::seclang::ast::Ruleset;

/// Zero is nobody's.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Program {
    /// Compiles a ruleset. `loader` reads the data files that operators name. Gives warnings with the program, or all
    /// problems when there is an error among them.
    pub fn compile(
        ruleset: &Ruleset,
        loader: &dyn SourceLoader,
        options: &EngineOptions,
    ) -> Result<(Self, Diagnostics), Diagnostics> {
        let mut compiler = Compiler {
            loader,
            options,
            diagnostics: Diagnostics::new(),
            tx_names: TxNames::new(),
            pipelines: Vec::new(),
            pipeline_ids: HashMap::new(),
            operators: Vec::new(),
            operator_ids: HashMap::new(),
            rule_sets: Vec::new(),
            target_lists: Vec::new(),
            files: HashMap::new(),
            http_bl_key: None,
        };
        let settings = setting::compile(&mut compiler, ruleset);
        let chains = link::link(&mut compiler, ruleset);
        let layout = layout::layout(&chains);
        let mut emitted = rule::emit(&mut compiler, &chains, &layout);
        removal::resolve(&mut compiler, &chains, &layout, &mut emitted);
        target::resolve_slots(&compiler, &mut emitted.targets);
        if compiler.diagnostics.has_errors() {
            return Err(compiler.diagnostics);
        }
        let uses_file_content = emitted.targets.iter().any(|target| target.variable == Variable::FilesTmpContent);
        let xpaths = compiler.tx_names.take_xpaths();
        let mut program = Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            rules: emitted.rules,
            phases: layout.phases,
            heads: emitted.heads,
            targets: emitted.targets,
            actions: emitted.actions,
            pipelines: compiler.pipelines,
            operators: compiler.operators,
            tx_names: compiler.tx_names,
            rule_sets: compiler.rule_sets,
            target_lists: compiler.target_lists,
            xpaths,
            settings,
            uses_file_content,
            plan: Plan::default(),
            options: options.clone(),
        };
        program.plan = Plan::new(&program);
        Ok((program, compiler.diagnostics))
    }
}

/// What is gathered while compiling.
struct Compiler<'a> {
    loader: &'a dyn SourceLoader,
    options: &'a EngineOptions,
    diagnostics: Diagnostics,
    tx_names: TxNames,
    pipelines: Vec<Box<[Transformation]>>,
    pipeline_ids: HashMap<Box<[Transformation]>, PipelineId>,
    operators: Vec<CompiledOperator>,
    operator_ids: HashMap<OperatorKey, OperatorId>,
    rule_sets: Vec<RuleSet>,
    target_lists: Vec<Box<[ExcludedTarget]>>,
    files: HashMap<Box<Path>, Arc<str>>,
    /// SecHttpBlKey
    http_bl_key: Option<Arc<str>>,
}

/// Operators are the same when name, argument and the directory of their data files are.
type OperatorKey = (&'static str, Box<[u8]>, Box<Path>);

impl Compiler<'_> {
    fn error(&mut self, location: &Location, rule: Option<u32>, message: impl Into<String>) {
        let problem = Diagnostic::error(location.clone(), message);
        self.diagnostics.push(Diagnostic { rule_id: rule, ..problem });
    }

    fn warn(&mut self, location: &Location, rule: Option<u32>, message: impl Into<String>) {
        let problem = Diagnostic::warning(location.clone(), message);
        self.diagnostics.push(Diagnostic { rule_id: rule, ..problem });
    }

    /// The name of a file, one allocation for all its rules.
    fn file(&mut self, path: &Path) -> Arc<str> {
        if let Some(file) = self.files.get(path) {
            return Arc::clone(file);
        }
        let file: Arc<str> = path.to_string_lossy().into();
        self.files.insert(path.into(), Arc::clone(&file));
        file
    }

    fn pipeline(&mut self, transformations: &[Transformation]) -> PipelineId {
        if let Some(id) = self.pipeline_ids.get(transformations) {
            return *id;
        }
        let id = PipelineId(self.pipelines.len() as u16);
        self.pipelines.push(transformations.into());
        self.pipeline_ids.insert(transformations.into(), id);
        id
    }

    /// A pattern of the rule language other than `@rx`: case as in the pattern, unanchored.
    fn pattern(&mut self, location: &Location, rule: Option<u32>, pattern: &[u8], ignore_case: bool) -> Option<Regex> {
        match super::operate::pattern(pattern, ignore_case) {
            Ok(regex) => Some(regex),
            Err(problem) => {
                let shown = String::from_utf8_lossy(pattern).into_owned();
                self.error(location, rule, format!("the pattern {shown} cannot be used: {problem}"));
                None
            }
        }
    }
}
