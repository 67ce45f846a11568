//! The words and fingerprints that libinjection knows, as hash tables that the compiler builds.
//!
//! The text files beside this one are the truth; a line that cannot be read is a compile error.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "evaluated while compiling, save for two masked lookups")]

use super::token::Kind;

/// What `word` (in any case) is, if it is known.
pub(super) fn keyword(word: &[u8]) -> Option<Kind> {
    let ([first, ..], [.., last]) = (word, word) else { return None };
    if word.len() > LONGEST_WORD || (FIRST[usize::from(*first)] & LAST[usize::from(*last)]) >> word.len() & 1 == 0 {
        return None;
    }
    let mut key = [0; WORD_BYTES];
    key[..word.len()].copy_from_slice(word);
    // All 32 bytes, which is a few instructions; byte by byte it would be the most expensive part.
    key.make_ascii_uppercase();
    let mut slot = hash_word(&key);
    loop {
        let entry = WORD_SLOTS[slot & (WORD_SLOT_COUNT - 1)];
        if entry == 0 {
            return None;
        }
        let known = &WORDS[usize::from(entry) - 1];
        // The length as well: a key that ends in NUL bytes would look like a shorter word.
        if known.key == key && usize::from(known.length) == word.len() {
            return Some(known.kind);
        }
        slot += 1;
    }
}

/// Whether a fingerprint occurs only in attacks.
pub(super) fn is_attack(fingerprint: &[u8]) -> bool {
    let mut code = 0;
    for letter in fingerprint {
        code = code << 5 | letter_code(letter.to_ascii_uppercase());
    }
    let mut slot = hash_code(code);
    loop {
        match FINGERPRINTS[slot & (FINGERPRINT_SLOT_COUNT - 1)] {
            0 => return false,
            known if known == code => return true,
            _ => slot += 1,
        }
    }
}

const WORD_BYTES: usize = 32;
/// The longest word of the table; checked when it is built.
const LONGEST_WORD: usize = 29;
const WORD_COUNT: usize = 985;
/// A power of two, more than twice the words, so that runs stay short.
const WORD_SLOT_COUNT: usize = 2048;
/// A power of two, about twice the fingerprints.
const FINGERPRINT_SLOT_COUNT: usize = 16_384;

#[derive(Clone, Copy)]
struct Word {
    key: [u8; WORD_BYTES],
    length: u8,
    kind: Kind,
}

static WORDS: [Word; WORD_COUNT] = read_words(include_bytes!("keywords.txt"));
static WORD_SLOTS: [u16; WORD_SLOT_COUNT] = place_words(&read_words(include_bytes!("keywords.txt")));
/// Lengths of words by the byte that they begin with, and that they end with, in either case: most words of ordinary text
/// are known not to be among them by that alone.
static FIRST: [u32; 256] = lengths(&read_words(include_bytes!("keywords.txt")), false);
static LAST: [u32; 256] = lengths(&read_words(include_bytes!("keywords.txt")), true);
static FINGERPRINTS: [u32; FINGERPRINT_SLOT_COUNT] = place_fingerprints(include_bytes!("fingerprints.txt"));

const fn read_words(text: &[u8]) -> [Word; WORD_COUNT] {
    let mut words = [Word { key: [0; WORD_BYTES], length: 0, kind: Kind::None }; WORD_COUNT];
    let (mut at, mut count) = (0, 0);
    while at < text.len() {
        words[count].kind = kind_of(text[at]);
        assert!(text[at + 1] == b' ', "a line is a kind, a space, a word");
        at += 2;
        let start = at;
        while text[at] != b'\n' {
            words[count].key[at - start] = text[at];
            at += 1;
        }
        assert!(at - start <= LONGEST_WORD, "a word is longer than LONGEST_WORD");
        words[count].length = (at - start) as u8;
        at += 1;
        count += 1;
    }
    assert!(count == WORD_COUNT, "WORD_COUNT is not the number of words");
    words
}

const fn place_words(words: &[Word; WORD_COUNT]) -> [u16; WORD_SLOT_COUNT] {
    let mut slots = [0; WORD_SLOT_COUNT];
    let mut index = 0;
    while index < WORD_COUNT {
        let mut slot = hash_word(&words[index].key) & (WORD_SLOT_COUNT - 1);
        while slots[slot] != 0 {
            slot = (slot + 1) & (WORD_SLOT_COUNT - 1);
        }
        slots[slot] = index as u16 + 1;
        index += 1;
    }
    slots
}

