//! What a caller may choose about evaluation. Every fast path has a switch here, so that a test can compare the
//! verdicts with it on and off.

use std::sync::Arc;

use super::body::json::Naming;
use super::operator::{BlockList, GeoDatabase};
use crate::limits;

/// Switches and bounds of compilation and evaluation.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Visit only rules whose operator could match one of the values present.
    pub prefilter: bool,
    /// Remember what transformations make of values, and what is found out about short ones from request to request.
    pub transformation_cache: bool,
    /// Find out when the rules are loaded what those do that depend on no request, and leave them out.
    pub fold_constants: bool,
    /// Look a compiled operator up instead of compiling it again when another rule has the same one.
    pub share_operators: bool,
    /// Write down which rules were visited and what they saw ([`crate::waf::Trace`]); for `explain`, not for traffic.
    pub trace: bool,
    /// How names of JSON leaves are spelled.
    pub json_names: Naming,
    /// `@pm` and `@pmFromFile` find every phrase, also those that ModSecurity misses because of how it builds its
    /// automaton: whoever knows the phrases could hide one behind the beginning of another. Off, they match what
    /// ModSecurity matches.
    pub complete_phrases: bool,
    /// `@detectXSS` takes every attribute that begins with `on` for an event, as the older libinjection inside
    /// ModSecurity 2.9.7 does; off, the events that exist.
    pub any_event: bool,
    /// Without SecUnicodeMapFile `urlDecodeUni` folds codes as US-ASCII does (code page 20127), which every recommended
    /// configuration asks for. Off, it takes their low byte.
    pub unicode_map: bool,
    /// Give up on a pattern where ModSecurity does whose PCRE has this match limit (1,500 unless set), and say so in a log
    /// line as it does. For comparisons with its answers: without it every pattern gets its answer. Needs
    /// [`EngineOptions::prefilter`] off, because ModSecurity gives up also on values that cannot match.
    pub match_limit: Option<u64>,
    /// Database of `@geoLookup` (SecGeoLookupDb), opened by whoever loads the rules.
    pub geo: Option<Arc<dyn GeoDatabase>>,
    /// Answers of name servers for `@rbl`.
    pub block_list: Option<Arc<dyn BlockList>>,
}

impl EngineOptions {
    /// The plain reference evaluation: every fast path off.
    pub fn reference() -> Self {
        Self {
            prefilter: false,
            transformation_cache: false,
            fold_constants: false,
            share_operators: false,
            ..Self::default()
        }
    }

    /// Every combination of the switches of fast paths, with its name, for comparisons of the engine with itself: first
    /// the plain reference, then the default, then the others.
    pub fn combinations() -> Vec<(String, Self)> {
        let mut all = vec![("reference".to_owned(), Self::reference()), ("default".to_owned(), Self::default())];
        for set in 1..(1_u32 << SWITCHES.len()) - 1 {
            let mut options = Self::reference();
            let mut names = Vec::new();
            for (number, (name, switch)) in SWITCHES.iter().enumerate() {
                *switch(&mut options) = set >> number & 1 == 1;
                if *switch(&mut options) {
                    names.push(*name);
                }
            }
            all.push((names.join(" and "), options));
        }
        all
    }

    /// The peculiarities of ModSecurity 2.9.7 too that portcullis does not copy otherwise: limits, gaps and older tables. For
    /// comparing answers with it, not for traffic. `docs/modsecurity-differences.md` names them.
    pub fn modsecurity_2() -> Self {
        Self {
            prefilter: false,
            complete_phrases: false,
            any_event: true,
            unicode_map: false,
            match_limit: Some(limits::MODSECURITY_2_MATCH_LIMIT),
            ..Self::default()
        }
    }
}

/// Where an option is.
type Switch = fn(&mut EngineOptions) -> &mut bool;

/// The fast paths that can be switched off.
const SWITCHES: [(&str, Switch); 4] = [
    ("prefilter", |options| &mut options.prefilter),
    ("transformation cache", |options| &mut options.transformation_cache),
    ("folded constants", |options| &mut options.fold_constants),
    ("shared operators", |options| &mut options.share_operators),
];

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            prefilter: true,
            transformation_cache: true,
            fold_constants: true,
            share_operators: true,
            trace: false,
            json_names: Naming::default(),
            complete_phrases: true,
            any_event: false,
            unicode_map: true,
            match_limit: None,
            geo: None,
            block_list: None,
        }
    }
}
