//! `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`: the pattern finds a number, and the number is a possible one.
//!
//! **Arguments.** A pattern that finds candidates; digits inside the match are taken, whatever stands between them.
//! **Result.** Matches at the first candidate that passes the check; TX.0 (and as many further as the pattern has groups)
//! is the whole candidate.
//! **Example.** `SecRule RESPONSE_BODY "@verifyCC \d{13,16}"`.
//! *Difference from ModSecurity:* the search for candidates in one value ends after [`crate::limits::VERIFY_SCANNED_BYTES`]; such a value counts
//! as a match limit exceeded. ModSecurity would go on, in quadratic time.

use super::{Evidence, Outcome};
use crate::limits::VERIFY_SCANNED_BYTES;
use crate::waf::regex::{Captures, LimitExceeded, Regex, RegexCache};

/// Which kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    /// Payment card: Luhn's check digit.
    Card,
    /// Brazil: two check digits.
    Cpf,
    /// United States: plausible fields.
    Ssn,
    /// Austria: one check digit.
    Svnr,
}

impl NumberKind {
    /// As the message names it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Card => "CC# match",
            Self::Cpf => "CPF# match",
            Self::Ssn => "SSN# match",
            Self::Svnr => "SVNR# match",
        }
    }

    /// Whether the digits in `text` are such a number.
    #[must_use]
    pub fn is_valid(self, text: &[u8]) -> bool {
        let digits = text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
        match self {
            Self::Card => is_card(digits),
            Self::Cpf => exactly::<11>(digits, Excess::Ignored).is_some_and(|digits| is_cpf(&digits)),
            Self::Ssn => exactly::<9>(digits, Excess::Refused).is_some_and(|digits| is_ssn(&digits)),
            Self::Svnr => exactly::<10>(digits, Excess::Ignored).is_some_and(|digits| is_svnr(&digits)),
        }
    }
}

/// Searches `value` for a candidate that passes.
pub(super) fn matches(
    kind: NumberKind,
    regex: &Regex,
    cache: &mut RegexCache,
    value: &[u8],
    evidence: &mut Evidence,
) -> Result<Outcome, LimitExceeded> {
    let Some((start, end)) = find(kind, regex, cache, value, &mut evidence.groups)? else {
        return Ok(Outcome::NoMatch);
    };
    let last = (0..evidence.groups.len()).rev().find(|&group| evidence.groups.span(group).is_some());
    evidence.captures.extend(std::iter::repeat_n(Some((start, end)), last.map_or(1, |last| last + 1).min(10)));
    Ok(Outcome::Match)
}

/// The first candidate that passes.
fn find(
    kind: NumberKind,
    regex: &Regex,
    cache: &mut RegexCache,
    value: &[u8],
    groups: &mut Captures,
) -> Result<Option<(usize, usize)>, LimitExceeded> {
    let mut from = 0;
    let mut scanned = 0_usize;
    while from < value.len() && regex.captures_at(cache, value, from, groups)? {
        let Some((start, end)) = groups.span(0) else { break };
        // A match of nothing is no candidate.
        if end > start && kind.is_valid(value.get(start..end).unwrap_or_default()) {
            return Ok(Some((start, end)));
        }
        scanned += end - start;
        if scanned > VERIFY_SCANNED_BYTES {
            return Err(LimitExceeded);
        }
        from = start + 1;
    }
    Ok(None)
}

/// What to do with more digits than the number has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excess {
    Ignored,
    Refused,
}

fn exactly<const N: usize>(mut digits: impl Iterator<Item = u32>, excess: Excess) -> Option<[u32; N]> {
    let mut number = [0; N];
    for slot in &mut number {
        *slot = digits.next()?;
    }
    (excess == Excess::Ignored || digits.next().is_none()).then_some(number)
}

/// Luhn: every second digit from the right but one is doubled, digits of the products are added.
fn is_card(digits: impl Iterator<Item = u32>) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    // From the left it is not known yet which ones those are, so both sums are kept.
    let (mut even, mut odd, mut count) = (0, 0, 0_u64);
    for digit in digits {
        let (a, b) = if count % 2 == 0 { (doubled(digit), digit) } else { (digit, doubled(digit)) };
        even = (even + a) % 10;
        odd = (odd + b) % 10;
        count += 1;
    }
    count > 0 && if count % 2 == 0 { even == 0 } else { odd == 0 }
}

/// All the same, or counting up from zero: nobody's number.
fn is_made_up(digits: &[u32]) -> bool {
    digits.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
        || digits.iter().zip(0..).all(|(digit, index)| *digit == index % 10)
}

fn is_cpf(digits: &[u32; 11]) -> bool {
    let check = |count: u32| {
        let sum: u32 = digits.iter().zip((2..=count + 1).rev()).map(|(digit, weight)| digit * weight).sum();
        if sum % 11 < 2 { 0 } else { 11 - sum % 11 }
    };
    let [.., first, second] = digits;
    // The second check digit counts the first one in; ModSecurity takes the computed one, which by then is equal.
    !is_made_up(digits) && check(9) == *first && check(10) == *second
}

fn is_ssn(digits: &[u32; 9]) -> bool {
    let [a, b, c, d, e, rest @ ..] = digits;
    let area = a * 100 + b * 10 + c;
    let counts_up = digits.windows(2).all(|pair| matches!(pair, [a, b] if *a + 1 == *b));
    let repeats = digits.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    let plausible = area > 0 && area < 740 && area != 666 && d * 10 + e > 0 && rest.iter().any(|digit| *digit > 0);
    plausible && !counts_up && !repeats
}

fn is_svnr(digits: &[u32; 10]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    // libmodsecurity lists these, but looks only at the first ten of its list of twelve: 8888888888 and 9999999999 fail
    // the check digit anyway.
    let counts_from_one = digits.iter().zip(1..).all(|(digit, index)| *digit == index % 10);
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let check = if sum % 11 == 10 { 0 } else { sum % 11 };
    let [_, _, _, given, ..] = digits;
    !is_made_up(digits) && !counts_from_one && check == *given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::regex::RegexOptions;

    #[test]
    fn numbers() {
        for (kind, text, valid) in [
            (NumberKind::Card, "5484-6050-8915-8216", true),
            (NumberKind::Card, "5484605089158217", false),
            (NumberKind::Card, "346465614421111", true),
            (NumberKind::Card, "none", false),
            (NumberKind::Cpf, "010.817.514-60", true),
            (NumberKind::Cpf, "010.817.514-61", false),
            (NumberKind::Cpf, "111.111.111-11", false),
            (NumberKind::Cpf, "01234567890", false),
            (NumberKind::Ssn, "574-57-8065", true),
            (NumberKind::Ssn, "800-57-8065", false),
            (NumberKind::Ssn, "123-45-6789", false),
            (NumberKind::Ssn, "574-00-8065", false),
            (NumberKind::Svnr, "1237 010180", true),
            (NumberKind::Svnr, "1238 010180", false),
            (NumberKind::Svnr, "0000000000", false),
        ] {
            assert_eq!(kind.is_valid(text.as_bytes()), valid, "{kind:?} {text}");
        }
    }

    #[test]
    fn the_search_is_bounded() {
        let regex = Regex::compile(b"\\d+", RegexOptions::default()).expect("valid");
        let mut cache = RegexCache::new();
        let value = vec![b'1'; 1 << 20];
        let found = find(NumberKind::Ssn, &regex, &mut cache, &value, &mut Captures::new());
        assert_eq!(found, Err(LimitExceeded));
    }
}
