//! What a value must have for an operator to match it.

use super::literals::{self, Literal};
use super::pattern::{self, Facts, MOST_SETS};
use crate::waf::libinjection;
use crate::waf::operate::CompiledOperator;
use crate::waf::operator::{Operator, TextTest};
use crate::waf::regex::ByteSet;

/// Necessary conditions of one operator; all must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    /// One of these occurs when ASCII letters are folded to lower case; `None` when there is no such condition.
    pub(super) literals: Option<Vec<Literal>>,
    /// Of each of these sets a byte occurs.
    pub(super) sets: Vec<ByteSet>,
    /// Bytes at least.
    pub(super) length: usize,
}

/// Texts that are found in one of so many bytes are not worth looking for.
const MOST_FREQUENT: f64 = 0.05;

impl Condition {
    /// Of an operator. Whoever asks for those with macros or with effects besides the answer is told "maybe".
    pub(super) fn of(compiled: &CompiledOperator) -> Self {
        if compiled.has_macros() {
            return Self::default();
        }
        match &compiled.operator {
            Operator::NoMatch => Self { sets: vec![ByteSet::EMPTY], ..Self::default() },
            Operator::Rx(Some(regex), _) if !regex.uses_backtracker() => {
                let length = regex.hir().properties().minimum_len().unwrap_or(0);
                Self::from_facts(pattern::facts(regex.hir()), length)
            }
            Operator::Text(test, text) => match test {
                TextTest::Within => Self::default(),
                _ => Self::from_text(text),
            },
            Operator::StrMatch(finder, _) => Self::from_text(finder.needle()),
            Operator::Phrases(phrases) => {
                let literals: Vec<Literal> = phrases.phrases().iter().map(|text| Literal::anywhere(text)).collect();
                let length = literals.iter().map(|text| text.bytes.len()).min().unwrap_or(0);
                Self { literals: Some(literals), sets: Vec::new(), length }
            }
            Operator::ByteRange(ranges, _) => {
                let mut outside = ByteSet::EMPTY;
                (0..=u8::MAX).filter(|byte| !ranges.allows(*byte)).for_each(|byte| outside.insert(byte));
                Self { sets: vec![outside], ..Self::default() }
            }
            Operator::UrlEncoding => Self { sets: vec![ByteSet::of(b'%')], ..Self::default() },
            Operator::Utf8Encoding => Self { sets: vec![ByteSet::ranges(&[(0x80, 0xff)])], ..Self::default() },
            // `may_be_sqli` asks for one byte that is more than part of a word; so does this.
            Operator::DetectSqli => {
                let mut telling = ByteSet::EMPTY;
                (0..=u8::MAX).filter(|byte| libinjection::may_be_sqli(&[*byte])).for_each(|byte| telling.insert(byte));
                Self { sets: vec![telling], ..Self::default() }
            }
            Operator::DetectXss { .. } => {
                Self { sets: vec![ByteSet::of(b'<').union(ByteSet::of(b'='))], ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    fn from_text(text: &[u8]) -> Self {
        let facts = Facts {
            literals: (!text.is_empty()).then(|| vec![Literal::anywhere(text)]),
            sets: text.iter().map(|byte| ByteSet::of(*byte)).collect(),
        };
        Self::from_facts(facts, text.len())
    }

    fn from_facts(facts: Facts, length: usize) -> Self {
        let literals = facts.literals.filter(|texts| literals::frequency(texts) < MOST_FREQUENT);
        let mut sets = facts.sets;
        sets.truncate(MOST_SETS);
        Self { literals, sets, length }
    }
}
