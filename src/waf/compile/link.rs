//! Directives to chains, in the order of the text.
//!
//! A rule inherits from the last SecDefaultAction before it. SecRuleRemove… and SecRuleUpdate… change rules that stand
//! before them and no others, which is why exclusions are loaded after the rules that they concern. One that fits no
//! rule before it would do nothing, which nobody means: it is applied to the rules after it, as ModSecurity 3 does,
//! with a warning.

use super::Compiler;
use super::actions::{ActionSet, Disruptive};
use crate::diagnostics::Location;
use crate::seclang::ast::{Action, DirectiveKind, IdRange, OperatorCall, Ruleset, Target, TargetUpdate};

/// A chain, a lone rule, or a marker.
#[derive(Debug)]
pub(super) enum Item {
    Chain(Chain),
    Marker(Vec<u8>),
}

/// A rule and the links that follow it.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) id: u32,
    pub(super) phase: u8,
    pub(super) links: Vec<Link>,
    /// Taken away by SecRuleRemove…; it stays a place that skipAfter can name.
    pub(super) is_removed: bool,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) location: Location,
    /// `None` for SecAction.
    pub(super) condition: Option<Condition>,
    pub(super) actions: ActionSet,
}

/// What SecRule tests.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) targets: Vec<Target>,
    pub(super) operator: OperatorCall,
}

impl Chain {
    pub(super) fn starter(&self) -> Option<&Link> {
        self.links.first()
    }
}

/// Puts the chains together.
pub(super) fn link(compiler: &mut Compiler<'_>, ruleset: &Ruleset) -> Vec<Item> {
    let mut linker = Linker {
        compiler,
        items: Vec::new(),
        default: ActionSet::initial(),
        is_chain_open: false,
        early: Vec::new(),
        is_late: false,
    };
    for directive in &ruleset.directives {
        linker.directive(&directive.location, &directive.kind);
    }
    linker.is_late = true;
    for (location, kind) in std::mem::take(&mut linker.early) {
        linker.directive(location, kind);
    }
    linker.close_chain();
    linker.items
}

struct Linker<'c, 'a, 'r> {
    compiler: &'c mut Compiler<'a>,
    items: Vec<Item>,
    default: ActionSet,
    is_chain_open: bool,
    /// Changes that fitted no rule before them.
    early: Vec<(&'r Location, &'r DirectiveKind)>,
    /// Are all rules there, and the early changes made up for?
    is_late: bool,
}

impl<'r> Linker<'_, '_, 'r> {
    fn directive(&mut self, location: &'r Location, kind: &'r DirectiveKind) {
        let changed = match kind {
            DirectiveKind::Rule(rule) => {
                let condition = Condition { targets: rule.targets.clone(), operator: rule.operator.clone() };
                return self.rule(location, Some(condition), &rule.actions);
            }
            DirectiveKind::Action(actions) => return self.rule(location, None, actions),
            DirectiveKind::Marker(name) => return self.items.push(Item::Marker(name.clone())),
            DirectiveKind::DefaultAction(actions) => return self.set_default(location, actions),
            DirectiveKind::Setting(_) => return,
            DirectiveKind::RemoveById(ranges) => Some(self.remove(&mut |chain| is_in(chain.id, ranges))),
            DirectiveKind::RemoveByTag(pattern) => {
                self.tag_filter(location, pattern).map(|mut fits| self.remove(&mut fits))
            }
            DirectiveKind::RemoveByMsg(pattern) => {
                self.message_filter(location, pattern).map(|mut fits| self.remove(&mut fits))
            }
            DirectiveKind::UpdateTargetById(ranges, update) => {
                Some(self.update_targets(&mut |chain| is_in(chain.id, ranges), update))
            }
            DirectiveKind::UpdateTargetByTag(pattern, update) => {
                self.tag_filter(location, pattern).map(|mut fits| self.update_targets(&mut fits, update))
            }
            DirectiveKind::UpdateTargetByMsg(pattern, update) => {
                self.message_filter(location, pattern).map(|mut fits| self.update_targets(&mut fits, update))
            }
            DirectiveKind::UpdateActionById { id, offset, actions } => {
                Some(self.update_actions(location, *id, *offset, actions))
            }
        };
        match changed {
            Some(0) if !self.is_late => self.early.push((location, kind)),
            Some(0) => self.compiler.warn(location, None, "this changes nothing: no rule fits"),
            Some(_) if self.is_late => {
                let message = "no rule before this line fits, so it changes rules after it; ModSecurity 2 would not";
                self.compiler.warn(location, None, message);
            }
            // A pattern that does not compile was reported.
            Some(_) | None => {}
        }
    }