const fn lengths(words: &[Word; WORD_COUNT], by_last: bool) -> [u32; 256] {
    let mut lengths = [0; 256];
    let mut index = 0;
    while index < WORD_COUNT {
        let Word { key, length, .. } = &words[index];
        let byte = if by_last { key[*length as usize - 1] } else { key[0] };
        lengths[byte as usize] |= 1 << *length;
        lengths[byte.to_ascii_lowercase() as usize] |= 1 << *length;
        index += 1;
    }
    lengths
}

const fn place_fingerprints(text: &[u8]) -> [u32; FINGERPRINT_SLOT_COUNT] {
    let mut slots = [0; FINGERPRINT_SLOT_COUNT];
    let mut at = 0;
    while at < text.len() {
        let mut code = 0;
        while text[at] != b'\n' {
            let letter = letter_code(text[at]);
            assert!(letter != 0, "a letter that fingerprints do not have");
            code = code << 5 | letter;
            at += 1;
        }
        at += 1;
        let mut slot = hash_code(code) & (FINGERPRINT_SLOT_COUNT - 1);
        while slots[slot] != 0 {
            slot = (slot + 1) & (FINGERPRINT_SLOT_COUNT - 1);
        }
        slots[slot] = code;
    }
    slots
}

const fn hash_word(key: &[u8; WORD_BYTES]) -> usize {
    let mut mixed = 0_u64;
    let mut part = 0;
    while part < WORD_BYTES {
        let bytes = [
            key[part],
            key[part + 1],
            key[part + 2],
            key[part + 3],
            key[part + 4],
            key[part + 5],
            key[part + 6],
            key[part + 7],
        ];
        mixed = mixed.rotate_left(23) ^ u64::from_le_bytes(bytes);
        part += 8;
    }
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 53) as usize
}

const fn hash_code(code: u32) -> usize {
    (code.wrapping_mul(0x9E37_79B1) >> 18) as usize
}

/// Five bits for each letter that the table has; 31 for those that it has not, so that they never are found.
const fn letter_code(letter: u8) -> u32 {
    match letter {
        b'1' => 1,
        b'&' => 2,
        b'(' => 3,
        b')' => 4,
        b',' => 5,
        b':' => 6,
        b';' => 7,
        b'A' => 8,
        b'B' => 9,
        b'C' => 10,
        b'E' => 11,
        b'F' => 12,
        b'K' => 13,
        b'N' => 14,
        b'O' => 15,
        b'S' => 16,
        b'T' => 17,
        b'U' => 18,
        b'V' => 19,
        b'X' => 20,
        _ => 31,
    }
}

const fn kind_of(letter: u8) -> Kind {
    match letter {
        b'k' => Kind::Keyword,
        b'U' => Kind::Union,
        b'B' => Kind::Group,
        b'E' => Kind::Expression,
        b't' => Kind::SqlType,
        b'f' => Kind::Function,
        b'n' => Kind::Bareword,
        b'1' => Kind::Number,
        b'v' => Kind::Variable,
        b'o' => Kind::Operator,
        b'&' => Kind::LogicOperator,
        b'A' => Kind::Collate,
        b'T' => Kind::Tsql,
        _ => panic!("a kind that words do not have"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case() {
        for line in include_str!("keywords.txt").lines() {
            let (kind, word) = line.split_at(2);
            assert_eq!(keyword(word.as_bytes()).unwrap().letter(), kind.as_bytes()[0], "{word}");
            assert!(keyword(word.to_ascii_lowercase().as_bytes()).is_some(), "{word}");
            assert_eq!(keyword(format!("{word}\0").as_bytes()), None, "{word}");
        }
        assert_eq!(keyword(b"portcullis"), None);
        assert_eq!(keyword(b""), None);
    }

    #[test]
    fn every_fingerprint_is_found() {
        let mut count = 0;
        for line in include_str!("fingerprints.txt").lines() {
            assert!(is_attack(line.as_bytes()), "{line}");
            assert!(is_attack(line.to_ascii_lowercase().as_bytes()), "{line}");
            count += 1;
        }
        assert_eq!(count, 8367);
        for unknown in [&b""[..], b"n", b"1", b"?????", b"nnnnn", b"1.1", b"{n}", b"\\"] {
            assert!(!is_attack(unknown), "{}", String::from_utf8_lossy(unknown));
        }
    }
}
