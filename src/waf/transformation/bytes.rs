//! Small helpers on bytes, shared by the families: the C character classes that ModSecurity uses, in the C locale, and
//! the vectorised look for the first byte that matters.

/// The no-break space of ISO 8859-1, white space to some functions.
pub(super) const NBSP: u8 = 0xA0;

/// The byte at `index`, or the `NUL` that ends every value in ModSecurity.
#[inline]
pub(super) fn at(input: &[u8], index: usize) -> u8 {
    input.get(index).copied().unwrap_or(0)
}

/// From `start` on; empty beyond the end.
#[inline]
pub(super) fn tail(input: &[u8], start: usize) -> &[u8] {
    input.get(start..).unwrap_or_default()
}

/// Up to `end`; everything beyond the end.
#[inline]
pub(super) fn head(input: &[u8], end: usize) -> &[u8] {
    input.get(..end).unwrap_or(input)
}

/// From `start` to `end`, as far as there is something.
#[inline]
pub(super) fn between(input: &[u8], start: usize, end: usize) -> &[u8] {
    tail(head(input, end), start)
}

/// C `isspace`.
#[inline]
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// `0`-`7`.
#[inline]
pub(super) const fn is_octal(byte: u8) -> bool {
    matches!(byte, b'0'..=b'7')
}

/// Value of a hexadecimal digit that has been checked before; ModSecurity's arithmetic for any other byte.
#[inline]
pub(super) const fn digit(byte: u8) -> u8 {
    if byte >= b'A' { (byte & 0xDF).wrapping_sub(b'A').wrapping_add(10) } else { byte.wrapping_sub(b'0') }
}

/// Value of two hexadecimal digits; see [`digit`] for other bytes.
#[inline]
pub(super) const fn digits(high: u8, low: u8) -> u8 {
    digit(high).wrapping_mul(16).wrapping_add(digit(low))
}

/// The byte that the two hexadecimal digits at `index` spell, if there are two.
#[inline]
pub(super) fn hex_pair(input: &[u8], index: usize) -> Option<u8> {
    match tail(input, index) {
        [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Some(digits(*high, *low)),
        _ => None,
    }
}

/// What four bytes spell in hexadecimal digits, if all of them are digits. Nothing depends on whether the processor
/// guesses well what kind of digits they are.
#[inline]
pub(super) fn hex_code(text: &[u8; 4]) -> Option<u16> {
    let [a, b, c, d] = text.map(|byte| VALUES.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT));
    let code = u16::from(a) << 12 | u16::from(b) << 8 | u16::from(c) << 4 | u16::from(d);
    ((a | b | c | d) & NO_DIGIT == 0).then_some(code)
}

const NO_DIGIT: u8 = 0x80;

/// Of each byte the value as hexadecimal digit.
#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "a byte is always inside a table of 256"))]
static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut rest: &[u8] = b"00112233445566778899AaBbCcDdEeFf";
    let mut value = 0;
    while let [one, other, behind @ ..] = rest {
        values[*one as usize] = value;
        values[*other as usize] = value;
        value += 1;
        rest = behind;
    }
    values
};

/// Full-width ASCII (U+FF01 to U+FF5E) as its low byte: add 0x20 to get at the character.
#[inline]
pub(super) const fn narrow(low: u8, high_digits: (u8, u8)) -> u8 {
    if low > 0 && low < 0x5F && matches!(high_digits, (b'f' | b'F', b'f' | b'F')) { low + 0x20 } else { low }
}

/// Index of the first byte for which `matters` holds. Compiles to a few SIMD instructions per 32 bytes for simple
/// conditions; use memchr where there are at most three bytes.
#[inline]
pub(super) fn find(input: &[u8], matters: impl Fn(u8) -> bool + Copy) -> Option<usize> {
    const BLOCK: usize = 32;
    let mut start = 0;
    for block in input.chunks(BLOCK) {
        let hit = block.iter().fold(0_u8, |seen, &byte| seen | u8::from(matters(byte)));
        if hit != 0 {
            return block.iter().position(|&byte| matters(byte)).map(|index| start + index);
        }
        start += BLOCK;
    }
    None
}

/// Adds what `step` makes of each byte, if it says that it stays. Nothing depends on whether the processor guesses well
/// which bytes these are, as nobody can in ordinary text.
#[inline]
pub(super) fn extend_steps(out: &mut Vec<u8>, input: &[u8], mut step: impl FnMut(u8) -> (u8, bool)) {
    let start = out.len();
    out.resize(start + input.len(), 0);
    let mut end = start;
    for &byte in input {
        let (byte, stays) = step(byte);
        if let Some(slot) = out.get_mut(end) {
            *slot = byte;
        }
        end += usize::from(stays);
    }
    out.truncate(end);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The lower-case hexadecimal digit of a number below 16.
#[inline]
pub(super) fn hex_digit(number: u8) -> u8 {
    HEX.get(usize::from(number & 0x0F)).copied().unwrap_or(b'0')
}

/// Two lower-case hexadecimal digits.
#[inline]
pub(super) fn push_hex(out: &mut Vec<u8>, byte: u8) {
    for nibble in [byte >> 4, byte] {
        out.push(hex_digit(nibble));
    }
}
