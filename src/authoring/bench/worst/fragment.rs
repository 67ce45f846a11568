//! Texts from the rules' own operators.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::authoring::bench::large::Sequence;
use crate::seclang::SourceLoader;
use crate::seclang::ast::{Action, DirectiveKind, Rule, Ruleset};
use crate::waf::regex::{Regex, RegexOptions};

/// A text that means something to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    /// The rule; 0 for those that belong to none.
    pub(super) rule_id: u32,
    /// At least one byte.
    pub(super) text: Vec<u8>,
}

/// Of all rules, each once.
pub(super) fn fragments(ruleset: &Ruleset, loader: &dyn SourceLoader, sequence: &mut Sequence) -> Vec<Fragment> {
    let mut found = Found { list: PLAIN.iter().map(|text| fragment(0, text)).collect() };
    let mut rule_id = 0;
    for directive in &ruleset.directives {
        let DirectiveKind::Rule(rule) = &directive.kind else { continue };
        rule_id = id(&rule.actions).unwrap_or(rule_id);
        match rule.operator.name {
            "rx" | "rxGlobal" => found.pattern(rule_id, rule, sequence),
            "pm" => {
                let words = rule.operator.argument.split(|byte| *byte == b' ');
                found.phrases(rule_id, words.filter(|word| !word.is_empty()), sequence);
            }
            "pmFromFile" => {
                let name = String::from_utf8_lossy(&rule.operator.argument).into_owned();
                let text = loader.read(rule.operator.location.source.path(), &name).unwrap_or_default();
                let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
                found.phrases(rule_id, lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")), sequence);
            }
            "contains" | "streq" | "beginsWith" | "endsWith" | "strmatch" => {
                found.add(rule_id, &rule.operator.argument);
            }
            _ => {}
        }
    }
    found.list
}

/// What needs no rule: letters, what decoders chew on, what libinjection's tokenizers stumble over.
const PLAIN: &[&[u8]] = &[
    b"a",
    b"0",
    b" ",
    b"'",
    b"\"",
    b"(",
    b"<",
    b"<a ",
    b"%",
    b"%u",
    b"\\",
    b"\\x",
    b"&#",
    b"&#x41;",
    b"/*",
    b"/**/",
    b"--",
    b"../",
    b"./",
    b"\0",
    b"\xc3\xa9",
    b"\xff",
    b"1'or'1",
    b"select 1,",
    b"a=1 and ",
    b"x'x",
    b"$(",
    b"${",
    b"{{",
    b"a b",
    b"a,",
    b"a.b",
    b"=",
    b";",
    b"@",
    b"\r\n",
];

/// Ways through a pattern that are tried.
const WALKS: usize = 3;

/// Phrases of a list that are tried.
const PHRASES: usize = 6;

/// Longer ones are cut.
const LONGEST: usize = 400;

fn id(actions: &[Action]) -> Option<u32> {
    let action = actions.iter().find(|action| action.name == "id")?;
    std::str::from_utf8(action.argument.as_deref()?).ok()?.trim().parse().ok()
}

fn fragment(rule_id: u32, text: &[u8]) -> Fragment {
    Fragment { rule_id, text: text.get(..LONGEST).unwrap_or(text).to_vec() }
}

struct Found {
    list: Vec<Fragment>,
}

impl Found {
    fn add(&mut self, rule_id: u32, text: &[u8]) {
        let new = fragment(rule_id, text);
        if !new.text.is_empty() && !self.list.iter().any(|own| own.text == new.text) {
            self.list.push(new);
        }
    }

    /// Texts that match a pattern, and each of them short of its end.
    fn pattern(&mut self, rule_id: u32, rule: &Rule, sequence: &mut Sequence) {
        let Ok(regex) = Regex::compile(&rule.operator.argument, RegexOptions::default()) else { return };
        for _ in 0..WALKS {
            let mut text = Vec::new();
            walk(regex.hir(), sequence, &mut text);
            self.add(rule_id, &text);
            self.near(rule_id, &text, sequence);
        }
        let mut pumps = Vec::new();
        pump(regex.hir(), &mut pumps);
        for _ in 0..WALKS.min(pumps.len()) {
            let mut text = Vec::new();
            walk(pumps[sequence.below(pumps.len())], sequence, &mut text);
            self.add(rule_id, &text);
        }
    }

    fn phrases<'t>(&mut self, rule_id: u32, phrases: impl Iterator<Item = &'t [u8]>, sequence: &mut Sequence) {
        let all: Vec<&[u8]> = phrases.collect();
        for _ in 0..PHRASES.min(all.len()) {
            let phrase = all[sequence.below(all.len())];
            self.add(rule_id, phrase);
            self.near(rule_id, phrase, sequence);
        }
    }

    /// Nearly the text: without its end, and with one byte another.
    fn near(&mut self, rule_id: u32, text: &[u8], sequence: &mut Sequence) {
        if text.len() > 1 {
            self.add(rule_id, &text[..text.len() - 1]);
            let mut other = text.to_vec();
            let place = sequence.below(other.len());
            other[place] = other[place].wrapping_add(1);
            self.add(rule_id, &other);
        }
    }
}

