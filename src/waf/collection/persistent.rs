//! IP, GLOBAL, RESOURCE, SESSION and USER: collections that outlive the transaction, opened under a key.
//!
//! Opening reads a copy from the [`super::store::CollectionStore`]; the transaction works on its copy; phase 5 hands the
//! changes back, to be merged with what others did meanwhile.

use std::time::Duration;

use super::store::{CollectionUpdate, StoredVariable, VariableChange};
use super::{Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::limits;
use crate::waf::number::atoi;
use crate::waf::scratch::Scratch;
use crate::waf::transaction::Transaction;

/// The open collections of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Persistent {
    open: Vec<OpenCollection>,
    pub(crate) session_id: Option<Span>,
    pub(crate) user_id: Option<Span>,
}

#[derive(Debug)]
struct OpenCollection {
    variable: Variable,
    name: Vec<u8>,
    key: Vec<u8>,
    variables: Vec<Held>,
    removed: Vec<Vec<u8>>,
    is_changed: bool,
    timeout: u32,
}

/// A variable of an open collection, in the arena.
#[derive(Debug, Clone, Copy)]
struct Held {
    name: Span,
    value: Span,
    expires: Option<u64>,
    change: VariableChange,
}

impl Transaction {
    /// Opens a collection, once.
    pub(crate) fn open_persistent(
        &mut self,
        variable: Variable,
        name_space: &[u8],
        key: &[u8],
        timeout: u32,
        scratch: &Scratch,
    ) {
        if self.persistent.open.iter().any(|open| open.variable == variable) {
            return;
        }
        let mut name = name_space.to_vec();
        if !name.is_empty() {
            name.push(b'_');
        }
        name.extend_from_slice(variable.name().as_bytes());
        let stored = scratch.collections.as_ref().and_then(|store| store.load(&name, key, self.now));
        let is_new = stored.is_none();
        let now = self.now.as_secs().to_string();
        let variables = stored.unwrap_or_else(|| {
            let variable = |name: &str, value: &[u8]| StoredVariable {
                name: name.as_bytes().to_vec(),
                value: value.to_vec(),
                expires: None,
                change: VariableChange::Set,
            };
            vec![
                variable("KEY", key),
                variable("TIMEOUT", timeout.to_string().as_bytes()),
                variable("CREATE_TIME", now.as_bytes()),
                variable("UPDATE_COUNTER", b"0"),
            ]
        });
        let mut held = Vec::with_capacity(variables.len() + 1);
        let seconds = self.now.as_secs();
        for variable in variables {
            let change = if is_new { VariableChange::Set } else { VariableChange::Kept };
            if variable.expires.is_some_and(|at| at <= seconds) {
                continue;
            }
            let name = self.store(&variable.name);
            let value = self.store(&variable.value);
            held.push(Held { name, value, expires: variable.expires, change });
        }
        let name_is_new = self.store(b"IS_NEW");
        let value = self.store(if is_new { b"1" } else { b"0" });
        held.push(Held { name: name_is_new, value, expires: None, change: VariableChange::Kept });
        let open = OpenCollection {
            variable,
            name,
            key: key.to_vec(),
            variables: held,
            removed: Vec::new(),
            is_changed: false,
            timeout,
        };
        self.persistent.open.push(open);
        self.add_update_rate(variable);
    }

    /// UPDATE_RATE: updates per minute since creation.
    fn add_update_rate(&mut self, variable: Variable) {
        let created = self.persistent_value(variable, b"CREATE_TIME").map_or(0, atoi);
        let updates = self.persistent_value(variable, b"UPDATE_COUNTER").map_or(0, atoi);
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let seconds = now.saturating_sub(created);
        let rate = updates.saturating_mul(60).checked_div(seconds).unwrap_or(0).max(0);
        self.set_persistent(variable, b"UPDATE_RATE", itoa::Buffer::new().format(rate).as_bytes());
        if let Some(open) = self.persistent.open.iter_mut().find(|open| open.variable == variable) {
            open.is_changed = false;
        }
    }

    fn held(&self, variable: Variable, name: &[u8]) -> Option<&Held> {
        let open = self.persistent.open.iter().find(|open| open.variable == variable)?;
        open.variables.iter().find(|held| held.name.of(&self.arena).eq_ignore_ascii_case(name))
    }

    /// The value of a variable of an open collection.
    pub(crate) fn persistent_value(&self, variable: Variable, name: &[u8]) -> Option<&[u8]> {
        self.held(variable, name).map(|held| held.value.of(&self.arena))
    }

