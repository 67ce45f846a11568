//! What the arguments of a plain directive must look like.

use super::{Context, number, shown};
use crate::diagnostics::Diagnostic;
use crate::seclang::directive::{Arguments, DirectiveRow};
use crate::seclang::lexer::Word;
use crate::seclang::table::{closest_of, did_you_mean};

impl Context<'_> {
    /// Reports an argument that the directive cannot take. The number of arguments is right already.
    pub(super) fn check_setting(&mut self, row: &'static DirectiveRow, words: &[Word<'_>]) {
        let Some(word) = words.first() else { return };
        let text = &word.text[..];
        let is_right = match row.arguments {
            Arguments::OneOf(allowed) => allowed.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(text)),
            Arguments::Number => number::<u64>(text).is_some(),
            Arguments::Mode => {
                let is_octal = !text.is_empty() && text.len() <= 5 && text.iter().all(|b| (b'0'..=b'7').contains(b));
                is_octal || text.eq_ignore_ascii_case(b"default")
            }
            _ => match row.name {
                "SecAuditLogParts" => are_audit_parts(text),
                "SecArgumentSeparator" | "SecCookieV0Separator" => text.len() == 1,
                "SecUnicodeMapFile" => words.get(1).is_none_or(|page| number::<u32>(&page.text).is_some()),
                _ => true,
            },
        };
        if is_right {
            return;
        }
        let message = format!("{} cannot be {}", row.name, shown(text));
        let advice = match row.arguments {
            Arguments::OneOf(allowed) => did_you_mean(closest_of(allowed.iter().copied(), text)),
            _ => None,
        };
        let advice = advice.unwrap_or_else(|| match row.name {
            "SecAuditLogParts" => "the parts are letters from A to K, and Z".into(),
            "SecArgumentSeparator" | "SecCookieV0Separator" => "it takes one character".into(),
            "SecUnicodeMapFile" => "it takes a file and the number of a code page".into(),
            _ => format!("it takes {}", row.arguments.describe()),
        });
        let problem: Diagnostic = self.error(word, 0, &message).advise(advice);
        self.problems.push(problem);
    }
}

/// Letters of audit log parts, whatever their case?
pub(super) fn are_audit_parts(letters: &[u8]) -> bool {
    !letters.is_empty() && letters.iter().all(|b| matches!(b.to_ascii_uppercase(), b'A'..=b'K' | b'Z'))
}
