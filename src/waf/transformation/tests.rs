use super::*;

/// A small generator of bytes that hit the special cases often; the seed makes a failure repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn value(&mut self) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"%",
            b"%u",
            b"%4",
            b"%41",
            b"%uff1c",
            b"+",
            b"\\",
            b"\\x4",
            b"\\u00",
            b"\\u0041",
            b"\\377",
            b"\\777",
            b"&",
            b"&#",
            b"&#x",
            b"&#x41;",
            b"&lt",
            b"&nbsp;",
            b"/",
            b"//",
            b".",
            b"..",
            b"/../",
            b"/./",
            b"a",
            b"Z",
            b" ",
            b"\t",
            b"\xA0",
            b"\0",
            b"/*",
            b"*/",
            b"<!--",
            b"-->",
            b"--",
            b"#",
            b"'",
            b"\"",
            b"^",
            b",",
            b"(",
            b"[",
            b"]",
            b"=",
            b"0x",
            b"0x41",
            b"0",
            b"\xC3",
            b"\xA9",
            b"\xE2\x82",
            b"\xF0\x8D\xA0\x80",
            b"\xF5",
            b"\xFF",
            b"\n",
            b"\\\n",
            b"\\\\",
            b"1",
            b"f",
            b"F",
        ];
        let count = self.next() % 12;
        let mut value = Vec::new();
        for _ in 0..count {
            let piece = PIECES[(self.next() % PIECES.len() as u64) as usize];
            value.extend_from_slice(piece);
        }
        value
    }
}

fn apply(function: Transformation, input: &[u8]) -> Vec<u8> {
    let mut out = b"left over".to_vec();
    if function.apply(input, &mut out, &TransformationContext::default()) { out } else { input.to_vec() }
}

#[test]
fn names_are_found_in_any_case() {
    for function in Transformation::ALL {
        assert_eq!(Transformation::parse(function.name().to_ascii_uppercase().as_bytes()), Some(function));
    }
    assert_eq!(Transformation::parse(b"normalizePathWin"), Some(Transformation::NormalisePathWin));
    assert_eq!(Transformation::parse(b"cmdline"), Some(Transformation::CmdLine));
    assert_eq!(Transformation::parse(b"reverse"), None);
}

#[test]
fn unchanged_means_equal_and_changed_means_different() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let context = TransformationContext::default();
    let mut out = Vec::new();
    for _ in 0..40_000 {
        let input = random.value();
        for function in Transformation::ALL {
            if function.apply(&input, &mut out, &context) {
                assert_ne!(out, input, "{} claims a change of {input:?}", function.name());
            }
            assert!(out.len() <= 4 * input.len() + 24, "{} on {input:?}", function.name());
        }
    }
}

/// The fast ways out must give what the slow way gives: put something in front that switches it on, and take the
/// result of that away again.
#[test]
fn the_prefix_that_is_skipped_makes_no_difference() {
    let mut random = Random(42);
    for _ in 0..40_000 {
        let input = random.value();
        for (function, switch, result) in [
            (Transformation::UrlDecodeUni, &b"%41"[..], &b"A"[..]),
            (Transformation::UrlDecode, b"+", b" "),
            (Transformation::JsDecode, b"\\x41", b"A"),
            (Transformation::HtmlEntityDecode, b"&lt;", b"<"),
            (Transformation::EscapeSeqDecode, b"\\x41", b"A"),
            (Transformation::Lowercase, b"A", b"a"),
            (Transformation::RemoveNulls, b"\0", b""),
            (Transformation::ReplaceComments, b"/**/", b" "),
            (Transformation::RemoveCommentsChar, b"/*", b""),
            (Transformation::RemoveWhitespace, b" ", b""),
            (Transformation::Utf8ToUnicode, b"\0", b""),
            (Transformation::UrlEncode, b"%", b"%25"),
            (Transformation::ParityEven7bit, b"a", b"\xE1"),
        ] {
            let longer = apply(function, &[switch, &input].concat());
            assert_eq!(longer, [result, &apply(function, &input)].concat(), "{} on {input:?}", function.name());
        }
    }
}

#[test]
fn applied_twice_changes_nothing_more_where_that_must_hold() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let input = random.value();
        for function in [
            Transformation::Lowercase,
            Transformation::Uppercase,
            Transformation::RemoveNulls,
            Transformation::ReplaceNulls,
            Transformation::RemoveWhitespace,
            Transformation::CompressWhitespace,
            Transformation::Trim,
            Transformation::TrimLeft,
            Transformation::TrimRight,
            Transformation::ParityZero7bit,
        ] {
            let once = apply(function, &input);
            assert_eq!(apply(function, &once), once, "{} on {input:?}", function.name());
        }
    }
}

#[test]
fn long_values_take_linear_time() {
    let context = TransformationContext::default();
    let mut out = Vec::new();
    for unit in [
        "a", "%25", "&", "&#", "&#x41", "\\", "\\u", "/", "../", "/*", "*/", "<!--", "[", "]", "0x", "\u{e9}", " ",
        "%u0041", "\0", "-", "#",
    ] {
        let input = unit.repeat(1 << 15);
        for function in Transformation::ALL {
            function.apply(input.as_bytes(), &mut out, &context);
        }
    }
}

