//! `portcullis rules explain`: one rule in words, what keeps it from running, and what changes it.
//!
//! Works on the tree, not on the compiled program: a rule is shown as it is written, and every line that takes it away
//! or changes it is named with its place, which is what somebody who looks for a false positive wants to know. What the
//! words mean comes from the tables of the language, so it is what `docs/seclang.md` says.

mod chain;
mod text;

use serde::Serialize;

use crate::seclang::action::{ACTIONS, ActionGroup};
use crate::seclang::ast::{Action, DirectiveKind, IdRange, Ruleset, Target};
use crate::seclang::format::{action_text, operator_text, targets_text};
use crate::seclang::operator::OPERATORS;
use crate::seclang::table::{Named, find};
use crate::seclang::transformation::TRANSFORMATIONS;
use crate::seclang::variable::VARIABLES;
use crate::waf::regex::{Regex, RegexCache, RegexOptions};
use chain::{Chain, Link};

/// What is to know of a rule.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Its number.
    pub id: u32,
    /// Where it begins.
    #[serde(flatten)]
    pub place: Place,
    /// `msg`
    pub message: Option<String>,
    /// `severity`
    pub severity: Option<String>,
    /// When it runs, 1 to 5.
    pub phase: u8,
    /// The paranoia level from which on it runs, if rules before it ask for one.
    pub paranoia: Option<u8>,
    /// The rule itself, and the further links of its chain.
    pub links: Vec<Condition>,
    /// What a match does to the request.
    pub effect: Effect,
    /// `tag`, in order.
    pub tags: Vec<String>,
    /// Rules that pass it over.
    pub skipped_by: Vec<Influence>,
    /// Directives and rules that take it away or change it.
    pub changed_by: Vec<Influence>,
}

/// File and line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// As the rule set names it.
    pub file: String,
    /// From 1.
    pub line: u32,
}

/// A piece of a rule and what it means.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// As written.
    pub text: String,
    /// In words.
    pub meaning: String,
}

/// One `SecRule` or `SecAction`.
#[derive(Debug, Serialize)]
pub struct Condition {
    /// Where it begins.
    #[serde(flatten)]
    pub place: Place,
    /// What it looks at; nothing for `SecAction`.
    pub targets: Vec<Piece>,
    /// What is done to each value first, in order, inherited ones included.
    pub transformations: Vec<Piece>,
    /// What must hold of one value.
    pub operator: Option<Piece>,
    /// Must it not hold?
    pub is_negated: bool,
    /// What is done at a match.
    pub actions: Vec<Piece>,
}

/// The disruptive action.
#[derive(Debug, Serialize)]
pub struct Effect {
    /// The action in force: `deny`, `pass`.
    pub action: String,
    /// In words.
    pub meaning: String,
    /// Where the action comes from, if the rule leaves it to SecDefaultAction.
    pub default: Option<Place>,
}

/// Something that acts on the rule.
#[derive(Debug, Serialize)]
pub struct Influence {
    /// The directive, or the action of a rule, as written.
    pub text: String,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The rule that carries it.
    pub rule: Option<u32>,
    /// When that rule matches.
    pub when: Option<String>,
    /// Why it has no effect.
    pub void: Option<String>,
}

