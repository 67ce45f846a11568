//! From the tree to instructions.

use super::{Greed, Instruction};
use crate::waf::regex::ast::{ByteSet, Node};
use crate::waf::regex::match_limit::Early;

#[derive(Debug, Default)]
pub(in crate::waf::regex) struct Compiler {
    pub(in crate::waf::regex) code: Vec<Instruction>,
    pub(in crate::waf::regex) counters: usize,
    pub(in crate::waf::regex) early: Early,
    /// For [`crate::waf::regex::match_limit`].
    pub(in crate::waf::regex) is_counting: bool,
    /// For [`super::Backtracker::compile_tracer`].
    pub(in crate::waf::regex) looks_ahead: bool,
    /// What follows the node that is compiled begins with one of these; nothing when that is not known.
    pub(in crate::waf::regex) follow: Option<ByteSet>,
}

impl Compiler {
    /// Reserves an instruction that is filled in later.
    fn reserve(&mut self) -> usize {
        self.code.push(Instruction::Match);
        self.code.len() - 1
    }

    fn set(&mut self, at: usize, instruction: Instruction) {
        if let Some(place) = self.code.get_mut(at) {
            *place = instruction;
        }
    }

    pub(in crate::waf::regex) fn node(&mut self, node: &Node) {
        match node {
            Node::Empty => {}
            Node::Set(_) if self.is_counting && self.early.passes_one() => {}
            Node::Look { .. } | Node::BackReference { .. } | Node::Atomic(_)
                if self.is_counting && self.early.ends() => {}
            Node::Set(set) if set.len() == 1 => self.code.extend(set.iter().map(Instruction::Byte)),
            Node::Set(set) => self.code.push(Instruction::Set(Box::new(*set))),
            Node::Assert(assertion) => self.code.push(Instruction::Assert(*assertion)),
            Node::Capture { index, node, .. } => {
                let slot = *index as usize * 2;
                self.code.push(Instruction::Save(slot));
                self.node(node);
                self.code.push(Instruction::Save(slot + 1));
            }
            Node::Concat(nodes) if self.is_counting => self.concat_counting(nodes),
            Node::Repeat { node, min, max, greed } if self.is_counting => {
                self.repeat_counting(node, (*min, *max), *greed, None);
            }
            Node::Concat(nodes) if self.looks_ahead => self.concat_looking(nodes),
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Alternate(nodes) => self.alternate(nodes),
            Node::Repeat { node, min, max, greed } => self.repeat(node, *min, *max, *greed),
            Node::Atomic(node) => self.atomic(|compiler| compiler.node(node)),
            Node::Look { is_behind, is_negated, node } => self.look(*is_behind, *is_negated, node),
            Node::BackReference { index, is_case_insensitive } => self
                .code
                .push(Instruction::BackReference { index: *index as usize, is_case_insensitive: *is_case_insensitive }),
        }
    }

    /// One after the other, each knowing what follows it.
    fn concat_looking(&mut self, nodes: &[Node]) {
        let behind = self.follow;
        let mut follows = Vec::with_capacity(nodes.len());
        let mut follow = behind;
        for node in nodes.iter().rev() {
            follows.push(follow);
            let (first, is_nullable) = node.first();
            follow = if is_nullable { follow.map(|follow| follow.union(first)) } else { Some(first) };
        }
        for (node, follow) in nodes.iter().zip(follows.into_iter().rev()) {
            self.follow = follow;
            self.node(node);
        }
        self.follow = behind;
    }

    /// What is followed by something else than what comes behind it.
    fn apart(&mut self, inside: impl FnOnce(&mut Self)) {
        let follow = self.follow.take();
        inside(self);
        self.follow = follow;
    }

