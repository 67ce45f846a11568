//! The best-fit map of `urlDecodeUni`: which ASCII character Windows puts for a code that a code page lacks.
//!
//! IIS decoded `%uHHHH` and then let the code page fold the character, so `%u02b9` arrives as an apostrophe. The file
//! of `SecUnicodeMapFile` lists such foldings per code page; the one everybody loads, 20127 (US-ASCII), is built in.
//! It holds no secret knowledge: accented letters fold to their base letter, typographic signs to their plain twin,
//! full-width forms to ASCII, and it is written down here as runs of neighbouring codes.

use std::sync::{Arc, OnceLock};

/// Code to byte, for the codes that a code page folds.
#[derive(Clone, PartialEq, Eq)]
pub struct UnicodeMap {
    /// For each high byte the number of its table, plus one; 0 is none.
    pages: Box<[u16; 256]>,
    tables: Vec<[Option<u8>; 256]>,
}

impl std::fmt::Debug for UnicodeMap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "UnicodeMap({} codes)", self.entries().count())
    }
}

/// Why a map file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnicodeMapError {
    /// There is no line for the code page, or nothing behind it.
    #[error("the file has no mapping for code page {codepage}")]
    NoSuchCodePage {
        /// As asked for.
        codepage: u32,
    },
    /// An entry is not two hexadecimal numbers, the first up to ffff, the second up to ff.
    #[error("line {line}: not a mapping: {entry:?} (want hexadecimal `code:byte`)")]
    BadEntry {
        /// 1-based.
        line: usize,
        /// As written.
        entry: String,
    },
}

impl UnicodeMap {
    /// Reads a map file: words separated by white space; behind the number of the code page (and its name in
    /// brackets) `code:byte` in hexadecimal, up to the next word without colon.
    pub fn parse(text: &[u8], codepage: u32) -> Result<Self, UnicodeMapError> {
        let mut map = Self::with_dots();
        let mut found = false;
        let mut mapped = false;
        for (line, words) in text.split(|&byte| byte == b'\n').enumerate() {
            let words = words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            for (place, word) in words.enumerate() {
                if !word.contains(&b':') {
                    if mapped {
                        return Ok(map);
                    }
                    // Only the first word of a line names a page: "437 (OEM 850 replaced)" is not page 850.
                    if place == 0 {
                        found = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()) == Some(codepage);
                    }
                } else if found {
                    let Some((code, byte)) = entry(word) else {
                        let entry = String::from_utf8_lossy(word).into_owned();
                        return Err(UnicodeMapError::BadEntry { line: line + 1, entry });
                    };
                    map.insert(code, byte);
                    mapped = true;
                }
            }
        }
        if mapped { Ok(map) } else { Err(UnicodeMapError::NoSuchCodePage { codepage }) }
    }

    /// Code page 20127, built in; one copy per process.
    #[must_use]
    pub fn us_ascii() -> Arc<Self> {
        static MAP: OnceLock<Arc<UnicodeMap>> = OnceLock::new();
        let build = || {
            let mut map = Self::with_dots();
            for (start, bytes) in US_ASCII {
                for (code, byte) in (*start..).zip(bytes.bytes()) {
                    map.insert(code, byte);
                }
            }
            Arc::new(map)
        };
        Arc::clone(MAP.get_or_init(build))
    }

    /// The byte for a code, if the code page folds it.
    #[inline]
    #[must_use]
    pub fn byte(&self, code: u16) -> Option<u8> {
        let [page, place] = code.to_be_bytes();
        let table = usize::from(self.pages.get(usize::from(page)).copied()?).checked_sub(1)?;
        self.tables.get(table)?.get(usize::from(place)).copied()?
    }

    /// Every folding, by code.
    pub fn entries(&self) -> impl Iterator<Item = (u16, u8)> + '_ {
        (0..=u16::MAX).filter_map(|code| Some((code, self.byte(code)?)))
    }

    /// ModSecurity adds the four dots of RFC 3490, section 3.1, to every map.
    fn with_dots() -> Self {
        let mut map = Self { pages: Box::new([0; 256]), tables: Vec::new() };
        for code in [0x002E, 0x3002, 0xFF0E, 0xFF61] {
            map.insert(code, b'.');
        }
        map
    }

    fn insert(&mut self, code: u16, byte: u8) {
        let [page, place] = code.to_be_bytes();
        let Some(page) = self.pages.get_mut(usize::from(page)) else { return };
        if *page == 0 {
            self.tables.push([None; 256]);
            // At most 256 tables.
            *page = u16::try_from(self.tables.len()).unwrap_or(0);
        }
        let table = usize::from(*page).checked_sub(1).and_then(|table| self.tables.get_mut(table));
        if let Some(slot) = table.and_then(|table| table.get_mut(usize::from(place))) {
            *slot = Some(byte);
        }
    }
}

fn entry(word: &[u8]) -> Option<(u16, u8)> {
    let (code, byte) = std::str::from_utf8(word).ok()?.split_once(':')?;
    Some((u16::from_str_radix(code, 16).ok()?, u8::from_str_radix(byte, 16).ok()?))
}

/// First code of a run of neighbours, and what each folds to.
const US_ASCII: &[(u16, &str)] = &[
    // Latin-1: signs, then letters.
    (0x00A0, " !c"),
    (0x00A4, "$Y|"),
    (0x00A9, "Ca<"),
    (0x00AD, "-R"),
    (0x00B2, "23"),
    (0x00B7, ".,1o>"),
    (0x00C0, "AAAAAAACEEEEIIIIDNOOOOO"),
    (0x00D8, "OUUUUY"),
    (0x00E0, "aaaaaaaceeeeiiii"),
    (0x00F1, "nooooo"),
    (0x00F8, "ouuuuy"),
    // Latin Extended.
    (0x00FF, "yAaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi"),
    (0x0134, "JjKk"),
    (0x0139, "LlLlLl"),
    (0x0141, "LlNnNnNn"),
    (0x014C, "OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZ"),
    (0x017B, "ZzZz"),
    (0x0180, "b"),
    (0x0189, "D"),
    (0x0191, "Ff"),
    (0x0197, "I"),
    (0x019A, "l"),
    (0x019F, "OOo"),
    (0x01AB, "t"),
    (0x01AE, "TUu"),
    (0x01B6, "z"),
    (0x01CD, "AaIiOoUuUuUuUuUu"),
    (0x01DE, "Aa"),
    (0x01E4, "GgGgKkOoOo"),
    (0x01F0, "j"),
    (0x0261, "g"),
    // Modifiers and combining marks.
    (0x02B9, "'\""),
    (0x02BC, "'"),
    (0x02C4, "^"),
    (0x02C6, "^"),
    (0x02C8, "'"),
    (0x02CB, "`"),
    (0x02CD, "_"),
    (0x02DC, "~"),
    (0x0300, "`"),
    (0x0302, "^~"),
    (0x030E, "\""),
    (0x0331, "__"),
    // General punctuation.
    (0x2000, "       "),
    (0x2010, "--"),
    (0x2013, "--"),
    (0x2018, "'',"),
    (0x201C, "\"\"\""),
    (0x2022, "."),
    (0x2026, "."),
    (0x2032, "'"),
    (0x2035, "`"),
    (0x2039, "<>"),
    (0x2122, "T"),
    // Full width; U+FF1F is missing, but its low byte folds to the same `?`.
    (0xFF01, "!\"#$%&'()*+,-./0123456789:;<=>"),
    (0xFF20, "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"),
];
