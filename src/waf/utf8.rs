//! Whether bytes are UTF-8: of the strings of JSON, and for `@validateUtf8Encoding`. Long values are looked at 32 bytes
//! at a time.

/// With fewer bytes it is not worth while to look at 32 together.
const FEW_BYTES: usize = 64;

/// Is it UTF-8 in form, as yajl knows it? Each lead byte has its continuation bytes, and nothing else has; overlong forms
/// and surrogates pass. No byte is below `least`.
pub(crate) fn is_in_form(value: &[u8], least: u8) -> bool {
    #[cfg(target_arch = "x86_64")]
    if value.len() >= FEW_BYTES && super::wide::is_there() {
        return super::wide::is_utf8::<false>(value, least);
    }
    is_in_form_plainly(value, least)
}

fn is_in_form_plainly(value: &[u8], least: u8) -> bool {
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        let length = match byte {
            _ if byte < least => return false,
            0..=0x7f => 0,
            0xc0..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf7 => 3,
            _ => return false,
        };
        let Some((continuation, after)) = after.split_at_checked(length) else { return false };
        if continuation.iter().any(|byte| byte >> 6 != 0b10) {
            return false;
        }
        rest = after;
    }
    true
}

/// Is it certainly UTF-8? Codes from U+110000 to U+13FFFF may pass or not.
pub(crate) fn is_strict(value: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if value.len() >= FEW_BYTES && super::wide::is_there() {
        return super::wide::is_utf8::<true>(value, 0);
    }
    std::str::from_utf8(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    /// Values of all lengths around the borders of blocks, of characters of all lengths, most of them with a fault.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_ways_find_the_same() {
        use crate::waf::wide;
        if !wide::is_there() {
            eprintln!("SKIPPED: this processor has no AVX2");
            return;
        }
        const PARTS: [&[u8]; 24] = [
            b"a",
            b"a",
            b" ",
            b"a text that is somewhat longer than a block of bytes is.",
            b"\xc2\x80",
            b"\xdf\xbf",
            b"\xe0\xa0\x80",
            b"\xe0\xbf\xbf",
            b"\xed\x80\x80",
            b"\xed\x9f\xbf",
            b"\xe4\xb8\xad",
            b"\xef\xbf\xbf",
            b"\xf0\x90\x80\x80",
            b"\xf0\x9f\x98\x80",
            b"\xf4\x8f\xbf\xbf",
            b"\xf1\x80\x80\x80",
            b"\xe0\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xf0\x8f\xbf\xbf",
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xf5\x80\x80\x80",
            b"\xf7\xbf\xbf\xbf",
            b"\x1f",
        ];
        let mut draw = draws();
        let (mut strict, mut in_form) = (0, 0);
        for round in 0..30_000_usize {
            let parts = [16, 16, 24][round % 3];
            let mut value = Vec::new();
            while value.len() < round % 150 {
                value.extend_from_slice(PARTS[draw(parts)]);
            }
            if round % 2 == 1 {
                match draw(3) {
                    0 => value.truncate(round % 150),
                    1 if !value.is_empty() => drop(value.remove(draw(value.len()))),
                    _ if !value.is_empty() => {
                        let place = draw(value.len());
                        value[place] = draw(256) as u8;
                    }
                    _ => {}
                }
            }
            for least in [0, b' '] {
                let expected = is_in_form_plainly(&value, least);
                assert_eq!(wide::is_utf8::<false>(&value, least), expected, "{}", value.escape_ascii());
                in_form += usize::from(expected);
            }
            let expected = std::str::from_utf8(&value).is_ok();
            let is_beyond = value.windows(2).any(|two| two[0] == 0xf4 && two[1] >= 0x90);
            assert!(wide::is_utf8::<true>(&value, 0) == expected || is_beyond, "{}", value.escape_ascii());
            strict += usize::from(expected);
        }
        assert!((5000..25_000).contains(&strict) && (10_000..55_000).contains(&in_form), "{strict} {in_form}");
    }
}
