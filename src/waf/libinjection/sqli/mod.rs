//! SQL injection: the three contexts in which a value is read, and the verdict on a fingerprint.
//!
//! Called by the operator `@detectSQLi`. A value is read as it stands, as if it stood inside single quotes, and as if
//! inside double quotes; where the text has something that MySQL reads differently (`#`, `--x`), a second time in
//! MySQL's dialect. The first reading whose fingerprint is in the table, and that is none of the known harmless
//! shapes, decides.

mod ending;
mod fold;
mod tables;
mod token;
mod tokenizer;

pub use token::{Kind, Token};
pub use tokenizer::{Dialect, Quote, Tokenizer};

/// How many tokens a fingerprint has at most.
const FINGERPRINT_TOKENS: usize = 5;

/// The kinds of the (folded) tokens of a value, as the letters that libinjection prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fingerprint {
    length: u8,
    letters: [u8; FINGERPRINT_TOKENS],
}

impl Fingerprint {
    /// The letters, for example `s&1c`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.letters.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn from_kinds(kinds: impl Iterator<Item = Kind>) -> Self {
        let mut fingerprint = Self::default();
        for (slot, kind) in fingerprint.letters.iter_mut().zip(kinds) {
            *slot = kind.letter();
            fingerprint.length += 1;
        }
        fingerprint
    }
}

/// Says whether `input` is an SQL injection, and by which fingerprint.
#[must_use]
pub fn detect_sqli(input: &[u8]) -> Option<Fingerprint> {
    if !may_be_sqli(input) {
        return None;
    }
    detect_fully(input)
}

/// [`detect_sqli`] without the short cut, so that tests can compare the two.
#[doc(hidden)]
#[must_use]
pub fn detect_fully(input: &[u8]) -> Option<Fingerprint> {
    if input.is_empty() {
        return None;
    }
    detect_in_both_dialects(input, Quote::None)
        .or_else(|| memchr::memchr(b'\'', input).and_then(|_| detect_in_both_dialects(input, Quote::Single)))
        .or_else(|| {
            // Only MySQL takes double quotes for strings, hence only its dialect.
            memchr::memchr(b'"', input).and_then(|_| Reading::of(input, Quote::Double, Dialect::MySql).verdict())
        })
}

/// The folded tokens of one reading, for tests that compare with libinjection's own cases.
#[doc(hidden)]
#[must_use]
pub fn folded(input: &[u8], quote: Quote, dialect: Dialect) -> Vec<Token> {
    fold::fold(&mut Tokenizer::new(input, quote, dialect)).as_slice().to_vec()
}

fn detect_in_both_dialects(input: &[u8], quote: Quote) -> Option<Fingerprint> {
    let ansi = Reading::of(input, quote, Dialect::Ansi);
    let verdict = ansi.verdict();
    if verdict.is_some() || !ansi.tokenizer.saw_mysql_syntax() {
        return verdict;
    }
    Reading::of(input, quote, Dialect::MySql).verdict()
}

/// A cheap necessary condition of [`detect_sqli`]: `false` means that it certainly says no.
///
/// Why it holds. Take a value of nothing but ASCII letters, digits, `_` and bytes above 0x7F other than 0xA0 (a white
/// space to libinjection). There is then no quote, so only the reading as it stands matters. No byte of these opens
/// anything but a word or a number: a word takes all that follows, and a number can be followed by a word, or by one
/// more number when the first was of the form `0x…` or `0b…`. The only fingerprints to come out are thus one word or
/// one number, a number (or `0x`) and a word, or two numbers and a word (two words can merge into one, which changes
/// nothing). Of these the table holds `1U` only, which needs more than two tokens to count (see `is_harmless`), and
/// three tokens that end in a word have no such fingerprint. `.` is left out although it mostly is harmless, because
/// `select.1` is two tokens.
#[must_use]
pub fn may_be_sqli(input: &[u8]) -> bool {
    // Not `any`: without an early exit the compiler does this loop sixteen bytes at a time.
    input.chunks(64).any(|chunk| chunk.iter().fold(false, |found, &byte| found | !is_plain(byte)))
}

const fn is_plain(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'_') | ((byte >= 0x80) & (byte != 0xA0))
}

/// One reading of a value: its folded tokens and what was counted on the way.
struct Reading<'a> {
    tokenizer: Tokenizer<'a>,
    tokens: fold::Folded,
    fingerprint: Fingerprint,
}

