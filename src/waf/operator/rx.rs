//! `@rx` and `@rxGlobal`: a regular expression matches somewhere in the value.
//!
//! **Arguments.** A pattern, see `waf::regex`; with macros it is compiled anew each time.
//! **Result.** `@rx`: TX.0 is the match, TX.1 to TX.9 its groups up to the last that took part; a group before that one
//! which did not is empty. `@rxGlobal`: the groups of every match, one after the other.
//! **Example.** `SecRule ARGS "@rx (?i)<script" "id:1,capture"`.
//! *Difference from libmodsecurity 3:* the groups of `@rxGlobal` leave out matches of nothing behind the first match.

use super::{Evidence, Outcome};
use crate::limits::RX_GLOBAL_GROUPS;
use crate::waf::regex::{Captures, LimitExceeded, Regex, RegexCache};

/// TX.0 to TX.9.
const GROUPS: usize = 10;

/// `@rx`.
pub(super) fn matches(
    regex: &Regex,
    cache: &mut RegexCache,
    value: &[u8],
    evidence: Option<&mut Evidence>,
) -> Result<Outcome, LimitExceeded> {
    let is_match = match evidence {
        None => regex.is_match(cache, value)?,
        Some(evidence) => {
            // Most values do not match, and without groups the search is several times cheaper.
            let is_match = regex.match_captures(cache, value, &mut evidence.groups)?;
            if is_match {
                push_groups(&evidence.groups, GROUPS, &mut evidence.captures);
            }
            is_match
        }
    };
    Ok(Outcome::from(is_match))
}

/// `@rxGlobal`.
pub(super) fn matches_all(
    regex: &Regex,
    cache: &mut RegexCache,
    value: &[u8],
    evidence: Option<&mut Evidence>,
) -> Result<Outcome, LimitExceeded> {
    let Some(evidence) = evidence else { return Ok(Outcome::from(regex.is_match(cache, value)?)) };
    let mut found = regex.find_iter(cache, value);
    let mut is_match = false;
    while let Some(span) = found.next() {
        let (start, end) = span?;
        if is_match && start == end {
            continue;
        }
        is_match = true;
        push_groups(found.captures(), RX_GLOBAL_GROUPS, &mut evidence.captures);
        if evidence.captures.len() >= RX_GLOBAL_GROUPS {
            break;
        }
    }
    Ok(Outcome::from(is_match))
}

/// Groups up to the last that took part, until there are `most`.
fn push_groups(groups: &Captures, most: usize, captures: &mut Vec<Option<(usize, usize)>>) {
    let last = (0..groups.len()).rev().find(|&group| groups.span(group).is_some());
    let count = last.map_or(0, |last| last + 1);
    let room = most.saturating_sub(captures.len());
    captures.extend((0..count.min(room)).map(|group| Some(groups.span(group).unwrap_or((0, 0)))));
}
