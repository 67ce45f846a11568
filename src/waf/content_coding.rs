//! Compressed bodies are inspected as what they unfold to.
//!
//! ModSecurity 2 leaves this to its host. A body that cannot be unfolded within bounds is inspected as it was sent, and
//! rules can see that something was wrong.

use super::body::inflate::{Coding, Limits, inflate};
use crate::limits;

/// The body with the codings of its Content-Encoding undone; `None` when there are none.
pub(crate) fn decode(encoding: Option<&[u8]>, body: &[u8], limit: u64) -> Option<Result<Vec<u8>, String>> {
    let codings = match Coding::parse_list(encoding?) {
        Some(codings) if codings.is_empty() || body.is_empty() => return None,
        Some(codings) => codings,
        None => return Some(Err("unknown content coding".into())),
    };
    let limits = Limits {
        output_bytes: usize::try_from(limit).unwrap_or(usize::MAX),
        ratio: limits::WAF_INFLATE_RATIO,
        ratio_free_bytes: limits::WAF_INFLATE_FREE_BYTES,
    };
    // `parse_list` gives them in the order in which they are undone.
    let mut codings = codings.into_iter();
    let first = codings.next()?;
    let unfolded = inflate(first, body, limits);
    let unfolded = codings.fold(unfolded, |body, coding| body.and_then(|body| inflate(coding, &body, limits)));
    Some(unfolded.map_err(|problem| problem.to_string()))
}
