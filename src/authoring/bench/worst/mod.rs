//! Looks for the body that costs most.
//!
//! How: every `@rx` and phrase of the rules gives [`fragment`]s, texts that match it, that nearly do, or that its
//! repetitions can be pumped with. A [`shape`] puts them into a body again and again: one long value or thousands of
//! short ones, as a form, JSON, XML, multipart or plain text, the same each time or each time with another count in it
//! (a value that was there before costs next to nothing). First every fragment is tried in every shape with a small
//! body; then the dearest are tried in full size, and changed and crossed for as long as there is time, keeping what
//! costs more. What is compared is the fastest of a few runs, so that a busy machine does not look like a find. With
//! the same seed the same candidates come up in the same order, as far as the times agree.

mod fragment;
mod shape;

use super::large::Sequence;
use super::measure::Clock;
use super::{Setup, Subject};
use crate::diagnostics::Diagnostics;
use crate::seclang::parse;
use crate::waf::{Program, Scratch};

use fragment::{Fragment, fragments};
use shape::Filling;
pub use shape::{Shape, Variation};

/// How a body is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipe {
    /// What carries the values.
    pub shape: Shape,
    /// Bytes of one value before it is encoded.
    pub value_bytes: usize,
    /// What a value is filled with, in turn.
    pub parts: Vec<Vec<u8>>,
    /// Once, before them.
    pub prefix: Vec<u8>,
    /// How a value differs from the one before.
    pub variation: Variation,
}

/// A costly body.
#[derive(Debug, Clone)]
pub struct Find {
    /// How it is made.
    pub recipe: Recipe,
    /// The rule that gave the first part.
    pub origin: u32,
    /// Of a run.
    pub nanoseconds: u64,
}

/// What to look for, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Length of the bodies.
    pub bytes: usize,
    /// For the climb, after everything was tried once.
    pub nanoseconds: u64,
    /// Of the changes.
    pub seed: u64,
    /// How many finds are wanted.
    pub keep: usize,
}

/// What the search did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Bodies tried in small size.
    pub screened: usize,
    /// Bodies tried in full size.
    pub climbed: usize,
    /// The dearest first.
    pub finds: Vec<Find>,
}

impl Search {
    /// Searches.
    pub fn run(&self, setup: &Setup, program: &Program, clock: Clock) -> Result<Report, Diagnostics> {
        let (ruleset, problems) = parse(&setup.root(), &*setup.loader());
        if problems.has_errors() {
            return Err(problems);
        }
        let mut sequence = Sequence::new(self.seed);
        let fragments = fragments(&ruleset, &*setup.loader(), &mut sequence);
        let mut trial = Trial { program, scratch: Scratch::new(), clock };
        let mut screened = Vec::new();
        for fragment in &fragments {
            for (shape, value_bytes, variation) in Shape::SCREENED {
                let recipe = Recipe {
                    shape: *shape,
                    value_bytes: *value_bytes,
                    parts: vec![fragment.text.clone()],
                    prefix: Vec::new(),
                    variation: *variation,
                };
                let nanoseconds = trial.cost(&recipe, SCREEN_BYTES.min(self.bytes), 2);
                screened.push(Find { recipe, origin: fragment.rule_id, nanoseconds });
            }
        }
        let count = screened.len();
        let mut pool = diverse(screened, POOL);
        for find in &mut pool {
            find.nanoseconds = trial.cost(&find.recipe, self.bytes, 2);
        }
        sort(&mut pool);
        let mut climbed = pool.len();
        let begin = clock();
        while clock().saturating_sub(begin) < self.nanoseconds && !pool.is_empty() {
            let parent = pool[sequence.below(pool.len()).min(sequence.below(pool.len()))].clone();
            let other = pool[sequence.below(pool.len())].recipe.clone();
            let recipe = parent.recipe.changed(&other, &fragments, &mut sequence);
            let nanoseconds = trial.cost(&recipe, self.bytes, 2);
            climbed += 1;
            // In place of its parent, so that the pool does not become one family.
            if nanoseconds > parent.nanoseconds
                && let Some(place) = pool.iter().position(|find| find.recipe == parent.recipe)
            {
                pool[place] = Find { recipe, origin: parent.origin, nanoseconds };
                sort(&mut pool);
            }
        }
        let mut finds = pool;
        finds.truncate(2 * self.keep);
        for find in &mut finds {
            find.nanoseconds = trial.cost(&find.recipe, self.bytes, 5);
        }
        sort(&mut finds);
        finds.truncate(self.keep);
        Ok(Report { screened: count, climbed, finds })
    }
}

