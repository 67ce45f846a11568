//! From the tree to `regex_syntax`'s HIR, which the automata are built from and prefilters derived from.
//!
//! The HIR matches at least what the pattern matches. It is *exact* when the pattern has nothing that automata cannot
//! express; otherwise (look-around, back-references, `\Z`, `\G`, atomic groups that matter) it is a superset that may
//! say "no" for the backtracker and where to begin looking.

use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

use super::ast::{Assertion, ByteSet, Greed, Node};

/// A lowered pattern.
pub(crate) struct Lowered {
    pub(crate) hir: Hir,
    pub(crate) is_exact: bool,
}

/// What may come after a part of the pattern: the bytes, and whether the match may end there without looking.
#[derive(Clone, Copy)]
struct Follow {
    bytes: ByteSet,
    /// Something that looks at the position comes next: any byte could matter.
    is_unknown: bool,
}

/// Lowers a pattern.
pub(crate) fn lower(node: &Node) -> Lowered {
    let mut is_exact = true;
    let hir = lower_node(node, Follow { bytes: ByteSet::EMPTY, is_unknown: false }, &mut is_exact);
    Lowered { hir, is_exact }
}

fn lower_node(node: &Node, follow: Follow, is_exact: &mut bool) -> Hir {
    match node {
        Node::Empty => Hir::empty(),
        Node::Set(set) => lower_set(*set),
        Node::Assert(assertion) => match assertion {
            Assertion::Start => Hir::look(Look::Start),
            Assertion::End => Hir::look(Look::End),
            Assertion::LineStart => Hir::look(Look::StartLF),
            Assertion::LineEnd => Hir::look(Look::EndLF),
            Assertion::WordBoundary => Hir::look(Look::WordAscii),
            Assertion::NotWordBoundary => Hir::look(Look::WordAsciiNegate),
            Assertion::EndOrLastNewline | Assertion::SearchStart => {
                *is_exact = false;
                Hir::empty()
            }
        },
        Node::Capture { index, name, node } => Hir::capture(Capture {
            index: *index,
            name: name.clone(),
            sub: Box::new(lower_node(node, follow, is_exact)),
        }),
        Node::Concat(nodes) => {
            // From the end, so that each part knows what follows it.
            let mut follow = follow;
            let mut parts: Vec<Hir> = Vec::with_capacity(nodes.len());
            for node in nodes.iter().rev() {
                parts.push(lower_node(node, follow, is_exact));
                follow = before(node, follow);
            }
            parts.reverse();
            Hir::concat(parts)
        }
        Node::Alternate(nodes) => {
            Hir::alternation(nodes.iter().map(|node| lower_node(node, follow, is_exact)).collect())
        }
        Node::Repeat { node: inner, min, max, greed } => {
            if *greed == Greed::Possessive && !is_possession_idle(inner, *min, *max, follow) {
                *is_exact = false;
            }
            // What follows one round is the next round or what follows them all.
            let around = before(inner, follow);
            let around =
                Follow { bytes: around.bytes.union(follow.bytes), is_unknown: around.is_unknown || follow.is_unknown };
            Hir::repetition(Repetition {
                min: *min,
                max: *max,
                greedy: *greed != Greed::Lazy,
                sub: Box::new(lower_node(inner, around, is_exact)),
            })
        }
        Node::Atomic(inner) => {
            if !is_atom_idle(inner, follow) {
                *is_exact = false;
            }
            lower_node(inner, follow, is_exact)
        }
        Node::Look { .. } => {
            *is_exact = false;
            Hir::empty()
        }
        Node::BackReference { .. } => {
            *is_exact = false;
            Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(lower_set(ByteSet::ALL)) })
        }
    }
}

fn lower_set(set: ByteSet) -> Hir {
    if set.len() == 1 {
        return Hir::literal(set.iter().collect::<Vec<u8>>());
    }
    let ranges = set.to_ranges().into_iter().map(|(first, last)| ClassBytesRange::new(first, last));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

/// What follows the part that stands before `node`.
fn before(node: &Node, follow: Follow) -> Follow {
    if is_end(node) {
        return Follow { bytes: ByteSet::EMPTY, is_unknown: false };
    }
    let (first, is_nullable) = node.first();
    let looks = looks_around(node);
    if is_nullable {
        Follow { bytes: first.union(follow.bytes), is_unknown: looks || follow.is_unknown }
    } else {
        Follow { bytes: first, is_unknown: looks }
    }
}

/// `\z`: nothing can follow.
fn is_end(node: &Node) -> bool {
    match node {
        Node::Assert(Assertion::End) => true,
        Node::Capture { node, .. } => is_end(node),
        Node::Concat(nodes) => nodes.first().is_some_and(is_end),
        _ => false,
    }
}

/// Does it look at a position anywhere? (Coarse: also when it does so only after a byte.)
fn looks_around(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Set(_) => false,
        Node::Assert(_) | Node::Look { .. } | Node::BackReference { .. } => true,
        Node::Capture { node, .. } | Node::Atomic(node) | Node::Repeat { node, .. } => looks_around(node),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().any(looks_around),
    }
}

/// Would giving bytes back never help? True for a repeated set that shares no byte with what follows, when nothing
/// looks at the position in between: after fewer rounds the next byte is of the set, so what follows cannot begin.
fn is_possession_idle(inner: &Node, min: u32, max: Option<u32>, follow: Follow) -> bool {
    if Some(min) == max && inner.fixed_length() == Some(1) && !looks_around(inner) {
        return true;
    }
    let Some(set) = single_set(inner) else { return false };
    !follow.is_unknown && set.is_disjoint(&follow.bytes)
}

/// Is there at most one way to match at a position, or is every other way useless?
fn is_atom_idle(inner: &Node, follow: Follow) -> bool {
    match inner {
        Node::Empty | Node::Set(_) | Node::Assert(_) => true,
        Node::Capture { node, .. } | Node::Atomic(node) => is_atom_idle(node, follow),
        Node::Concat(nodes) => match nodes.split_last() {
            Some((last, firsts)) => {
                firsts.iter().all(|node| matches!(node, Node::Set(_) | Node::Assert(_))) && is_atom_idle(last, follow)
            }
            None => true,
        },
        Node::Repeat { node, min, max, greed: Greed::Greedy | Greed::Possessive } => {
            is_possession_idle(node, *min, *max, follow)
        }
        // Branches that begin with different bytes exclude each other.
        Node::Alternate(nodes) => {
            let mut seen = ByteSet::EMPTY;
            nodes.iter().all(|node| {
                let (first, is_nullable) = node.first();
                let is_new = !is_nullable && seen.is_disjoint(&first);
                seen = seen.union(first);
                is_new && is_atom_idle(node, follow)
            })
        }
        _ => false,
    }
}

fn single_set(node: &Node) -> Option<ByteSet> {
    match node {
        Node::Set(set) => Some(*set),
        Node::Capture { node, .. } | Node::Atomic(node) => single_set(node),
        _ => None,
    }
}
