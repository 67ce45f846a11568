//! The actions of a rule: `id:1,phase:2,deny,msg:'text, with a comma'`.
//!
//! A value may stand in single quotes, in which a backslash hides a quote or a backslash; without quotes it ends at
//! a comma or white space. ModSecurity 2 also takes `|` as a separator, ModSecurity 3 does not: it is one here when
//! an action follows.

use super::target::{parse as parse_targets, quoted};
use super::{Context, PROBLEMS_OF_A_LIST, id_ranges, number, shown};
use crate::diagnostics::{Diagnostic, Location};
use crate::seclang::action::{ACTIONS, ActionArgument, ActionRow, COLLECTIONS, SEVERITIES};
use crate::seclang::ast::Action;
use crate::seclang::control::{CONTROLS, ControlValue};
use crate::seclang::lexer::{Word, is_space};
use crate::seclang::table::{Support, closest, closest_of, did_you_mean, find};
use crate::seclang::transformation::TRANSFORMATIONS;

impl Context<'_> {
    pub(super) fn actions(&mut self, word: &Word<'_>) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        let text = &word.text[..];
        let mut at = 0;
        let most = self.problems.len() + PROBLEMS_OF_A_LIST;
        while let Some(begin) = skip(text, at).filter(|_| self.problems.len() < most) {
            let (raw, next) = split(text, begin);
            at = next;
            let mut reader = Reader { location: self.location(word, begin), problems: &mut self.problems };
            actions.extend(reader.action(&raw));
        }
        actions
    }
}

struct Raw<'t> {
    name: &'t [u8],
    argument: Option<Vec<u8>>,
    stray: bool,
    is_unclosed: bool,
}

fn is_separator(byte: u8) -> bool {
    byte == b',' || byte == b'|'
}

fn skip(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|b| !is_space(*b) && !is_separator(*b)).map(|at| from + at)
}

fn name_length(text: &[u8]) -> usize {
    text.iter().position(|b| is_space(*b) || is_separator(*b) || *b == b':').unwrap_or(text.len())
}

fn split(text: &[u8], begin: usize) -> (Raw<'_>, usize) {
    let rest = text.get(begin..).unwrap_or_default();
    let length = name_length(rest);
    let name = rest.get(..length).unwrap_or_default();
    let plain = Raw { name, argument: None, stray: false, is_unclosed: false };
    let after = rest.get(length..).unwrap_or_default();
    if after.first() != Some(&b':') {
        let blank = after.iter().take_while(|b| is_space(**b)).count();
        let stray = after.get(blank).is_some_and(|b| !is_separator(*b));
        return (Raw { stray, ..plain }, begin + length + blank);
    }
    let value = after.get(1..).unwrap_or_default();
    let value_at = begin + length + 1;
    if value.first() == Some(&b'\'') {
        let (argument, used) = quoted(value);
        let is_unclosed = used.is_none();
        let end = used.unwrap_or(value.len());
        let stray = value.get(end).is_some_and(|b| !is_space(*b) && !is_separator(*b));
        return (Raw { argument: Some(argument), is_unclosed, stray, ..plain }, value_at + end);
    }
    let mut end = 0;
    while let Some(byte) = value.get(end) {
        let ends =
            *byte == b',' || is_space(*byte) || (*byte == b'|' && begins_action(value.get(end..).unwrap_or_default()));
        if ends {
            break;
        }
        end += 1;
    }
    let argument = value.get(..end).filter(|argument| !argument.is_empty()).map(<[u8]>::to_vec);
    (Raw { argument, ..plain }, value_at + end)
}

fn begins_action(text: &[u8]) -> bool {
    let Some(begin) = skip(text, 0) else { return true };
    let rest = text.get(begin..).unwrap_or_default();
    rest.get(..name_length(rest)).is_some_and(|name| find(ACTIONS, name).is_some())
}

