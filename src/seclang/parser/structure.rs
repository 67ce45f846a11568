//! What can only be seen across directives: ids that are missing or used twice, chains that break off or whose
//! links say what only their first rule may say, defaults that are incomplete.

use std::collections::HashMap;

use super::number;
use crate::diagnostics::{Diagnostic, Location};
use crate::seclang::action::{ACTIONS, ActionGroup};
use crate::seclang::ast::{Action, Directive, DirectiveKind, Ruleset};
use crate::seclang::table::find;

/// The id of a rule.
pub(super) fn id_of(kind: &DirectiveKind) -> Option<u32> {
    let id = actions_of(kind)?.iter().find(|action| action.name == "id")?;
    number(id.argument.as_deref()?)
}

/// All problems of the tree. `has_gaps`: a rule could not be read at all, so chains are not judged.
pub(super) fn check(ruleset: &Ruleset, has_gaps: bool) -> Vec<Diagnostic> {
    let mut checker = Checker { seen: HashMap::new(), problems: Vec::new(), chain: None };
    for directive in &ruleset.directives {
        match &directive.kind {
            DirectiveKind::Rule(rule) => checker.rule(directive, &rule.actions, has_gaps),
            DirectiveKind::Action(actions) => checker.rule(directive, actions, has_gaps),
            DirectiveKind::DefaultAction(actions) => checker.defaults(directive, actions),
            _ => {}
        }
    }
    checker.dangling(has_gaps);
    checker.problems
}

/// The actions of a rule.
fn actions_of(kind: &DirectiveKind) -> Option<&[Action]> {
    match kind {
        DirectiveKind::Rule(rule) => Some(&rule.actions),
        DirectiveKind::Action(actions) => Some(actions),
        _ => None,
    }
}

struct Checker<'r> {
    seen: HashMap<u32, &'r Location>,
    problems: Vec<Diagnostic>,
    /// The rule that asks for a next link, and the id of its chain.
    chain: Option<(&'r Location, Option<u32>)>,
}

impl<'r> Checker<'r> {
    fn rule(&mut self, directive: &'r Directive, actions: &'r [Action], has_gaps: bool) {
        let id = id_of(&directive.kind);
        let has = |name: &str| actions.iter().any(|action| action.name == name);
        let starter = match self.chain.take() {
            Some((_, starter)) if !has_gaps => {
                self.link(actions, starter);
                starter
            }
            Some((_, starter)) => starter,
            None => {
                self.starter(directive, actions, id, has_gaps);
                id
            }
        };
        if has("chain") {
            self.chain = Some((&directive.location, starter));
        }
    }

    fn starter(&mut self, directive: &'r Directive, actions: &[Action], id: Option<u32>, has_gaps: bool) {
        match id {
            // With a bad id, the id itself was reported.
            None if has_gaps => {}
            None => {
                let problem = match &directive.kind {
                    // ModSecurity 3 lets it pass.
                    DirectiveKind::Action(_) => {
                        Diagnostic::warning(directive.location.clone(), "the rule has no id, so nothing can name it")
                    }
                    _ => Diagnostic::error(directive.location.clone(), "the rule has no id"),
                };
                self.problems.push(problem.advise("give every rule an action id with a number of its own"));
            }
            Some(id) => match self.seen.get(&id) {
                Some(first) => self.problems.push(
                    Diagnostic::error(directive.location.clone(), format!("the id {id} is used by another rule"))
                        .rule(id)
                        .advise(format!("the first is at {first}")),
                ),
                None => {
                    self.seen.insert(id, &directive.location);
                }
            },
        }
        let is_logging = actions.iter().any(|a| a.name == "phase" && a.argument.as_deref() == Some(b"5"));
        let stops = |action: &&Action| matches!(action.name, "deny" | "drop" | "redirect");
        if let Some(action) = actions.iter().find(stops).filter(|_| is_logging) {
            let message = format!("{} comes too late in phase 5", action.name);
            self.push(action, id, message, "phase 5 only logs; use an earlier phase or pass");
        }
    }

    fn link(&mut self, actions: &[Action], starter: Option<u32>) {
        for action in actions {
            let Some(row) = find(ACTIONS, action.name.as_bytes()) else { continue };
            let is_first_only =
                row.group == ActionGroup::Disruptive || matches!(action.name, "phase" | "skip" | "skipAfter");
            if action.name == "id" {
                // ModSecurity 3 lets it pass.
                let message = "the id of a chain is that of its first rule; this one is not used";
                let problem = Diagnostic::warning(action.location.clone(), message).spanning(action.name.len());
                self.problems.push(Diagnostic { rule_id: starter, ..problem });
            } else if is_first_only {
                let message = format!("{} belongs to the first rule of a chain", action.name);
                self.push(action, starter, message, "move it there");
            }
        }
    }

    fn defaults(&mut self, directive: &Directive, actions: &[Action]) {
        let has = |wanted: &dyn Fn(&Action) -> bool| actions.iter().any(wanted);
        let group = |action: &Action| find(ACTIONS, action.name.as_bytes()).map(|row| row.group);
        let mut missing = Vec::new();
        if !has(&|action| action.name == "phase") {
            missing.push("a phase");
        }
        if !has(&|action| group(action) == Some(ActionGroup::Disruptive)) {
            missing.push("a disruptive action such as pass or deny");
        }
        if !missing.is_empty() {
            let message = format!("SecDefaultAction lacks {}", missing.join(" and "));
            self.problems.push(Diagnostic::error(directive.location.clone(), message));
        }
        for action in actions {
            let is_of_a_rule = group(action) == Some(ActionGroup::Flow)
                || (group(action) == Some(ActionGroup::Metadata)
                    && !matches!(action.name, "phase" | "severity" | "tag"));
            if action.name == "block" {
                let message = "block as a default does nothing: it stands for the default itself";
                let problem = Diagnostic::warning(action.location.clone(), message).spanning(action.name.len());
                self.problems.push(problem);
            } else if is_of_a_rule {
                let message = format!("{} cannot be a default", action.name);
                self.push(action, None, message, "write it in each rule");
            }
        }
    }

    fn dangling(&mut self, has_gaps: bool) {
        if let Some((location, id)) = self.chain.filter(|_| !has_gaps) {
            let message = "the chain breaks off: no rule follows, so it never matches";
            let problem = Diagnostic::warning(location.clone(), message)
                .advise("remove chain from the last rule, or add the rule that is missing");
            self.problems.push(Diagnostic { rule_id: id, ..problem });
        }
    }

    fn push(&mut self, action: &Action, rule_id: Option<u32>, message: String, advice: &str) {
        let problem = Diagnostic::error(action.location.clone(), message).spanning(action.name.len()).advise(advice);
        self.problems.push(Diagnostic { rule_id, ..problem });
    }
}
