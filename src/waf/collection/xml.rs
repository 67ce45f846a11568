//! XML: nodes of an XML body, chosen by XPath.
//!
//! Every XPath of the program is evaluated once, when the body has been read; rules find what it selected.

use super::{Buffer, Bytes, Collector, Span, Value, Variable, Wanted};
use crate::limits;
use crate::waf::Program;
use crate::waf::body::xml::Document;
use crate::waf::program::XPathId;
use crate::waf::transaction::Transaction;

/// What `XML` without a path is.
const TREE: &[u8] = b"[XML document tree]";

/// What the program's XPaths selected.
#[derive(Debug, Default)]
pub(crate) struct XmlState {
    pub(super) has_document: bool,
    /// Values in the arena, by XPath.
    selected: Vec<Vec<Span>>,
}

/// The name of values that an XPath selected: log lines do not show it, exclusions go by it.
pub(crate) const fn key(id: XPathId) -> Bytes {
    Bytes { buffer: Buffer::XPath, span: Span { start: id.0, len: 0 } }
}

impl Transaction {
    /// Evaluates the program's XPaths.
    pub(crate) fn take_document(&mut self, program: &Program, document: &Document) {
        self.xml.has_document = true;
        for named in &program.xpaths {
            let mut spans = Vec::new();
            for value in named.xpath.select(document) {
                if self.arena.len() + value.len() > limits::WAF_ARENA_BYTES {
                    self.is_arena_full = true;
                    break;
                }
                spans.push(self.store(value));
            }
            self.xml.selected.push(spans);
        }
    }
}

/// Appends the text of the nodes that `wanted` names.
pub(crate) fn collect(transaction: &Transaction, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    if !transaction.xml.has_document {
        return;
    }
    match wanted {
        Wanted::XPath(id) => {
            let selected = transaction.xml.selected.get(id.0 as usize).map(Vec::as_slice).unwrap_or_default();
            for span in selected {
                out.push(Value::member(Variable::Xml, key(id), Bytes::arena(*span)));
            }
        }
        _ => {
            let bytes = out.text(|text| text.extend_from_slice(TREE));
            out.push(Value::scalar(Variable::Xml, bytes));
        }
    }
}
