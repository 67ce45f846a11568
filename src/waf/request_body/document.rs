//! XML bodies: a document that XPath targets select from, or, when the rules ask for it, arguments.

use crate::limits;
use crate::waf::Program;
use crate::waf::body::xml;
use crate::waf::collection::Bytes;
use crate::waf::collection::arguments::{Argument, Origin};
use crate::waf::settings::XmlArguments;
use crate::waf::transaction::Transaction;

impl Transaction {
    /// Reads an XML body. An empty one is no document and no error, as in ModSecurity 2.
    pub(super) fn parse_xml(&mut self, program: &Program, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        let limits = xml::Limits { bytes: usize::MAX, depth: limits::WAF_XML_DEPTH, nodes: limits::WAF_XML_NODES };
        let document = match xml::parse(body, limits) {
            Ok(document) => document,
            Err(problem) => {
                self.body.fail(format!("XML parsing error: {problem}"));
                return;
            }
        };
        let arguments = self.control.parse_xml_into_args;
        if arguments != XmlArguments::OnlyArguments {
            self.take_document(program, &document);
        }
        if arguments != XmlArguments::Off {
            self.take_leaves(program, &document);
        }
    }

    /// Each element without elements in it is an argument, named by the way to it: `xml.root.leaf`.
    fn take_leaves(&mut self, program: &Program, document: &xml::Document) {
        let mut free = self.free_arguments(program);
        let mut is_full = false;
        document.leaves(&mut |name, text| {
            if free == 0 {
                is_full = true;
                return;
            }
            free -= 1;
            let name = Bytes::arena(self.store(name));
            let value = Bytes::arena(self.store(text));
            self.arguments.push(Argument { name, value, origin: Origin::Document });
        });
        if is_full {
            let limit = program.settings.arguments_limit;
            self.body.fail(format!("XML parsing error: More than {limit} ARGS (GET + XML)"));
        }
    }
}