#[test]
fn modsecurity_2_details() {
    use Transformation as T;
    for (function, input, output) in [
        // A NUL ends the value of cmdLine and sqlHexDecode, and is lost in utf8toUnicode.
        (T::CmdLine, &b"a\0B"[..], &b"a"[..]),
        (T::CmdLine, b"a ,; /B (c", b"a/b(c"),
        (T::SqlHexDecode, b"select 0x4142 x", b"select AB x"),
        (T::SqlHexDecode, b"0x410x42", b"A0x42"),
        (T::SqlHexDecode, b"a0x4100b", b"aA"),
        (T::Utf8ToUnicode, b"a\0b\xC3\xA9", b"ab%u00e9"),
        // A lead byte alone disappears, a continuation byte alone stays.
        (T::Utf8ToUnicode, b"\xC3(", b"("),
        (T::Utf8ToUnicode, b"\x80(\xC3\xA9", b"\x80(%u00e9"),
        (T::Utf8ToUnicode, b"\xC0\xAF", b"%u002f\xC0"),
        (T::Utf8ToUnicode, b"\xED\xA0\x80", b"%ud800\xED"),
        (T::Utf8ToUnicode, b"\xF0\x8D\xA0\x80", b"%ud800\xF0\xF0"),
        (T::Utf8ToUnicode, b"\xF0\x9F\x98\x80", b"%u1f600"),
        (T::UrlDecodeUni, b"%u2018%uff1f%u4e2d", b"'?\x2d"),
        (T::CompressWhitespace, b"a\xA0 b", b"a b"),
        (T::HtmlEntityDecode, b"&#99999999999999999999;&NBSP;", b"\xFF\xA0"),
        (T::HtmlEntityDecode, b"&ampere;&amp", b"&ampere;&"),
        (T::CssDecode, b"\\0ff1c\\ff1c\\1ff1c", b"<<\x1c"),
        // Nothing is left, not even the root slash.
        (T::NormalisePath, b"/..", b""),
        (T::NormalisePath, b"/foo/..", b""),
        (T::NormalisePath, b"/foo/../", b"/"),
        (T::NormalisePath, b"/a/./b/../c", b"/a/c"),
        (T::NormalisePath, b"a/b/../../../c", b"../c"),
        (T::NormalisePathWin, b"a\\\\\\b", b"a\\b"),
        (T::RemoveComments, b"a/*x*//*y*/", b"a/*y*/"),
        (T::RemoveComments, b"a--b", b"a"),
        (T::Base64Decode, b"YWJj!YWJj", b"abc"),
        (T::Base64DecodeExt, b"YWJj!YWJj", b"abcabc"),
        (T::Base64DecodeExt, b"Y=", b""),
        (T::EscapeSeqDecode, b"\\777\\8", b"\xFF8"),
        (T::JsDecode, b"\\777\\uFF1C", b"?7<"),
        (T::Uppercase, b"a\xE9z", b"A\xE9Z"),
    ] {
        assert_eq!(
            apply(function, input).escape_ascii().to_string(),
            output.escape_ascii().to_string(),
            "{} of {}",
            function.name(),
            input.escape_ascii()
        );
    }
}

#[test]
fn reported_changes_are_those_of_modsecurity_2() {
    use Transformation as T;
    for (function, input, reported) in [
        (T::CmdLine, &b"abc"[..], true),
        (T::Length, b"abc", true),
        (T::Base64Decode, b"", false),
        (T::Base64Decode, b"!", false),
        (T::CompressWhitespace, b"a\tb", false),
        (T::CompressWhitespace, b"a\t b", true),
        (T::NormalisePath, b"/foo/..", false),
        (T::NormalisePath, b"/foo//", true),
        (T::Utf8ToUnicode, b"\xC3(", false),
        (T::Utf8ToUnicode, b"\xC3\xA9", true),
        (T::Lowercase, b"abc", false),
        (T::Lowercase, b"aBc", true),
    ] {
        assert_eq!(function.reports_change(input, &apply(function, input)), reported, "{} {input:?}", function.name());
    }
}

#[test]
fn built_in_map_is_the_one_of_modsecurity() {
    let shared = std::env::var_os("PORTCULLIS_SHARED").map_or_else(|| "../shared".into(), std::path::PathBuf::from);
    let Ok(text) = std::fs::read(shared.join("seclang-tests/data/unicode.mapping")) else {
        eprintln!("SKIPPED: no unicode.mapping under {}", shared.display());
        return;
    };
    let map = UnicodeMap::parse(&text, 20127).expect("the reference file is well formed");
    let entries: Vec<_> = map.entries().collect();
    assert_eq!(entries, UnicodeMap::us_ascii().entries().collect::<Vec<_>>());
    // 370 of the file, four dots of which one is in the file.
    assert_eq!(entries.len(), 373);
    assert_eq!(UnicodeMap::parse(&text, 1252).map(|map| map.byte(0x0100)), Ok(Some(b'A')));
    assert_eq!(UnicodeMap::parse(&text, 1), Err(UnicodeMapError::NoSuchCodePage { codepage: 1 }));
}

#[test]
fn map_file_errors_name_the_line() {
    let error = UnicodeMap::parse(b"1 (x)\n00a0:20 oops:zz\n", 1);
    assert_eq!(error, Err(UnicodeMapError::BadEntry { line: 2, entry: "oops:zz".into() }));
}
