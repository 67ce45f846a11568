//! Which index each rule gets, and where each skipAfter lands.

use std::ops::Range;

use super::link::{Chain, Item};
use crate::waf::program::RuleIndex;

/// Indices of all rules.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) phases: [Range<u32>; 5],
    /// For each phase in turn: index into the items, index of the starter.
    pub(super) chains: Vec<Placed>,
}

/// A chain with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Index into the items.
    pub(super) item: usize,
    /// Index of its first rule.
    pub(super) rule: RuleIndex,
    /// Where its skipAfter, if any, leads.
    pub(super) jump: Option<RuleIndex>,
}

/// Places the chains.
pub(super) fn layout(items: &[Item]) -> Layout {
    let mut next: RuleIndex = 0;
    let mut chains = Vec::new();
    let mut phases = [0..0, 0..0, 0..0, 0..0, 0..0];
    for (phase, range) in (1u8..).zip(phases.iter_mut()) {
        let start = next;
        let mut labels: Vec<(usize, Label<'_>, RuleIndex)> = Vec::new();
        let first = chains.len();
        for (index, item) in items.iter().enumerate() {
            match item {
                // A marker is in every phase.
                Item::Marker(name) => labels.push((index, Label::Marker(name), next)),
                Item::Chain(chain) if chain.phase == phase => {
                    if !chain.is_removed {
                        chains.push(Placed { item: index, rule: next, jump: None });
                        next += chain.links.len() as RuleIndex;
                    }
                    labels.push((index, Label::Rule(chain.id), next));
                }
                Item::Chain(_) => {}
            }
        }
        for placed in chains.iter_mut().skip(first) {
            let Some(Item::Chain(chain)) = items.get(placed.item) else { continue };
            let Some(wanted) = skip_after(chain) else { continue };
            let mut later = labels.iter().filter(|(index, ..)| *index > placed.item);
            let found = later.find(|(_, label, _)| label.is(wanted));
            // A marker that is not there ends the phase.
            placed.jump = Some(found.map_or(next, |(.., rule)| *rule));
        }
        *range = start..next;
    }
    Layout { phases, chains }
}

fn skip_after(chain: &Chain) -> Option<&[u8]> {
    chain.links.iter().rev().find_map(|link| link.actions.skip_after.as_deref())
}

/// What skipAfter can name.
enum Label<'a> {
    Marker(&'a [u8]),
    Rule(u32),
}

impl Label<'_> {
    fn is(&self, wanted: &[u8]) -> bool {
        match self {
            Self::Marker(name) => *name == wanted,
            Self::Rule(id) => id.to_string().as_bytes() == wanted,
        }
    }
}
