//! TX: variables that rules make. Names known at compile time have slots; names put together at run time from macros
//! go into a small overflow list. Names are equal whatever their case.
//!
//! Values lie in the transaction's arena and are never changed in place, so a value that a rule is looking at stays
//! what it was when the rule began.

use super::{Buffer, Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::limits;
use crate::waf::names::NameIndex;
use crate::waf::operator::Evidence;
use crate::waf::plan::{Assignments, Folding};
use crate::waf::program::{TxNames, TxSlot};
use crate::waf::regex::Regex;
use crate::waf::scratch::RegexCaches;
use crate::waf::transaction::Transaction;
use std::sync::Arc;

/// The TX variables of one transaction.
#[derive(Debug, Default)]
pub(crate) struct TxStore {
    slots: Vec<Option<Held>>,
    /// Slots that may hold something.
    touched: Vec<TxSlot>,
    /// Variables with names made at run time; a removed one leaves its place.
    overflow: Vec<(Span, Option<Held>)>,
    /// Places in `overflow` by name.
    places: NameIndex,
    clock: u32,
}

/// A variable that exists.
#[derive(Debug, Clone, Copy)]
struct Held {
    value: Span,
    /// Its name as spelled when it was set, when that is not as the rules spell it.
    name: Option<Span>,
    /// When it was made, for the order in which selectors see variables.
    made: u32,
}

/// Name of a variable that an action changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TxName<'a> {
    /// Known at compile time, spelled as there.
    Slot(TxSlot),
    /// Known at compile time, but put together at run time.
    Spelled(TxSlot, &'a [u8]),
    /// Not known at compile time.
    Other(&'a [u8]),
}

impl<'a> TxName<'a> {
    /// Finds the slot of a name.
    pub(crate) fn of(name: &'a [u8], names: &TxNames) -> Self {
        names.find(name).map_or(Self::Other(name), |slot| Self::Spelled(slot, name))
    }
}

impl TxStore {
    /// For a new transaction.
    pub(crate) fn reset(&mut self, slots: usize) {
        // A rule set knows hundreds of names and a transaction sets a few dozen of them.
        for slot in self.touched.drain(..) {
            if let Some(held) = self.slots.get_mut(slot.0 as usize) {
                *held = None;
            }
        }
        self.slots.resize(slots, None);
        self.overflow.clear();
        self.places.clear();
        self.clock = 0;
    }

    /// The value of a slot, in the arena.
    pub(crate) fn slot(&self, slot: TxSlot) -> Option<Span> {
        self.slots.get(slot.0 as usize)?.as_ref().map(|held| held.value)
    }

    /// The value of a slot, and its name when it is not spelled as the rules spell it; both in the arena.
    pub(crate) fn held(&self, slot: TxSlot) -> Option<(Span, Option<Span>)> {
        self.slots.get(slot.0 as usize)?.as_ref().map(|held| (held.value, held.name))
    }

    /// Where in `overflow` a name is.
    fn place(&self, arena: &[u8], hash: u32, name: &[u8]) -> Option<usize> {
        let is_it = |place: u32| {
            let own = self.overflow.get(place as usize).map(|(own, _)| own.of(arena));
            own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        self.places.find(hash, is_it).map(|place| place as usize)
    }

    fn clear_slot(&mut self, slot: TxSlot) {
        if let Some(held) = self.slots.get_mut(slot.0 as usize) {
            *held = None;
        }
    }

    fn put_slot(&mut self, slot: TxSlot, value: Span, name: Option<Span>) {
        self.clock += 1;
        let made = self.clock;
        if let Some(held) = self.slots.get_mut(slot.0 as usize) {
            if held.is_none() {
                self.touched.push(slot);
            }
            let made = held.map_or(made, |held| held.made);
            *held = Some(Held { value, name, made });
        }
    }
}

impl Transaction {
    /// The value of a variable, in the arena.
    pub(crate) fn tx_value(&self, name: TxName<'_>) -> Option<Span> {
        match name {
            TxName::Slot(slot) | TxName::Spelled(slot, _) => self.tx.slot(slot),
            TxName::Other(name) => {
                let place = self.tx.place(&self.arena, self.tx.places.hash(name), name)?;
                self.tx.overflow.get(place).and_then(|(_, held)| *held).map(|held| held.value)
            }
        }
    }

    /// Sets a variable. Beyond [`limits::WAF_ARENA_BYTES`] nothing more is stored.
    pub(crate) fn set_tx(&mut self, name: TxName<'_>, value: &[u8]) {
        if self.arena.len() + value.len() > limits::WAF_ARENA_BYTES {
            self.is_arena_full = true;
            return;
        }
        let span = self.store(value);
        match name {
            TxName::Slot(slot) => self.tx.put_slot(slot, span, None),
            TxName::Spelled(slot, name) => {
                let name = self.store(name);
                self.tx.put_slot(slot, span, Some(name));
            }
            TxName::Other(name) => self.set_other(name, span),
        }
    }

    /// Makes several assignments; `false` when there is no room for all.
    pub(crate) fn assign(&mut self, folding: &Folding, assignments: &Assignments) -> bool {
        let (writes, text) = folding.assigned(assignments);
        if self.arena.len() + text.len() > limits::WAF_ARENA_BYTES {
            return false;
        }
        let base = self.store(text).start;
        for write in writes {
            match write.value {
                Some((start, len)) => self.tx.put_slot(write.slot, Span { start: base + start, len }, None),
                None => self.tx.clear_slot(write.slot),
            }
        }
        true
    }

    /// Is there a variable with a name made at run time that begins so and that one of the patterns fits?
    pub(crate) fn has_tx_for(&self, beginning: &[u8], patterns: &[Arc<Regex>], caches: &mut RegexCaches) -> bool {
        self.tx.overflow.iter().filter(|(_, held)| held.is_some()).any(|(name, _)| {
            let name = name.of(&self.arena);
            let begins = name.get(..beginning.len()).is_some_and(|own| own.eq_ignore_ascii_case(beginning));
            begins && patterns.iter().any(|pattern| caches.is_match(pattern, name))
        })
    }

    /// Removes a variable.
    pub(crate) fn unset_tx(&mut self, name: TxName<'_>) {
        match name {
            TxName::Slot(slot) | TxName::Spelled(slot, _) => self.tx.clear_slot(slot),
            TxName::Other(name) => {
                let place = self.tx.place(&self.arena, self.tx.places.hash(name), name);
                if let Some((_, held)) = place.and_then(|place| self.tx.overflow.get_mut(place)) {
                    *held = None;
                }
            }
        }
    }

    fn set_other(&mut self, name: &[u8], value: Span) {
        self.tx.clock += 1;
        let made = self.tx.clock;
        let hash = self.tx.places.hash(name);
        let place = self.tx.place(&self.arena, hash, name);
        if let Some((_, held)) = place.and_then(|place| self.tx.overflow.get_mut(place)) {
            let made = held.map_or(made, |held| held.made);
            *held = Some(Held { value, name: None, made });
        } else if self.tx.overflow.len() < limits::WAF_TX_VARIABLES {
            self.tx.places.insert(hash, self.tx.overflow.len() as u32);
            let name = self.store(name);
            self.tx.overflow.push((name, Some(Held { value, name: None, made })));
        } else {
            self.is_arena_full = true;
        }
    }

    /// Sets TX.0 to TX.9 from what an operator found in `value`; the rest is removed.
    pub(crate) fn take_captures(&mut self, value: &[u8], evidence: &Evidence) {
        if let Some(phrase) = &evidence.phrase {
            self.set_tx(TxName::Slot(TxSlot(0)), phrase);
            if !evidence.keeps_others {
                (1..10).for_each(|index| self.tx.clear_slot(TxSlot(index)));
            }
            return;
        }
        if evidence.captures.is_empty() && evidence.keeps_others {
            return;
        }
        for index in 0..10 {
            let slot = TxSlot(index as u32);
            match evidence.captures.get(index) {
                // A group that did not take part is empty when a later one did.
                Some(range) => {
                    let text = range.and_then(|(start, end)| value.get(start..end)).unwrap_or_default();
                    self.set_tx(TxName::Slot(slot), text);
                }
                None => self.tx.clear_slot(slot),
            }
        }
    }
}

/// Appends the variables that `wanted` names.
pub(crate) fn collect(transaction: &Transaction, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let slot_value = |slot: TxSlot, held: &Held| {
        let spelled = Bytes { buffer: Buffer::SlotName, span: Span { start: slot.0, len: 0 } };
        let key = held.name.map_or(spelled, Bytes::arena);
        Value::member(Variable::Tx, key, Bytes::arena(held.value))
    };
    let store = &transaction.tx;
    match wanted {
        Wanted::Slot(slot) => {
            if let Some(held) = store.slots.get(slot.0 as usize).and_then(Option::as_ref) {
                out.push(slot_value(slot, held));
            }
            return;
        }
        Wanted::Key(name) => {
            if let TxName::Spelled(slot, _) = TxName::of(name, &out.program.tx_names) {
                return collect(transaction, Wanted::Slot(slot), out);
            }
        }
        Wanted::All | Wanted::Regex(..) | Wanted::XPath(_) => {}
    }
    // Several may fit: in the order in which they were made, as ModSecurity's table keeps them.
    let mut found: Vec<(u32, Value)> = Vec::new();
    match wanted {
        Wanted::Regex(_, Some(slots)) => {
            for slot in slots {
                if let Some(held) = store.slots.get(slot.0 as usize).and_then(Option::as_ref) {
                    found.push((held.made, slot_value(*slot, held)));
                }
            }
        }
        Wanted::All | Wanted::Regex(_, None) => {
            for (index, held) in store.slots.iter().enumerate() {
                let slot = TxSlot(index as u32);
                if let Some(held) = held
                    && selects(&wanted, out.program.tx_names.name(slot), out.caches)
                {
                    found.push((held.made, slot_value(slot, held)));
                }
            }
        }
        _ => {}
    }
    for (name, held) in &store.overflow {
        let Some(held) = held else { continue };
        if selects(&wanted, name.of(&transaction.arena), out.caches) {
            found.push((held.made, Value::member(Variable::Tx, Bytes::arena(*name), Bytes::arena(held.value))));
        }
    }
    found.sort_by_key(|(made, _)| *made);
    out.values.extend(found.into_iter().map(|(_, value)| value));
}
