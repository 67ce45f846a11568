//! MATCHED_VAR(_NAME): the last value that an operator matched. MATCHED_VARS(_NAMES): all that the links of the
//! current chain matched so far, cleared when a chain ends or a link fails.

use super::{Buffer, Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::waf::transaction::Transaction;

/// What has been matched.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    /// Names and values of `chain`; of the last match only when that is empty.
    pub(crate) bytes: Vec<u8>,
    chain: Vec<(Span, Span)>,
    /// Name and value, kept until the next match.
    last: Option<(Span, Span)>,
}

impl Matched {
    /// A new transaction. A large buffer is given back.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.chain.clear();
        self.chain.shrink_to(KEPT_BYTES / size_of::<(Span, Span)>());
        self.last = None;
    }

    /// A chain ended.
    pub(crate) fn clear_chain(&mut self) {
        self.chain.clear();
    }

    /// An operator matched.
    pub(crate) fn remember(&mut self, name: &[u8], value: &[u8]) {
        if self.chain.is_empty() {
            self.bytes.clear();
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let name = Span { start, len: name.len() as u32 };
        let value = Span { start: start + name.len, len: value.len() as u32 };
        self.chain.push((name, value));
        self.last = Some((name, value));
    }

    /// Name of what matched last; empty when nothing did.
    pub(crate) fn last_name(&self) -> &[u8] {
        self.last.map(|(name, _)| name.of(&self.bytes)).unwrap_or_default()
    }

    /// What matched last; empty when nothing did.
    pub(crate) fn last_value(&self) -> &[u8] {
        self.last.map(|(_, value)| value.of(&self.bytes)).unwrap_or_default()
    }
}

/// Most bytes of it that are kept for the next transaction.
const KEPT_BYTES: usize = 8 * 1024;

/// Appends the matched values or names.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let matched = &transaction.matched;
    let in_chain = |span: Span| Bytes { buffer: Buffer::Matched, span };
    match (variable, matched.last) {
        (Variable::MatchedVar, Some((_, last))) | (Variable::MatchedVarName, Some((last, _))) => {
            let bytes = out.text(|text| text.extend_from_slice(last.of(&matched.bytes)));
            out.push(Value::scalar(variable, bytes));
        }
        (Variable::MatchedVars | Variable::MatchedVarsNames, _) => {
            for (name, value) in &matched.chain {
                if selects(&wanted, name.of(&matched.bytes), out.caches) {
                    // What the rule itself matches is added behind these bytes and leaves them alone.
                    let bytes = if variable == Variable::MatchedVars { *value } else { *name };
                    out.push(Value::member(variable, in_chain(*name), in_chain(bytes)));
                }
            }
        }
        _ => {}
    }
}
