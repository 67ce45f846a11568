//! Which bytes are white space, and which end a word or a variable's name.

#![expect(clippy::indexing_slicing, reason = "a byte is always inside a table of 256; the rest runs while compiling")]

pub(super) const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r' | 0xA0 | 0)
}

/// Which bytes end a word ([`WORD_END`]) or a variable's name ([`VARIABLE_END`]).
static ENDS: [u8; 256] = {
    let mut ends = [0; 256];
    let both = b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0B\x0C\r\"\0";
    let mut index = 0;
    while index < both.len() {
        ends[both[index] as usize] = WORD_END | VARIABLE_END;
        index += 1;
    }
    // Brackets, braces and 0xA0 belong to a variable's name, backticks to a word.
    let word_only = b"[]{}\xA0";
    index = 0;
    while index < word_only.len() {
        ends[word_only[index] as usize] = WORD_END;
        index += 1;
    }
    ends[b'`' as usize] = VARIABLE_END;
    ends
};
const WORD_END: u8 = 1;
const VARIABLE_END: u8 = 2;

pub(super) fn ends_word(byte: u8) -> bool {
    ENDS[usize::from(byte)] & WORD_END != 0
}

pub(super) fn ends_variable(byte: u8) -> bool {
    ENDS[usize::from(byte)] & VARIABLE_END != 0
}
