//! A few operators, targets and lanes that many rules of a case are made of, each with each: what was found out about a
//! value for one rule serves another, and may do so only where both ask the same of the same.

use super::condition::{operator, part_of, targets};
use super::rules::Link;
use super::supply::Supply;
use super::words::{escape, function, name, phrases, text};

/// What rules choose from.
#[derive(Debug)]
pub(crate) struct Pool {
    targets: Vec<Vec<String>>,
    /// Actions that are transformations.
    lanes: Vec<Vec<String>>,
    operators: Vec<String>,
    phases: [u8; 3],
}

/// Targets that have values, or parts of them, in common; `*` is for a name.
const FAMILIES: &[&[&str]] = &[
    &["ARGS", "ARGS:*", "ARGS_GET", "ARGS_POST", "ARGS_GET:*", "ARGS_NAMES", "ARGS:/^./"],
    &["REQUEST_HEADERS", "REQUEST_HEADERS:X-Id", "REQUEST_HEADERS:User-Agent", "REQUEST_HEADERS:Referer"],
    &["REQUEST_URI", "REQUEST_URI_RAW", "QUERY_STRING", "REQUEST_LINE", "REQUEST_FILENAME", "ARGS_GET"],
    &["REQUEST_COOKIES", "REQUEST_COOKIES:*", "ARGS", "REQUEST_HEADERS"],
    &["REQUEST_BODY", "ARGS_POST", "ARGS", "XML:/*", "XML://@*", "FILES"],
    &["ARGS", "REQUEST_HEADERS", "REQUEST_URI", "REQUEST_BODY", "RESPONSE_BODY"],
    &["RESPONSE_BODY", "RESPONSE_HEADERS", "RESPONSE_HEADERS:X-Id", "ARGS"],
];

/// Phases that rules of one family can see values in.
const PHASES: &[[u8; 3]] = &[[2, 2, 2], [2, 2, 1], [1, 1, 2], [1, 2, 4], [4, 4, 3]];

impl Pool {
    pub(crate) fn new(supply: &mut Supply<'_>) -> Self {
        let family = supply.pick(FAMILIES);
        let mut all_targets: Vec<Vec<String>> = Vec::new();
        for _ in 0..supply.between(2, 4) {
            let mut own = Vec::new();
            for _ in 0..supply.pick(&[1, 1, 1, 2]) {
                own.push(supply.pick(family).replace('*', name(supply)));
            }
            if supply.one_in(6) {
                own.push(format!("!{}", part_of(supply, &own[0])));
                own.extend(supply.one_in(2).then(|| supply.pick(family).replace('*', name(supply))));
            }
            all_targets.push(own);
        }
        if supply.one_in(4) {
            all_targets.push(targets(supply));
        }
        let multi = supply.pick(&[2, 8, 8, 8]);
        let lanes = (0..supply.between(2, 4)).map(|_| lane(supply, multi)).collect();
        let operators = (0..supply.between(2, 5)).map(|_| shared_operator(supply)).collect();
        let phases = supply.pick(PHASES);
        Self { targets: distinct(all_targets), lanes: distinct(lanes), operators: distinct(operators), phases }
    }

    pub(crate) fn phase(&self, supply: &mut Supply<'_>) -> u8 {
        supply.pick(&self.phases)
    }

    /// Targets, operator and transformations.
    pub(crate) fn condition(&self, supply: &mut Supply<'_>) -> Link {
        let one_of = |supply: &mut Supply<'_>, count: usize| supply.below(count);
        let targets = self.targets[one_of(supply, self.targets.len())].clone();
        let operator = self.operators[one_of(supply, self.operators.len())].clone();
        let actions = self.lanes[one_of(supply, self.lanes.len())].clone();
        let operator = if supply.one_in(12) && !operator.starts_with('!') { format!("!{operator}") } else { operator };
        Link { targets, operator, actions }
    }

