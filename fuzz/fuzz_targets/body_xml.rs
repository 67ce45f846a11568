//! Any bytes as XML, and as an XPath over it: no panic, and values that lie in the document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::waf::body::xml::{Limits, Parser, XPath, parse};

fuzz_target!(|data: &[u8]| {
    let split = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (path, input) = (&data[..split], data.get(split + 1..).unwrap_or(data));
    let limits = Limits { bytes: 1 << 16, depth: 16, nodes: 200 };
    let mut parser = Parser::new(limits);
    for piece in input.chunks(3) {
        let _ = parser.feed(piece);
    }
    let (pieces, whole) = (parser.finish(), parse(input, limits));
    assert_eq!(pieces.as_ref().err(), whole.as_ref().err());
    let path = XPath::compile(path, &[(b"p", b"urn:p")]);
    let Ok(document) = whole else { return };
    let root = XPath::compile(b"/*", &[]).unwrap().select(&document);
    assert_eq!(root, [document.root_text()]);
    let attributes = XPath::compile(b"//@*", &[]).unwrap().select(&document);
    assert_eq!(attributes, document.attribute_values().collect::<Vec<_>>());
    if let Ok(path) = path {
        for text in path.select(&document) {
            assert!(text.len() <= input.len() * 3);
        }
    }
});
