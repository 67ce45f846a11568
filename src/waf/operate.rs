//! Operators at work: macros in their arguments, what they found, what they say about it.

use super::Program;
use super::collection::Variable;
use super::expand::Text;
use super::operator::{CompileContext, Operator, OperatorContext, OperatorError, Outcome, has_macro, required_message};
use super::program::{RuleIndex, TxNames};
use super::regex::{Regex, RegexError, RegexOptions};
use super::scratch::Scratch;
use super::transaction::Transaction;

/// An operator with its argument.
#[derive(Debug)]
pub(crate) struct CompiledOperator {
    pub(crate) name: &'static str,
    /// As written.
    pub(crate) argument: Box<[u8]>,
    /// When macros have to be replaced first.
    text: Option<Text>,
    pub(crate) operator: Operator,
}

/// A pattern of the rule language outside of operators.
pub(crate) fn pattern(pattern: &[u8], ignore_case: bool) -> Result<Regex, RegexError> {
    let options = RegexOptions { is_case_insensitive: ignore_case, ..RegexOptions::default() };
    Regex::compile(pattern, options)
}

impl CompiledOperator {
    /// Compiles an operator; macros in the argument get TX slots.
    pub(crate) fn compile(
        name: &'static str,
        argument: &[u8],
        context: &CompileContext<'_>,
        names: &mut TxNames,
    ) -> Result<Self, OperatorError> {
        let operator = Operator::compile(name, argument, context)?;
        let text = (operator.expands_macros() && has_macro(argument)).then(|| Text::parse(argument, names));
        Ok(Self { name, argument: argument.into(), text, operator })
    }

    /// In the place of one that could not be compiled.
    pub(crate) fn nothing() -> Self {
        Self { name: "noMatch", argument: Box::default(), text: None, operator: Operator::NoMatch }
    }

    /// Is the argument another one in every transaction?
    pub(crate) const fn has_macros(&self) -> bool {
        self.text.is_some()
    }

    /// The argument, when it has macros.
    pub(crate) fn text(&self) -> Option<&Text> {
        self.text.as_ref()
    }

    /// Does the argument have a macro about such a variable?
    pub(crate) fn mentions(&self, wanted: impl Fn(Variable) -> bool) -> bool {
        self.text.as_ref().is_some_and(|text| text.mentions(wanted))
    }

    /// Does the answer depend on the value alone, now and later?
    pub(crate) fn is_pure(&self) -> bool {
        let depends_on_more = match &self.operator {
            Operator::GeoLookup(_) | Operator::Rbl(..) => true,
            // Says whether a search would have been given up, which the conditions of a match do not tell.
            Operator::Rx(Some(regex), _) | Operator::RxGlobal(Some(regex), _) => regex.has_match_limit(),
            _ => false,
        };
        self.text.is_none() && !depends_on_more
    }

    /// Can a search end without an answer?
    pub(crate) fn can_give_up(&self) -> bool {
        match &self.operator {
            Operator::Rx(regex, _) | Operator::RxGlobal(regex, _) => regex.as_ref().is_none_or(Regex::uses_backtracker),
            Operator::Verify(..) => true,
            _ => false,
        }
    }

    /// The argument with its macros replaced, when it has any; in `scratch.argument`.
    fn expand(&self, program: &Program, transaction: &Transaction, scratch: &mut Scratch, rule: RuleIndex) {
        if let Some(text) = &self.text {
            let mut argument = std::mem::take(&mut scratch.argument);
            argument.clear();
            text.expand(program, transaction, scratch, Some(rule), &mut argument);
            scratch.argument = argument;
        }
    }
}

/// Puts a value to an operator. What it finds is in `scratch.evidence`.
pub(crate) fn test(
    operator: &CompiledOperator,
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    rule: RuleIndex,
    captures: bool,
    value: &[u8],
) -> Outcome {
    operator.expand(program, transaction, scratch, rule);
    let argument = operator.text.as_ref().map(|_| &scratch.argument[..]);
    let mut context = OperatorContext { regexes: &mut scratch.caches.cache, evidence: &mut scratch.evidence, captures };
    operator.operator.matches(argument, value, &mut context)
}

/// What the operator says of a match: `Pattern match "…" at ARGS:q.` To be called right after `test`.
pub(crate) fn message(
    operator: &CompiledOperator,
    scratch: &Scratch,
    value: &[u8],
    name: &[u8],
    full_name: &[u8],
    is_hit: bool,
) -> Vec<u8> {
    // Patterns are cut after 252 bytes.
    let mut out = Vec::with_capacity(384);
    if is_hit {
        let argument = operator.text.as_ref().map(|_| &scratch.argument[..]);
        operator.operator.message(argument, value, &scratch.evidence, name, &mut out);
    } else {
        required_message(operator.name, &operator.argument, full_name, &mut out);
    }
    out
}