    /// Targets with the same operators, but in other lanes: what is asked of a value is the same, and of what becomes of it
    /// is not.
    pub(crate) fn crossed(&self, supply: &mut Supply<'_>) -> Vec<Link> {
        let (targets, operators) = (supply.between(2, 3), supply.between(2, 3));
        let shift = 1 + supply.below(self.lanes.len().max(2) - 1);
        let mut all = Vec::new();
        for (number, targets) in self.targets.iter().take(targets).enumerate() {
            for (place, operator) in self.operators.iter().take(operators).enumerate() {
                let lane = &self.lanes[(number * shift + place) % self.lanes.len()];
                all.push(Link { targets: targets.clone(), operator: operator.clone(), actions: lane.clone() });
            }
        }
        all
    }

    /// A rule that there is much to look for on behalf of, about something that others seldom look at: next to it the
    /// others have little in common with all.
    pub(crate) fn heavy(&self, supply: &mut Supply<'_>) -> Link {
        let target = supply.pick(&["REQUEST_METHOD", "REQUEST_COOKIES", "REQUEST_HEADERS:q", "ARGS", "RESPONSE_BODY"]);
        let lane = self.lanes[supply.below(self.lanes.len())].clone();
        let actions = if supply.one_in(2) { Vec::new() } else { lane };
        Link { targets: vec![target.into()], operator: many_texts(supply), actions }
    }
}

fn distinct<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut out = Vec::new();
    for each in all {
        if !out.contains(&each) {
            out.push(each);
        }
    }
    out
}

/// One lane in `multi` tests the value on its way too.
fn lane(supply: &mut Supply<'_>, multi: usize) -> Vec<String> {
    let mut actions = vec!["t:none".to_owned()];
    for _ in 0..supply.pick(&[0, 1, 1, 1, 2, 2, 3]) {
        actions.push(format!("t:{}", function(supply)));
    }
    if supply.one_in(multi) {
        actions.push("multiMatch".into());
    }
    actions
}

/// Mostly one of few texts, so that whether it is asked decides.
fn shared_operator(supply: &mut Supply<'_>) -> String {
    let found = text(supply);
    let word = if found.trim().is_empty() { "id" } else { found };
    match supply.below(9) {
        // What is long enough after transformations only.
        8 => format!(
            "@rx {}{{{}}}",
            supply.pick(&["^.", ".", "[0-9a-f]", "\\w", "[^a]"]),
            supply.pick(&[2, 4, 6, 9, 20])
        ),
        0..=2 => {
            let mut out = String::from("@rx ");
            out.push_str(supply.pick(&["", "", "(?i)", "(", "\\b", "^.*"]));
            escape(word, &mut out);
            if out.starts_with("@rx (") && !out.starts_with("@rx (?") {
                out.push(')');
            }
            out.push_str(supply.pick(&["", "", ".", "\\W", "[^<>]*$", "\\d"]));
            out
        }
        3 if supply.one_in(2) => format!("@contains {}", word.to_uppercase()),
        3 => format!("@contains {word}"),
        4 => format!("@pm {word} {}", text(supply).trim()),
        5 if supply.one_in(4) => many_texts(supply),
        5 | 6 => operator(supply),
        _ => {
            let mut out = String::from("@rx (?:");
            escape(word, &mut out);
            for _ in 0..supply.below(4) {
                out.push('|');
                escape(text(supply), &mut out);
            }
            out.push(')');
            out
        }
    }
}

/// Enough for tables for kinds of values, for which fuzz targets need fewer.
const MANY: usize = if portcullis::limits::WAF_KEPT_VALUE_BYTES < 256 { 60 } else { 700 };

/// So many that values of one kind need not be searched for all of them; seldom, because they take long to compile.
fn many_texts(supply: &mut Supply<'_>) -> String {
    if supply.one_in(4) {
        let mut out = String::from(supply.pick(&["@rx (?:", "@rx (?i)\\b(?:", "@rx ("]));
        for (number, word) in phrases(supply, 40).iter().enumerate() {
            out.push_str(if number > 0 { "|" } else { "" });
            escape(word, &mut out);
        }
        out.push(')');
        return out;
    }
    let count = supply.pick(&[8, 8, 8, 20, 60, 150, MANY]);
    format!("@pm {}", phrases(supply, count).join(" "))
}
