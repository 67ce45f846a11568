//! Numbers that look random and are the same every time.

/// Draws a number below what is asked for.
pub(in crate::waf) fn draws() -> impl FnMut(usize) -> usize {
    let mut state = 88_172_645_463_325_252_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    }
}