/// Reads one action, reporting at its place.
struct Reader<'r> {
    location: Location,
    problems: &'r mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn error(&mut self, length: usize, message: String, advice: Option<String>) {
        let problem = Diagnostic::error(self.location.clone(), message).spanning(length);
        self.problems.push(match advice {
            Some(advice) => problem.advise(advice),
            None => problem,
        });
    }

    fn action(&mut self, raw: &Raw<'_>) -> Option<Action> {
        let length = raw.name.len();
        let Some(row) = find(ACTIONS, raw.name) else {
            let advice = did_you_mean(closest(ACTIONS, raw.name))
                .unwrap_or_else(|| "put single quotes around a value that contains commas or spaces".into());
            self.error(length, format!("unknown action {}", shown(raw.name)), Some(advice));
            return None;
        };
        if raw.is_unclosed {
            self.error(length, format!("the value of {} lacks its closing single quote", row.name), None);
            return None;
        }
        if raw.stray {
            let message = format!("a comma is missing after {}", row.name);
            self.error(length, message, Some("a single quote inside a quoted value is written \\'".into()));
            return None;
        }
        match row.support {
            Support::Full => {}
            Support::Inert(reason) => self.problems.push(
                Diagnostic::warning(self.location.clone(), format!("the action {} does nothing: {reason}", row.name))
                    .spanning(length),
            ),
            Support::Refused(reason) => {
                self.error(length, format!("the action {} is not supported: {reason}", row.name), None);
            }
        }
        let argument = self.argument(row, raw)?;
        Some(Action { location: self.location.clone(), name: row.name, argument })
    }

    /// The checked argument, in canonical spelling where it names something; `None` after a problem.
    #[expect(clippy::option_option, reason = "the outer one is a reported problem, the inner one no argument")]
    fn argument(&mut self, row: &ActionRow, raw: &Raw<'_>) -> Option<Option<Vec<u8>>> {
        let length = raw.name.len();
        let takes_none = matches!(row.argument, ActionArgument::None);
        let is_optional = matches!(row.argument, ActionArgument::Allow | ActionArgument::OptionalText);
        let Some(value) = &raw.argument else {
            if takes_none || is_optional {
                return Some(None);
            }
            self.error(length, format!("{} needs a value: {}", row.name, row.argument.describe()), None);
            return None;
        };
        if takes_none {
            self.error(length, format!("{} takes no value", row.name), None);
            return None;
        }
        let checked = match row.argument {
            ActionArgument::Transformation => return self.transformation(value).map(Some),
            ActionArgument::Control => return self.control(value).map(Some),
            ActionArgument::Phase => phase(value),
            ActionArgument::Id => number::<u32>(value).map(|_| value.clone()),
            ActionArgument::Number => number::<u32>(value).map(|_| value.clone()),
            ActionArgument::Severity => is_severity(value).then(|| value.clone()),
            ActionArgument::Status => {
                number::<u16>(value).filter(|status| (100..=599).contains(status)).map(|_| value.clone())
            }
            ActionArgument::Allow => {
                let is_scope = [&b"phase"[..], b"request"].iter().any(|scope| scope.eq_ignore_ascii_case(value));
                is_scope.then(|| value.to_ascii_lowercase())
            }
            ActionArgument::SetVariable => return self.set_variable(row, value).map(Some),
            ActionArgument::CollectionVariable => {
                return if memchr::memchr(b'=', value).is_some() {
                    self.set_variable(row, value).map(Some)
                } else {
                    self.wrong(row, value)
                };
            }
            ActionArgument::Collection => match memchr::memchr(b'=', value) {
                Some(at) => return self.collection(row, value, at).map(Some),
                None => None,
            },
            ActionArgument::Pair => memchr::memchr(b'=', value).filter(|at| *at > 0).map(|_| value.clone()),
            ActionArgument::Text | ActionArgument::OptionalText | ActionArgument::None => Some(value.clone()),
        };
        match checked {
            Some(value) => Some(Some(value)),
            None => self.wrong(row, value),
        }
    }

    #[expect(clippy::option_option, reason = "so that callers can return it")]
    fn wrong(&mut self, row: &ActionRow, value: &[u8]) -> Option<Option<Vec<u8>>> {
        let message = format!("{}:{} is not valid", row.name, shown(value));
        let advice = format!("{} takes {}", row.name, row.argument.describe());
        self.error(row.name.len() + 1 + value.len(), message, Some(advice));
        None
    }

    fn transformation(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        let name = value.strip_prefix(b"+").unwrap_or(value);
        if let Some(row) = find(TRANSFORMATIONS, name) {
            return Some(row.name.as_bytes().to_vec());
        }
        let message = format!("unknown transformation {}", shown(value));
        let advice = if value.first() == Some(&b'-') {
            Some("taking a single transformation away is not supported: write t:none and those that remain".into())
        } else {
            did_you_mean(closest(TRANSFORMATIONS, name))
        };
        self.error(2 + value.len(), message, advice);
        None
    }

    fn set_variable(&mut self, row: &ActionRow, value: &[u8]) -> Option<Vec<u8>> {
        let name = value.strip_prefix(b"!").unwrap_or(value);
        let name = name.get(..memchr::memchr(b'=', name).unwrap_or(name.len())).unwrap_or_default();
        let length = row.name.len() + 1 + value.len();
        let Some(dot) = memchr::memchr(b'.', name) else {
            let message = format!("{} does not say which collection {} is in", row.name, shown(name));
            self.error(length, message, Some(format!("write tx.{} for a variable of the transaction", shown(name))));
            return None;
        };
        let (collection, key) = name.split_at_checked(dot)?;
        if !self.is_collection(row, collection, length) {
            return None;
        }
        if key.len() < 2 {
            self.error(length, format!("{} names no variable behind the dot", row.name), None);
            return None;
        }
        Some(value.to_vec())
    }

    fn collection(&mut self, row: &ActionRow, value: &[u8], equals: usize) -> Option<Vec<u8>> {
        let name = value.get(..equals)?;
        self.is_collection(row, name, row.name.len() + 1 + value.len()).then(|| value.to_vec())
    }

    fn is_collection(&mut self, row: &ActionRow, name: &[u8], length: usize) -> bool {
        if COLLECTIONS.iter().any(|collection| collection.as_bytes().eq_ignore_ascii_case(name)) {
            return true;
        }
        let message = format!("{} cannot change {}", row.name, shown(name));
        let advice = did_you_mean(closest_of(COLLECTIONS.iter().copied(), name))
            .unwrap_or_else(|| format!("it can change {}", COLLECTIONS.join(", ")));
        self.error(length, message, Some(advice));
        false
    }

    /// `option=value`, the option in canonical spelling.
    fn control(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        let length = 4 + value.len();
        let equals = memchr::memchr(b'=', value);
        let (name, setting) = match equals {
            Some(at) => (value.get(..at)?, value.get(at + 1..)?),
            None => (value, &b""[..]),
        };
        let Some(row) = find(CONTROLS, name) else {
            let advice = did_you_mean(closest(CONTROLS, name));
            self.error(length, format!("unknown ctl option {}", shown(name)), advice);
            return None;
        };
        match row.support {
            Support::Full => {}
            Support::Inert(reason) => self.problems.push(
                Diagnostic::warning(self.location.clone(), format!("ctl:{} does nothing: {reason}", row.name))
                    .spanning(length),
            ),
            // Switching off what is not there is no problem.
            Support::Refused(_) if setting.eq_ignore_ascii_case(b"off") => {}
            Support::Refused(reason) => {
                self.error(length, format!("ctl:{} is not supported: {reason}", row.name), None);
                return None;
            }
        }
        let is_right = match row.value {
            ControlValue::OneOf(words) => words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(setting)),
            ControlValue::Number => number::<u64>(setting).is_some(),
            ControlValue::Parts => {
                let letters = setting.strip_prefix(b"+").or_else(|| setting.strip_prefix(b"-")).unwrap_or(setting);
                super::setting::are_audit_parts(letters)
            }
            ControlValue::Ids => id_ranges(setting).is_some(),
            ControlValue::Text => !setting.is_empty(),
            ControlValue::IdsAndTarget | ControlValue::TextAndTarget => self.subject_and_target(setting, row.value)?,
        };
        if !is_right {
            let advice = format!("ctl:{} takes {}", row.name, row.value.describe());
            self.error(length, format!("ctl:{} is not valid", shown(value)), Some(advice));
            return None;
        }
        let mut canonical = row.name.as_bytes().to_vec();
        canonical.push(b'=');
        canonical.extend_from_slice(setting);
        Some(canonical)
    }

    /// `942100;ARGS:q`; `None` when the target was reported.
    fn subject_and_target(&mut self, setting: &[u8], value: ControlValue) -> Option<bool> {
        let Some(semicolon) = memchr::memchr(b';', setting) else { return Some(false) };
        let (subject, target) = (setting.get(..semicolon)?, setting.get(semicolon + 1..)?);
        let location = self.location.clone();
        let before = self.problems.len();
        let is_target = !parse_targets(target, &|_| location.clone(), self.problems).is_empty();
        if self.problems.len() > before {
            return None;
        }
        let is_subject = match value {
            ControlValue::IdsAndTarget => id_ranges(subject).is_some(),
            _ => !subject.is_empty(),
        };
        Some(is_target && is_subject)
    }
}

/// The digit of a phase.
fn phase(value: &[u8]) -> Option<Vec<u8>> {
    match value {
        [b'1'..=b'5'] => Some(value.to_vec()),
        _ if value.eq_ignore_ascii_case(b"request") => Some(b"2".to_vec()),
        _ if value.eq_ignore_ascii_case(b"response") => Some(b"4".to_vec()),
        _ if value.eq_ignore_ascii_case(b"logging") => Some(b"5".to_vec()),
        _ => None,
    }
}

fn is_severity(value: &[u8]) -> bool {
    matches!(value, [b'0'..=b'7']) || SEVERITIES.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(value))
}
