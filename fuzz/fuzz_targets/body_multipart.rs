//! Any bytes as a multipart body (`A` is the boundary) and as a content type: no panic, and pieces give what the
//! whole gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::waf::body::Piece;
use portcullis::waf::body::multipart::{Boundary, Limits, Outcome, Parser, Part, Sink};

#[derive(Default, PartialEq, Debug)]
struct Found {
    parts: Vec<(Part, Vec<u8>)>,
    file: Vec<u8>,
}

impl Sink for Found {
    fn field(&mut self, part: &Part, value: Piece<'_>) {
        self.parts.push((part.clone(), value.bytes.to_vec()));
    }

    fn file_data(&mut self, _part: &Part, data: &[u8]) {
        self.file.extend_from_slice(data);
    }

    fn file(&mut self, part: &Part, _file_name: &[u8], size: u64) {
        let file = std::mem::take(&mut self.file);
        assert_eq!(file.len() as u64, size);
        self.parts.push((part.clone(), file));
    }
}

fn read(input: &[u8], size: usize) -> (Found, Outcome) {
    let boundary = Boundary::parse(Some(b"multipart/form-data; boundary=A")).unwrap();
    let limits = Limits { parts: 20, part_headers: 5, files: 3, no_files_bytes: 4096 };
    let mut found = Found::default();
    let mut parser = Parser::new(boundary, limits);
    for piece in input.chunks(size) {
        let _ = parser.feed(piece, &mut found);
    }
    let outcome = parser.finish(&mut found);
    // What a body that ends in the middle of a file has given of it depends on how it came.
    found.file.clear();
    (found, outcome)
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, input)) = data.split_first() else { return };
    let _ = Boundary::parse(Some(input));
    assert_eq!(read(input, usize::from(choice) + 1), read(input, usize::MAX));
});
