//! What operators found in kept values that they match: where groups are, which fingerprint. A client that sends a value
//! again that a rule matches has it looked up here and not searched for anew.
//!
//! Only of operators whose answer depends on the value alone, and of kept values; what was found for rules that
//! capture is another finding than what was found for those that do not. When there is no room nothing is noted, until
//! values are forgotten.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::limits::WAF_KEPT_FINDINGS;
use crate::waf::operator::Evidence;
use crate::waf::program::OperatorId;

use super::known::ValueId;
use super::store::SpanHasher;

/// All that a worker knows for the rules of one prefilter.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The newest finding of a value: its number plus one.
    newest: HashMap<ValueId, u32, BuildHasherDefault<SpanHasher>>,
    entries: Vec<Finding>,
    /// Start and end of groups.
    places: Vec<Option<(u16, u16)>>,
    texts: Vec<u8>,
}

#[derive(Debug)]
struct Finding {
    operator: OperatorId,
    captures: bool,
    keeps_others: bool,
    has_phrase: bool,
    /// Ranges of `places` and `texts`; each ends where that of the next finding begins.
    first_place: u32,
    first_text: u32,
    /// Another one of the same value: its number plus one.
    next: u32,
}

/// Groups and bytes of phrases that there is room for, of a finding on average.
const PLACES: usize = 4;
const TEXT_BYTES: usize = 16;

impl Findings {
    pub(super) fn clear(&mut self) {
        self.newest.clear();
        self.entries.clear();
        self.places.clear();
        self.texts.clear();
    }

    /// Writes what the operator found in a value into `evidence`, if that is known.
    pub(super) fn recall(&self, id: ValueId, operator: OperatorId, captures: bool, evidence: &mut Evidence) -> bool {
        let mut number = self.newest.get(&id).copied().unwrap_or_default();
        while let Some(finding) = self.entries.get((number as usize).wrapping_sub(1)) {
            if finding.operator != operator || finding.captures != captures {
                number = finding.next;
                continue;
            }
            let following = self.entries.get(number as usize);
            let places =
                finding.first_place as usize..following.map_or(self.places.len(), |next| next.first_place as usize);
            let text = finding.first_text as usize..following.map_or(self.texts.len(), |next| next.first_text as usize);
            let (Some(places), Some(text)) = (self.places.get(places), self.texts.get(text)) else { return false };
            evidence.clear();
            let wide = |(start, end): (u16, u16)| (usize::from(start), usize::from(end));
            evidence.captures.extend(places.iter().map(|place| place.map(wide)));
            evidence.phrase = finding.has_phrase.then(|| text.to_vec());
            evidence.keeps_others = finding.keeps_others;
            return true;
        }
        false
    }

    /// Notes what an operator found in a value.
    pub(super) fn note(&mut self, id: ValueId, operator: OperatorId, captures: bool, evidence: &Evidence) {
        let phrase = evidence.phrase.as_deref().unwrap_or_default();
        let is_full = self.entries.len() >= WAF_KEPT_FINDINGS
            || self.places.len() + evidence.captures.len() > WAF_KEPT_FINDINGS * PLACES
            || self.texts.len() + phrase.len() > WAF_KEPT_FINDINGS * TEXT_BYTES;
        if is_full || evidence.geo.is_some() {
            return;
        }
        let (first_place, first_text) = (self.places.len() as u32, self.texts.len() as u32);
        for place in &evidence.captures {
            let narrow = place.map(|(start, end)| Some((u16::try_from(start).ok()?, u16::try_from(end).ok()?)));
            let Some(place) = narrow.map_or(Some(None), |place| place.map(Some)) else {
                self.places.truncate(first_place as usize);
                return;
            };
            self.places.push(place);
        }
        self.texts.extend_from_slice(phrase);
        let number = self.entries.len() as u32 + 1;
        let next = self.newest.insert(id, number).unwrap_or_default();
        self.entries.push(Finding {
            operator,
            captures,
            keeps_others: evidence.keeps_others,
            has_phrase: evidence.phrase.is_some(),
            first_place,
            first_text,
            next,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(captures: &[Option<(usize, usize)>], phrase: Option<&[u8]>) -> Evidence {
        let mut evidence = Evidence::new();
        evidence.captures.extend_from_slice(captures);
        evidence.phrase = phrase.map(<[u8]>::to_vec);
        evidence
    }

    #[test]
    fn what_was_found_is_told_again() {
        let mut findings = Findings::default();
        let one = evidence(&[Some((0, 3)), None, Some((1, 2))], None);
        let other = evidence(&[], Some(b"s&1c"));
        findings.note(7, OperatorId(1), true, &one);
        findings.note(7, OperatorId(2), true, &other);
        findings.note(8, OperatorId(1), true, &evidence(&[Some((5, 6))], None));
        let mut told = evidence(&[Some((9, 9))], Some(b"old"));
        assert!(findings.recall(7, OperatorId(1), true, &mut told));
        assert_eq!((&told.captures, &told.phrase), (&one.captures, &None));
        assert!(findings.recall(7, OperatorId(2), true, &mut told));
        assert_eq!((&told.captures, &told.phrase), (&other.captures, &other.phrase));
        assert!(findings.recall(8, OperatorId(1), true, &mut told));
        assert_eq!(told.captures, [Some((5, 6))]);
        assert!(!findings.recall(8, OperatorId(2), true, &mut told));
        assert!(!findings.recall(7, OperatorId(1), false, &mut told));
        assert!(!findings.recall(9, OperatorId(1), true, &mut told));
        findings.clear();
        assert!(!findings.recall(7, OperatorId(1), true, &mut told));
    }

    #[test]
    fn what_there_is_no_room_for_is_not_noted() {
        let mut findings = Findings::default();
        findings.note(7, OperatorId(1), true, &evidence(&[Some((0, 1)), Some((0, 1 << 16))], None));
        assert!(findings.places.is_empty() && findings.entries.is_empty());
        for _ in 0..WAF_KEPT_FINDINGS + 1 {
            findings.note(7, OperatorId(1), true, &evidence(&[Some((0, 1))], None));
        }
        assert_eq!(findings.entries.len(), WAF_KEPT_FINDINGS);
        assert_eq!(findings.newest.get(&7), Some(&(WAF_KEPT_FINDINGS as u32)));
    }
}
