//! Which rules each `ctl:ruleRemove…` means: found once, when all rules have their indices.
//!
//! By id and by message a chain is named through its first rule. By tag a link may be named as well, and then the
//! chain fails there. Targets are taken away from first rules only, as ModSecurity 2 does.

use super::Compiler;
use super::action::Subject;
use super::layout::Layout;
use super::link::{Chain, Item};
use super::rule::Emitted;
use crate::waf::action::Action;
use crate::waf::action::ctl::Ctl;
use crate::waf::program::{RuleSet, RuleSetId};
use crate::waf::scratch::RegexCaches;

/// Fills the sets in.
pub(super) fn resolve(compiler: &mut Compiler<'_>, items: &[Item], layout: &Layout, emitted: &mut Emitted) {
    for (index, pending) in std::mem::take(&mut emitted.controls) {
        let pattern = match &pending.subject {
            Subject::Ids(_) => None,
            Subject::Tag(pattern) | Subject::Message(pattern) => {
                match compiler.pattern(&pending.location, Some(pending.rule), pattern, false) {
                    Some(regex) => Some(regex),
                    None => continue,
                }
            }
        };
        let mut caches = RegexCaches::default();
        let mut set = RuleSet::default();
        for placed in &layout.chains {
            let Some(Item::Chain(chain)) = items.get(placed.item) else { continue };
            match (&pending.subject, &pattern) {
                (Subject::Ids(ranges), _) => {
                    if ranges.iter().any(|(first, last)| (*first..=*last).contains(&chain.id)) {
                        set.insert(placed.rule);
                    }
                }
                (Subject::Message(_), Some(regex)) => {
                    let message = chain.starter().and_then(|link| link.actions.message.as_deref());
                    if message.is_some_and(|message| caches.is_match(regex, message)) {
                        set.insert(placed.rule);
                    }
                }
                (Subject::Tag(_), Some(regex)) => {
                    for offset in tagged(chain, pending.is_of_targets, |tag| caches.is_match(regex, tag)) {
                        set.insert(placed.rule + offset);
                    }
                }
                (_, None) => {}
            }
        }
        let id = share(&mut compiler.rule_sets, set);
        if let Some(Action::Control(Ctl::RemoveRules(unresolved) | Ctl::RemoveTargets(unresolved, _))) =
            emitted.actions.get_mut(index)
        {
            *unresolved = id;
        }
    }
}

/// Links of a chain with a tag that fits.
fn tagged(chain: &Chain, is_first_only: bool, mut fits: impl FnMut(&[u8]) -> bool) -> Vec<u32> {
    let links = chain.links.iter().take(if is_first_only { 1 } else { usize::MAX });
    (0u32..).zip(links).filter(|(_, link)| link.actions.tags.iter().any(|tag| fits(tag))).map(|(at, _)| at).collect()
}

/// Rule sets repeat the same exclusion many times.
fn share(sets: &mut Vec<RuleSet>, set: RuleSet) -> RuleSetId {
    let index = sets.iter().position(|own| *own == set).unwrap_or_else(|| {
        sets.push(set);
        sets.len() - 1
    });
    RuleSetId(index as u32)
}
