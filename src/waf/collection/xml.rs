//! XML: nodes of an XML body, chosen by XPath.

use super::{Collector, Wanted};
use crate::waf::program::RuleIndex;
use crate::waf::transaction::Transaction;

/// The parsed body.
#[derive(Debug, Default)]
pub(crate) struct XmlState {}

/// Appends the text of the nodes that `wanted` names.
pub(crate) fn collect(
    _transaction: &Transaction,
    _wanted: Wanted<'_>,
    _rule: Option<RuleIndex>,
    _out: &mut Collector<'_>,
) {
}
