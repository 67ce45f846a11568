//! Listeners over reloads: each has a slot, and its number never changes while a connection of it lives.
//!
//! The path looks its listener up by number in whatever snapshot is in force. So a reload may not shift numbers: what
//! stays on its address keeps its slot, new listeners get new ones, and a removed one leaves its settings in its slot
//! until its last connection is gone.

use std::net::SocketAddr;

use crate::config::model::{Configuration, Listener};
use crate::gateway::Drain;

/// A listener that was bound.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// As configured last.
    pub(super) listener: Listener,
    /// As bound.
    pub(super) bound: SocketAddr,
    /// Of its own, so that it can go alone.
    pub(super) drain: Drain,
}

/// What a reload does with sockets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// For each listener of the new configuration: its slot.
    pub(super) slots: Vec<usize>,
    /// Slots that must be bound, with the index of their listener in the new configuration.
    pub(super) bind: Vec<(usize, usize)>,
    /// Slots that are drained.
    pub(super) drain: Vec<usize>,
    /// Slots that there are afterwards.
    pub(super) count: usize,
}

/// Is it the same socket?
fn is_same(old: &Listener, new: &Listener) -> bool {
    // Port 0 names no socket; then the name does.
    old.address == new.address && (new.address.port() != 0 || old.name == new.name)
}

/// Places the listeners of a new configuration.
pub(super) fn plan(current: &[Slot], listeners: &[Listener]) -> Plan {
    let mut is_taken = vec![false; current.len()];
    let mut slots: Vec<Option<usize>> = Vec::new();
    for listener in listeners {
        let slot = current
            .iter()
            .enumerate()
            .find(|(index, slot)| {
                !is_taken.get(*index).copied().unwrap_or(true)
                    && !slot.drain.is_draining()
                    && is_same(&slot.listener, listener)
            })
            .map(|(index, _)| index);
        if let Some(taken) = slot.and_then(|index| is_taken.get_mut(index)) {
            *taken = true;
        }
        slots.push(slot);
    }
    let drain: Vec<usize> = current
        .iter()
        .enumerate()
        .filter(|(index, slot)| !is_taken.get(*index).copied().unwrap_or(false) && !slot.drain.is_draining())
        .map(|(index, _)| index)
        .collect();
    // A slot whose last connection is gone can be used again.
    let mut free = current
        .iter()
        .enumerate()
        .filter(|(_, slot)| slot.drain.is_draining() && slot.drain.connections() == 0)
        .map(|(index, _)| index);
    let mut count = current.len();
    let mut bind = Vec::new();
    let slots = slots.into_iter().enumerate().map(|(index, slot)| {
        slot.unwrap_or_else(|| {
            let slot = free.next().unwrap_or_else(|| {
                count += 1;
                count - 1
            });
            bind.push((slot, index));
            slot
        })
    });
    let slots = slots.collect();
    Plan { slots, bind, drain, count }
}

/// Puts the listeners of a configuration at the numbers of their slots.
pub(super) fn arrange(configuration: &mut Configuration, plan: &Plan, current: &[Slot]) {
    let new = std::mem::take(&mut configuration.listeners);
    for site in &mut configuration.sites {
        for listener in &mut site.listeners {
            *listener = plan.slots.get(*listener).copied().unwrap_or(usize::MAX);
        }
    }
    let placed = |slot: usize| {
        let index = plan.slots.iter().position(|placed| *placed == slot);
        index.and_then(|index| new.get(index)).or_else(|| current.get(slot).map(|slot| &slot.listener))
    };
    configuration.listeners = (0..plan.count).filter_map(|slot| placed(slot).cloned()).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RuleCache, load_source};
    use crate::diagnostics::Source;

    fn configuration(listeners: &[(&str, &str)], site_on: &str) -> Configuration {
        let list: Vec<_> = listeners.iter().map(|(name, at)| format!("{{name: {name}, address: '{at}'}}")).collect();
        let text = format!(
            "listeners: [{}]\nsites: [{{name: s, listeners: [{site_on}], routes: [{{respond: {{status: 200}}}}]}}]\n\
             policies: [{{name: default, mode: off}}]\n",
            list.join(", ")
        );
        load_source(Source::new("t.yaml", text), &|_| None, &RuleCache::default()).unwrap().configuration
    }

    fn slots(configuration: &Configuration) -> Vec<Slot> {
        let slot =
            |listener: &Listener| Slot { listener: listener.clone(), bound: listener.address, drain: Drain::new() };
        configuration.listeners.iter().map(slot).collect()
    }

    #[test]
    fn a_listener_keeps_its_slot_and_a_removed_one_leaves_its_settings() {
        let before = configuration(&[("a", ":1"), ("b", ":2"), ("c", ":0")], "b");
        let current = slots(&before);
        let mut after = configuration(&[("new", ":4"), ("c", ":0"), ("renamed", ":2")], "renamed");
        let plan = plan(&current, &after.listeners);
        assert_eq!(plan, Plan { slots: vec![3, 2, 1], bind: vec![(3, 0)], drain: vec![0], count: 4 });
        arrange(&mut after, &plan, &current);
        let names: Vec<_> = after.listeners.iter().map(|listener| listener.name.as_str()).collect();
        assert_eq!(names, ["a", "renamed", "c", "new"]);
        assert_eq!(after.sites[0].listeners, [1]);
    }

    #[test]
    fn a_drained_slot_is_used_again() {
        let before = configuration(&[("a", ":1"), ("b", ":2")], "b");
        let current = slots(&before);
        current[0].drain.start();
        let after = configuration(&[("b", ":2"), ("c", ":3")], "b");
        assert_eq!(
            plan(&current, &after.listeners),
            Plan { slots: vec![1, 0], bind: vec![(0, 1)], drain: vec![], count: 2 }
        );
        let again = configuration(&[("b", ":2"), ("a", ":1")], "b");
        assert_eq!(plan(&current, &again.listeners).bind, [(0, 1)]);
    }
}
