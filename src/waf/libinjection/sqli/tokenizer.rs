//! Cuts a value into tokens the way libinjection does: one function for each class of first byte.
//!
//! Called by `fold`, and by the test runner for libinjection's own token cases. Positions never move backwards and
//! each byte is looked at a bounded number of times. Bytes beyond the end read as 0, which is what the original
//! finds there.
//!
//! Two habits of the original that come from C strings and change verdicts: a NUL byte ends a word, and a NUL byte
//! counts as a member of any set of accepted characters (digits of `0x…`, letters of `$tag$`).

use super::ending::{ends_variable, ends_word, is_white};
use super::tables;
use super::token::{Kind, Token};
use memchr::{memchr, memmem};

/// The quote that a value is thought to stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// None: the value as it is.
    None,
    /// `'`
    Single,
    /// `"`
    Double,
}

/// How comments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `--` always begins a comment, `#` is an operator.
    Ansi,
    /// `--` needs a white space behind it, `#` begins a comment.
    MySql,
}

/// A value being cut into tokens.
#[derive(Debug)]
pub struct Tokenizer<'a> {
    input: &'a [u8],
    position: usize,
    quote: Quote,
    dialect: Dialect,
    token_count: usize,
    saw_mysql_syntax: bool,
}

impl<'a> Tokenizer<'a> {
    /// Begins with `input` as if it stood behind `quote`.
    #[must_use]
    pub const fn new(input: &'a [u8], quote: Quote, dialect: Dialect) -> Self {
        Self { input, position: 0, quote, dialect, token_count: 0, saw_mysql_syntax: false }
    }

    /// How many tokens were cut so far, comments included.
    #[must_use]
    pub const fn token_count(&self) -> usize {
        self.token_count
    }

    /// Puts the next token into `token`; `false` (and an empty token) at the end.
    pub fn next_into(&mut self, token: &mut Token) -> bool {
        *token = Token::default();
        if self.input.is_empty() {
            return false;
        }
        if self.position == 0 && self.quote != Quote::None {
            let delimiter = if self.quote == Quote::Single { b'\'' } else { b'"' };
            self.position = self.string(token, 0, delimiter, 0);
            self.token_count += 1;
            return true;
        }
        while let Some(&byte) = self.input.get(self.position) {
            self.position = self.cut(token, self.position, byte);
            if token.kind != Kind::None {
                self.token_count += 1;
                return true;
            }
        }
        false
    }

