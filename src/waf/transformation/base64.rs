//! `base64Decode`, `base64DecodeExt`, `base64Encode`.
//!
//! **Meaning.** Decoding turns base64 text into the bytes that it stands for; `base64DecodeExt` passes over whatever is
//! not base64, as browsers and PHP do, where `base64Decode` stops there. Encoding is RFC 4648 with padding.
//! **Example.** `VGVzdA==` becomes `Test`; `P.HNj` with Ext becomes `<sc`.
//! *Difference from libmodsecurity 3:* its `base64Decode` gives an empty value where this one gives what could be
//! decoded before the first foreign byte.

use super::bytes::at;

/// 0-63, or `None` for a byte outside the alphabet.
const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Collects six bits at a time.
struct Decoder<'a> {
    out: &'a mut Vec<u8>,
    bits: u8,
    /// Sextets seen; modulo 4 says what `bits` holds.
    count: usize,
}

impl<'a> Decoder<'a> {
    const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, bits: 0, count: 0 }
    }

    fn push(&mut self, sextet: u8) {
        match self.count % 4 {
            0 => self.bits = sextet << 2,
            1 => {
                self.out.push(self.bits | (sextet >> 4));
                self.bits = sextet << 4;
            }
            2 => {
                self.out.push(self.bits | (sextet >> 2));
                self.bits = sextet << 6;
            }
            _ => self.out.push(self.bits | sextet),
        }
        self.count += 1;
    }
}

/// Decodes up to the first byte outside the alphabet.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(input.len() / 4 * 3 + 3);
    let mut decoder = Decoder::new(out);
    for sextet in input.iter().map_while(|&byte| sextet(byte)) {
        decoder.push(sextet);
    }
    // Decoding shortens, so only the empty value stays what it is.
    !input.is_empty()
}

/// Decodes everything inside the alphabet up to a `NUL`; a padding sign after one lone sextet makes the value empty.
pub(super) fn decode_lenient(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(input.len() / 4 * 3 + 3);
    let mut decoder = Decoder::new(out);
    for (index, &byte) in input.iter().enumerate() {
        if byte == 0 {
            break;
        }
        if byte == b'=' {
            if at(input, index + 1) != b'=' && decoder.count % 4 == 1 {
                out.clear();
                return true;
            }
        } else if let Some(sextet) = sextet(byte) {
            decoder.push(sextet);
        }
    }
    !input.is_empty()
}

/// Standard alphabet, with padding.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(input.len().div_ceil(3) * 4);
    for chunk in input.chunks(3) {
        let group = (u32::from(at(chunk, 0)) << 16) | (u32::from(at(chunk, 1)) << 8) | u32::from(at(chunk, 2));
        for place in 0..4_usize {
            let sextet = (group >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(sextet as usize).copied().unwrap_or(b'=');
            out.push(if place > chunk.len() { b'=' } else { letter });
        }
    }
    !input.is_empty()
}
