//! `phpArgsNames`.
//!
//! **Meaning.** An argument's name as PHP registers it: leading spaces go, ` ` and `.` become `_`, a `[` without `]`
//! becomes `_` (and then nothing else is replaced), what stands behind the last bracket pair goes.
//! **Example.** `a_b.c` becomes `a_b_c`; `a[]b` becomes `a[]`.
//! *Difference from ModSecurity:* exists in libmodsecurity 3 only.

use super::bytes::{at, between, find, tail};

/// See the file's page.
pub(super) fn mangle(input: &[u8], out: &mut Vec<u8>) -> bool {
    if find(input, |byte| matches!(byte, b'[' | b' ' | b'.')).is_none() && at(input, 0) != b'=' {
        return false;
    }
    rewrite(input, out);
    out.as_slice() != input
}

/// The first `]` from `start` on, not beyond a `NUL`.
fn closing(input: &[u8], start: usize) -> Option<usize> {
    let index = start + memchr::memchr2(b']', 0, tail(input, start))?;
    (at(input, index) == b']').then_some(index)
}

fn rewrite(input: &[u8], out: &mut Vec<u8>) {
    if matches!(at(input, 0), b'[' | b'=') {
        return;
    }
    let mut index = input.iter().take_while(|&&byte| byte == b' ').count();
    let mut is_open = false;
    while index < input.len() {
        match at(input, index) {
            b'[' if !is_open => {
                if closing(input, index).is_some() {
                    break;
                }
                out.push(b'_');
                is_open = true;
            }
            b' ' | b'.' if !is_open => out.push(b'_'),
            byte => out.push(byte),
        }
        index += 1;
    }
    // One pair of brackets after the other.
    while index < input.len() {
        let Some(end) = closing(input, index) else { return };
        if end + 1 - index == 3 && at(input, index + 1) == b' ' {
            out.push(b'[');
            index += 2;
        }
        out.extend_from_slice(between(input, index, end + 1));
        index = end + 1;
        if at(input, index) != b'[' {
            return;
        }
    }
}
