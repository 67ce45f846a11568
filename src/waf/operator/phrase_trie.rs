//! The automaton of ModSecurity 2 and 3 for `@pm`, mistakes included, to confirm what the complete search found.
//!
//! It is an Aho-Corasick automaton whose failure links are worked out in one step: the link of a node is the child of its
//! parent's link, and the root where there is no such child; a correct one would try the links behind that. So a phrase
//! that begins inside the beginning of another can be missed: with `config.code` and `g/x` among the phrases,
//! `.credentials` is not found in `config.credentials`. Rule sets were tuned with that, and on real traffic it is visible. Every match here
//! is a true one, so the complete search comes first and this walk only follows a hit.

/// One node.
#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<(u8, u32)>,
    /// Where to go on without a child for the next byte.
    link: u32,
    /// The phrase that made the node, and how much of it the node is.
    phrase: u32,
    depth: u32,
    is_last: bool,
    /// A phrase ends at one of the links from here.
    ends_behind: bool,
}

impl Node {
    fn child(&self, byte: u8) -> Option<u32> {
        self.children.iter().find(|(letter, _)| *letter == byte).map(|(_, child)| *child)
    }
}

/// The automaton.
#[derive(Debug)]
pub(super) struct PhraseTrie {
    nodes: Vec<Node>,
    /// Children of the root, where most bytes end up; 0 is none.
    root: Box<[u32; 256]>,
}

const ROOT: u32 = 0;

impl PhraseTrie {
    pub(super) fn new(phrases: &[Vec<u8>]) -> Self {
        let mut trie = Self { nodes: vec![Node::default()], root: Box::new([ROOT; 256]) };
        let mut parents = vec![(ROOT, 0_u8)];
        for (phrase, number) in phrases.iter().zip(0..) {
            let mut node = ROOT;
            for (byte, depth) in phrase.iter().map(u8::to_ascii_lowercase).zip(1..) {
                node = trie.step(node, byte).unwrap_or_else(|| {
                    let child = trie.nodes.len() as u32;
                    trie.nodes.push(Node { phrase: number, depth, ..Node::default() });
                    parents.push((node, byte));
                    trie.link_child(node, byte, child);
                    child
                });
            }
            if let Some(last) = trie.nodes.get_mut(node as usize).filter(|_| node != ROOT) {
                last.is_last = true;
            }
        }
        trie.set_links(&parents);
        trie
    }

    fn link_child(&mut self, parent: u32, byte: u8, child: u32) {
        if parent == ROOT {
            if let Some(slot) = self.root.get_mut(usize::from(byte)) {
                *slot = child;
            }
        } else if let Some(parent) = self.nodes.get_mut(parent as usize) {
            parent.children.push((byte, child));
        }
    }

    fn set_links(&mut self, parents: &[(u32, u8)]) {
        // A link leads to a node of smaller depth, so by depth each is known when it is needed.
        let mut order: Vec<u32> = (0..).take(self.nodes.len()).skip(1).collect();
        order.sort_by_key(|node| self.node(*node).map_or(0, |node| node.depth));
        for number in order {
            let Some(&(parent, byte)) = parents.get(number as usize) else { continue };
            let link = if parent == ROOT {
                ROOT
            } else {
                let behind = self.node(parent).map_or(ROOT, |parent| parent.link);
                self.step(behind, byte).unwrap_or(ROOT)
            };
            let ends_behind = self.node(link).is_some_and(|link| link.is_last || link.ends_behind);
            if let Some(node) = self.nodes.get_mut(number as usize) {
                (node.link, node.ends_behind) = (link, ends_behind);
            }
        }
    }

    fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }

    fn step(&self, node: u32, byte: u8) -> Option<u32> {
        if node == ROOT {
            self.root.get(usize::from(byte)).copied().filter(|child| *child != ROOT)
        } else {
            self.node(node)?.child(byte)
        }
    }

    /// The first end of a phrase that the automaton sees: number of the phrase and how much of it is reported, which is
    /// more than the phrase that ended when a longer one was under way.
    pub(super) fn find(&self, value: &[u8]) -> Option<(usize, usize)> {
        let mut state = ROOT;
        for byte in value.iter().map(u8::to_ascii_lowercase) {
            loop {
                if let Some(child) = self.step(state, byte) {
                    state = child;
                    break;
                }
                if state == ROOT {
                    break;
                }
                state = self.node(state)?.link;
            }
            let node = self.node(state)?;
            if node.is_last || node.ends_behind {
                return Some((node.phrase as usize, node.depth as usize));
            }
        }
        None
    }
}
