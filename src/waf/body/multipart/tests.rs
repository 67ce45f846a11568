//! Bodies in ModSecurity's reading; every one is also read in pieces.

use super::*;

const LIMITS: Limits = Limits { parts: 1000, part_headers: 20, files: 100, no_files_bytes: 1 << 20 };

/// What a body gave: `name=value`, `name:file=data`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    input: Vec<u8>,
    items: Vec<String>,
    data: Vec<u8>,
    headers: Vec<String>,
}

impl Sink for Found {
    fn field(&mut self, part: &Part, value: Piece<'_>) {
        if let Some(offset) = value.offset {
            assert_eq!(&self.input[offset..offset + value.bytes.len()], value.bytes);
        }
        self.items.push(format!("{}={}", part.name.escape_ascii(), value.bytes.escape_ascii()));
        self.headers.extend(part.header_lines.iter().map(|line| line.escape_ascii().to_string()));
    }

    fn file_data(&mut self, _part: &Part, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    fn file(&mut self, part: &Part, file_name: &[u8], size: u64) {
        assert_eq!(self.data.len() as u64, size);
        let data = std::mem::take(&mut self.data);
        self.items.push(format!("{}:{}={}", part.name.escape_ascii(), file_name.escape_ascii(), data.escape_ascii()));
        self.headers.extend(part.header_lines.iter().map(|line| line.escape_ascii().to_string()));
    }
}

fn read_chunks(content_type: &str, input: &[u8], limits: Limits, chunk: usize) -> (Found, Outcome) {
    let boundary = Boundary::parse(Some(content_type.as_bytes())).unwrap();
    let mut found = Found { input: input.to_vec(), ..Found::default() };
    let mut parser = Parser::new(boundary, limits);
    for piece in input.chunks(chunk) {
        parser.feed(piece, &mut found).ok();
    }
    let outcome = parser.finish(&mut found);
    (found, outcome)
}

fn read_as(content_type: &str, input: &[u8]) -> (Found, Outcome) {
    let whole = read_chunks(content_type, input, LIMITS, usize::MAX);
    for chunk in [1, 2, 3, 5, 64, 4095] {
        assert_eq!(read_chunks(content_type, input, LIMITS, chunk), whole, "in chunks of {chunk}");
    }
    whole
}

fn read(input: &str) -> (String, Outcome) {
    let (found, outcome) = read_as("multipart/form-data; boundary=0000", input.as_bytes());
    (found.items.join(" "), outcome)
}

/// A part with this disposition.
fn part(disposition: &str) -> String {
    format!("--0000\r\nContent-Disposition: {disposition}\r\n\r\nv\r\n--0000--\r\n")
}

#[test]
fn fields_and_files_are_found() {
    let body = "--0000\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n\
                --0000\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\r\n\
                --0000\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nfile\r\n\r\n--0000--\r\n";
    let (found, outcome) = read_as("multipart/form-data; boundary=0000", body.as_bytes());
    assert_eq!(found.items, ["a=1\\r\\n2", "b=", "f:x.txt=file\\r\\n"]);
    assert_eq!(found.headers[3], "Content-Type: text/plain");
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.flags, Flags { has_crlf_line: true, ..Flags::default() });
    assert!(!outcome.flags.is_strict_error());
    assert_eq!((outcome.name.as_deref(), outcome.file_name.as_deref()), (Some(&b"f"[..]), Some(&b"x.txt"[..])));
}

