//! What is worth knowing about rules that are no errors, for `rules lint`: patterns that run on the backtracker, and rules
//! that can never match.

use std::path::Path;

use super::Program;
use super::collection::Variable;
use super::operator::Operator;
use super::program::Rule;
use crate::diagnostics::{Diagnostic, Diagnostics, Location, Position, Source};
use crate::seclang::SourceLoader;

impl Program {
    /// Remarks on all rules, in order. Files are read again for the lines that they show.
    pub fn remarks(&self, loader: &dyn SourceLoader) -> Diagnostics {
        let mut remarks = Diagnostics::new();
        for phase in 1..=5 {
            for rule in self.phase(phase).filter_map(|index| self.rule(index)) {
                for (message, advice) in [self.slowness(rule), self.impossibility(rule, phase)].into_iter().flatten() {
                    let head = self.head(rule);
                    let location = location(loader, &head.file, rule.line);
                    remarks.push(Diagnostic::warning(location, message).advise(advice).rule(head.id.0));
                }
            }
        }
        remarks
    }

    fn slowness(&self, rule: &Rule) -> Option<(String, &'static str)> {
        let compiled = self.operator(rule.operator);
        let (Operator::Rx(Some(regex), _) | Operator::RxGlobal(Some(regex), _)) = &compiled.operator else {
            return None;
        };
        let message = "the pattern looks around, refers back or forbids giving back, so it runs on the backtracker";
        let advice = "its steps are bounded (SecPcreMatchLimit), and a value that needs more does not match; write it \
                      without (?=…), (?!…), (?<=…), (?>…), \\1 and possessive quantifiers if you can";
        regex.uses_backtracker().then(|| (message.to_owned(), advice))
    }

    /// Why no request can make the rule match.
    fn impossibility(&self, rule: &Rule, phase: u8) -> Option<(String, &'static str)> {
        let compiled = self.operator(rule.operator);
        let never = match &compiled.operator {
            _ if rule.is_negated || compiled.has_macros() => None,
            Operator::Phrases(phrases) if phrases.phrases().is_empty() => Some("its list of phrases is empty"),
            Operator::Rx(Some(regex), _) if regex.matches_nothing() => Some("nothing can match its pattern"),
            _ => None,
        };
        if let Some(reason) = never {
            return Some((format!("the rule can never match: {reason}"), "mend or remove it"));
        }
        let mut targets = self.targets(rule).iter().filter(|target| !target.is_exclusion).peekable();
        let first = targets.peek()?.variable;
        if targets.any(|target| target.is_count || first_phase(target.variable) <= phase) {
            return None;
        }
        let (name, from) = (first.name(), first_phase(first));
        let message = format!("the rule can never match: in phase {phase} there is no {name} yet");
        let advice = if from == 2 {
            "run it in phase 2"
        } else {
            "run it in the phase that has it: 3 for the head of \
             the response, 4 for its body"
        };
        Some((message, advice))
    }
}

/// The phase in which a variable may first have a value.
fn first_phase(variable: Variable) -> u8 {
    let name = variable.name();
    match name {
        "RESPONSE_BODY" => 4,
        "RESPONSE_HEADERS" | "RESPONSE_HEADERS_NAMES" | "RESPONSE_PROTOCOL" | "RESPONSE_STATUS" => 3,
        "ARGS_POST" | "ARGS_POST_NAMES" | "XML" | "REQUEST_BODY" => 2,
        "MULTIPART_PART_HEADERS" | "MULTIPART_NAME" | "MULTIPART_FILENAME" => 2,
        "FILES" | "FILES_NAMES" | "FILES_SIZES" | "FILES_TMPNAMES" | "FILES_TMP_CONTENT" => 2,
        _ => 1,
    }
}

fn location(loader: &dyn SourceLoader, file: &str, line: u32) -> Location {
    let path = Path::new(file);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(file);
    let text = loader.read(path, name).unwrap_or_default();
    Location { source: Source::new(path, text), position: Position { line, column: 1 } }
}