/// A text that the pattern matches, but for what look-around asks.
fn walk(hir: &Hir, sequence: &mut Sequence, out: &mut Vec<u8>) {
    if out.len() > LONGEST {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            if let Some(range) = class.ranges().get(sequence.below(class.ranges().len())) {
                let width = usize::from(range.end() - range.start()) + 1;
                out.push(range.start() + sequence.below(width) as u8);
            }
        }
        HirKind::Class(Class::Unicode(_)) => {}
        HirKind::Repetition(repetition) => {
            let more = sequence.below(3) as u32;
            let count = (repetition.min + more).min(repetition.max.unwrap_or(u32::MAX));
            for _ in 0..count {
                walk(&repetition.sub, sequence, out);
            }
        }
        HirKind::Capture(capture) => walk(&capture.sub, sequence, out),
        HirKind::Concat(parts) => parts.iter().for_each(|part| walk(part, sequence, out)),
        HirKind::Alternation(branches) => {
            if let Some(branch) = branches.get(sequence.below(branches.len())) {
                walk(branch, sequence, out);
            }
        }
    }
}

/// The inner parts of repetitions without an end.
fn pump<'h>(hir: &'h Hir, found: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            if repetition.max.is_none() {
                found.push(&repetition.sub);
            }
            pump(&repetition.sub, found);
        }
        HirKind::Capture(capture) => pump(&capture.sub, found),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().for_each(|part| pump(part, found)),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Source;
    use crate::seclang::parse;
    use crate::seclang::source::MemoryLoader;

    #[test]
    fn patterns_and_phrases_give_what_matches_them_and_what_nearly_does() {
        let text = "SecRule ARGS \"@rx (?i)x[0-9]+y\" \"id:7\"\nSecRule ARGS \"@pm alpha beta\" \"id:8\"\n";
        let loader = MemoryLoader::new();
        let (ruleset, _) = parse(&Source::new("a.conf", text), &loader);
        let found = fragments(&ruleset, &loader, &mut Sequence::new(1));
        let regex = Regex::compile(b"(?i)x[0-9]+y", RegexOptions::default()).unwrap();
        let mut cache = crate::waf::regex::RegexCache::new();
        let of_rx: Vec<_> = found.iter().filter(|fragment| fragment.rule_id == 7).collect();
        let matching = of_rx.iter().filter(|fragment| regex.is_match(&mut cache, &fragment.text).unwrap()).count();
        assert!(matching >= 2 && matching < of_rx.len(), "{of_rx:?}");
        assert!(found.iter().any(|fragment| fragment.text == b"alpha" || fragment.text == b"beta"));
        assert!(found.iter().all(|fragment| !fragment.text.is_empty()));
    }
}
