//! One token of a value, as the tokenizer cuts it and folding changes it.

/// How many bytes of a token are kept. Longer ones are cut: no keyword is longer, and folding compares only keywords.
const VALUE_BYTES: usize = 31;

/// What a token is. The letter is the one that fingerprints are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    /// No token.
    #[default]
    None = 0,
    /// A keyword without a kind of its own.
    Keyword = b'k',
    /// `UNION` and what acts like it.
    Union = b'U',
    /// `GROUP BY`, `ORDER BY`, `LIMIT`.
    Group = b'B',
    /// `SELECT`, `INSERT` and others that begin a statement.
    Expression = b'E',
    /// A type name.
    SqlType = b't',
    /// A function name.
    Function = b'f',
    /// A word that means nothing in particular.
    Bareword = b'n',
    /// A number, or something that stands for a constant.
    Number = b'1',
    /// A variable.
    Variable = b'v',
    /// A string.
    String = b's',
    /// An operator.
    Operator = b'o',
    /// `AND`, `OR` and their symbols.
    LogicOperator = b'&',
    /// A comment.
    Comment = b'c',
    /// `COLLATE`.
    Collate = b'A',
    /// `(`
    LeftParenthesis = b'(',
    /// `)`
    RightParenthesis = b')',
    /// `{`
    LeftBrace = b'{',
    /// `}`
    RightBrace = b'}',
    /// `.` on its own.
    Dot = b'.',
    /// `,`
    Comma = b',',
    /// `:`
    Colon = b':',
    /// `;`
    Semicolon = b';',
    /// A statement of Transact-SQL.
    Tsql = b'T',
    /// A byte that is no SQL.
    Unknown = b'?',
    /// Something that databases read differently: an attack by itself.
    Evil = b'X',
    /// `\` on its own.
    Backslash = b'\\',
}

impl Kind {
    /// The letter in fingerprints.
    #[must_use]
    pub const fn letter(self) -> u8 {
        self as u8
    }
}

/// One token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// The quote that opened a string, 0 if there was none.
    pub open: u8,
    /// The quote that closed a string, 0 if it runs to the end of the value.
    pub close: u8,
    /// How many `@` stood before a variable.
    pub at_signs: u8,
    length: u8,
    /// One more than needed, so that it is two registers wide.
    bytes: [u8; VALUE_BYTES + 1],
}

impl Token {
    /// The first bytes of the text (without quotes).
    #[must_use]
    pub fn value(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(super) fn assign(&mut self, kind: Kind, text: &[u8]) {
        self.kind = kind;
        self.bytes = [0; VALUE_BYTES + 1];
        let length = text.len().min(VALUE_BYTES);
        if let (Some(bytes), Some(text)) = (self.bytes.get_mut(..length), text.get(..length)) {
            bytes.copy_from_slice(text);
            self.length = length as u8;
        }
    }

    /// The byte at `index`, 0 beyond the end.
    pub(super) fn byte(&self, index: usize) -> u8 {
        self.bytes.get(index).copied().unwrap_or(0)
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.value().eq_ignore_ascii_case(word)
    }

    pub(super) fn is_arithmetic_operator(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.value(), [b'*' | b'/' | b'-' | b'+' | b'%'])
    }

    pub(super) fn is_unary_operator(&self) -> bool {
        self.kind == Kind::Operator
            && (matches!(self.value(), [b'+' | b'-' | b'!' | b'~'] | [b'!', b'!']) || self.is(b"NOT"))
    }

    /// `first second`, if that fits into a token.
    pub(super) fn joined(first: &Self, second: &Self) -> Option<Self> {
        let (left, right) = (first.value(), second.value());
        if left.len() + right.len() + 1 > VALUE_BYTES {
            return None;
        }
        let mut joined = *first;
        let tail = joined.bytes.get_mut(left.len()..=left.len() + right.len())?;
        let (space, rest) = tail.split_first_mut()?;
        *space = b' ';
        rest.copy_from_slice(right);
        joined.length += 1 + second.length;
        Some(joined)
    }
}
