//! `removeNulls`, `replaceNulls`.
//!
//! **Meaning.** `NUL` bytes go, or become spaces. *Difference from ModSecurity:* none.

use super::bytes::{head, tail};
use super::marks::{self, Set};

static NUL: Set = Set::of(b"\0");

/// Takes them out.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(0, input) else { return false };
    if marks::are_worth_while(input.len() - first) {
        remove_marked(input, first, out);
    } else {
        remove_plainly(input, first, out);
    }
    true
}

#[inline(never)]
fn remove_marked(input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(input);
    marks::retain(out, first, [&NUL], |[nul], _| !nul);
}

fn remove_plainly(input: &[u8], first: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().filter(|&&byte| byte != 0));
}

/// Makes them spaces.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(0, input) else { return false };
    out.extend_from_slice(head(input, first));
    out.extend(tail(input, first).iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same() {
        let first = |value: &[u8]| memchr::memchr(0, value);
        marks::tests::compare(&[b"\0", b"\0\0"], first, remove_plainly, remove_marked, |()| true);
    }
}
