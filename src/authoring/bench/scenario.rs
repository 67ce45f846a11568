//! The list of scenarios. All of them are written for this purpose or generated, and the same bytes every time.

use super::{Setup, attack, large, ordinary, response};
use crate::authoring::backend::Response;

/// One request, the answer to it, and what the rules have to say.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How it is asked for: `json-16k`.
    pub name: &'static str,
    /// What it stands for, in one sentence.
    pub about: &'static str,
    /// As sent, in HTTP/1.1.
    pub request: Vec<u8>,
    /// What the backend answers if it is asked.
    pub response: Response,
    /// Is the body of the answer inspected too?
    pub inspects_response: bool,
    /// What becomes of it, by rule set.
    pub expected: Expected,
}

/// Does the exchange reach its end?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Request and answer pass.
    Passes,
    /// A rule stops one of them.
    Blocked,
}

impl Decision {
    /// For tables: `passes`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Blocked => "blocked",
        }
    }
}

/// The decision that each rule set has to come to.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The Core Rule Set at paranoia level 1.
    pub paranoia_1: Decision,
    /// The Core Rule Set at paranoia level 4.
    pub paranoia_4: Decision,
    /// The built-in rules.
    pub built_in: Decision,
}

impl Expected {
    /// Ordinary traffic that even the strictest level lets through.
    pub(super) const PASSES: Self =
        Self { paranoia_1: Decision::Passes, paranoia_4: Decision::Passes, built_in: Decision::Passes };
    /// Ordinary traffic that the strictest level takes offence at.
    pub(super) const PASSES_BELOW_4: Self = Self { paranoia_4: Decision::Blocked, ..Self::PASSES };
    /// An attack.
    pub(super) const BLOCKED: Self =
        Self { paranoia_1: Decision::Blocked, paranoia_4: Decision::Blocked, built_in: Decision::Blocked };

    /// For rules set up so; nothing is expected of rules that we do not know.
    pub fn of(&self, setup: &Setup) -> Option<Decision> {
        match (&setup.base, setup.paranoia) {
            (super::Base::Core(_), 1) => Some(self.paranoia_1),
            (super::Base::Core(_), 4) => Some(self.paranoia_4),
            (super::Base::BuiltIn(_), _) => Some(self.built_in),
            _ => None,
        }
    }
}

/// All of them, in the order in which tables show them.
pub fn all() -> Vec<Scenario> {
    [ordinary::scenarios(), large::scenarios(), attack::scenarios(), response::scenarios()].concat()
}

/// The ones of these names.
pub fn named(names: &[&str]) -> Vec<Scenario> {
    all().into_iter().filter(|scenario| names.contains(&scenario.name)).collect()
}

/// What the backend of the laboratory answers.
pub(super) fn plain_answer() -> Response {
    let body = br#"{"ok":true,"pad":"0123456789012345678901234567890123456789"}"#.to_vec();
    let headers = vec![
        ("Server".to_owned(), b"nginx".to_vec()),
        ("Date".to_owned(), b"Thu, 01 Jan 2026 00:00:00 GMT".to_vec()),
        ("Content-Type".to_owned(), b"application/json".to_vec()),
        ("Content-Length".to_owned(), body.len().to_string().into_bytes()),
    ];
    Response { status: 200, headers, body }
}

/// A request with a body; Content-Length is added.
pub(super) fn with_body(head: &str, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::with_capacity(head.len() + body.len() + 64);
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);
    request
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::authoring::exchange::read;

    #[test]
    fn names_are_distinct_and_requests_well_formed() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
        for scenario in &all {
            let (head, body) = read(&scenario.request).unwrap_or_else(|answer| panic!("{}: {answer:?}", scenario.name));
            assert!(head.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host")), "{}", scenario.name);
            assert!(scenario.request.ends_with(&body), "{}", scenario.name);
        }
    }

    #[test]
    fn generated_sizes_are_those_promised() {
        for (name, bytes) in [
            ("form-4k", 4 << 10),
            ("json-16k", 16 << 10),
            ("json-128k", 128 << 10),
            ("upload-1m", 1 << 20),
            ("text-2m", 2 << 20),
            ("json-2m", 2 << 20),
            ("form-2m", 2 << 20),
        ] {
            let scenario = named(&[name]).remove(0);
            let length = read(&scenario.request).unwrap().1.len();
            assert!(length.abs_diff(bytes) * 20 < bytes, "{name} has {length} bytes");
        }
    }
}
