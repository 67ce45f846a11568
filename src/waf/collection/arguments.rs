//! ARGS and its kin: parameters of the query string and of the body, in that order.

use super::{Bytes, Collector, Value, Variable, Wanted, selects};
use crate::waf::transaction::Transaction;

/// Where an argument came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The query string.
    Query,
    /// A form in the request body, urlencoded or multipart.
    Body,
    /// A JSON document or XML; ModSecurity 2 shows these in ARGS only, not in ARGS_POST.
    Document,
}

/// One parameter, decoded. A part that stands in the body as it is stays there; others lie in the arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument {
    pub(crate) name: Bytes,
    pub(crate) value: Bytes,
    pub(crate) origin: Origin,
}

/// Appends names or values of the arguments that `wanted` names.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let origin = match variable {
        Variable::ArgsGet | Variable::ArgsGetNames => Some(Origin::Query),
        Variable::ArgsPost | Variable::ArgsPostNames => Some(Origin::Body),
        _ => None,
    };
    let is_names = matches!(variable, Variable::ArgsNames | Variable::ArgsGetNames | Variable::ArgsPostNames);
    for argument in &transaction.arguments {
        if origin.is_some_and(|origin| origin != argument.origin) {
            continue;
        }
        if !selects(&wanted, transaction.stored(argument.name), out.caches) {
            continue;
        }
        let bytes = if is_names { argument.name } else { argument.value };
        out.push(Value::member(variable, argument.name, bytes));
    }
}

impl Transaction {
    /// ARGS_COMBINED_SIZE: names and values after decoding.
    pub(crate) fn arguments_size(&self) -> u64 {
        self.arguments
            .iter()
            .map(|argument| u64::from(argument.name.span.len) + u64::from(argument.value.span.len))
            .sum()
    }
}