    fn alternate(&mut self, nodes: &[Node]) {
        // Of each branch, and of all behind it.
        let mut begins: Vec<[Option<ByteSet>; 2]> = Vec::new();
        if self.looks_ahead {
            let mut behind = Some(ByteSet::EMPTY);
            for node in nodes.iter().rev() {
                let own = begins_with(node);
                begins.push([own, behind]);
                behind = behind.zip(own).map(|(behind, own)| behind.union(own));
            }
            begins.reverse();
        }
        let mut ends = Vec::with_capacity(nodes.len());
        let mut group = self.early.group();
        for (position, node) in nodes.iter().enumerate() {
            group.branch(&mut self.early);
            if position + 1 == nodes.len() {
                self.node(node);
                break;
            }
            let split = self.reserve();
            self.node(node);
            ends.push(self.reserve());
            let second = self.code.len();
            let instruction = match begins.get(position) {
                Some(begins) => Instruction::SplitOn { first: split + 1, second, begins: Box::new(*begins) },
                None => Instruction::Split { first: split + 1, second },
            };
            self.set(split, instruction);
        }
        group.end(&mut self.early);
        let end = self.code.len();
        for jump in ends {
            self.set(jump, Instruction::Jump(end));
        }
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greed: Greed) {
        let max = max.unwrap_or(u32::MAX);
        if let Node::Set(set) = node {
            let until = self.follow.map(Box::new);
            self.code.push(Instruction::SetLoop { set: Box::new(*set), min, max, greed, until, early: None });
        } else if self.looks_ahead && (min, max) == (0, 1) && greed == Greed::Greedy {
            let split = self.reserve();
            self.node(node);
            let second = self.code.len();
            let begins = Box::new([begins_with(node), None]);
            self.set(split, Instruction::SplitOn { first: split + 1, second, begins });
        } else if greed == Greed::Possessive {
            self.atomic(|compiler| compiler.counted(node, min, max, false));
        } else {
            self.counted(node, min, max, greed == Greed::Lazy);
        }
    }

    fn counted(&mut self, node: &Node, min: u32, max: u32, is_lazy: bool) {
        let head = self.code.len() + 1;
        self.rounds(min, max, is_lazy, |compiler| compiler.node(node));
        if self.looks_ahead
            && let Some(Instruction::Loop { begins, .. }) = self.code.get_mut(head)
        {
            *begins = begins_with(node).map(Box::new);
        }
    }

    pub(in crate::waf::regex) fn rounds(&mut self, min: u32, max: u32, is_lazy: bool, inside: impl FnOnce(&mut Self)) {
        let counter = self.counters;
        self.counters += 1;
        self.code.push(Instruction::LoopStart(counter));
        let head = self.reserve();
        self.apart(inside);
        self.code.push(Instruction::Jump(head));
        let exit = self.code.len();
        self.set(head, Instruction::Loop { counter, min, max, is_lazy, exit, begins: None });
    }

    pub(in crate::waf::regex) fn atomic(&mut self, inside: impl FnOnce(&mut Self)) {
        let head = self.reserve();
        self.apart(inside);
        self.code.push(Instruction::Match);
        let next = self.code.len();
        self.set(head, Instruction::Atomic { next });
    }

    fn look(&mut self, is_behind: bool, is_negated: bool, node: &Node) {
        let head = self.reserve();
        let branches = match node {
            Node::Alternate(branches) if is_behind => branches.as_slice(),
            node => std::slice::from_ref(node),
        };
        let mut alternatives = Vec::with_capacity(branches.len());
        for branch in branches {
            let back = if is_behind { branch.fixed_length().unwrap_or_default() } else { 0 };
            alternatives.push((back, self.code.len()));
            self.apart(|compiler| compiler.node(branch));
            self.code.push(Instruction::Match);
        }
        let next = self.code.len();
        self.set(head, Instruction::Look { is_negated, alternatives: alternatives.into_boxed_slice(), next });
    }
}

/// What every text that the node matches begins with; nothing when it may consume nothing.
fn begins_with(node: &Node) -> Option<ByteSet> {
    let (first, is_nullable) = node.first();
    (!is_nullable).then_some(first)
}