    fn rule(&mut self, location: &Location, condition: Option<Condition>, actions: &[Action]) {
        let mut set = self.default.heir();
        self.apply(&mut set, actions);
        let has_link = set.has_link;
        let link = Link { location: location.clone(), condition, actions: set };
        if self.is_chain_open {
            if let Some(Item::Chain(chain)) = self.items.iter_mut().rev().find(|item| matches!(item, Item::Chain(_))) {
                chain.links.push(link);
            }
        } else {
            let id = link.actions.id.unwrap_or_default();
            let phase = link.actions.phase.unwrap_or(2);
            self.items.push(Item::Chain(Chain { id, phase, links: vec![link], is_removed: false }));
        }
        self.is_chain_open = has_link;
    }

    /// A chain whose last link asks for another never completes, so it must not act.
    fn close_chain(&mut self) {
        if !self.is_chain_open {
            return;
        }
        if let Some(Item::Chain(chain)) = self.items.iter_mut().rev().find(|item| matches!(item, Item::Chain(_))) {
            chain.is_removed = true;
            if let Some(location) = chain.links.first().map(|link| link.location.clone()) {
                self.compiler.warn(&location, Some(chain.id), "this chain never ends, so it never matches");
            }
        }
    }

    fn apply(&mut self, set: &mut ActionSet, actions: &[Action]) {
        for action in actions {
            if let Err((location, message)) = set.apply(action) {
                let id = set.id;
                self.compiler.error(&location, id, message);
            }
        }
    }

    fn set_default(&mut self, location: &Location, actions: &[Action]) {
        let mut set = ActionSet::default();
        // `block` stands for the default, so as a default it changes nothing.
        let actions: Vec<_> = actions.iter().filter(|action| action.name != "block").cloned().collect();
        self.apply(&mut set, &actions);
        let (old, new) = (&self.default, &set);
        let is_first = old.blocking.is_none() && old.disruption == Some(Disruptive::Pass);
        if !is_first && old.phase != new.phase && old.disruption != new.disruption {
            let message = "this SecDefaultAction takes the place of the one before for rules of every phase, and \
                           their disruptive actions differ";
            self.compiler.warn(location, None, message);
        }
        self.default = set;
    }