    /// Whether something was seen that MySQL reads differently.
    pub(super) const fn saw_mysql_syntax(&self) -> bool {
        self.saw_mysql_syntax
    }

    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        memmem::find(self.input, needle).is_some()
    }

    /// The byte at `at`, 0 beyond the end.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.input.get(at).copied().unwrap_or(0)
    }

    /// Cuts the token that begins with `byte` at `at`, and says where the next one begins.
    fn cut(&mut self, token: &mut Token, at: usize, byte: u8) -> usize {
        match byte {
            // Bytes 1 to 32 and 127 are skipped between tokens, although only some of them end a word.
            0..=b' ' | 0x7F | 0xA0 => at + 1,
            b'a' | b'c' | b'd' | b'f'..=b'm' | b'o' | b'p' | b'r'..=b't' | b'v' | b'w' | b'y' | b'z' => {
                self.word(token, at)
            }
            b'0'..=b'9' | b'.' => self.number(token, at),
            b'\'' | b'"' => self.string(token, at, byte, 1),
            b'(' => self.single(token, at, Kind::LeftParenthesis),
            b')' => self.single(token, at, Kind::RightParenthesis),
            b',' => self.single(token, at, Kind::Comma),
            b';' => self.single(token, at, Kind::Semicolon),
            b'{' => self.single(token, at, Kind::LeftBrace),
            b'}' => self.single(token, at, Kind::RightBrace),
            b'%' | b'+' | b'^' | b'~' => self.single(token, at, Kind::Operator),
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(token, at),
            b'-' => self.dash(token, at),
            b'/' => self.slash(token, at),
            b'#' => self.hash(token, at),
            b'\\' => self.backslash(token, at),
            b'@' => self.variable(token, at),
            b'$' => self.money(token, at),
            b'`' => self.backtick(token, at),
            b'[' => self.bracketed_word(token, at),
            b'?' | b']' => self.single(token, at, Kind::Unknown),
            b'B' | b'b' => self.digit_string(token, at, |digit| matches!(digit, b'0' | b'1')),
            b'X' | b'x' => self.digit_string(token, at, |digit| digit.is_ascii_hexdigit()),
            b'E' | b'e' => self.escape_string(token, at),
            b'N' | b'n' => self.national_string(token, at),
            b'Q' | b'q' => self.oracle_string(token, at, 0),
            b'U' | b'u' => self.unicode_string(token, at),
            _ => self.word(token, at),
        }
    }

    fn from(&self, at: usize) -> &'a [u8] {
        self.input.get(at..).unwrap_or_default()
    }

    fn range(&self, start: usize, end: usize) -> &'a [u8] {
        self.input.get(start..end).unwrap_or_default()
    }

    fn single(&self, token: &mut Token, at: usize, kind: Kind) -> usize {
        token.assign(kind, self.range(at, at + 1));
        at + 1
    }

    fn line_comment(&self, token: &mut Token, at: usize) -> usize {
        let rest = self.from(at);
        let end = memchr(b'\n', rest);
        token.assign(Kind::Comment, end.and_then(|end| rest.get(..end)).unwrap_or(rest));
        end.map_or(self.input.len(), |end| at + end + 1)
    }

    fn hash(&mut self, token: &mut Token, at: usize) -> usize {
        self.saw_mysql_syntax = true;
        match self.dialect {
            Dialect::MySql => self.line_comment(token, at),
            Dialect::Ansi => self.single(token, at, Kind::Operator),
        }
    }

    fn dash(&mut self, token: &mut Token, at: usize) -> usize {
        if self.byte(at + 1) != b'-' {
            return self.single(token, at, Kind::Operator);
        }
        if self.input.get(at + 2).is_none_or(|&byte| is_white(byte)) {
            return self.line_comment(token, at);
        }
        match self.dialect {
            Dialect::Ansi => {
                self.saw_mysql_syntax = true;
                self.line_comment(token, at)
            }
            Dialect::MySql => self.single(token, at, Kind::Operator),
        }
    }

    fn slash(&self, token: &mut Token, at: usize) -> usize {
        if self.byte(at + 1) != b'*' {
            return self.single(token, at, Kind::Operator);
        }
        let body = self.from(at + 2);
        let end = memmem::find(body, b"*/");
        let length = end.map_or(self.input.len() - at, |end| end + 4);
        // PostgreSQL nests comments, MySQL runs what is in `/*! */`: either way nobody can say what it means. The
        // original looks for the nested one up to and including the `*` that ends the comment, so `/*/*/` is one.
        let is_nested =
            end.and_then(|end| body.get(..=end)).is_some_and(|inside| memmem::find(inside, b"/*").is_some());
        let kind = if is_nested || self.byte(at + 2) == b'!' { Kind::Evil } else { Kind::Comment };
        token.assign(kind, self.range(at, at + length));
        at + length
    }

    fn backslash(&self, token: &mut Token, at: usize) -> usize {
        // `\N` is MySQL's other name of NULL.
        if self.byte(at + 1) == b'N' {
            token.assign(Kind::Number, self.range(at, at + 2));
            return at + 2;
        }
        self.single(token, at, Kind::Backslash)
    }

    fn operator(&self, token: &mut Token, at: usize) -> usize {
        if let Some(three @ b"<=>") = self.input.get(at..at + 3) {
            token.assign(Kind::Operator, three);
            return at + 3;
        }
        if let Some(two) = self.input.get(at..at + 2) {
            if let Some(kind) = tables::keyword(two) {
                token.assign(kind, two);
                return at + 2;
            }
            if self.byte(at) == b':' {
                return self.single(token, at, Kind::Colon);
            }
        }
        self.single(token, at, Kind::Operator)
    }

    /// The string whose text begins at `at + offset`; the delimiter is doubled or behind a backslash where it does not
    /// end the string.
    fn string(&self, token: &mut Token, at: usize, delimiter: u8, offset: usize) -> usize {
        let text = self.from(at + offset);
        token.open = if offset > 0 { delimiter } else { 0 };
        let mut search = 0;
        while let Some(found) = text.get(search..).and_then(|rest| memchr(delimiter, rest)) {
            let end = search + found;
            let before = text.get(..end).unwrap_or_default();
            let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\').count();
            if backslashes % 2 == 1 {
                search = end + 1;
            } else if text.get(end + 1) == Some(&delimiter) {
                search = end + 2;
            } else {
                token.assign(Kind::String, before);
                token.close = delimiter;
                return at + offset + end + 1;
            }
        }
        token.assign(Kind::String, text);
        token.close = 0;
        self.input.len()
    }

    /// `E'…'`, PostgreSQL's string with escapes.
    fn escape_string(&self, token: &mut Token, at: usize) -> usize {
        if at + 2 >= self.input.len() || self.byte(at + 1) != b'\'' {
            return self.word(token, at);
        }
        self.string(token, at, b'\'', 2)
    }

    /// `U&'…'`.
    fn unicode_string(&self, token: &mut Token, at: usize) -> usize {
        if self.byte(at + 1) != b'&' || self.byte(at + 2) != b'\'' {
            return self.word(token, at);
        }
        let end = self.string(token, at + 2, b'\'', 1);
        token.open = b'u';
        if token.close == b'\'' {
            token.close = b'u';
        }
        end
    }

    /// MySQL's `N'…'` or Oracle's `NQ'…'`.
    fn national_string(&self, token: &mut Token, at: usize) -> usize {
        if at + 2 < self.input.len() && self.byte(at + 1) == b'\'' {
            return self.string(token, at, b'\'', 2);
        }
        self.oracle_string(token, at, 1)
    }

    /// Oracle's `Q'(…)'`, whose `q` stands `offset` behind `at`.
    fn oracle_string(&self, token: &mut Token, at: usize, offset: usize) -> usize {
        let q = at + offset;
        let bracket = self.byte(q + 2);
        // The original compares a signed character, which leaves out bytes above 0x7F.
        if !matches!(self.byte(q), b'q' | b'Q') || self.byte(q + 1) != b'\'' || !(33..0x80).contains(&bracket) {
            return self.word(token, at);
        }
        let closing = match bracket {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        let text = self.from(q + 3);
        token.open = b'q';
        if let Some(end) = memmem::find(text, &[closing, b'\'']) {
            token.assign(Kind::String, self.range(q + 3, q + 3 + end));
            token.close = b'q';
            return q + 3 + end + 2;
        }
        token.assign(Kind::String, text);
        self.input.len()
    }

    /// `B'0101'` and `X'0fed'`.
    fn digit_string(&self, token: &mut Token, at: usize, is_digit: fn(u8) -> bool) -> usize {
        if self.byte(at + 1) != b'\'' {
            return self.word(token, at);
        }
        let end = at + 2 + length_of(self.from(at + 2), |byte| byte == 0 || is_digit(byte));
        if self.byte(end) != b'\'' {
            return self.word(token, at);
        }
        token.assign(Kind::Number, self.range(at, end + 1));
        end + 1
    }

    /// SQL Server's `[name]`.
    fn bracketed_word(&self, token: &mut Token, at: usize) -> usize {
        let rest = self.from(at);
        let length = memchr(b']', rest).map_or(rest.len(), |end| end + 1);
        token.assign(Kind::Bareword, self.range(at, at + length));
        at + length
    }

    fn word(&self, token: &mut Token, at: usize) -> usize {
        let length = length_of(self.from(at), |byte| !ends_word(byte));
        let word = self.range(at, at + length);
        token.assign(Kind::Bareword, word);
        // `SELECT.1` and SELECT`name` are a keyword and something else.
        for (index, &byte) in token.value().iter().enumerate() {
            if byte != b'.' && byte != b'`' {
                continue;
            }
            let start = self.range(at, at + index);
            if let Some(kind) = tables::keyword(start)
                && kind != Kind::Bareword
            {
                token.assign(kind, start);
                return at + index;
            }
        }
        if let Some(kind) = tables::keyword(word) {
            token.kind = kind;
        }
        at + length
    }

    /// MySQL's names in backticks: a function if the name is one, a word otherwise.
    fn backtick(&self, token: &mut Token, at: usize) -> usize {
        let end = self.string(token, at, b'`', 1);
        let is_function = tables::keyword(token.value()) == Some(Kind::Function);
        token.kind = if is_function { Kind::Function } else { Kind::Bareword };
        end
    }

    fn variable(&self, token: &mut Token, at: usize) -> usize {
        let mut at = at + 1;
        token.at_signs = 1;
        if self.byte(at) == b'@' {
            at += 1;
            token.at_signs = 2;
        }
        match self.byte(at) {
            b'`' => {
                let end = self.backtick(token, at);
                token.kind = Kind::Variable;
                return end;
            }
            quote @ (b'\'' | b'"') => {
                let end = self.string(token, at, quote, 1);
                token.kind = Kind::Variable;
                return end;
            }
            _ => {}
        }
        let length = length_of(self.from(at), |byte| !ends_variable(byte));
        token.assign(Kind::Variable, self.range(at, at + length));
        at + length
    }

    /// `$1,000.00`, `$$text$$`, `$tag$text$tag$`, or a lone `$`.
    fn money(&self, token: &mut Token, at: usize) -> usize {
        let rest = self.from(at + 1);
        if rest.is_empty() {
            return self.single(token, at, Kind::Bareword);
        }
        let digits = length_of(rest, |byte| matches!(byte, 0 | b'0'..=b'9' | b'.' | b','));
        if digits == 1 && rest.first() == Some(&b'.') {
            return self.word(token, at);
        }
        if digits > 0 {
            token.assign(Kind::Number, self.range(at, at + 1 + digits));
            return at + 1 + digits;
        }
        let tag = length_of(rest, |byte| byte == 0 || byte.is_ascii_alphabetic());
        if rest.get(tag) != Some(&b'$') {
            return self.single(token, at, Kind::Bareword);
        }
        let fence = self.range(at, at + tag + 2);
        let text = self.from(at + tag + 2);
        token.open = b'$';
        if let Some(end) = memmem::find(text, fence) {
            token.assign(Kind::String, self.range(at + tag + 2, at + tag + 2 + end));
            token.close = b'$';
            return at + tag + 2 + end + fence.len();
        }
        token.assign(Kind::String, text);
        self.input.len()
    }

    fn number(&self, token: &mut Token, start: usize) -> usize {
        if self.byte(start) == b'0' {
            let is_digit: Option<fn(u8) -> bool> = match self.byte(start + 1) {
                b'x' | b'X' => Some(|byte| byte == 0 || byte.is_ascii_hexdigit()),
                b'b' | b'B' => Some(|byte| matches!(byte, 0 | b'0' | b'1')),
                _ => None,
            };
            if let Some(is_digit) = is_digit {
                let digits = length_of(self.from(start + 2), is_digit);
                let kind = if digits == 0 { Kind::Bareword } else { Kind::Number };
                token.assign(kind, self.range(start, start + 2 + digits));
                return start + 2 + digits;
            }
        }
        let mut at = self.skip_digits(start);
        if self.byte(at) == b'.' {
            at = self.skip_digits(at + 1);
            if at == start + 1 {
                return self.single(token, start, Kind::Dot);
            }
        }
        let mut kind = Kind::Number;
        if matches!(self.byte(at), b'e' | b'E') {
            at += 1;
            if matches!(self.byte(at), b'+' | b'-') {
                at += 1;
            }
            let end = self.skip_digits(at);
            if end == at {
                // `10.e` is a table of a database, not a number.
                kind = Kind::Bareword;
            }
            at = end;
        }
        // Oracle's suffixes for floating point; and so that `1fUNION` is cut where a database would cut it.
        if matches!(self.byte(at), b'd' | b'D' | b'f' | b'F') {
            let ends = self.input.get(at + 1).is_none_or(|&next| is_white(next) || matches!(next, b';' | b'u' | b'U'));
            at += usize::from(ends);
        }
        token.assign(kind, self.range(start, at));
        at
    }

    fn skip_digits(&self, at: usize) -> usize {
        at + length_of(self.from(at), |byte| byte.is_ascii_digit())
    }
}

fn length_of(text: &[u8], accepts: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| !accepts(byte)).unwrap_or(text.len())
}
