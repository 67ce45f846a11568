//! Lines to the tree: includes, the directives' arguments, and every problem on the way.
//!
//! The parser never stops at a problem: a directive that cannot be read is reported and left out, the rest goes on.
//! What needs more than one directive (ids, chains) is in `structure`; what a single value must look like is in
//! `setting`, `target` and `action`.

mod action;
mod setting;
mod structure;
mod target;

use std::path::PathBuf;

use super::ast::{Directive, DirectiveKind, IdRange, OperatorCall, Rule, Ruleset, TargetUpdate};
use super::directive::{Arguments, DIRECTIVES, DirectiveRow};
use super::lexer::{Line, Lines, Word, is_space};
use super::operator::{OPERATORS, OperatorArgument};
use super::source::SourceLoader;
use super::table::{Support, closest, did_you_mean, find};
use crate::diagnostics::{Diagnostic, Diagnostics, Location, Severity, Source};
use crate::limits;

/// Reads a rule text and everything that it includes.
///
/// The tree holds what could be read; if the diagnostics have errors, it must not be run.
pub fn parse(root: &Source, loader: &dyn SourceLoader) -> (Ruleset, Diagnostics) {
    let mut parser = Parser::new(loader);
    parser.file(root);
    parser.finish()
}

/// Reads one text without following its includes, which stay in the tree as settings: for tools that rewrite files.
pub fn parse_alone(source: &Source) -> (Ruleset, Diagnostics) {
    let nothing = super::source::MemoryLoader::new();
    let mut parser = Parser::new(&nothing);
    parser.follows_includes = false;
    parser.file(source);
    parser.finish()
}

/// Reads a list of targets that stands in another text, such as that of `ctl:ruleRemoveTargetById`. What is wrong with
/// it was reported when that text was parsed.
pub fn parse_targets(text: &[u8], location: &Location) -> Vec<super::ast::Target> {
    target::parse(text, &|_| location.clone(), &mut Vec::new())
}

struct Parser<'l> {
    loader: &'l dyn SourceLoader,
    ruleset: Ruleset,
    diagnostics: Diagnostics,
    /// Files being read, outermost first.
    open: Vec<PathBuf>,
    files: usize,
    follows_includes: bool,
    /// Was a rule so wrong that it is not in the tree?
    has_lost_rule: bool,
    errors: usize,
    /// The worst problem that is not in the list any more.
    beyond: Option<Severity>,
}

impl<'l> Parser<'l> {
    fn new(loader: &'l dyn SourceLoader) -> Self {
        Self {
            loader,
            ruleset: Ruleset::default(),
            diagnostics: Diagnostics::new(),
            open: Vec::new(),
            files: 0,
            follows_includes: true,
            has_lost_rule: false,
            errors: 0,
            beyond: None,
        }
    }

    fn finish(mut self) -> (Ruleset, Diagnostics) {
        let has_gaps = self.has_lost_rule || self.gives_up();
        for problem in structure::check(&self.ruleset, has_gaps) {
            self.report(problem);
        }
        match self.beyond {
            Some(Severity::Error) => self.diagnostics.push(Diagnostic::error(None, "there are more problems")),
            Some(Severity::Warning) => self.diagnostics.push(Diagnostic::warning(None, "there are more warnings")),
            None => {}
        }
        (self.ruleset, self.diagnostics)
    }

    /// Keeps a problem, up to the limit; of what lies beyond it only the severity is told.
    fn report(&mut self, problem: Diagnostic) {
        let is_error = problem.severity == Severity::Error;
        self.errors += usize::from(is_error);
        if self.diagnostics.len() < limits::RULE_DIAGNOSTICS {
            self.diagnostics.push(problem);
        } else if self.beyond.is_none_or(|beyond| beyond < problem.severity) {
            self.beyond = Some(problem.severity);
        }
    }

