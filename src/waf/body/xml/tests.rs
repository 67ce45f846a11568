//! What is well-formed, and what paths select.

use super::*;

const LIMITS: Limits = Limits { bytes: 4 << 20, depth: 256, nodes: 500_000 };

fn read(input: &str) -> Result<Document, ErrorKind> {
    parse(input.as_bytes(), LIMITS).map_err(|error| error.kind)
}

fn select(input: &str, path: &str) -> Vec<String> {
    let namespaces: &[(&[u8], &[u8])] = &[(b"s", b"urn:soap"), (b"x", b"urn:x")];
    let path = XPath::compile(path.as_bytes(), namespaces).unwrap();
    path.select(&read(input).unwrap()).iter().map(|text| text.escape_ascii().to_string()).collect()
}

#[test]
fn the_root_is_one_value_and_attributes_are_many() {
    let input = "<?xml version=\"1.0\"?>\n<a x='1'> b <c y=\"2 &amp; 3\">d</c>\r\n<!-- no --><![CDATA[<e>]]>&lt;</a>\n";
    assert_eq!(select(input, "/*"), [" b d\\n<e><"]);
    assert_eq!(select(input, "//@*"), ["1", "2 & 3"]);
    let document = read(input).unwrap();
    assert_eq!(document.root_text(), b" b d\n<e><");
    assert_eq!(document.attribute_values().collect::<Vec<_>>(), [&b"1"[..], b"2 & 3"]);
    assert_eq!(select("<a xmlns='urn:x' xmlns:s='urn:soap' s:b='1'/>", "//@*"), ["1"]);
    assert_eq!(select("<a x='a\tb\r\nc&#10;d'/>", "//@*"), ["a b c\\nd"]);
    assert_eq!(select("<a/>", "/*"), [""]);
}

#[test]
fn paths_select() {
    let input = "<r><a n='1'>one<b>B1</b></a><a n='2'>two<b>B2</b><b>B3</b></a><c><a n='3'>x</a></c></r>";
    let cases: &[(&str, &[&str])] = &[
        ("/r/a", &["oneB1", "twoB2B3"]),
        ("r/a/b", &["B1", "B2", "B3"]),
        ("//a", &["oneB1", "twoB2B3", "x"]),
        ("//a/b[1]", &["B1", "B2"]),
        ("//b[last()]", &["B1", "B3"]),
        ("/r/a[2]/b[2]", &["B3"]),
        ("//a[@n='3']", &["x"]),
        ("//a[@n=\"2\"]/@n", &["2"]),
        ("//a[b]/@n", &["1", "2"]),
        ("//a[b='B3']/@n", &["2"]),
        ("//a[text()='x']/@n", &["3"]),
        ("//b[.='B1']", &["B1"]),
        ("//a/text()", &["one", "two", "x"]),
        ("/r//a/@n", &["1", "2", "3"]),
        ("//a | //b", &["oneB1", "B1", "twoB2B3", "B2", "B3", "x"]),
        ("/*/*", &["oneB1", "twoB2B3", "x"]),
        ("//*[@n]", &["oneB1", "twoB2B3", "x"]),
        ("/", &["oneB1twoB2B3x"]),
        ("//node()[.='B2']", &["B2", "B2"]),
        ("/r/child::c/a/attribute::n", &["3"]),
        ("/x", &[]),
        ("//a[7]", &[]),
    ];
    for (path, expected) in cases {
        assert_eq!(&select(input, path), expected, "{path}");
    }
    let soap = "<e:E xmlns:e='urn:soap' xmlns='urn:x'><e:B><v>1</v><n:q xmlns:n='urn:n'>2</n:q></e:B></e:E>";
    assert_eq!(select(soap, "/s:E/s:B/x:v"), ["1"]);
    assert_eq!(select(soap, "//v"), [""; 0]);
    assert_eq!(select(soap, "//s:B/*"), ["1", "2"]);
    assert_eq!(select(soap, "//x:*"), ["1"]);
    assert_eq!(select("<p:a>1</p:a>", "/*"), ["1"]);
    for path in ["", "a[", "a[1", "count(a)", "a[position()>1]", "q:a", "@a/b", "a/..", "a]", "//", "a[b=1]", "id('x')"]
    {
        assert!(XPath::compile(path.as_bytes(), &[]).is_err(), "{path}");
    }
}

#[test]
fn entities_are_never_expanded() {
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\"><!ENTITY x SYSTEM 'file:///etc/passwd'>\
                <!-- ]> --><!ELEMENT r (#PCDATA)>]><r y='&a;'>&b;&x;&#65;&#x42;</r>";
    assert_eq!(select(bomb, "/*"), ["&b;&x;AB"]);
    assert_eq!(select(bomb, "//@y"), ["&a;"]);
    assert_eq!(select("<!DOCTYPE r SYSTEM \"http://x/y.dtd\"><r>&q;</r>", "/*"), ["&q;"]);
    assert_eq!(read("<r>&q;</r>").unwrap_err(), ErrorKind::UnknownEntity);
    assert_eq!(read("<!DOCTYPE r [<!ENTITY a 'x'>]><r>&b;</r>").unwrap_err(), ErrorKind::UnknownEntity);
}

