//! The name in a Host header: without port and final dot, in lower case.

/// Longest name that can match: DNS allows 253.
pub(super) const NAME_BYTES: usize = 255;

/// A name in lower case, without allocation.
pub(super) struct Name {
    bytes: [u8; NAME_BYTES],
    length: usize,
}

impl Name {
    /// `None` for a name that is too long to be one.
    pub(super) fn new(host: &[u8]) -> Option<Self> {
        let name = strip(host);
        let mut bytes = [0; NAME_BYTES];
        for (slot, byte) in bytes.get_mut(..name.len())?.iter_mut().zip(name) {
            *slot = byte.to_ascii_lowercase();
        }
        Some(Self { bytes, length: name.len() })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Takes off the port (`:443`; an address in brackets keeps them) and one final dot.
fn strip(host: &[u8]) -> &[u8] {
    let name = if host.first() == Some(&b'[') {
        host.iter().position(|byte| *byte == b']').and_then(|end| host.get(..=end)).unwrap_or(host)
    } else {
        host.iter().position(|byte| *byte == b':').and_then(|colon| host.get(..colon)).unwrap_or(host)
    };
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_dots_and_case_do_not_matter() {
        for (host, name) in [
            ("Example.COM", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:443", "example.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1", "[2001:db8::1"),
            ("", ""),
            (":", ""),
        ] {
            assert_eq!(Name::new(host.as_bytes()).unwrap().as_bytes(), name.as_bytes(), "{host}");
        }
        assert!(Name::new(&[b'a'; 256]).is_none());
    }
}
