//! `@eq`, `@ge`, `@gt`, `@le`, `@lt`.
//!
//! **Meaning.** Both sides are read as C's `atoi` reads (`waf::number`): leading white space, a sign, digits; what follows is ignored,
//! and no digits are 0.
//! **Arguments.** A number or a macro. **Example.** `SecRule TX:score "@ge %{tx.threshold}"`.
//! *Difference from ModSecurity:* a number beyond 32 bits is the largest such number; ModSecurity 2 keeps its low 32
//! bits, so that 4294967296 would be 0.

/// Which comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `@eq`
    Equal,
    /// `@ge`
    GreaterOrEqual,
    /// `@gt`
    Greater,
    /// `@le`
    LessOrEqual,
    /// `@lt`
    Less,
}

impl Comparison {
    /// Whether `value` stands in this relation to `argument`.
    #[must_use]
    pub const fn holds(self, value: i64, argument: i64) -> bool {
        match self {
            Self::Equal => value == argument,
            Self::GreaterOrEqual => value >= argument,
            Self::Greater => value > argument,
            Self::LessOrEqual => value <= argument,
            Self::Less => value < argument,
        }
    }

    /// As ModSecurity's message names it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Equal => "EQ",
            Self::GreaterOrEqual => "GE",
            Self::Greater => "GT",
            Self::LessOrEqual => "LE",
            Self::Less => "LT",
        }
    }
}