    /// Sets a variable of an open collection.
    pub(crate) fn set_persistent(&mut self, variable: Variable, name: &[u8], value: &[u8]) {
        if !self.persistent.open.iter().any(|open| open.variable == variable) {
            return;
        }
        if self.arena.len() + value.len() > limits::WAF_ARENA_BYTES {
            self.is_arena_full = true;
            return;
        }
        let value = self.store(value);
        let name = if self.held(variable, name).is_some() { None } else { Some(self.store(name)) }.ok_or(name);
        let arena = &self.arena;
        let Some(open) = self.persistent.open.iter_mut().find(|open| open.variable == variable) else { return };
        open.is_changed = true;
        match name {
            Ok(name) if open.variables.len() < limits::WAF_TX_VARIABLES => {
                open.variables.push(Held { name, value, expires: None, change: VariableChange::Set });
            }
            Ok(_) => {}
            Err(name) => {
                let held = open.variables.iter_mut().find(|held| held.name.of(arena).eq_ignore_ascii_case(name));
                if let Some(held) = held {
                    held.value = value;
                    held.change = VariableChange::Set;
                }
            }
        }
    }

    /// Adds to a variable of an open collection; it never falls below zero.
    pub(crate) fn add_persistent(&mut self, variable: Variable, name: &[u8], amount: i64) {
        let held = self.held(variable, name).map(|held| (atoi(held.value.of(&self.arena)), held.change));
        let (old, change) = held.unwrap_or((0, VariableChange::Added(0)));
        let sum = old.saturating_add(amount).max(0);
        self.set_persistent(variable, name, itoa::Buffer::new().format(sum).as_bytes());
        let change = match change {
            VariableChange::Set => return,
            VariableChange::Kept => VariableChange::Added(sum - old),
            VariableChange::Added(before) => VariableChange::Added(before.saturating_add(sum - old)),
        };
        let arena = &self.arena;
        let Some(open) = self.persistent.open.iter_mut().find(|open| open.variable == variable) else { return };
        if let Some(held) = open.variables.iter_mut().find(|held| held.name.of(arena).eq_ignore_ascii_case(name)) {
            held.change = change;
        }
    }

    /// Removes a variable of an open collection.
    pub(crate) fn unset_persistent(&mut self, variable: Variable, name: &[u8]) {
        let arena = &self.arena;
        if let Some(open) = self.persistent.open.iter_mut().find(|open| open.variable == variable) {
            open.is_changed = true;
            let before = open.variables.len();
            open.variables.retain(|held| !held.name.of(arena).eq_ignore_ascii_case(name));
            if open.variables.len() < before {
                open.removed.push(name.to_vec());
            }
        }
    }

    /// Notes when a variable goes.
    pub(crate) fn expire_persistent(&mut self, variable: Variable, name: &[u8], at: u64) {
        let arena = &self.arena;
        let Some(open) = self.persistent.open.iter_mut().find(|open| open.variable == variable) else { return };
        open.is_changed = true;
        if let Some(held) = open.variables.iter_mut().find(|held| held.name.of(arena).eq_ignore_ascii_case(name)) {
            held.expires = Some(at);
            if held.change == VariableChange::Kept {
                // Nothing added, but the time is new.
                held.change = VariableChange::Added(0);
            }
        }
    }

    /// Hands changed collections back.
    pub(crate) fn save_persistent(&self, scratch: &Scratch) {
        let Some(store) = &scratch.collections else { return };
        let now = self.now + self.elapsed;
        for open in self.persistent.open.iter().filter(|open| open.is_changed) {
            let mut variables = Vec::with_capacity(open.variables.len() + 1);
            let mut timeout = u64::from(open.timeout);
            for held in &open.variables {
                let name = held.name.of(&self.arena);
                let value = held.value.of(&self.arena);
                match name {
                    b"IS_NEW" | b"UPDATE_RATE" | b"LAST_UPDATE_TIME" => continue,
                    b"TIMEOUT" => timeout = atoi(value).max(0) as u64,
                    _ => {}
                }
                let (value, change) = if name == b"UPDATE_COUNTER" {
                    ((atoi(value) + 1).to_string().into_bytes(), VariableChange::Added(1))
                } else {
                    (value.to_vec(), held.change)
                };
                variables.push(StoredVariable { name: name.to_vec(), value, expires: held.expires, change });
            }
            variables.push(StoredVariable {
                name: b"LAST_UPDATE_TIME".to_vec(),
                value: now.as_secs().to_string().into_bytes(),
                expires: None,
                change: VariableChange::Set,
            });
            store.save(&CollectionUpdate {
                name: &open.name,
                key: &open.key,
                variables: &variables,
                removed: &open.removed,
                now,
                expires: now.saturating_add(Duration::from_secs(timeout)),
            });
        }
    }
}

/// Appends the variables that `wanted` names.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let Some(open) = transaction.persistent.open.iter().find(|open| open.variable == variable) else { return };
    for held in &open.variables {
        if selects(&wanted, held.name.of(&transaction.arena), out.caches) {
            out.push(Value::member(variable, Bytes::arena(held.name), Bytes::arena(held.value)));
        }
    }
}
