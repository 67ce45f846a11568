//! Folds tokens until at most five are left that say what a value is: `1 + 2 - 3` is a number, `(select` is `select`.
//!
//! Called for each reading of a value. It works on a window of six tokens: looks at two neighbours, then at three,
//! drops what adds nothing, and steps on when nothing folds. The order of the rules is part of the verdict.

use super::token::{Kind, Token};
use super::tokenizer::Tokenizer;
use super::{FINGERPRINT_TOKENS, tables};

/// One more than a fingerprint has: the sixth token decides what the fifth is. The last two only make `left + 2` safe.
const WINDOW: usize = 8;

/// The tokens that are left.
#[derive(Debug, Default)]
pub(super) struct Folded {
    tokens: [Token; WINDOW],
    length: usize,
}

impl Folded {
    pub(super) fn as_slice(&self) -> &[Token] {
        self.tokens.get(..self.length).unwrap_or_default()
    }

    /// An empty name in a backtick that nothing closes acts like a comment.
    pub(super) fn turn_open_backtick_into_comment(&mut self) {
        if self.length <= 2 {
            return;
        }
        if let Some(last) = self.tokens.get_mut(self.length - 1)
            && last.kind == Kind::Bareword
            && last.open == b'`'
            && last.value().is_empty()
            && last.close == 0
        {
            last.kind = Kind::Comment;
        }
    }
}

/// What a rule did to the window.
enum Step {
    /// Nothing to fold among these.
    Nothing,
    /// Look again at the same place.
    Again,
    /// Look again from the start.
    Restart,
    /// Look again one token further left.
    Back,
    /// The value is an attack whatever follows; so many tokens are left.
    Stop(usize),
}

/// Reads `tokenizer` as far as needed and folds.
pub(super) fn fold(tokenizer: &mut Tokenizer<'_>) -> Folded {
    let mut window = Window::default();
    if !window.skip_leading(tokenizer) {
        return Folded::default();
    }
    let length = window.run(tokenizer);
    Folded { tokens: window.tokens, length }
}

#[derive(Default)]
struct Window {
    tokens: [Token; WINDOW],
    /// Where the next token goes.
    end: usize,
    /// How many tokens need no more looking at.
    left: usize,
    has_more: bool,
    /// The comment behind the last token, if nothing followed it yet.
    comment: Option<Token>,
}

impl Window {
    /// Drops comments, opening parentheses, type names and signs in front; `false` if nothing else comes.
    fn skip_leading(&mut self, tokenizer: &mut Tokenizer<'_>) -> bool {
        let [first, ..] = &mut self.tokens;
        loop {
            if !tokenizer.next_into(first) {
                return false;
            }
            let is_skipped = matches!(first.kind, Kind::Comment | Kind::LeftParenthesis | Kind::SqlType)
                || first.is_unary_operator();
            if !is_skipped {
                self.end = 1;
                self.has_more = true;
                return true;
            }
        }
    }

    fn run(&mut self, tokenizer: &mut Tokenizer<'_>) -> usize {
        loop {
            if self.end >= FINGERPRINT_TOKENS && self.is_long_but_ordinary() {
                if self.end > FINGERPRINT_TOKENS {
                    self.copy(FINGERPRINT_TOKENS, 1);
                    self.end = 2;
                } else {
                    self.end = 1;
                }
                self.left = 0;
            }
            if !self.has_more || self.left >= FINGERPRINT_TOKENS {
                self.left = self.end;
                break;
            }
            if !self.fill(tokenizer, 2) {
                self.left = self.end;
                continue;
            }
            match self.fold_two() {
                Step::Nothing => {}
                Step::Again => continue,
                Step::Restart => {
                    self.left = 0;
                    continue;
                }
                Step::Back => {
                    self.left = self.left.saturating_sub(1);
                    continue;
                }
                Step::Stop(length) => return length,
            }
            if !self.fill(tokenizer, 3) {
                self.left = self.end;
                continue;
            }
            match self.fold_three() {
                Step::Nothing => self.left += 1,
                _ => self.left = 0,
            }
        }
        if self.left < FINGERPRINT_TOKENS
            && let Some(comment) = self.comment
        {
            self.set(self.left, comment);
            self.left += 1;
        }
        self.left.min(FINGERPRINT_TOKENS)
    }