/// Explains the rule with this id; `None` if there is none.
pub fn explain(ruleset: &Ruleset, id: u32) -> Option<Explanation> {
    let chains = chain::chains(ruleset);
    let own = chains.iter().find(|chain| chain.id == Some(id))?;
    let starter = own.links.first()?;
    let text_of = |name: &str| starter.last(name).and_then(|action| action.argument.as_deref()).map(lossy);
    let gates = skipped_by(ruleset, &chains, own);
    Some(Explanation {
        id,
        place: starter.place(),
        message: text_of("msg"),
        severity: text_of("severity"),
        phase: own.phase,
        paranoia: gates.iter().filter_map(|(chain, _)| chain.paranoia_level()).max(),
        links: own.links.iter().map(|link| condition(link, own)).collect(),
        effect: effect(own, starter),
        tags: starter.all("tag").map(lossy).collect(),
        skipped_by: gates.into_iter().map(|(_, influence)| influence).collect(),
        changed_by: changed_by(ruleset, &chains, own),
    })
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn condition(link: &Link<'_>, chain: &Chain<'_>) -> Condition {
    let rule = link.rule;
    let mut transformations: Vec<Piece> = Vec::new();
    for action in chain.defaults.iter().chain(link.actions).filter(|action| action.name == "t") {
        let name = action.argument.as_deref().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"none") {
            transformations.clear();
        } else if let Some(row) = find(TRANSFORMATIONS, name) {
            transformations.push(Piece { text: row.name.into(), meaning: row.doc.into() });
        }
    }
    let actions = link.actions.iter().filter(|action| !is_told_elsewhere(action));
    Condition {
        place: link.place(),
        targets: rule.map(|rule| rule.targets.iter().map(target).collect()).unwrap_or_default(),
        transformations,
        operator: rule.map(|rule| Piece {
            text: lossy(&operator_text(&rule.operator)),
            meaning: doc(OPERATORS, rule.operator.name, |row| row.doc),
        }),
        is_negated: rule.is_some_and(|rule| rule.operator.is_negated),
        actions: actions
            .map(|action| Piece {
                text: lossy(&action_text(action)),
                meaning: doc(ACTIONS, action.name, |row| row.doc),
            })
            .collect(),
    }
}

fn doc<R: Named>(rows: &'static [R], name: &str, doc: fn(&R) -> &'static str) -> String {
    find(rows, name.as_bytes()).map(doc).unwrap_or_default().into()
}

/// In the head of the explanation, among the transformations, or as the effect.
fn is_told_elsewhere(action: &Action) -> bool {
    let group = find(ACTIONS, action.name.as_bytes()).map(|row| row.group);
    matches!(action.name, "id" | "phase" | "msg" | "severity" | "tag" | "t" | "chain" | "status")
        || group == Some(ActionGroup::Disruptive)
}

fn target(target: &Target) -> Piece {
    use crate::seclang::ast::Selector;
    let doc = doc(VARIABLES, target.name, |row| row.doc);
    let chosen = match &target.selector {
        None => String::new(),
        Some(Selector::Key(key)) => format!(" Only those named {}.", lossy(key)),
        Some(Selector::Regex(pattern)) => format!(" Only those whose name matches {}.", lossy(pattern)),
        Some(Selector::XPath(path)) => format!(" Only {}.", lossy(path)),
    };
    let meaning = match (target.is_exclusion, target.is_count) {
        (true, _) => "Not these, of what stands before.".to_owned(),
        (false, true) => format!("How many there are of: {doc}{chosen}"),
        (false, false) => format!("{doc}{chosen}"),
    };
    Piece { text: lossy(&targets_text(std::slice::from_ref(target))), meaning }
}

fn effect(chain: &Chain<'_>, starter: &Link<'_>) -> Effect {
    let is_disruptive = |action: &&Action| {
        find(ACTIONS, action.name.as_bytes()).is_some_and(|row| row.group == ActionGroup::Disruptive)
    };
    let own = starter.actions.iter().rfind(is_disruptive).filter(|action| action.name != "block");
    let inherited = chain.defaults.iter().rfind(is_disruptive).filter(|action| action.name != "block");
    let action = own.or(inherited);
    let status = [starter.actions, chain.defaults].iter().find_map(|actions| {
        actions.iter().rfind(|action| action.name == "status").and_then(|action| action.argument.as_deref())
    });
    let name = action.map_or("pass", |action| action.name);
    let meaning = match (name, status) {
        ("deny", status) => format!("Answers with status {}.", status.map_or_else(|| "403".into(), lossy)),
        (name, _) => doc(ACTIONS, name, |row| row.doc),
    };
    Effect {
        action: action.map_or_else(|| "pass".into(), |action| lossy(&action_text(action))),
        meaning,
        default: own.is_none().then_some(chain.default_place.clone()).flatten(),
    }
}