#[test]
fn oddities_raise_flags() {
    type Flag = fn(&mut Flags);
    let plain = part("form-data; name=\"a\"");
    let cases: &[(String, &str, Flag)] = &[
        (format!("before\r\n{plain}"), "a=v", |flags| flags.has_data_before = true),
        (format!("{plain}after"), "a=v", |flags| flags.has_data_after = true),
        (plain.replace("\r\n", "\n"), "a=v", |flags| {
            flags.has_lf_line = true;
            flags.has_crlf_line = false;
        }),
        (plain.replace("v\r\n", "v\n"), "a=v", |flags| flags.has_lf_line = true),
        (plain.replace("--0000--\r\n", "--0000--"), "a=v", |_| ()),
        (part("form-data;\r\n name=\"a\""), "a=v", |flags| flags.has_header_folding = true),
        (part("form-data;\r\n\x0bname=\"a\""), "a=v", |flags| {
            flags.has_header_folding = true;
            flags.has_invalid_header_folding = true;
        }),
        (part("form-data; name='a'"), "a=v", |flags| flags.has_invalid_quoting = true),
        (part("form-data; name=a'b"), "a\\'b=v", |flags| flags.has_invalid_quoting = true),
        (part("form-data; name=\"a'b\""), "a\\'b=v", |_| ()),
        (part("form-data; name=\"a\\\"b\\\\c\\d\""), "a\\\"b\\\\c\\\\d=v", |_| ()),
        (part("form-data; name=a"), "a=v", |_| ()),
        (plain.replace("v\r\n", "--1111\r\n"), "a=--1111", |flags| flags.has_unmatched_boundary = true),
        (plain.replace("v\r\n", "v --0000\r\n"), "a=v --0000", |flags| flags.has_unmatched_boundary = true),
        (plain.replace("v\r\n", "--\r\n"), "a=--", |flags| flags.has_unmatched_boundary = true),
        (plain.replace("v\r\n", "--\n"), "a=--", |flags| flags.has_lf_line = true),
        (plain.replace("v\r\n", "") + "--0000--\r\n", "a=--0000--", |flags| flags.has_invalid_part = true),
    ];
    for (body, items, flag) in cases {
        let (found, outcome) = read(body);
        let mut flags = Flags { has_crlf_line: true, ..Flags::default() };
        flag(&mut flags);
        assert_eq!((found.as_str(), outcome.error, outcome.flags), (*items, None, flags), "{body:?}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let plain = part("form-data; name=\"a\"");
    let disposition = |code, value: &str| Error::InvalidDisposition { code, value: value.as_bytes().to_vec() };
    let cases: &[(String, Error)] = &[
        ("x".to_owned(), Error::NoBoundaries),
        (plain.replace("--0000--", "--0000"), Error::FinalBoundaryMissing),
        (plain.replace("--0000--\r\n", ""), Error::FinalBoundaryMissing),
        (plain.replace("--0000--", "--0000--x"), Error::InvalidBoundaryLine { line: b"--0000--x\r\n".to_vec() }),
        (plain.replace("--0000--", "--0000 "), Error::InvalidBoundaryLine { line: b"--0000 \r\n".to_vec() }),
        (plain.replace("--0000--", "-- 0000--"), Error::InvalidBoundary("whitespace")),
        (plain.replace("Content-", "Content\0-"), Error::NulInHeaders),
        (plain.replace("Content-Disposition", "X"), Error::DispositionMissing),
        (plain.replace("Content", " Content"), Error::Folding),
        (
            plain.replace("Content-Disposition:", "Content"),
            Error::ColonMissing { line: b"Content form-data; name=\"a\"".to_vec() },
        ),
        (plain.replace("Content-Disposition", ""), Error::HeaderNameMissing),
        (plain.replace("Content", "Con tent"), Error::InvalidHeaderName),
        (
            plain.replace("\r\n\r\n", "\r\ncontent-disposition: x\r\n\r\n"),
            Error::DuplicateHeader { name: b"content-disposition".to_vec() },
        ),
        (plain.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "y".repeat(5000))), Error::HeaderLineTooLong),
        (plain.replace("\r\n\r\n", &format!("\r\n {}\r\n {}\r\n\r\n", "y".repeat(4000), "y".repeat(100))), {
            Error::HeaderTooLong
        }),
        (part("attachment; name=\"a\""), disposition(-1, "attachment; name=\"a\"")),
        (part("form-data name"), disposition(-2, "form-data name")),
        (part("form-data;"), Error::NameMissing),
        (part("form-data; "), disposition(-3, "form-data; ")),
        (part("form-data; name"), disposition(-4, "form-data; name")),
        (part("form-data; name "), disposition(-5, "form-data; name ")),
        (part("form-data; name="), disposition(-6, "form-data; name=")),
        (part("form-data; name=\""), disposition(-7, "form-data; name=\"")),
        (part("form-data; name=\"\\"), disposition(-8, "form-data; name=\"\\")),
        (part("form-data; name=\"a"), disposition(-10, "form-data; name=\"a")),
        (part("form-data; name=\"a\"; x=y"), disposition(-11, "form-data; name=\"a\"; x=y")),
        (part("form-data; name=\"a\"; filename*=y"), disposition(-11, "form-data; name=\"a\"; filename*=y")),
        (part("form-data; name=\"a\"b"), disposition(-12, "form-data; name=\"a\"b")),
        (part("form-data; name a"), disposition(-13, "form-data; name a")),
        (part("form-data; name=a; name=b"), disposition(-14, "form-data; name=a; name=b")),
        (part("form-data; filename=a; filename=b"), disposition(-15, "form-data; filename=a; filename=b")),
        (part("form-data"), Error::NameMissing),
        (part("form-data; name=a; filename =b"), Error::InvalidDispositionFileName),
    ];
    for (body, error) in cases {
        let (_, outcome) = read(body);
        assert_eq!(outcome.error.as_ref(), Some(error), "{body:?}");
        let is_end = matches!(error, Error::FinalBoundaryMissing | Error::NoBoundaries);
        assert_eq!(outcome.flags.has_error, !is_end, "{body:?}");
    }
    let (_, outcome) = read(&part("form-data; name=\"a\"b"));
    assert!(outcome.flags.has_invalid_quoting);
    let (_, outcome) = read("");
    assert_eq!(outcome.error, None);
}

