//! A parsed document.
//!
//! Nodes stand in document order, so the subtree of a node is the run of nodes up to its `end`, and its text is one
//! slice of all text: no string is ever put together for a rule.

use std::ops::Range;

/// A parsed document; [`super::XPath`] selects from it.
#[derive(Debug, Default)]
pub struct Document {
    pub(super) nodes: Vec<Node>,
    pub(super) attributes: Vec<Attribute>,
    /// Names as written.
    pub(super) names: Vec<u8>,
    /// All text, in document order.
    pub(super) text: Vec<u8>,
    /// All attribute values, in document order.
    pub(super) values: Vec<u8>,
    /// Namespace names; number 0 is no namespace.
    pub(super) namespaces: Vec<Vec<u8>>,
}

/// An element or a run of text. The first is the document itself.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) is_element: bool,
    /// Behind the last node inside.
    pub(super) end: usize,
    pub(super) name: Name,
    pub(super) text: Range<usize>,
    pub(super) attributes: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: Name,
    pub(super) value: Range<usize>,
}

/// A name without its prefix.
#[derive(Debug, Clone, Default)]
pub(super) struct Name {
    pub(super) local: Range<usize>,
    pub(super) namespace: usize,
}

impl Document {
    /// The text of the whole root element (`XML:/*`).
    #[must_use]
    pub fn root_text(&self) -> &[u8] {
        &self.text
    }

    /// The value of every attribute, namespace declarations excepted (`XML://@*`).
    pub fn attribute_values(&self) -> impl Iterator<Item = &[u8]> {
        self.attributes.iter().map(|attribute| self.attribute_value(attribute))
    }

    /// Gives each element that has no elements inside, in document order: `xml` and the names on the way to it joined
    /// by dots, and its text (SecParseXmlIntoArgs).
    pub fn leaves(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        // Ends of the open elements, and how long the path was outside of them.
        let mut path = b"xml".to_vec();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().skip(1).filter(|(_, node)| node.is_element) {
            while let Some((_, length)) = open.pop_if(|(end, _)| *end <= index) {
                path.truncate(length);
            }
            open.push((node.end, path.len()));
            path.push(b'.');
            path.extend_from_slice(self.local_name(&node.name));
            let inside = self.nodes.get(index + 1..node.end).unwrap_or_default();
            if !inside.iter().any(|node| node.is_element) {
                visit(&path, self.node_text(node));
            }
        }
    }

    pub(super) fn attribute_value(&self, attribute: &Attribute) -> &[u8] {
        self.values.get(attribute.value.clone()).unwrap_or_default()
    }

    pub(super) fn node_text(&self, node: &Node) -> &[u8] {
        self.text.get(node.text.clone()).unwrap_or_default()
    }

    pub(super) fn local_name(&self, name: &Name) -> &[u8] {
        self.names.get(name.local.clone()).unwrap_or_default()
    }

    pub(super) fn namespace(&self, name: &Name) -> &[u8] {
        self.namespaces.get(name.namespace).map_or(&[], Vec::as_slice)
    }

    /// The nodes directly inside a node.
    pub(super) fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes.get(parent).map_or(0, |node| node.end);
        let mut next = parent + 1;
        std::iter::from_fn(move || {
            let child = next;
            if child >= end {
                return None;
            }
            next = self.nodes.get(child)?.end;
            Some(child)
        })
    }
}