/// Rules before it in its phase that go on behind it.
fn skipped_by<'c, 'r>(ruleset: &Ruleset, chains: &'c [Chain<'r>], own: &Chain<'_>) -> Vec<(&'c Chain<'r>, Influence)> {
    let before = chains.iter().filter(|chain| chain.phase == own.phase && chain.position < own.position);
    let skipping = before.filter_map(|chain| Some((chain, chain.influence(skip_over(ruleset, chains, chain, own)?))));
    skipping.collect()
}

/// The action by which a rule passes another one over.
fn skip_over<'r>(ruleset: &Ruleset, chains: &[Chain<'r>], chain: &Chain<'r>, own: &Chain<'_>) -> Option<&'r Action> {
    chain.links.first()?.actions.iter().find(|action| {
        let argument = action.argument.as_deref().unwrap_or_default();
        let lands = match action.name {
            "skipAfter" => chain::label(ruleset, chains, argument, chain.position),
            "skip" => chain::nth_after(chains, chain, lossy(argument).parse().unwrap_or(0)),
            _ => return false,
        };
        // A marker that is not there ends the phase.
        lands.is_none_or(|lands| lands > own.position)
    })
}

/// Directives and `ctl` actions that name the rule by id, tag or message.
fn changed_by(ruleset: &Ruleset, chains: &[Chain<'_>], own: &Chain<'_>) -> Vec<Influence> {
    let mut found = Vec::new();
    for directive in &ruleset.directives {
        let is_meant = match &directive.kind {
            DirectiveKind::RemoveById(ranges) | DirectiveKind::UpdateTargetById(ranges, _) => own.is_in(ranges),
            DirectiveKind::RemoveByTag(pattern) | DirectiveKind::UpdateTargetByTag(pattern, _) => own.has_tag(pattern),
            DirectiveKind::RemoveByMsg(pattern) | DirectiveKind::UpdateTargetByMsg(pattern, _) => own.says(pattern),
            DirectiveKind::UpdateActionById { id, .. } => own.id == Some(*id),
            _ => false,
        };
        if is_meant {
            found.push(Influence {
                text: text::one_line(directive),
                place: chain::place(&directive.location),
                rule: None,
                when: None,
                void: None,
            });
        }
    }
    for chain in chains {
        for link in &chain.links {
            for action in link.actions.iter().filter(|action| is_removal_of(action, own)) {
                let is_late = (chain.phase, chain.position) > (own.phase, own.position);
                let void = is_late.then(|| "it runs after the rule".to_owned());
                found.push(Influence { place: link.place(), void, ..chain.influence(action) });
            }
        }
    }
    found
}

fn is_removal_of(action: &Action, own: &Chain<'_>) -> bool {
    let Some(argument) = action.argument.as_deref().filter(|_| action.name == "ctl") else { return false };
    let Some(equals) = argument.iter().position(|byte| *byte == b'=') else { return false };
    let (option, value) = (argument.get(..equals).unwrap_or_default(), argument.get(equals + 1..).unwrap_or_default());
    let subject = value.split(|byte| *byte == b';').next().unwrap_or_default();
    match option.to_ascii_lowercase().as_slice() {
        b"ruleremovebyid" | b"ruleremovetargetbyid" => own.is_in(&ranges(subject)),
        b"ruleremovebytag" | b"ruleremovetargetbytag" => own.has_tag(subject),
        b"ruleremovebymsg" | b"ruleremovetargetbymsg" => own.says(subject),
        _ => false,
    }
}

/// `1-3 7,9`
fn ranges(text: &[u8]) -> Vec<IdRange> {
    let text = lossy(text);
    let words = text.split([' ', ',']).filter_map(|word| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some(IdRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? })
    });
    words.collect()
}

/// Tags and messages are chosen by patterns, unanchored.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let Ok(regex) = Regex::compile(pattern, RegexOptions::default()) else { return false };
    regex.is_match(&mut RegexCache::new(), text).unwrap_or(false)
}

#[cfg(test)]
mod tests;
