//! `setvar`: sets, changes or removes a variable of TX or of an open persistent collection.
//!
//! A value that begins with `+` or `-` (before macros are replaced) is added to what is there; the sum is never below
//! zero, as in ModSecurity 2. A collection that is not open is left alone.

use super::expanded;
use crate::waf::collection::Variable;
use crate::waf::collection::tx::TxName;
use crate::waf::expand::Text;
use crate::waf::line;
use crate::waf::number::atoi;
use crate::waf::program::{Program, RuleIndex, TxSlot};
use crate::waf::scratch::Scratch;
use crate::waf::transaction::Transaction;

/// The action, compiled.
#[derive(Debug, Clone)]
pub(crate) struct SetVariable {
    /// TX or a persistent one.
    pub(crate) collection: Variable,
    pub(crate) name: Name,
    pub(crate) change: Change,
}

/// Name of the variable within its collection.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    /// A TX variable known at compile time.
    Slot(TxSlot),
    /// Any other, perhaps with macros.
    Text(Text),
}

/// What happens to it.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// It becomes this.
    Set(Text),
    /// This is added; the text has its sign.
    Add(Text),
    /// It goes.
    Remove,
}

impl SetVariable {
    pub(crate) fn run(&self, program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, rule: RuleIndex) {
        if let (Variable::Tx, Name::Slot(slot), Change::Set(text)) = (self.collection, &self.name, &self.change)
            && let Some(value) = text.literal()
        {
            transaction.set_tx(TxName::Slot(*slot), value);
            return;
        }
        if let (Variable::Tx, Name::Slot(slot), Change::Add(text)) = (self.collection, &self.name, &self.change)
            && let Some(amount) = text.amount(transaction)
        {
            return add_to(transaction, TxName::Slot(*slot), amount);
        }
        let mut name_bytes = std::mem::take(&mut scratch.new_name);
        name_bytes.clear();
        if let Name::Text(text) = &self.name {
            let mut plain = std::mem::take(&mut scratch.argument);
            plain.clear();
            text.expand(program, transaction, scratch, Some(rule), &mut plain);
            line::escape_name(&plain, &mut name_bytes);
            scratch.argument = plain;
        }
        let mut value = std::mem::take(&mut scratch.new_value);
        value.clear();
        if let Change::Set(text) | Change::Add(text) = &self.change {
            text.expand(program, transaction, scratch, Some(rule), &mut value);
        }
        if self.collection == Variable::Tx {
            let name = match &self.name {
                Name::Slot(slot) => TxName::Slot(*slot),
                Name::Text(_) => TxName::of(&name_bytes, &program.tx_names),
            };
            self.change_tx(transaction, name, &value);
        } else {
            let name = match &self.name {
                Name::Slot(slot) => program.tx_names.name(*slot),
                Name::Text(_) => &name_bytes,
            };
            self.change_persistent(transaction, name, &value);
        }
        scratch.new_value = value;
        scratch.new_name = name_bytes;
    }

    fn change_tx(&self, transaction: &mut Transaction, name: TxName<'_>, value: &[u8]) {
        match &self.change {
            Change::Set(_) => transaction.set_tx(name, value),
            Change::Remove => transaction.unset_tx(name),
            Change::Add(_) => add_to(transaction, name, atoi(value)),
        }
    }

    fn change_persistent(&self, transaction: &mut Transaction, name: &[u8], value: &[u8]) {
        match &self.change {
            Change::Set(_) => transaction.set_persistent(self.collection, name, value),
            Change::Remove => transaction.unset_persistent(self.collection, name),
            Change::Add(_) => transaction.add_persistent(self.collection, name, atoi(value)),
        }
    }
}

/// What is there after `change` was added to `old`.
pub(crate) fn sum(old: &[u8], change: &[u8]) -> i64 {
    bounded_sum(atoi(old), atoi(change))
}

fn add_to(transaction: &mut Transaction, name: TxName<'_>, amount: i64) {
    let held = transaction.tx_value(name).map(|span| span.of(&transaction.arena)).unwrap_or_default();
    let mut buffer = itoa::Buffer::new();
    let sum = buffer.format(bounded_sum(atoi(held), amount)).as_bytes();
    // Scores that are put together from scores of 0 stay what they are.
    let is_same = held == sum
        && matches!(name, TxName::Slot(slot) if transaction.tx.held(slot).is_some_and(|(_, name)| name.is_none()));
    if !is_same {
        transaction.set_tx(name, sum);
    }
}

/// Counters never go below zero.
fn bounded_sum(old: i64, amount: i64) -> i64 {
    old.saturating_add(amount).max(0)
}

/// Expands a name as [`SetVariable`] does, for the actions on persistent collections.
pub(crate) fn expand_name(
    text: &Text,
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    rule: RuleIndex,
) -> Vec<u8> {
    let mut name = Vec::new();
    line::escape_name(&expanded(text, program, transaction, scratch, rule), &mut name);
    name
}