    /// Reads tokens until there are `count` from `left` on; comments are set aside. `false` if there are fewer.
    fn fill(&mut self, tokenizer: &mut Tokenizer<'_>, count: usize) -> bool {
        while self.has_more && self.end <= FINGERPRINT_TOKENS && self.end - self.left.min(self.end) < count {
            let Some(slot) = self.tokens.get_mut(self.end) else { break };
            self.has_more = tokenizer.next_into(slot);
            if self.has_more {
                if slot.kind == Kind::Comment {
                    self.comment = Some(*slot);
                } else {
                    self.comment = None;
                    self.end += 1;
                }
            }
        }
        self.end - self.left.min(self.end) >= count
    }

    fn token(&self, index: usize) -> Token {
        self.tokens.get(index).copied().unwrap_or_default()
    }

    fn kind(&self, index: usize) -> Kind {
        self.tokens.get(index).map_or(Kind::None, |token| token.kind)
    }

    fn set(&mut self, index: usize, token: Token) {
        if let Some(slot) = self.tokens.get_mut(index) {
            *slot = token;
        }
    }

    fn set_kind(&mut self, index: usize, kind: Kind) {
        if let Some(slot) = self.tokens.get_mut(index) {
            slot.kind = kind;
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.set(to, self.token(from));
    }

    /// Five tokens that occur in ordinary text: of these only the first (and the sixth, if it was read) is kept.
    fn is_long_but_ordinary(&self) -> bool {
        use Kind::{Bareword, Comma, LeftParenthesis, Number, Operator, RightParenthesis};
        let [first, second, third, fourth, fifth, ..] = &self.tokens;
        matches!(
            [first.kind, second.kind, third.kind, fourth.kind, fifth.kind],
            [Number, Operator | Comma, LeftParenthesis, Number, RightParenthesis]
                | [Bareword, Operator, LeftParenthesis, Bareword | Number, RightParenthesis]
                | [Number, RightParenthesis, Comma, LeftParenthesis, Number]
                | [Bareword, RightParenthesis, Operator, LeftParenthesis, Bareword]
        )
    }

    fn fold_two(&mut self) -> Step {
        let left = self.left;
        let (Some(first), Some(second)) = (self.tokens.get(left), self.tokens.get(left + 1)) else {
            return Step::Nothing;
        };
        match (first.kind, second.kind) {
            // Strings side by side are one; so are semicolons.
            (Kind::String, Kind::String) | (Kind::Semicolon, Kind::Semicolon) => {
                self.end -= 1;
                return Step::Again;
            }
            (Kind::Operator | Kind::LogicOperator, Kind::SqlType) => {
                self.end -= 1;
                return Step::Restart;
            }
            (Kind::Operator | Kind::LogicOperator, _) if second.is_unary_operator() => {
                self.end -= 1;
                return Step::Restart;
            }
            (Kind::LeftParenthesis, _) if second.is_unary_operator() => {
                self.end -= 1;
                return Step::Back;
            }
            _ => {}
        }
        if let Some(merged) = merge(first, second) {
            self.set(left, merged);
            self.end -= 1;
            return Step::Back;
        }
        match (first.kind, second.kind) {
            // IF is a function, but begins a statement of Transact-SQL.
            (Kind::Semicolon, Kind::Function) if starts_with_if(second) => {
                self.set_kind(left + 1, Kind::Tsql);
                Step::Again
            }
            (Kind::Bareword | Kind::Variable, Kind::LeftParenthesis) if is_function_after_all(first) => {
                self.set_kind(left, Kind::Function);
                Step::Again
            }
            (Kind::Keyword, next) if first.is(b"IN") || first.is(b"NOT IN") => {
                // An operator in front of a list, a word otherwise (`IN BOOLEAN MODE` merges later).
                let kind = if next == Kind::LeftParenthesis { Kind::Operator } else { Kind::Bareword };
                self.set_kind(left, kind);
                Step::Again
            }
            (Kind::Operator, next) if first.is(b"LIKE") || first.is(b"NOT LIKE") => {
                if next == Kind::LeftParenthesis {
                    self.set_kind(left, Kind::Function);
                }
                Step::Nothing
            }
            (
                Kind::SqlType,
                Kind::Bareword
                | Kind::Number
                | Kind::SqlType
                | Kind::LeftParenthesis
                | Kind::Function
                | Kind::Variable
                | Kind::String,
            ) => {
                self.copy(left + 1, left);
                self.end -= 1;
                Step::Restart
            }
            (Kind::Collate, Kind::Bareword) => {
                // Collations are too many to list, but all have an underscore. (A C string: up to the first NUL.)
                let name = second.value().split(|&byte| byte == 0).next().unwrap_or_default();
                if name.contains(&b'_') {
                    self.set_kind(left + 1, Kind::SqlType);
                    self.left = 0;
                }
                Step::Nothing
            }
            (Kind::Backslash, _) => {
                // Transact-SQL reads `\%1` as `0 % 1`, and `\1` as `1`.
                if second.is_arithmetic_operator() {
                    self.set_kind(left, Kind::Number);
                } else {
                    self.copy(left + 1, left);
                    self.end -= 1;
                }
                Step::Restart
            }
            (Kind::LeftParenthesis, Kind::LeftParenthesis) | (Kind::RightParenthesis, Kind::RightParenthesis) => {
                self.end -= 1;
                Step::Restart
            }
            (Kind::LeftBrace, Kind::Bareword) => {
                // MySQL accepts {``.``.name}, which no ordinary value has.
                if second.value().is_empty() {
                    self.set_kind(left + 1, Kind::Evil);
                    return Step::Stop(left + 2);
                }
                // `{name expression}` of ODBC is the expression.
                self.end -= 2;
                Step::Restart
            }
            (_, Kind::RightBrace) => {
                self.end -= 1;
                Step::Restart
            }
            _ => Step::Nothing,
        }
    }

    fn fold_three(&mut self) -> Step {
        use Kind::{
            Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParenthesis, LogicOperator, Number,
            Operator, RightParenthesis, SqlType, String, Variable,
        };
        // `fold_two` may have moved `left` back after the tokens were counted, as the original does.
        let left = self.left;
        let (Some(first), Some(second)) = (self.tokens.get(left), self.tokens.get(left + 1)) else {
            return Step::Nothing;
        };
        let is_sign = second.is_unary_operator();
        match (first.kind, second.kind, self.kind(left + 2)) {
            (Number, Operator, Number) | (LogicOperator, _, LogicOperator) => self.end -= 2,
            (Operator, middle, Operator) if middle != LeftParenthesis => self.end -= 2,
            (Variable, Operator, Variable | Number | Bareword) => self.end -= 2,
            (Bareword | Number, Operator, Number | Bareword) => self.end -= 2,
            (Bareword | Number | Variable | String, Operator, SqlType) if second.value() == b"::" => self.end -= 2,
            (Bareword | Number | String | Variable, Comma, Number | Bareword | String | Variable) => self.end -= 2,
            // A sign behind SELECT, LIMIT or a comma adds nothing.
            (Expression | Group | Comma, _, LeftParenthesis) if is_sign => self.drop_second(),
            (Keyword | Expression | Group, _, Number | Bareword | Variable | String | Function) if is_sign => {
                self.drop_second();
            }
            (Comma, _, Number | Bareword | Variable | String) if is_sign => {
                // `1,-1` is `1,1` and so `1`: go back to in front of the comma.
                self.drop_second();
                self.end = self.end.saturating_sub(2);
            }
            (Comma, _, Function) if is_sign => self.drop_second(),
            (Bareword, Dot, Bareword) => self.end -= 2,
            (Expression, Dot, Bareword) => self.drop_second(),
            (Function, LeftParenthesis, third) => {
                // USER() takes nothing: with an argument it is somebody's column.
                if third != RightParenthesis && first.is(b"USER") {
                    self.set_kind(left, Bareword);
                }
                return Step::Nothing;
            }
            _ => return Step::Nothing,
        }
        Step::Restart
    }

    /// Drops the second of three.
    fn drop_second(&mut self) {
        self.copy(self.left + 2, self.left + 1);
        self.end -= 1;
    }
}

/// `UNION` and `ALL` are `UNION ALL`, if that is known.
fn merge(first: &Token, second: &Token) -> Option<Token> {
    let can_begin = |kind| {
        matches!(
            kind,
            Kind::Keyword
                | Kind::Bareword
                | Kind::Operator
                | Kind::Union
                | Kind::Function
                | Kind::Expression
                | Kind::Tsql
                | Kind::SqlType
        )
    };
    if !can_begin(first.kind) || !(can_begin(second.kind) || second.kind == Kind::LogicOperator) {
        return None;
    }
    let mut joined = Token::joined(first, second)?;
    joined.kind = tables::keyword(joined.value())?;
    Some(joined)
}

fn starts_with_if(token: &Token) -> bool {
    token.value().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"IF"))
}

/// Names that are common for columns, and functions when a parenthesis follows.
fn is_function_after_all(token: &Token) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.is(name))
}