    /// So many errors that further ones help nobody?
    fn gives_up(&self) -> bool {
        self.errors >= limits::RULE_DIAGNOSTICS
    }

    fn file(&mut self, source: &Source) {
        self.files += 1;
        self.open.push(source.path().to_owned());
        for line in Lines::new(source.text()) {
            if self.gives_up() {
                break;
            }
            if !line.is_blank() && !line.is_comment() {
                self.line(source, &line);
            }
        }
        self.open.pop();
    }

    fn line(&mut self, source: &Source, line: &Line<'_>) {
        let words = line.words();
        let Some((first, arguments)) = words.split_first() else { return };
        let mut context = Context { source, line, problems: Vec::new() };
        for word in words.iter().filter(|word| !word.is_closed) {
            let problem = context.error(word, 0, "the closing quote is missing");
            let is_torn = line.text().ends_with(b"\\") || line.text().windows(2).any(|w| w == b"\\ " || w == b"\\\t");
            context.problems.push(problem.advise(if is_torn {
                "white space after a backslash keeps it from continuing the line"
            } else {
                "end the text with the quote that begins it, or continue the line with a backslash"
            }));
        }
        let row = context.row(first);
        let kind = match row {
            Some(row) if context.problems.is_empty() => context.directive(row, arguments),
            _ => Vec::new(),
        };
        let mut problems = context.problems;
        if self.follows_includes && row.is_some_and(|row| row.name.starts_with("Include")) {
            if problems.is_empty() {
                self.include(source, line, row.is_some_and(|row| row.name == "IncludeOptional"), arguments);
            }
        } else {
            let location = located(source, line, first.offset(0));
            let rule_id = kind.first().and_then(structure::id_of);
            problems.iter_mut().for_each(|problem| problem.rule_id = problem.rule_id.or(rule_id));
            // A rule with an error stays in the tree, so that chains around it are not reported as well.
            self.has_lost_rule |= kind.is_empty() && row.is_none_or(|row| row.name.starts_with("SecRule"));
            self.ruleset.directives.extend(kind.into_iter().map(|kind| Directive { location: location.clone(), kind }));
        }
        for problem in problems {
            self.report(problem);
        }
    }

    fn include(&mut self, source: &Source, line: &Line<'_>, is_optional: bool, arguments: &[Word<'_>]) {
        for word in arguments {
            let mut context = Context { source, line, problems: Vec::new() };
            let problem = match std::str::from_utf8(&word.text) {
                Err(_) => Err("the path is not UTF-8".into()),
                Ok(_) if self.open.len() >= limits::RULE_INCLUDE_DEPTH => {
                    Err(format!("includes are nested more than {} deep", limits::RULE_INCLUDE_DEPTH))
                }
                Ok(pattern) => match self.loader.include(source.path(), pattern) {
                    Ok(sources) if sources.is_empty() && !is_optional => Err("no file matches".into()),
                    Ok(sources) => Ok(sources),
                    Err(error) if is_optional && error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                    Err(error) => Err(format!("cannot read: {error}")),
                },
            };
            let sources = match problem {
                Ok(sources) => sources,
                Err(reason) => {
                    let advice = "the path is relative to the file that names it; IncludeOptional accepts none";
                    context.problems.push(context.error(word, 0, &reason).advise(advice));
                    Vec::new()
                }
            };
            for included in sources {
                if self.open.iter().any(|path| path == included.path()) {
                    let message = format!("{} includes itself", included.path().display());
                    context.problems.push(context.error(word, 0, &message));
                } else if self.files >= limits::RULE_FILES {
                    let message = format!("there are more than {} rule files", limits::RULE_FILES);
                    context.problems.push(context.error(word, 0, &message));
                    break;
                } else {
                    self.file(&included);
                }
            }
            for problem in context.problems {
                self.report(problem);
            }
        }
    }
}

/// One logical line being read, and what was found wrong in it.
struct Context<'c> {
    source: &'c Source,
    line: &'c Line<'c>,
    problems: Vec<Diagnostic>,
}