#[test]
fn content_types_are_read_strictly() {
    let flags = |content_type: &str| Boundary::parse(Some(content_type.as_bytes())).unwrap().flags();
    assert_eq!(flags("multipart/form-data; boundary=ab"), Flags::default());
    assert_eq!(flags("Multipart/Form-Data;boundary=ab"), Flags::default());
    assert!(flags("multipart/form-data; boundary=\"ab\"").is_boundary_quoted);
    assert!(flags("multipart/form-data; boundary =ab").has_boundary_whitespace);
    assert!(flags("multipart/form-data; boundary= ab").has_boundary_whitespace);
    assert!(flags("multipart/form-data boundary=ab").is_semicolon_missing);
    let invalid = Error::InvalidBoundaryParameter;
    let cases: &[(&str, Error)] = &[
        ("text/plain", Error::InvalidMimeType),
        ("multipart/mixed; boundary=a", Error::InvalidMimeType),
        ("multipart/form-data", Error::BoundaryMissing),
        ("multipart/form-data; boundary=a; boundary=b", Error::SeveralBoundaries),
        ("multipart/form-data; Boundary=a", invalid("case sensitivity")),
        ("multipart/form-data; charset=x; boundary=a", invalid("malformed")),
        ("multipart/form-data;; boundary=a", invalid("malformed")),
        ("multipart/form-data; boundary", invalid("malformed")),
        ("multipart/form-data; boundaryx=a", invalid("parameter name")),
        ("multipart/form-data; boundary=\"a", invalid("quote")),
        ("multipart/form-data; boundary=a\"", invalid("quote")),
        ("multipart/form-data; boundary=", invalid("empty")),
        ("multipart/form-data; boundary=\"\"", invalid("empty")),
        ("multipart/form-data; boundary=a;b", invalid("characters")),
        ("multipart/form-data; boundary=a\u{e9}", invalid("characters")),
        ("multipart/form-data; boundary=a ", invalid("characters")),
    ];
    for (content_type, error) in cases {
        assert_eq!(Boundary::parse(Some(content_type.as_bytes())).as_ref(), Err(error), "{content_type}");
    }
    assert_eq!(Boundary::parse(None), Err(Error::ContentTypeMissing));
    assert_eq!(Boundary::parse(Some(&[b'a'; 2000])), Err(invalid("length")));
    let quoted = "multipart/form-data; boundary=\"0000\"";
    let body = part("form-data; name=a").replace("\r\n--0000--", "\r\n--\"0000\"--");
    assert_eq!(read_as(quoted, body.as_bytes()).1.error, Some(Error::InvalidBoundary("quotes")));
}

#[test]
fn long_lines_and_binary_data_pass() {
    for length in [4093, 4094, 4095, 4096, 4097, 8192, 20_000] {
        let data = vec![b'x'; length];
        let body = [
            b"--0000\r\nContent-Disposition: form-data; name=f; filename=g\r\n\r\n".to_vec(),
            data.clone(),
            b"\r\n--0000--\r\n".to_vec(),
        ]
        .concat();
        let (found, outcome) = read_as("multipart/form-data; boundary=0000", &body);
        assert_eq!(found.items[0].len(), "f:g=".len() + length);
        assert_eq!(outcome.error, None);
        assert!(!outcome.flags.is_strict_error());
    }
    let (found, _) = read(&part("form-data; name=a").replace("v\r\n", "\r\n\r\n\n\r\r\n\0\r\n"));
    assert_eq!(found, "a=\\r\\n\\r\\n\\n\\r\\r\\n\\x00");
}

#[test]
fn everything_is_bounded() {
    let one = "--0000\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\nv\r\n";
    let body = one.repeat(1001) + "--0000--\r\n";
    let content_type = "multipart/form-data; boundary=0000";
    let (found, outcome) = read_chunks(content_type, body.as_bytes(), LIMITS, 1000);
    assert_eq!((found.items.len(), outcome.error), (1000, Some(Error::TooManyParts)));
    assert!(outcome.flags.is_file_limit_exceeded);
    let headers = part("form-data; name=a").replace(
        "\r\n\r\n",
        &format!("\r\n{}\r\n", { (0..30).map(|number| format!("X{number}: y\r\n")).collect::<String>() }),
    );
    assert_eq!(read(&headers).1.error, Some(Error::TooManyHeaders));
    let long = part("form-data; name=a").replace("v\r\n", &"v\r\n".repeat(500_000));
    let (_, outcome) = read_chunks(content_type, long.as_bytes(), LIMITS, 8192);
    assert_eq!(outcome.error, Some(Error::NoFilesLimit));
}
