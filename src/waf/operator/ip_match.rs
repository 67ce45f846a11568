//! `@ipMatch`, `@ipMatchFromFile`, `@ipMatchF`: the address is in one of the networks.
//!
//! **Arguments.** Addresses and networks (`10.0.0.0/8`, `2001:db8::/32`) separated by commas, or one per line of a file,
//! where `#` begins a comment line and what follows an address is ignored.
//! **Result.** A value that is no address neither matches nor, negated, fails to match: the rule does not fire.
//! **Example.** `SecRule REMOTE_ADDR "@ipMatch 127.0.0.1,::1"`.
//! *Difference from ModSecurity:* `/0` is allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::OperatorError;

/// Networks as sorted ranges without overlap.
#[derive(Debug, Clone, Default)]
pub struct NetworkSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl NetworkSet {
    /// `@ipMatch`.
    pub(super) fn from_list(argument: &[u8]) -> Result<Self, OperatorError> {
        let parts = argument.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        Self::build(parts.filter(|part| !part.is_empty()))
    }

    /// `@ipMatchFromFile`.
    pub(super) fn from_lines(text: &[u8]) -> Result<Self, OperatorError> {
        let is_address = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'/');
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
        let entries = lines.map(|line| line.get(..line.iter().take_while(is_address).count()).unwrap_or_default());
        Self::build(entries.filter(|entry| !entry.is_empty()))
    }

    fn build<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<Self, OperatorError> {
        let mut set = Self::default();
        for entry in entries {
            let bad = || OperatorError::BadNetwork { network: String::from_utf8_lossy(entry).into_owned() };
            match network(entry).ok_or_else(bad)? {
                (IpAddr::V4(address), bits) => {
                    let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                    let first = address.to_bits() & !host;
                    set.v4.push((first, first | host));
                }
                (IpAddr::V6(address), bits) => {
                    let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                    let first = address.to_bits() & !host;
                    set.v6.push((first, first | host));
                }
            }
        }
        merge(&mut set.v4);
        merge(&mut set.v6);
        Ok(set)
    }

    /// Whether the address that `value` spells is inside; `None` if it spells none.
    #[must_use]
    pub fn contains(&self, value: &[u8]) -> Option<bool> {
        match std::str::from_utf8(value).ok()?.parse().ok()? {
            IpAddr::V4(address) => Some(within(&self.v4, address.to_bits())),
            IpAddr::V6(address) => Some(within(&self.v6, address.to_bits())),
        }
    }
}

/// Address and length of the prefix.
fn network(entry: &[u8]) -> Option<(IpAddr, u32)> {
    let text = std::str::from_utf8(entry).ok()?;
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let (address, most) = if address.contains(':') {
        (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), 128)
    } else {
        (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), 32)
    };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges.iter() {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    *ranges = merged;
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let index = ranges.partition_point(|(first, _)| *first <= address);
    index.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let set =
            NetworkSet::from_list(b"10.0.0.0/8, 10.1.0.0/16,192.168.1.7,2001:db8::/32,0.0.0.0/32").expect("valid");
        for (address, inside) in [
            ("10.255.255.255", Some(true)),
            ("11.0.0.0", Some(false)),
            ("192.168.1.7", Some(true)),
            ("192.168.1.8", Some(false)),
            ("0.0.0.0", Some(true)),
            ("2001:db8:ffff::", Some(true)),
            ("2001:db9::", Some(false)),
            ("host", None),
            ("10.1", None),
            ("", None),
        ] {
            assert_eq!(set.contains(address.as_bytes()), inside, "{address}");
        }
        for bad in ["10.0.0.0/33", "10.0.0.0/x", "host", "::/129", "10.0.0.256"] {
            assert!(NetworkSet::from_list(bad.as_bytes()).is_err(), "{bad}");
        }
        let all = NetworkSet::from_list(b"0.0.0.0/0,::/0").expect("valid");
        assert_eq!((all.contains(b"255.255.255.255"), all.contains(b"ffff::")), (Some(true), Some(true)));
    }

    #[test]
    fn files_have_comments() {
        let set = NetworkSet::from_lines(b"# ours\n10.0.0.0/8 # offices\r\n\n  ::1\n").expect("valid");
        assert_eq!(set.contains(b"10.2.3.4"), Some(true));
        assert_eq!(set.contains(b"::1"), Some(true));
        assert!(NetworkSet::from_lines(b"10.0.0.0.0\n").is_err());
    }
}