    fn chains(&mut self) -> impl Iterator<Item = &mut Chain> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Chain(chain) if !chain.is_removed => Some(chain),
            _ => None,
        })
    }

    /// How many chains were taken away.
    fn remove(&mut self, fits: &mut dyn FnMut(&Chain) -> bool) -> usize {
        let fitting = self.chains().filter_map(|chain| fits(chain).then_some(chain));
        fitting.map(|chain| chain.is_removed = true).count()
    }

    /// Does a tag of the starter match?
    fn tag_filter(&mut self, location: &Location, pattern: &[u8]) -> Option<impl FnMut(&Chain) -> bool + use<>> {
        let regex = self.compiler.pattern(location, None, pattern, false)?;
        let mut caches = crate::waf::scratch::RegexCaches::default();
        Some(move |chain: &Chain| {
            let tags = chain.starter().map(|link| &link.actions.tags[..]).unwrap_or_default();
            tags.iter().any(|tag| caches.is_match(&regex, tag))
        })
    }

    /// Does the starter's message match?
    fn message_filter(&mut self, location: &Location, pattern: &[u8]) -> Option<impl FnMut(&Chain) -> bool + use<>> {
        let regex = self.compiler.pattern(location, None, pattern, false)?;
        let mut caches = crate::waf::scratch::RegexCaches::default();
        Some(move |chain: &Chain| {
            let message = chain.starter().and_then(|link| link.actions.message.as_deref());
            message.is_some_and(|message| caches.is_match(&regex, message))
        })
    }

    /// How many chains were looked after.
    fn update_targets(&mut self, fits: &mut dyn FnMut(&Chain) -> bool, update: &TargetUpdate) -> usize {
        let mut count = 0;
        for chain in self.chains() {
            if !fits(chain) {
                continue;
            }
            count += 1;
            for condition in chain.links.iter_mut().filter_map(|link| link.condition.as_mut()) {
                apply_update(&mut condition.targets, update);
            }
        }
        count
    }

    /// How many rules were changed: one or none.
    fn update_actions(&mut self, location: &Location, id: u32, offset: u32, actions: &[Action]) -> usize {
        let found = self.items.iter().position(|item| matches!(item, Item::Chain(c) if c.id == id && !c.is_removed));
        let set = match found.and_then(|index| self.items.get(index)) {
            Some(Item::Chain(chain)) => chain.links.get(offset as usize).map(|link| link.actions.clone()),
            _ => None,
        };
        let Some(old) = set else { return 0 };
        let mut set = old.clone();
        // What a rule has one of is replaced, so a link stays a link and keeps its chain.
        self.apply(&mut set, actions);
        if set.id != old.id {
            self.compiler.error(location, Some(id), "SecRuleUpdateActionById cannot change the id of a rule");
        }
        if actions.iter().any(|action| action.name == "phase") && set.phase != old.phase {
            self.compiler.error(location, Some(id), "SecRuleUpdateActionById cannot change the phase of a rule");
        }
        if actions.iter().any(|action| action.name == "chain") && !old.has_link {
            self.compiler.error(location, Some(id), "SecRuleUpdateActionById cannot make a rule a chain");
        }
        if let Some(Item::Chain(chain)) = found.and_then(|index| self.items.get_mut(index))
            && let Some(link) = chain.links.get_mut(offset as usize)
        {
            link.actions = ActionSet { id: old.id, phase: old.phase, has_link: old.has_link, ..set };
        }
        1
    }
}

/// Is the id in one of the ranges?
pub(super) fn is_in(id: u32, ranges: &[IdRange]) -> bool {
    ranges.iter().any(|range| (range.first..=range.last).contains(&id))
}

/// Adds targets that are not there yet; or, when a target to replace was named and is there, puts the new ones behind
/// the others and takes that one away.
fn apply_update(targets: &mut Vec<Target>, update: &TargetUpdate) {
    match &update.replaces {
        Some(replaced) => {
            let before = targets.len();
            targets.retain(|own| !replaced.iter().any(|target| is_same(own, target)));
            if targets.len() < before {
                targets.extend(update.targets.iter().cloned());
            }
        }
        None => {
            for target in &update.targets {
                if !targets.iter().any(|own| is_same(own, target)) {
                    targets.push(target.clone());
                }
            }
        }
    }
}

fn is_same(a: &Target, b: &Target) -> bool {
    use crate::seclang::ast::Selector;
    let is_selector_same = match (&a.selector, &b.selector) {
        (None, None) => true,
        (Some(Selector::Key(a)), Some(Selector::Key(b))) => a.eq_ignore_ascii_case(b),
        (a, b) => a == b,
    };
    a.name == b.name && a.is_exclusion == b.is_exclusion && a.is_count == b.is_count && is_selector_same
}
