//! `@pm`, `@pmFromFile`, `@pmf`: one of many phrases occurs in the value, whatever its case (ASCII).
//!
//! **Arguments.** `@pm`: words separated by white space. `@pmFromFile`: files, relative to the rule file, one phrase per
//! line, `#` begins a comment line; phrases may hold spaces. Both know the notation of the `content` module.
//! **Result.** Matches if a phrase is found; TX.0 is the phrase as the rule writes it.
//! **Example.** `SecRule REQUEST_HEADERS:User-Agent "@pmFromFile scanners.data"`.
//! *Difference from ModSecurity 2:* that misses a phrase that begins inside the beginning of another one (see
//! `phrase_trie`), which `EngineOptions::complete_phrases` off does too. *Quirk kept:* a line of one single character is
//! no phrase.

use aho_corasick::{AhoCorasick, MatchKind, StartKind};

use super::error::OperatorError;
use super::phrase_trie::PhraseTrie;

/// Compiled phrases.
#[derive(Debug)]
pub struct PhraseSet {
    automaton: AhoCorasick,
    /// As written, in order.
    phrases: Vec<Vec<u8>>,
    /// Confirms what the automaton found; absent when every phrase is to be found.
    trie: Option<PhraseTrie>,
}

impl PhraseSet {
    /// `@pm`.
    pub(super) fn from_words(argument: &[u8], is_complete: bool) -> Result<Self, OperatorError> {
        // An escape that the notation does not have makes ModSecurity take the whole argument as it is.
        let text = super::content::parse(argument).unwrap_or_else(|_| argument.to_vec());
        let words = text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        Self::build(words.map(<[u8]>::to_vec).collect(), is_complete)
    }

    /// `@pmFromFile`, one or more files concatenated.
    pub(super) fn from_lines(files: &[Vec<u8>], is_complete: bool) -> Result<Self, OperatorError> {
        let mut phrases = Vec::new();
        for line in files.iter().flat_map(|file| file.split(|byte| *byte == b'\n')) {
            let text = super::content::parse(line).unwrap_or_else(|_| line.to_vec());
            let phrase = trim(&text);
            if phrase.len() > 1 && !phrase.starts_with(b"#") {
                phrases.push(phrase.to_vec());
            }
        }
        Self::build(phrases, is_complete)
    }

    fn build(phrases: Vec<Vec<u8>>, is_complete: bool) -> Result<Self, OperatorError> {
        let automaton = AhoCorasick::builder()
            // Reports the phrase that ends first, as ModSecurity does.
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .build(&phrases)
            .map_err(|_| OperatorError::TooManyPhrases { count: phrases.len() })?;
        let trie = (!is_complete).then(|| PhraseTrie::new(&phrases));
        Ok(Self { automaton, phrases, trie })
    }

    /// The phrases as written, for whoever derives what a match must contain.
    #[must_use]
    pub fn phrases(&self) -> &[Vec<u8>] {
        &self.phrases
    }

    /// Whether one occurs.
    #[must_use]
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.automaton.is_match(value) && self.trie.as_ref().is_none_or(|trie| trie.find(value).is_some())
    }

    /// The text that is reported: the phrase that ends first, as written; as ModSecurity 2 does it, the beginning of a longer
    /// phrase if one was under way when a shorter one inside it ended.
    #[must_use]
    pub fn find(&self, value: &[u8]) -> Option<&[u8]> {
        let found = self.automaton.find(value)?;
        match &self.trie {
            None => self.phrases.get(found.pattern().as_usize()).map(Vec::as_slice),
            Some(trie) => {
                let (phrase, length) = trie.find(value)?;
                self.phrases.get(phrase)?.get(..length)
            }
        }
    }
}

/// C `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|&&byte| is_space(byte)).count();
    let end = text.len() - text.iter().rev().take_while(|&&byte| is_space(byte)).count();
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> PhraseSet {
        PhraseSet::from_words(text.as_bytes(), false).expect("few phrases")
    }

    #[test]
    fn modsecuritys_blind_spot_and_the_complete_search() {
        let phrases = b"config.code .credentials g/x";
        let value = b"app.config.credentials";
        let set = PhraseSet::from_words(phrases, false).expect("few phrases");
        assert_eq!((set.find(value), set.is_match(value)), (None, false));
        assert_eq!(set.find(b"app.credentials"), Some(&b".credentials"[..]));
        let set = PhraseSet::from_words(phrases, true).expect("few phrases");
        assert_eq!((set.find(value), set.is_match(value)), (Some(&b".credentials"[..]), true));
    }

    #[test]
    fn the_phrase_that_ends_first_is_reported_as_written() {
        let set = words("Select union ele");
        assert_eq!(set.find(b"xx UNION SELECT"), Some(&b"union"[..]));
        // "ele" ends first, but "Sele" was under way.
        assert_eq!(set.find(b"SELECT"), Some(&b"Sele"[..]));
        assert_eq!(set.find(b"xele"), Some(&b"ele"[..]));
        assert_eq!(set.find(b"nothing"), None);
        assert!(!words("x").is_match(b""));
    }

    #[test]
    fn lines_are_trimmed_and_comments_dropped() {
        let file = b"# words\n  alpha beta \r\n\nx\n#no\n|23|hash\n\\n stays\nlast".to_vec();
        let set = PhraseSet::from_lines(&[file], false).expect("few phrases");
        let phrases: Vec<_> = set.phrases().iter().map(|phrase| phrase.escape_ascii().to_string()).collect();
        // A phrase that begins with a number sign is a comment, even one spelled in hexadecimal.
        assert_eq!(phrases, ["alpha beta", "\\\\n stays", "last"]);
    }

    #[test]
    fn no_phrase_matches_nothing() {
        assert!(!words(" ").is_match(b"abc"));
    }
}
