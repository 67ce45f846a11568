//! `@rbl`: the address, or the name, is listed by a DNS block list.
//!
//! **Arguments.** The list's zone. **Result.** Matches if the zone answers; the message says what the well-known lists
//! mean by their answers, and TX.0 is that message.
//! **Example.** `SecRule REMOTE_ADDR "@rbl zen.spamhaus.org"`.
//! *Difference from ModSecurity:* a worker never waits for a name server. An answer that is not there yet does not
//! match; it is fetched meanwhile, for the next request.

use std::fmt::Debug;
use std::io::Write as _;
use std::net::Ipv4Addr;

/// Answers of name servers, as far as they are known now.
pub trait BlockList: Send + Sync + Debug {
    /// The first address that `name` has, if it is known that it has one. Returns at once; if nothing is known it may
    /// go and ask for later.
    fn listed(&self, name: &str) -> Option<Ipv4Addr>;

    /// What it did so far, for metrics.
    fn counts(&self) -> BlockListCounts {
        BlockListCounts::default()
    }
}

/// Counts of a [`BlockList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockListCounts {
    /// Asked by a rule when nothing was known yet, which did not match.
    pub unknown: u64,
    /// Of names that could not be put on the list of those to ask for, which was full.
    pub overflowed: u64,
    /// Name servers said: listed.
    pub listed: u64,
    /// Name servers said: not listed.
    pub unlisted: u64,
    /// Name servers said nothing of use.
    pub failed: u64,
}

/// The zone, and whose answers it gives.
#[derive(Debug, Clone)]
pub struct Zone {
    zone: String,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Uribl,
    Spamhaus,
    HttpBl,
    Other,
}

impl Zone {
    pub(super) fn new(argument: &str) -> Self {
        let family = if argument.contains("uribl.com") {
            Family::Uribl
        } else if argument.contains("spamhaus.org") {
            Family::Spamhaus
        } else if argument.contains("httpbl.org") {
            Family::HttpBl
        } else {
            Family::Other
        };
        Self { zone: argument.to_owned(), family }
    }

    /// The name to ask for: address reversed, or the name itself, in front of the zone. `None` for a value that is no
    /// text, or when http:BL has no key.
    pub(super) fn name(&self, value: &[u8], key: Option<&str>) -> Option<String> {
        let value = std::str::from_utf8(value).ok().filter(|value| !value.is_empty())?;
        let Ok(address) = value.parse::<Ipv4Addr>() else {
            return Some(format!("{value}.{}", self.zone));
        };
        let [a, b, c, d] = address.octets();
        let name = format!("{d}.{c}.{b}.{a}.{}", self.zone);
        match self.family {
            Family::HttpBl => key.map(|key| format!("{key}.{name}")),
            _ => Some(name),
        }
    }

    /// ModSecurity's message.
    pub(super) fn message(&self, name: &str, answer: Ipv4Addr, variable: &[u8]) -> Vec<u8> {
        let mut text = format!("RBL lookup of {name} ").into_bytes();
        let [first, days, score, last] = answer.octets();
        if self.family == Family::HttpBl && first != 127 {
            text.extend_from_slice(b"failed: bad response");
            return text;
        }
        text.extend_from_slice(b"succeeded at ");
        text.extend_from_slice(variable);
        let meaning = match (self.family, last) {
            (Family::Uribl, 2) => " (BLACK).",
            (Family::Uribl, 4) => " (GREY).",
            (Family::Uribl, 8) => " (RED).",
            (Family::Uribl, 14) => " (BLACK,GREY,RED).",
            (Family::Uribl, 255) => " (DNS IS BLOCKED).",
            (Family::Uribl, _) => " (WHITE).",
            (Family::Spamhaus, 2 | 3) => " (Static UBE sources).",
            (Family::Spamhaus, 4..=7) => " (Illegal 3rd party exploits).",
            (Family::Spamhaus, 10 | 11) => " (Delivering unauthenticated SMTP email).",
            (Family::Spamhaus | Family::Other, _) => ".",
            (Family::HttpBl, kind) => {
                let kind = match kind {
                    0 => "Search Engine",
                    1 => "Suspicious IP",
                    2 => "Harvester IP",
                    3 => "Suspicious harvester IP",
                    4 => "Comment spammer IP",
                    5 => "Suspicious comment spammer IP",
                    6 => "Harvester and comment spammer IP",
                    7 => "Suspicious harvester comment spammer IP",
                    _ => " ",
                };
                // Writing to a vector does not fail.
                drop(write!(text, ". {kind}: {days} days since last activity, threat score {score}"));
                return text;
            }
        };
        text.extend_from_slice(meaning.as_bytes());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_answers() {
        let spamhaus = Zone::new("zen.spamhaus.org");
        assert_eq!(spamhaus.name(b"1.2.3.4", None).as_deref(), Some("4.3.2.1.zen.spamhaus.org"));
        assert_eq!(spamhaus.name(b"example.org", None).as_deref(), Some("example.org.zen.spamhaus.org"));
        let message = spamhaus.message("4.3.2.1.zen.spamhaus.org", Ipv4Addr::new(127, 0, 0, 4), b"REMOTE_ADDR");
        let expected = "RBL lookup of 4.3.2.1.zen.spamhaus.org succeeded at REMOTE_ADDR (Illegal 3rd party exploits).";
        assert_eq!(String::from_utf8_lossy(&message), expected);
        let http = Zone::new("dnsbl.httpbl.org");
        assert_eq!(http.name(b"1.2.3.4", None), None);
        assert_eq!(http.name(b"1.2.3.4", Some("key")).as_deref(), Some("key.4.3.2.1.dnsbl.httpbl.org"));
        let message = http.message("x", Ipv4Addr::new(127, 3, 40, 1), b"REMOTE_ADDR");
        let expected =
            "RBL lookup of x succeeded at REMOTE_ADDR. Suspicious IP: 3 days since last activity, threat score 40";
        assert_eq!(String::from_utf8_lossy(&message), expected);
    }
}
