//! The tree of a parsed pattern: what PCRE understands, reduced to a few forms over bytes.
//!
//! Case folding, escapes, class names and `.` are already resolved by the parser: a character is a [`ByteSet`]. The
//! automata (through `lower`) and the backtracker (through `backtrack`) are both built from this one tree.

use std::fmt;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 4]);
    /// Every byte.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// This byte only.
    #[must_use]
    pub fn of(byte: u8) -> Self {
        let mut set = Self::EMPTY;
        set.insert(byte);
        set
    }

    /// The bytes of these inclusive ranges.
    #[must_use]
    pub fn ranges(ranges: &[(u8, u8)]) -> Self {
        let mut set = Self::EMPTY;
        for &(first, last) in ranges {
            set.insert_range(first, last);
        }
        set
    }

    /// Adds a byte.
    pub fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    /// Adds an inclusive range.
    pub fn insert_range(&mut self, first: u8, last: u8) {
        for byte in first..=last {
            self.insert(byte);
        }
    }

    /// Is the byte in the set?
    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }

    /// The bytes that are not in the set.
    #[must_use]
    pub fn negated(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// The bytes in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let mut both = self;
        for (word, more) in both.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        both
    }

    /// Do the sets share no byte?
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(word, more)| word & more == 0)
    }

    /// Is there no byte in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The bytes in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        self.0.into_iter().zip(0u8..).flat_map(|(mut word, index)| {
            std::iter::from_fn(move || {
                // The lowest bit that is left.
                let bit = word.trailing_zeros();
                word &= word.checked_sub(1)?;
                Some(index * 64 + bit as u8)
            })
        })
    }

    /// The maximal inclusive ranges, in order.
    #[must_use]
    pub fn to_ranges(self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last != u8::MAX && *last + 1 == byte => *last = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        ranges
    }

    /// With the other case of every ASCII letter in it.
    #[must_use]
    pub fn case_folded(self) -> Self {
        // The letters are in the second word, lower case 32 bits above upper case.
        const UPPER: u64 = 0x3ff_ffff << 1;
        let [first, letters, third, fourth] = self.0;
        let letters = letters | (letters & UPPER) << 32 | (letters >> 32) & UPPER;
        Self([first, letters, third, fourth])
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (first, last) in self.to_ranges() {
            write!(f, "{}", first.escape_ascii())?;
            if last > first {
                write!(f, "-{}", last.escape_ascii())?;
            }
        }
        f.write_str("]")
    }
}

/// A condition on a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assertion {
    /// `\A`, `^`
    Start,
    /// `\z`, `$` with DOLLAR_ENDONLY
    End,
    /// `\Z`, `$` without DOLLAR_ENDONLY: the end, or before a newline that is last.
    EndOrLastNewline,
    /// `(?m)^`
    LineStart,
    /// `(?m)$`
    LineEnd,
    /// `\b`
    WordBoundary,
    /// `\B`
    NotWordBoundary,
    /// `\G`: where the search began.
    SearchStart,
}

/// How a repetition chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greed {
    /// As many as possible first.
    Greedy,
    /// As few as possible first.
    Lazy,
    /// As many as possible, and never fewer.
    Possessive,
}

/// A pattern or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// Matches here, consuming nothing.
    Empty,
    /// One byte of the set. An empty set never matches.
    Set(ByteSet),
    /// A condition on the position.
    Assert(Assertion),
    /// A capturing group, numbered from 1.
    Capture { index: u32, name: Option<Box<str>>, node: Box<Self> },
    /// One after the other.
    Concat(Vec<Self>),
    /// The first that works.
    Alternate(Vec<Self>),
    /// `{min,max}`
    Repeat { node: Box<Self>, min: u32, max: Option<u32>, greed: Greed },
    /// `(?>…)`
    Atomic(Box<Self>),
    /// `(?=…)`, `(?!…)`, `(?<=…)`, `(?<!…)`
    Look { is_behind: bool, is_negated: bool, node: Box<Self> },
    /// `\1`
    BackReference { index: u32, is_case_insensitive: bool },
}

impl Node {
    /// The number of bytes that every match has, if all have the same.
    pub(crate) fn fixed_length(&self) -> Option<usize> {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } => Some(0),
            Self::Set(_) => Some(1),
            Self::Capture { node, .. } | Self::Atomic(node) => node.fixed_length(),
            Self::Concat(nodes) => nodes.iter().try_fold(0usize, |sum, node| sum.checked_add(node.fixed_length()?)),
            Self::Alternate(nodes) => {
                let mut lengths = nodes.iter().map(Self::fixed_length);
                let first = lengths.next()??;
                lengths.all(|length| length == Some(first)).then_some(first)
            }
            Self::Repeat { node, min, max, .. } => {
                let length = node.fixed_length()?;
                if length == 0 {
                    return Some(0);
                }
                (Some(*min) == *max).then(|| length.checked_mul(*min as usize))?
            }
            Self::BackReference { .. } => None,
        }
    }

    /// Is there a loop whose rounds may consume nothing?
    pub(crate) fn has_idle_rounds(&self) -> bool {
        match self {
            Self::Repeat { node, max, .. } => (*max != Some(1) && node.first().1) || node.has_idle_rounds(),
            Self::Capture { node, .. } | Self::Atomic(node) | Self::Look { node, .. } => node.has_idle_rounds(),
            Self::Concat(nodes) | Self::Alternate(nodes) => nodes.iter().any(Self::has_idle_rounds),
            _ => false,
        }
    }

    /// The bytes a match can begin with, and whether it may consume nothing.
    pub(crate) fn first(&self) -> (ByteSet, bool) {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } => (ByteSet::EMPTY, true),
            Self::Set(set) => (*set, false),
            Self::Capture { node, .. } | Self::Atomic(node) => node.first(),
            Self::Concat(nodes) => {
                let mut set = ByteSet::EMPTY;
                for node in nodes {
                    let (first, is_nullable) = node.first();
                    set = set.union(first);
                    if !is_nullable {
                        return (set, false);
                    }
                }
                (set, true)
            }
            Self::Alternate(nodes) => nodes.iter().fold((ByteSet::EMPTY, false), |(set, nullable), node| {
                let (first, is_nullable) = node.first();
                (set.union(first), nullable || is_nullable)
            }),
            Self::Repeat { node, min, max, .. } => {
                let (first, is_nullable) = node.first();
                if *max == Some(0) { (ByteSet::EMPTY, true) } else { (first, is_nullable || *min == 0) }
            }
            Self::BackReference { .. } => (ByteSet::ALL, true),
        }
    }
}
