//! Which texts have to be looked for in a value.
//!
//! A rule set has thousands of texts, but few concern one value. What a transformation made is asked about by the rules
//! that have that transformation only, and a value of `REQUEST_BODY` by the few rules about that: each such set of
//! operators is a *scope*. And a value cannot have a text with bytes that it does not have itself, nor match an operator
//! that needs them: bytes are taken together in groups, and those groups that a value has any of are its *kind*. Prose
//! without brackets has no text of the many rules about code. A scope has tables for a kind where that leaves less than half
//! of its texts, made when the first such value comes. They are smaller, and less often say that some text may be there.

use std::sync::OnceLock;

use super::around::Around;
use super::edits::Reach;
use super::pattern;
use super::texts::{Text, Texts};
use super::{LENGTHS, Needs, is_set};
use crate::waf::signature::{self, CAPITALS, ENDS_WITH_DOT, SMALL, Signature};

/// Number of a scope. The first, 0, has all operators.
pub(crate) type ScopeId = u8;

/// The scope of all operators.
pub(crate) const ALL: ScopeId = 0;

/// Bytes of every kind.
const ORDINARY: Signature = signature_of(b"abcdefghijklmnopqrstuvwxyz0123456789-_.") | CAPITALS | SMALL | ENDS_WITH_DOT;

/// Bytes that a value may have besides; one with others is of the last kind, for which all texts are looked for.
const GROUPS: [Signature; 4] =
    [signature_of(b"/:=%+?&~@#*"), signature_of(b" ,'!\""), signature_of(b"\t\r\n"), signature_of(b"();")];

/// Number of a kind of values.
pub(crate) type Kind = usize;

/// How many there are.
const KINDS: usize = (1 << GROUPS.len()) + 1;

/// The last kind.
const ANY: usize = KINDS - 1;

const fn signature_of(bytes: &[u8]) -> Signature {
    let mut all = 0;
    let mut rest = bytes;
    while let [byte, more @ ..] = rest {
        all |= signature::bit(*byte);
        rest = more;
    }
    all
}

/// The kind of values with a signature.
#[inline]
fn kind(signature: Signature) -> usize {
    let rest = GROUPS.iter().fold(ORDINARY, |all, group| all | group);
    if signature & !rest != 0 {
        return ANY;
    }
    GROUPS.iter().enumerate().fold(0, |kind, (number, group)| kind | usize::from(signature & group != 0) << number)
}

/// Are all texts that values of the one kind are looked through for looked for in those of the other too?
pub(super) const fn is_within(one: Kind, other: Kind) -> bool {
    other == ANY || (one != ANY && one & !other == 0)
}

/// Bytes that values of a kind may have.
fn bytes_of(kind: usize) -> Signature {
    if kind == ANY {
        return Signature::MAX;
    }
    let groups = GROUPS.iter().enumerate().filter(|(number, _)| kind >> number & 1 != 0);
    groups.fold(ORDINARY, |all, (_, group)| all | group)
}

/// The texts of a prefilter, and of each scope those that it asks for.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    texts: Vec<Text>,
    /// Of all texts.
    pub(super) reach: Reach,
    scopes: Vec<Scope>,
}

#[derive(Debug)]
struct Scope {
    /// Operators, by bit; of the first, nothing, for all.
    operators: Option<Box<[u64]>>,
    /// By kind; nothing where those of the last kind serve.
    tables: [OnceLock<Option<Texts>>; KINDS],
}

/// A scope of fewer texts has tables for the last kind only. Tests have such tables for small rule sets too.
const FEW: usize = if cfg!(any(test, fuzzing)) { 8 } else { 512 };

impl Scopes {
    /// With one scope: of all operators.
    pub(super) fn new(texts: Vec<Text>) -> Self {
        let reach = texts.iter().map(Text::reach).fold(Reach::default(), |all, reach| Reach {
            before: all.before.max(reach.before),
            behind: all.behind.max(reach.behind),
        });
        Self { texts, reach, scopes: vec![Scope { operators: None, tables: [const { OnceLock::new() }; KINDS] }] }
    }

    /// Adds a scope, if there is a number left for it.
    pub(super) fn add(&mut self, operators: Box<[u64]>) -> Option<ScopeId> {
        let id = ScopeId::try_from(self.scopes.len()).ok()?;
        self.scopes.push(Scope { operators: Some(operators), tables: [const { OnceLock::new() }; KINDS] });
        Some(id)
    }

    /// The texts to look for in values with this signature, and for values of which kind that is all. `asking` are the
    /// operators that ask for a text.
    #[inline]
    pub(super) fn texts<'s>(
        &'s self,
        scope: ScopeId,
        signature: Signature,
        asking: &[(Signature, Box<[u32]>)],
        needs: &[Needs],
    ) -> Option<(&'s Texts, Kind)> {
        let scope = self.scopes.get(usize::from(scope))?;
        let of_kind = |kind: usize| {
            let table = scope.tables.get(kind)?;
            table.get_or_init(|| self.make(scope, kind, asking, needs)).as_ref().map(|texts| (texts, kind))
        };
        of_kind(kind(signature)).or_else(|| of_kind(ANY))
    }

    #[cold]
    fn make(&self, scope: &Scope, kind: usize, asking: &[(Signature, Box<[u32]>)], needs: &[Needs]) -> Option<Texts> {
        let texts = self.asked(scope, kind, asking, needs);
        if kind != ANY {
            let all = self.asked(scope, ANY, asking, needs).len();
            if all < FEW || texts.len() * 2 > all {
                return None;
            }
        }
        Some(Texts::new(&texts, self.texts.len(), pattern::commonness))
    }

    /// The texts that are looked for in values of a kind, with their numbers and what may stand around them there.
    fn asked(
        &self,
        scope: &Scope,
        kind: usize,
        asking: &[(Signature, Box<[u32]>)],
        needs: &[Needs],
    ) -> Vec<(u32, &Text, Around)> {
        let bytes = bytes_of(kind);
        let concerns = |bit: &u32| {
            let is_of_scope = scope.operators.as_ref().is_none_or(|operators| is_set(operators, *bit));
            is_of_scope && needs.get(*bit as usize).is_some_and(|needs| needs.are_met(bytes, LENGTHS as u8))
        };
        let all = (0_u32..).zip(&self.texts).zip(asking);
        let asked = all.filter_map(|((number, text), (pair, bits))| {
            if signature::of_value(&text.bytes) & !bytes != 0 {
                return None;
            }
            let arounds = bits.iter().zip(&text.arounds).filter(|(bit, _)| concerns(bit)).map(|(_, around)| *around);
            // What transformations look for may stand anywhere, and only they look for it if there is no operator.
            let anything = (*pair != 0).then_some(Around::ANYTHING);
            Some((number, text, arounds.chain(anything).reduce(Around::or)?))
        });
        asked.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_all_bytes_of_its_values() {
        let values: [(&[u8], usize); 8] = [
            (b"", 0),
            (b"Ab-9_.", 0),
            (b"/a=%20", 1),
            (b"it's so, \"yes\"", 2),
            (b"a\r\nb", 4),
            (b"f();", 8),
            (b"see (/x), or\n", 15),
            (b"<a>", ANY),
        ];
        for (value, expected) in values {
            let signature = signature::of_value(value);
            assert_eq!(kind(signature), expected, "{}", value.escape_ascii());
            assert_eq!(signature & !bytes_of(expected), 0, "{}", value.escape_ascii());
        }
        assert_eq!(kind(signature::bit(0x7f)), ANY);
        assert_eq!(kind(signature::bit(0xc3)), ANY);
    }
}