/// Length of the bodies of the first round.
const SCREEN_BYTES: usize = 8 << 10;

/// How many go on to the second.
const POOL: usize = 48;

/// Most finds of the first round that one rule may send on.
const POOL_OF_ONE_RULE: usize = 4;

fn sort(finds: &mut [Find]) {
    finds.sort_by_key(|find| std::cmp::Reverse(find.nanoseconds));
}

/// The dearest, but not all of them of the same rule.
fn diverse(mut finds: Vec<Find>, most: usize) -> Vec<Find> {
    sort(&mut finds);
    let mut chosen: Vec<Find> = Vec::new();
    for find in finds {
        if chosen.iter().filter(|own| own.origin == find.origin).count() < POOL_OF_ONE_RULE {
            chosen.push(find);
            if chosen.len() == most {
                break;
            }
        }
    }
    chosen
}

struct Trial<'p> {
    program: &'p Program,
    scratch: Scratch,
    clock: Clock,
}

impl Trial<'_> {
    /// The fastest of a few runs; nothing for what the front end refuses.
    fn cost(&mut self, recipe: &Recipe, bytes: usize, runs: usize) -> u64 {
        let mut fastest = u64::MAX;
        for run in 0..runs {
            // Not with the counts of the run before, which the worker may have kept.
            let request = recipe.counted_from(run * COUNTS, bytes);
            let Ok(subject) = Subject::new("worst", &request) else { return 0 };
            let before = (self.clock)();
            drop(subject.run(self.program, &mut self.scratch));
            fastest = fastest.min((self.clock)().saturating_sub(before));
        }
        fastest
    }
}

impl Recipe {
    /// The whole request, with a body of at most that length.
    pub fn request(&self, bytes: usize) -> Vec<u8> {
        self.counted_from(0, bytes)
    }

    fn counted_from(&self, first: usize, bytes: usize) -> Vec<u8> {
        let Self { value_bytes, ref prefix, ref parts, variation, .. } = *self;
        self.shape.request(bytes, &Filling { value_bytes, prefix, parts, variation }, first)
    }

    /// For a table: `JSON values of 64 bytes, a count behind each: "abc" "<a"`.
    pub fn describe(&self) -> String {
        let shown = |text: &Vec<u8>| {
            let cut = text.get(..SHOWN).unwrap_or(text);
            format!("\"{}\"{}", cut.escape_ascii(), if text.len() > SHOWN { "…" } else { "" })
        };
        let parts: Vec<String> = self.parts.iter().map(shown).collect();
        let prefix = if self.prefix.is_empty() { String::new() } else { format!(" after {}", shown(&self.prefix)) };
        let (shape, variation) = (self.shape.as_str(), self.variation.as_str());
        format!("{shape} of {} bytes{variation}: {}{prefix}", self.value_bytes, parts.join(" "))
    }

    /// A relative of it.
    fn changed(&self, other: &Self, fragments: &[Fragment], sequence: &mut Sequence) -> Self {
        let mut next = self.clone();
        for _ in 0..=sequence.below(2) {
            next.change(other, fragments, sequence);
        }
        next.parts.retain(|part| !part.is_empty());
        next.parts.truncate(MOST_PARTS);
        if next.parts.is_empty() {
            next.parts.clone_from(&self.parts);
        }
        next
    }