impl<'a> Reading<'a> {
    fn of(input: &'a [u8], quote: Quote, dialect: Dialect) -> Self {
        let mut tokenizer = Tokenizer::new(input, quote, dialect);
        let mut tokens = fold::fold(&mut tokenizer);
        tokens.turn_open_backtick_into_comment();
        let fingerprint = if tokens.as_slice().iter().any(|token| token.kind == Kind::Evil) {
            // Something that databases disagree about, such as nested comments: nobody writes that by accident.
            Fingerprint::from_kinds(std::iter::once(Kind::Evil))
        } else {
            Fingerprint::from_kinds(tokens.as_slice().iter().map(|token| token.kind))
        };
        Self { tokenizer, tokens, fingerprint }
    }

    fn verdict(&self) -> Option<Fingerprint> {
        (tables::is_attack(self.fingerprint.as_bytes()) && !self.is_harmless()).then_some(self.fingerprint)
    }

    /// Shapes that are in the table and still are mostly ordinary text.
    fn is_harmless(&self) -> bool {
        let kinds = self.fingerprint.as_bytes();
        // A comment with this word hides a statement from SQL Server's audit log.
        if kinds.len() > 1 && kinds.last() == Some(&b'c') && self.tokenizer.contains(b"sp_password") {
            return false;
        }
        match (kinds.len(), self.tokens.as_slice()) {
            (2, [first, second]) => self.is_harmless_pair(first, second),
            (3, [first, second, third]) => self.is_harmless_triple(kinds, first, second, third),
            _ => false,
        }
    }

    fn is_harmless_pair(&self, first: &Token, second: &Token) -> bool {
        let count = self.tokenizer.token_count();
        if second.kind == Kind::Union {
            // "1 union" is ordinary; with something folded away it is not.
            return count == 2;
        }
        let start = second.byte(0);
        if start == b'#' {
            return true;
        }
        if first.kind == Kind::Bareword && second.kind == Kind::Comment && start != b'/' {
            return true;
        }
        if first.kind == Kind::Number && second.kind == Kind::Comment {
            if start == b'/' || count > 2 {
                return false;
            }
            // "1234-ABCD--" is an identifier, "1234--" is not: look at what follows the number. The original assumes
            // here that the number stands at the very start, and compares signed characters.
            let length = first.value().len();
            let (next, after) = (self.tokenizer.byte(length), self.tokenizer.byte(length + 1));
            let ends_number =
                next <= 32 || next >= 0x80 || (next == b'/' && after == b'*') || (next == b'-' && after == b'-');
            return !ends_number;
        }
        // Many people write "--" in plain text; only a value that ends there counts.
        second.value().len() > 2 && start == b'-'
    }

    fn is_harmless_triple(&self, kinds: &[u8], first: &Token, second: &Token, third: &Token) -> bool {
        match kinds {
            // Text in the middle of which a string ends and another begins: ...foo' + 'bar...
            b"sos" | b"s&s" => !(first.open == 0 && third.close == 0 && first.close == third.open),
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => self.tokenizer.token_count() == 3,
            _ if second.kind == Kind::Keyword => {
                // INTO OUTFILE and INTO DUMPFILE; other keywords between two values are ordinary text.
                let value = second.value();
                value.len() < 5 || !value.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"INTO"))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(input: &[u8]) -> String {
        detect_sqli(input).map_or_else(String::new, |found| String::from_utf8(found.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn says_why() {
        assert_eq!(fingerprint(b"1 OR 1=1"), "1&1");
        assert_eq!(fingerprint(b"' or ''='"), "s&sos");
        assert_eq!(fingerprint(b"1 UNION SELECT * FROM users --"), "1UEok");
        assert_eq!(fingerprint(b"/*!50000select*/ 1"), "X");
        assert_eq!(fingerprint(b"O'Brien"), "");
        assert_eq!(fingerprint(b"western union"), "");
        assert_eq!(fingerprint(b""), "");
    }

    /// The reasoning of `may_be_sqli`, checked on every sequence of kinds that plain values can give.
    #[test]
    fn plain_values_have_no_fingerprint_in_the_table() {
        let words = [
            Kind::Keyword,
            Kind::Union,
            Kind::Group,
            Kind::Expression,
            Kind::SqlType,
            Kind::Function,
            Kind::Bareword,
            Kind::Number,
            Kind::Variable,
            Kind::Operator,
            Kind::LogicOperator,
            Kind::Collate,
            Kind::Tsql,
        ];
        for word in words {
            let letter = word.letter();
            assert!(!tables::is_attack(&[letter]), "{}", char::from(letter));
            assert!(!tables::is_attack(b"11"));
            for start in [&b"1"[..], b"n", b"11", b"1n"] {
                let kinds = [start, &[letter]].concat();
                let found = tables::is_attack(&kinds);
                assert!(!found || kinds == b"1U", "{}", String::from_utf8_lossy(&kinds));
            }
        }
    }
}
