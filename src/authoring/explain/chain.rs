//! The rules of a tree put together to chains, with what they inherit from `SecDefaultAction`.

use super::{Influence, Place, fits, lossy};
use crate::diagnostics::Location;
use crate::seclang::ast::{Action, DirectiveKind, IdRange, Rule, Ruleset, Selector};
use crate::seclang::format::{action_text, operator_text, targets_text};

/// A rule and the links that belong to it.
#[derive(Debug)]
pub(super) struct Chain<'r> {
    pub(super) id: Option<u32>,
    pub(super) phase: u8,
    /// Index of its first directive.
    pub(super) position: usize,
    /// What `SecDefaultAction` says at this place.
    pub(super) defaults: &'r [Action],
    pub(super) default_place: Option<Place>,
    pub(super) links: Vec<Link<'r>>,
}

/// One directive of it.
#[derive(Debug)]
pub(super) struct Link<'r> {
    location: &'r Location,
    /// `None`: `SecAction`.
    pub(super) rule: Option<&'r Rule>,
    pub(super) actions: &'r [Action],
}

/// All of a rule set, in order.
pub(super) fn chains(ruleset: &Ruleset) -> Vec<Chain<'_>> {
    let mut chains: Vec<Chain<'_>> = Vec::new();
    let mut defaults: &[Action] = &[];
    let mut default_place = None;
    let mut is_open = false;
    for (position, directive) in ruleset.directives.iter().enumerate() {
        let (rule, actions) = match &directive.kind {
            DirectiveKind::Rule(rule) => (Some(rule), &rule.actions),
            DirectiveKind::Action(actions) => (None, actions),
            DirectiveKind::DefaultAction(actions) => {
                defaults = actions;
                default_place = Some(place(&directive.location));
                continue;
            }
            _ => continue,
        };
        let link = Link { location: &directive.location, rule, actions };
        let has_link = link.last("chain").is_some();
        match chains.last_mut().filter(|_| is_open) {
            Some(chain) => chain.links.push(link),
            None => chains.push(Chain {
                id: link.argument("id").and_then(|id| id.parse().ok()),
                phase: phase(actions).or_else(|| phase(defaults)).unwrap_or(2),
                position,
                defaults,
                default_place: default_place.clone(),
                links: vec![link],
            }),
        }
        is_open = has_link;
    }
    chains
}

fn phase(actions: &[Action]) -> Option<u8> {
    let action = actions.iter().rfind(|action| action.name == "phase")?;
    match lossy(action.argument.as_deref()?).to_ascii_lowercase().as_str() {
        "request" => Some(2),
        "response" => Some(4),
        "logging" => Some(5),
        number => number.parse().ok(),
    }
}

pub(super) fn place(location: &Location) -> Place {
    Place { file: location.source.path().display().to_string(), line: location.position.line }
}

/// Where `skipAfter` goes on: the marker, or the rule of that id, next behind a position.
pub(super) fn label(ruleset: &Ruleset, chains: &[Chain<'_>], label: &[u8], after: usize) -> Option<usize> {
    let is_marker = |kind: &DirectiveKind| matches!(kind, DirectiveKind::Marker(name) if name == label);
    let markers = ruleset.directives.iter().enumerate().skip(after + 1);
    let marker = markers.filter(|(_, directive)| is_marker(&directive.kind)).map(|(position, _)| position).next();
    let id = lossy(label).parse::<u32>().ok();
    let rules = chains.iter().filter(|chain| id.is_some() && chain.id == id && chain.position > after);
    // A rule is passed over with the label on it.
    let rule = rules.map(|chain| chain.position + 1).next();
    match (marker, rule) {
        (Some(marker), Some(rule)) => Some(marker.min(rule)),
        (marker, rule) => marker.or(rule),
    }
}

/// Where `skip:N` goes on.
pub(super) fn nth_after(chains: &[Chain<'_>], from: &Chain<'_>, count: usize) -> Option<usize> {
    let mut behind = chains.iter().filter(|chain| chain.phase == from.phase && chain.position > from.position);
    behind.nth(count).map(|chain| chain.position).or(Some(usize::MAX))
}

impl Link<'_> {
    /// The action of this name that counts.
    pub(super) fn last(&self, name: &str) -> Option<&Action> {
        self.actions.iter().rfind(|action| action.name == name)
    }

    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.actions.iter().filter(move |action| action.name == name).filter_map(|action| action.argument.as_deref())
    }

    fn argument(&self, name: &str) -> Option<String> {
        self.last(name)?.argument.as_deref().map(lossy)
    }

    pub(super) fn place(&self) -> Place {
        place(self.location)
    }
}

impl Chain<'_> {
    pub(super) fn is_in(&self, ranges: &[IdRange]) -> bool {
        self.id.is_some_and(|id| ranges.iter().any(|range| (range.first..=range.last).contains(&id)))
    }

    pub(super) fn has_tag(&self, pattern: &[u8]) -> bool {
        self.links.first().is_some_and(|starter| starter.all("tag").any(|tag| fits(pattern, tag)))
    }

    pub(super) fn says(&self, pattern: &[u8]) -> bool {
        let message = self.links.first().and_then(|starter| starter.last("msg"));
        message.and_then(|action| action.argument.as_deref()).is_some_and(|message| fits(pattern, message))
    }

    /// The level that a rule such as `TX:DETECTION_PARANOIA_LEVEL "@lt 2"` asks for.
    pub(super) fn paranoia_level(&self) -> Option<u8> {
        let [Link { rule: Some(rule), .. }] = self.links.as_slice() else { return None };
        let [target] = rule.targets.as_slice() else { return None };
        let Some(Selector::Key(key)) = &target.selector else { return None };
        let is_level = target.name == "TX" && key.to_ascii_lowercase().ends_with(b"paranoia_level");
        let is_below = rule.operator.name == "lt" && !rule.operator.is_negated;
        if is_level && is_below { lossy(&rule.operator.argument).trim().parse().ok() } else { None }
    }

    /// What one of its actions does to another rule.
    pub(super) fn influence(&self, action: &Action) -> Influence {
        let place = self.links.first().map(Link::place);
        Influence {
            text: lossy(&action_text(action)),
            place: place.unwrap_or(Place { file: String::new(), line: 0 }),
            rule: self.id,
            when: self.condition(),
            void: None,
        }
    }

    /// `REQUEST_METHOD @streq GET and ARGS:a @rx b`; `None` if it always matches.
    fn condition(&self) -> Option<String> {
        let links = self.links.iter().filter_map(|link| link.rule);
        let words: Vec<_> = links
            .map(|rule| format!("{} {}", lossy(&targets_text(&rule.targets)), lossy(&operator_text(&rule.operator))))
            .collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }
}
