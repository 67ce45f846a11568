//! Where a state is left that most bytes lead back to.
//!
//! In long values a pattern that has not begun, or is within a repetition such as `[^>]*`, stays in one state for most
//! bytes. Which bytes lead out of it fits into two small tables, by which vector instructions pass 32 bytes at a time.

use super::{Scanner, StateRow, States};
use crate::waf::byte_tables::ByteTables;

/// States whose exits are known at a time, a power of two.
pub(super) const KNOWN: usize = 8;

/// With fewer bytes left than this it is not worth while to look for exits.
const FEW_BYTES: usize = 64;

/// With fewer bytes left than this it is not worth while to find out what they are.
const MANY_BYTES: usize = 1024;

/// The bytes that lead out of a state, or have not led anywhere yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exits {
    state: StateRow,
    bytes: ByteTables,
}

impl States {
    /// How many of these bytes lead from a state to itself again; fewer when it is not worth finding out.
    pub(super) fn stay(&mut self, scanner: &Scanner, state: StateRow, value: &[u8]) -> usize {
        if value.len() < FEW_BYTES {
            return 0;
        }
        let slot = scanner.row_number(state) % KNOWN;
        let known = self.exits.get(slot).copied().flatten().filter(|exits| exits.state == state);
        if known.is_none() && value.len() < MANY_BYTES {
            return 0;
        }
        let exits = known.unwrap_or_else(|| self.find_exits(scanner, state));
        let mut length = exits.bytes.find(value);
        let rest = value.get(length..).unwrap_or_default();
        // More bytes may lead back to it by now.
        let leads_back = |byte: &u8| self.rows.next(state, scanner.class(Some(*byte))) == state;
        if rest.len() >= MANY_BYTES && rest.first().is_some_and(leads_back) {
            length += self.find_exits(scanner, state).bytes.find(rest);
        }
        length
    }

    #[cold]
    fn find_exits(&mut self, scanner: &Scanner, state: StateRow) -> Exits {
        let mut bytes = ByteTables::default();
        let exits = (0..=u8::MAX).filter(|byte| self.rows.next(state, scanner.class(Some(*byte))) != state);
        exits.for_each(|byte| bytes.insert(byte));
        let exits = Exits { state, bytes };
        if let Some(slot) = self.exits.get_mut(scanner.row_number(state) % KNOWN) {
            *slot = Some(exits);
        }
        exits
    }
}
