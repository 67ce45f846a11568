//! With which two bytes a match can begin.
//!
//! The backtracker tries a match at every place where one could begin, and many a pattern can begin with most letters.
//! With the byte behind few of these places are left.

use regex_automata::nfa::thompson::{State, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::{Scanner, Workshop};
use crate::waf::regex::ast::ByteSet;

/// The first two bytes of matches.
#[derive(Debug, Clone)]
pub(crate) struct Openings {
    /// Class of each byte.
    classes: [u8; 256],
    /// By class of the first byte.
    second: Vec<Second>,
}

/// What may stand second.
#[derive(Debug, Clone, Copy)]
struct Second {
    bytes: ByteSet,
    /// A match may also be over.
    is_end: bool,
}

/// What can be reached without a byte, whatever assertions say.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) transitions: Vec<Transition>,
    pub(super) is_end: bool,
}

impl Openings {
    /// Of a pattern; nothing when a match may be without bytes.
    pub(super) fn new(scanner: &Scanner) -> Option<Self> {
        let mut workshop = Workshop::default();
        let begin = Reach::new(scanner, &mut workshop, vec![scanner.nfa.start_anchored()], true);
        if begin.is_end {
            return None;
        }
        let of_class = |byte: &u8| {
            let here = begin.transitions.iter().filter(|transition| transition.matches_byte(*byte));
            let next: Vec<StateID> = here.map(|transition| transition.next).collect();
            let Reach { transitions, is_end } = Reach::new(scanner, &mut workshop, next, true);
            let mut bytes = if is_end { ByteSet::ALL } else { ByteSet::EMPTY };
            transitions.iter().for_each(|transition| bytes.insert_range(transition.start, transition.end));
            Second { bytes, is_end }
        };
        Some(Self { classes: scanner.classes, second: scanner.members.iter().map(of_class).collect() })
    }

    /// The first place where a match can begin.
    pub(in crate::waf::regex) fn find(&self, value: &[u8]) -> Option<usize> {
        let second = |byte: &u8| {
            let class = self.classes.get(usize::from(*byte)).copied().unwrap_or_default();
            self.second.get(usize::from(class))
        };
        let begins = |pair: &[u8; 2]| {
            let [first, next] = pair;
            second(first).is_some_and(|second| second.bytes.contains(*next))
        };
        let found = value.array_windows().position(begins);
        found.or_else(|| {
            let last = value.last()?;
            second(last)?.is_end.then(|| value.len() - 1)
        })
    }
}

impl Reach {
    /// `starts` says whether the value may begin here.
    pub(super) fn new(scanner: &Scanner, workshop: &mut Workshop, from: Vec<StateID>, starts: bool) -> Self {
        let mut reach = Self::default();
        let mut left = from;
        let mut met: Vec<StateID> = Vec::new();
        while let Some(id) = left.pop() {
            if met.contains(&id) {
                continue;
            }
            met.push(id);
            workshop.explore(id, scanner, |state| match state {
                State::Match { .. } => reach.is_end = true,
                State::Look { look: Look::Start, .. } if !starts => {}
                State::Look { next, .. } => left.push(*next),
                State::ByteRange { trans } => reach.transitions.push(*trans),
                State::Sparse(sparse) => reach.transitions.extend(sparse.transitions.iter().copied()),
                State::Dense(dense) => {
                    let to = |byte| Some(Transition { start: byte, end: byte, next: dense.matches_byte(byte)? });
                    reach.transitions.extend((0..=u8::MAX).filter_map(to));
                }
                _ => {}
            });
        }
        reach
    }
}
