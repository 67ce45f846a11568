//! `parityEven7bit`, `parityOdd7bit`, `parityZero7bit`.
//!
//! **Meaning.** Sets the top bit of each byte so that the whole byte's parity, as ModSecurity computes it over all eight
//! bits of the input, is even, odd; or clears it. *Difference from ModSecurity:* none.

use super::bytes::find;

fn map(input: &[u8], out: &mut Vec<u8>, new: impl Fn(u8) -> u8 + Copy) -> bool {
    if find(input, |byte| new(byte) != byte).is_none() {
        return false;
    }
    out.extend(input.iter().map(|&byte| new(byte)));
    true
}

/// An odd number of ones gets the top bit.
pub(super) fn even(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| if byte.count_ones() % 2 == 1 { byte | 0x80 } else { byte & 0x7F })
}

/// An even number of ones gets the top bit.
pub(super) fn odd(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| if byte.count_ones() % 2 == 1 { byte & 0x7F } else { byte | 0x80 })
}

/// Nothing gets the top bit.
pub(super) fn zero(input: &[u8], out: &mut Vec<u8>) -> bool {
    map(input, out, |byte| byte & 0x7F)
}