    fn change(&mut self, other: &Self, fragments: &[Fragment], sequence: &mut Sequence) {
        let any = |sequence: &mut Sequence| match fragments.get(sequence.below(fragments.len())) {
            Some(fragment) => fragment.text.clone(),
            None => b"a".to_vec(),
        };
        let place = sequence.below(self.parts.len());
        match sequence.below(13) {
            0 => self.parts.push(any(sequence)),
            1 => self.parts.extend(other.parts.iter().cloned()),
            2 if self.parts.len() > 1 => drop(self.parts.remove(place)),
            3 => self.shape = Shape::ALL[sequence.below(Shape::ALL.len())],
            4 => self.value_bytes = VALUE_BYTES[sequence.below(VALUE_BYTES.len())],
            5 => self.prefix = if sequence.below(3) == 0 { Vec::new() } else { any(sequence) },
            6 => self.shape = other.shape,
            7 => self.value_bytes = other.value_bytes,
            8 => self.variation = Variation::ALL[sequence.below(Variation::ALL.len())],
            _ => {
                if let Some(part) = self.parts.get_mut(place) {
                    splice(part, sequence);
                }
            }
        }
    }
}

/// Bytes of a text cut, doubled, exchanged or inserted.
fn splice(text: &mut Vec<u8>, sequence: &mut Sequence) {
    let start = sequence.below(text.len());
    let end = start + sequence.below(text.len() - start + 1);
    match sequence.below(5) {
        0 if end - start < text.len() => drop(text.drain(start..end)),
        1 if text.len() < LONGEST_PART => {
            let copy = text[start..end].to_vec();
            text.splice(start..start, copy);
        }
        2 => text[start] = BYTES[sequence.below(BYTES.len())],
        3 => text.insert(start, BYTES[sequence.below(BYTES.len())]),
        _ => text[start] = sequence.draw() as u8,
    }
}

/// Bytes that mean something to some rule.
const BYTES: &[u8] = b" \t\n'\"`<>()[]{};:,.=&|$#@!%^*+-/\\?_~0189aesxAE\0";

/// Most parts that take turns.
const MOST_PARTS: usize = 6;

/// A part is not doubled beyond this.
const LONGEST_PART: usize = 4096;

/// Between the counts of two runs: more than a body has values.
const COUNTS: usize = 1_000_003;

/// Lengths of values.
const VALUE_BYTES: &[usize] = &[8, 24, 64, 200, 1000, 8000, 1 << 20];

/// Bytes of a text that a table shows.
const SHOWN: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authoring::bench::Base;
    use crate::waf::EngineOptions;

    const RULES: &[(&str, &[u8])] = &[(
        "a.conf",
        b"SecRule ARGS \"@rx (?i)union\\s+select\" \"id:5,phase:2,pass,nolog\"\nSecRule ARGS \"@pm alpha\" \"id:6,pass\"\n",
    )];

    /// No time goes by, so everything costs the same; what is tested is that the search ends and keeps to its bounds.
    fn clock() -> u64 {
        0
    }

    #[test]
    fn every_find_can_be_made_again() {
        let setup = Setup::new(Base::BuiltIn(RULES), 1);
        let (program, _) = setup.compile(&EngineOptions::default()).unwrap();
        let search = Search { bytes: 2000, nanoseconds: 0, seed: 1, keep: 5 };
        let report = search.run(&setup, &program, clock).unwrap();
        assert!(
            report.screened > 100 && report.climbed == 3 * POOL_OF_ONE_RULE && report.finds.len() == 5,
            "{report:?}"
        );
        for find in &report.finds {
            let subject = Subject::new("worst", &find.recipe.request(2000)).unwrap();
            assert!(subject.body().len() <= 2000 && subject.body().len() > 1000, "{}", find.recipe.describe());
        }
    }

    #[test]
    fn changes_keep_a_recipe_whole() {
        let fragments = [Fragment { rule_id: 1, text: b"<a>".to_vec() }];
        let mut sequence = Sequence::new(3);
        let mut recipe = Recipe {
            shape: Shape::Text,
            value_bytes: 8,
            parts: vec![b"ab".to_vec()],
            prefix: Vec::new(),
            variation: Variation::None,
        };
        for _ in 0..2000 {
            recipe = recipe.changed(&recipe.clone(), &fragments, &mut sequence);
            assert!(!recipe.parts.is_empty() && recipe.parts.len() <= MOST_PARTS);
            assert!(recipe.parts.iter().all(|part| !part.is_empty() && part.len() <= 2 * LONGEST_PART + 8));
        }
    }
}
