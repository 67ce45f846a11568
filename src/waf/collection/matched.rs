//! MATCHED_VAR(_NAME): the last value that an operator matched. MATCHED_VARS(_NAMES): all that the links of the
//! current chain matched so far, cleared when a chain ends or a link fails.

use super::{Buffer, Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::waf::transaction::Transaction;

/// What has been matched.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    /// Names and values of `chain`.
    pub(crate) bytes: Vec<u8>,
    chain: Vec<(Span, Span)>,
    /// The last name, kept until the next match.
    pub(crate) last_name: Vec<u8>,
    /// The last value.
    pub(crate) last_value: Vec<u8>,
    /// Has anything matched at all?
    pub(crate) has_last: bool,
}

impl Matched {
    /// A new transaction.
    pub(crate) fn forget(&mut self) {
        self.clear_chain();
        self.last_name.clear();
        self.last_value.clear();
        self.has_last = false;
    }

    /// A chain ended.
    pub(crate) fn clear_chain(&mut self) {
        self.bytes.clear();
        self.chain.clear();
    }

    /// An operator matched.
    pub(crate) fn remember(&mut self, name: &[u8], value: &[u8]) {
        self.last_name.clear();
        self.last_name.extend_from_slice(name);
        self.last_value.clear();
        self.last_value.extend_from_slice(value);
        self.has_last = true;
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let name = Span { start, len: name.len() as u32 };
        self.chain.push((name, Span { start: start + name.len, len: value.len() as u32 }));
    }
}

/// Appends the matched values or names.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let matched = &transaction.matched;
    let in_chain = |span: Span| Bytes { buffer: Buffer::Matched, span };
    match variable {
        Variable::MatchedVar if matched.has_last => {
            let bytes = out.text(|text| text.extend_from_slice(&matched.last_value));
            out.push(Value::scalar(variable, bytes));
        }
        Variable::MatchedVarName if matched.has_last => {
            let bytes = out.text(|text| text.extend_from_slice(&matched.last_name));
            out.push(Value::scalar(variable, bytes));
        }
        Variable::MatchedVars | Variable::MatchedVarsNames => {
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
