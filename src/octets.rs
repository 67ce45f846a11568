//! Looking for octets of a kind, sixteen at a time.

/// Is one of them of the kind? It is asked with a branch for sixteen of them, so that a question without branches becomes a
/// few vector instructions; what is left over is looked at with octets before it, again.
#[inline]
pub(crate) fn any(octets: &[u8], is_it: impl Fn(u8) -> bool + Copy) -> bool {
    let (blocks, rest) = octets.as_chunks::<16>();
    // Left at the first block that has one: asked all together they would be laid out for hundreds at once.
    if blocks.iter().any(|block| any_in(block, is_it)) {
        return true;
    }
    match (octets.last_chunk::<16>(), octets.last_chunk::<8>()) {
        _ if rest.is_empty() => false,
        (Some(block), _) => any_in(block, is_it),
        // Between eight and sixteen: the first eight and the last eight.
        (None, Some(end)) => any_in(octets.first_chunk::<8>().unwrap_or(end), is_it) || any_in(end, is_it),
        (None, None) => rest.iter().any(|octet| is_it(*octet)),
    }
}

#[inline]
fn any_in<const N: usize>(block: &[u8; N], is_it: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(0, |found, octet| found | u8::from(is_it(*octet))) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_wherever_it_is() {
        for length in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33] {
            let mut value = vec![b'a'; length];
            assert!(!any(&value, |octet| octet == b'x'), "{length}");
            for place in 0..length {
                value[place] = b'x';
                assert!(any(&value, |octet| octet == b'x'), "at {place} of {length}");
                value[place] = b'a';
            }
        }
        assert!(!any(b"", |_| true));
    }
}