#[test]
fn what_is_not_well_formed_is_refused() {
    use ErrorKind::*;
    let cases: &[(&str, ErrorKind)] = &[
        ("", PrematureEnd),
        ("x", RootMissing),
        ("<a>", PrematureEnd),
        ("<a", PrematureEnd),
        ("<a></b>", TagMismatch),
        ("<a><b></a></b>", TagMismatch),
        ("<a/><b/>", ExtraContent),
        ("<a/>x", ExtraContent),
        ("<a></a></a>", ExtraContent),
        ("<a b/>", InvalidAttribute),
        ("<a b=c/>", InvalidAttribute),
        ("<a b='1' b='2'/>", DuplicateAttribute),
        ("<a xmlns:x='1' xmlns:x='2'/>", DuplicateAttribute),
        ("<a b='1'c='2'/>", InvalidTag),
        ("<a b='<'/>", LessThanInAttribute),
        ("<a>]]></a>", CdataEndInText),
        ("<a>&</a>", InvalidReference),
        ("<a>&lt</a>", InvalidReference),
        ("<a>&#0;</a>", InvalidReference),
        ("<a>&#x;</a>", InvalidReference),
        ("<a>&#xFFFFFFFFF;</a>", InvalidReference),
        ("<a><!-- -- --></a>", InvalidComment),
        ("<a><!-- </a>", PrematureEnd),
        ("<a><![CDATA[</a>", PrematureEnd),
        ("<a><![cdata[]]></a>", InvalidTag),
        ("<a>\x01</a>", InvalidCharacter),
        ("<a b='\x01'/>", InvalidCharacter),
        ("<a>\u{fffe}</a>", InvalidCharacter),
        ("<1/>", InvalidName),
        ("< a/>", InvalidName),
        (" <?xml version='1.0'?><a/>", InvalidInstruction),
        ("<?xml encoding='utf-8'?><a/>", InvalidInstruction),
        ("<a><?xml version='1.0'?></a>", InvalidInstruction),
        ("<?xml version='1.0' encoding='x-unknown'?><a/>", UnsupportedEncoding),
        ("<!DOCTYPE a><!DOCTYPE a><a/>", InvalidName),
        ("<!DOCTYPE a [<!FOO>]><a/>", InvalidDoctype),
        ("<a/ >", InvalidTag),
    ];
    for (input, kind) in cases {
        assert_eq!(read(input).err(), Some(*kind), "{input}");
    }
    assert!(parse(b"<a>\xff</a>", LIMITS).is_err());
    for input in
        ["<a/>", " <a/> ", "<!-- c --><?p x?><a/><!-- c -->", "<a:b/>", "<\u{e9}/>", "<?xml version='1.1'?><a/>"]
    {
        assert!(read(input).is_ok(), "{input}");
    }
}

#[test]
fn encodings_are_converted() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let text = |input: &[u8]| parse(input, LIMITS).unwrap().root_text().to_vec();
    assert_eq!(text(b"\xef\xbb\xbf<a>x</a>"), b"x");
    assert_eq!(text(&[vec![0xff, 0xfe], utf16("<a>\u{e9}</a>")].concat()), "\u{e9}".as_bytes());
    assert_eq!(text(&utf16("<?xml version='1.0'?><a>\u{1f600}</a>")), "\u{1f600}".as_bytes());
    assert_eq!(text(b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>"), "\u{e9}".as_bytes());
    assert_eq!(text(b"<?xml version='1.0' encoding='windows-1252'?><a>\x80</a>"), "\u{20ac}".as_bytes());
}

#[test]
fn everything_is_bounded() {
    let kind = |input: &[u8], limits| parse(input, limits).unwrap_err().kind;
    assert_eq!(kind(&b"<a>".repeat(600_000), LIMITS), ErrorKind::TooDeep);
    assert_eq!(kind(&[b"<r>".to_vec(), b"<a/>".repeat(600_000)].concat(), LIMITS), ErrorKind::TooManyNodes);
    assert_eq!(kind(&[b' '; 5 << 20], LIMITS), ErrorKind::TooLarge);
    let attributes = (0..1000).map(|number| format!(" a{number}='1'")).collect::<String>();
    assert_eq!(kind(format!("<a{attributes}/>").as_bytes(), LIMITS), ErrorKind::TooManyNodes);
    // Paths that could visit nodes again and again.
    let deep = [b"<a x='1'>".repeat(250), b"<a/>".repeat(100_000), b"</a>".repeat(250)].concat();
    let document = parse(&deep, LIMITS).unwrap();
    let path = XPath::compile(b"//a//a//a//a//a//a[1]", &[]).unwrap();
    assert_eq!(path.select(&document).len(), 246);
    let namespaces = (0..100_000).map(|number| format!("<a xmlns='{number}'/>")).collect::<String>();
    assert!(parse(format!("<r>{namespaces}</r>").as_bytes(), LIMITS).is_ok());
}

#[test]
fn chunks_make_no_difference() {
    let input = b"<a><b x='1'>text</b></a>";
    let mut parser = Parser::new(LIMITS);
    for byte in input {
        parser.feed(&[*byte]).unwrap();
    }
    assert_eq!(parser.finish().unwrap().root_text(), b"text");
    let mut parser = Parser::new(Limits { bytes: 10, ..LIMITS });
    assert!(parser.feed(&input[..8]).is_ok());
    assert!(parser.feed(&input[8..]).is_err());
    assert_eq!(parser.finish().unwrap_err().kind, ErrorKind::TooLarge);
}