fn located(source: &Source, line: &Line<'_>, offset: usize) -> Location {
    Location { source: source.clone(), position: line.position(offset) }
}

/// After so many problems in one list the rest of it is not read: it is no list.
const PROBLEMS_OF_A_LIST: usize = 20;

/// A part of a line as a message shows it.
fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 60;
    let cut = text.get(..LONGEST).unwrap_or(text);
    let ellipsis = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{ellipsis}", cut.escape_ascii())
}

impl Context<'_> {
    fn location(&self, word: &Word<'_>, index: usize) -> Location {
        located(self.source, self.line, word.offset(index))
    }

    /// An error at a byte of a word; at its first byte it underlines the whole word.
    fn error(&self, word: &Word<'_>, index: usize, message: &str) -> Diagnostic {
        let length = if index == 0 { word.text.len() } else { 1 };
        Diagnostic::error(self.location(word, index), message).spanning(length)
    }

    fn row(&mut self, word: &Word<'_>) -> Option<&'static DirectiveRow> {
        if let Some(row) = find(DIRECTIVES, &word.text) {
            return Some(row);
        }
        let name = shown(&word.text);
        let problem = if name.starts_with('<') {
            self.error(word, 0, "sections of Apache are not part of a rule file").advise(
                "sites and routes of the configuration choose rules; keep the directives and remove the section",
            )
        } else {
            let problem = self.error(word, 0, &format!("unknown directive {name}"));
            match did_you_mean(closest(DIRECTIVES, &word.text)) {
                Some(advice) => problem.advise(advice),
                None => problem,
            }
        };
        self.problems.push(problem);
        None
    }

    /// Most directives are one node; some are one per argument.
    fn directive(&mut self, row: &'static DirectiveRow, words: &[Word<'_>]) -> Vec<DirectiveKind> {
        self.support(row, words);
        let kind = match row.name {
            "SecRule" => self.rule(words).map(DirectiveKind::Rule),
            "SecAction" => self.only(row, words).map(|word| DirectiveKind::Action(self.actions(word))),
            "SecMarker" => self.only(row, words).map(|word| DirectiveKind::Marker(word.text.to_vec())),
            "SecDefaultAction" => self.only(row, words).map(|word| DirectiveKind::DefaultAction(self.actions(word))),
            "SecRuleRemoveById" => {
                self.some(row, words);
                let ranges = words.iter().flat_map(|word| self.ids(word)).collect::<Vec<_>>();
                (!ranges.is_empty()).then_some(DirectiveKind::RemoveById(ranges))
            }
            "SecRuleRemoveByTag" => {
                self.some(row, words);
                return words.iter().map(|word| DirectiveKind::RemoveByTag(word.text.to_vec())).collect();
            }
            "SecRuleRemoveByMsg" => {
                self.some(row, words);
                return words.iter().map(|word| DirectiveKind::RemoveByMsg(word.text.to_vec())).collect();
            }
            "SecRuleUpdateTargetById" | "SecRuleUpdateTargetByTag" | "SecRuleUpdateTargetByMsg" => {
                self.update_target(row, words)
            }
            "SecRuleUpdateActionById" => self.update_action(row, words),
            _ => Some(self.setting(row, words)),
        };
        kind.into_iter().collect()
    }

    fn support(&mut self, row: &'static DirectiveRow, words: &[Word<'_>]) {
        let is_harmless = words.first().is_some_and(|word| {
            row.harmless.iter().any(|harmless| harmless.as_bytes().eq_ignore_ascii_case(&word.text))
        });
        if is_harmless {
            return;
        }
        let location = located(self.source, self.line, self.line.text().iter().take_while(|b| is_space(**b)).count());
        match row.support {
            Support::Full => {}
            Support::Inert(reason) => self.problems.push(
                Diagnostic::warning(location, format!("{} does nothing: {reason}", row.name)).spanning(row.name.len()),
            ),
            Support::Refused(reason) => self.problems.push(
                Diagnostic::error(location, format!("{} is not supported: {reason}", row.name))
                    .spanning(row.name.len())
                    .advise("remove it"),
            ),
        }
    }

    /// Reports a wrong number of arguments.
    fn exactly(&mut self, row: &DirectiveRow, words: &[Word<'_>], count: usize) -> bool {
        self.between(row, words, count, count)
    }

    /// The only argument.
    fn only<'w, 'l>(&mut self, row: &DirectiveRow, words: &'w [Word<'l>]) -> Option<&'w Word<'l>> {
        if self.exactly(row, words, 1) { words.first() } else { None }
    }

    fn some(&mut self, row: &DirectiveRow, words: &[Word<'_>]) -> bool {
        self.between(row, words, 1, usize::MAX)
    }

    fn between(&mut self, row: &DirectiveRow, words: &[Word<'_>], least: usize, most: usize) -> bool {
        if (least..=most).contains(&words.len()) {
            return true;
        }
        let wanted = match (least, most) {
            (0, 0) => "no arguments".to_owned(),
            (1, 1) => "one argument".to_owned(),
            (least, usize::MAX) => format!("at least {least} argument{}", if least == 1 { "" } else { "s" }),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        let message = format!("{} takes {wanted}, here are {}", row.name, words.len());
        let problem = match words.get(most) {
            Some(extra) => self.error(extra, 0, &message).advise("put quotes around an argument that contains spaces"),
            None => {
                let end = self.line.text().len();
                Diagnostic::error(located(self.source, self.line, end), message)
            }
        };
        self.problems.push(problem);
        false
    }

    fn rule(&mut self, words: &[Word<'_>]) -> Option<Rule> {
        let row = find(DIRECTIVES, b"SecRule")?;
        if !self.between(row, words, 2, 3) {
            return None;
        }
        let targets = self.targets(words.first()?);
        let operator = self.operator(words.get(1)?);
        let actions = words.get(2).map(|word| self.actions(word)).unwrap_or_default();
        Some(Rule { targets, operator, actions })
    }

    fn operator(&mut self, word: &Word<'_>) -> OperatorCall {
        let location = self.location(word, 0);
        let text = &word.text[..];
        let (is_negated, rest) = match text.strip_prefix(b"!") {
            Some(rest) => (true, trim_start(rest)),
            None => (false, text),
        };
        let at = text.len() - rest.len();
        let (name, rest) = match rest.strip_prefix(b"@") {
            Some(call) => {
                let length = call.iter().position(|b| is_space(*b)).unwrap_or(call.len());
                let (name, argument) = call.split_at_checked(length).unwrap_or((call, b""));
                (name, trim_start(argument))
            }
            None => (&b"rx"[..], rest),
        };
        let Some(row) = find(OPERATORS, name) else {
            let problem = self.error(word, at, &format!("unknown operator @{}", shown(name))).spanning(name.len() + 1);
            self.problems.push(match closest(OPERATORS, name) {
                Some(name) => problem.advise(format!("did you mean @{name}?")),
                None => problem.advise("a pattern that begins with @ is written \"@rx @…\""),
            });
            return OperatorCall { location, is_negated, name: "rx", argument: rest.to_vec() };
        };
        let needs =
            matches!(row.argument, OperatorArgument::Words | OperatorArgument::File | OperatorArgument::Required);
        if let Support::Refused(reason) = row.support {
            let message = format!("the operator @{} is not supported: {reason}", row.name);
            let problem = self.error(word, at, &message).spanning(name.len() + 1);
            self.problems.push(problem);
        } else if needs && trim_start(rest).is_empty() {
            let problem = self.error(word, at, &format!("the operator @{} needs an argument", row.name));
            self.problems.push(problem);
        }
        OperatorCall { location, is_negated, name: row.name, argument: rest.to_vec() }
    }

    fn update_target(&mut self, row: &'static DirectiveRow, words: &[Word<'_>]) -> Option<DirectiveKind> {
        if !self.between(row, words, 2, 3) {
            return None;
        }
        let subject = words.first()?;
        let targets = self.targets(words.get(1)?);
        let replaces = words.get(2).map(|word| self.targets(word));
        let update = TargetUpdate { targets, replaces };
        Some(match row.name {
            "SecRuleUpdateTargetById" => DirectiveKind::UpdateTargetById(self.ids(subject), update),
            "SecRuleUpdateTargetByTag" => DirectiveKind::UpdateTargetByTag(subject.text.to_vec(), update),
            _ => DirectiveKind::UpdateTargetByMsg(subject.text.to_vec(), update),
        })
    }

    fn update_action(&mut self, row: &'static DirectiveRow, words: &[Word<'_>]) -> Option<DirectiveKind> {
        if !self.exactly(row, words, 2) {
            return None;
        }
        let (subject, list) = (words.first()?, words.get(1)?);
        let mut parts = subject.text.split(|b| *b == b':');
        let id = parts.next().and_then(number);
        let offset = parts.next().map_or(Some(0), number);
        let (Some(id), Some(offset), None) = (id, offset, parts.next()) else {
            let problem = self.error(subject, 0, "this is neither a rule id nor id:offset");
            self.problems.push(problem);
            return None;
        };
        let actions = self.actions(list);
        if let Some(own) = actions.iter().find(|action| action.name == "id" || action.name == "phase") {
            let message = format!("SecRuleUpdateActionById cannot change the {} of a rule", own.name);
            self.problems.push(Diagnostic::error(own.location.clone(), message));
        }
        Some(DirectiveKind::UpdateActionById { id, offset, actions })
    }

    /// `1`, `2-5`, `6,7-9`.
    fn ids(&mut self, word: &Word<'_>) -> Vec<IdRange> {
        match id_ranges(&word.text) {
            Some(ranges) => ranges,
            None => {
                let problem = self.error(word, 0, "this is neither a rule id nor a range of ids such as 100-199");
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    fn setting(&mut self, row: &'static DirectiveRow, words: &[Word<'_>]) -> DirectiveKind {
        let is_right = match row.arguments {
            Arguments::None => self.exactly(row, words, 0),
            Arguments::OneOf(_) | Arguments::Number | Arguments::Mode | Arguments::Text => self.exactly(row, words, 1),
            Arguments::TextAndOptional => self.between(row, words, 1, 2),
            Arguments::TwoTexts => self.exactly(row, words, 2),
            Arguments::Texts | Arguments::Structured => self.some(row, words),
        };
        if is_right {
            self.check_setting(row, words);
        }
        let arguments = words.iter().map(|word| word.text.to_vec()).collect();
        DirectiveKind::Setting(super::ast::Setting { name: row.name, arguments })
    }
}

/// `1`, `2-5`, `6,7-9`; `None` when it is something else.
pub(super) fn id_ranges(text: &[u8]) -> Option<Vec<IdRange>> {
    let parts = text.split(|b| *b == b',' || is_space(*b)).filter(|part| !part.is_empty());
    let ranges = parts.map(|part| match part.iter().position(|b| *b == b'-') {
        None => number(part).map(|id| IdRange { first: id, last: id }),
        Some(dash) => {
            let first = number(part.get(..dash)?)?;
            let last = number(part.get(dash + 1..)?)?;
            (first <= last).then_some(IdRange { first, last })
        }
    });
    ranges.collect::<Option<Vec<_>>>().filter(|ranges| !ranges.is_empty())
}

/// Decimal digits only.
fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    let is_decimal = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_decimal.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|b| is_space(**b)).count();
    text.get(blank..).unwrap_or_default()
}
