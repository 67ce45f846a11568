//! Numbers as C reads them.

/// `atoi`: white space, a sign, digits; everything else ends the number, and nothing is 0. Saturates.
pub(crate) fn atoi(text: &[u8]) -> i64 {
    // Scores are nothing but a few digits.
    if let Some(number) = whole(text) {
        return number;
    }
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if !super::collection::headers::is_space(*first) {
            break;
        }
        rest = tail;
    }
    let (is_negative, digits) = match rest {
        [b'-', tail @ ..] => (true, tail),
        [b'+', tail @ ..] => (false, tail),
        _ => (false, rest),
    };
    let mut value: i64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            break;
        }
        value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    // A C `int` is 32 bits wide; larger values would wrap there and are held at its ends here.
    let value = value.min(i64::from(i32::MAX));
    if is_negative { -value } else { value }
}

/// As [`atoi`] of what is nothing but a few digits; nothing of anything else.
pub(crate) fn whole(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() >= 18 {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value.min(i64::from(i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_digits_count() {
        for (text, number) in [
            (&b"12"[..], 12),
            (b" -7x", -7),
            (b"+5", 5),
            (b"", 0),
            (b"x1", 0),
            (b"+-5", 0),
            (b"99999999999", 2_147_483_647),
        ] {
            assert_eq!(atoi(text), number, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn whole_numbers_are_read_alike() {
        for text in [&b"0"[..], b"7", b"0012", b"2147483647", b"2147483648", b"99999999999999999"] {
            // A sign is read the other way.
            let signed = [b"+", text].concat();
            assert_eq!(whole(text), Some(atoi(&signed)), "{}", String::from_utf8_lossy(text));
        }
        for text in [&b""[..], b" 7", b"-7", b"+7", b"7x", b"7/", b"7:", b"999999999999999999"] {
            assert_eq!(whole(text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
