//! Any bytes as a form and as JSON: no panic, and pieces give what the whole gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::waf::body::json::{self, Naming};
use portcullis::waf::body::{Piece, urlencoded};

type Found = Vec<(Vec<u8>, Vec<u8>)>;

/// Notes arguments, and holds offsets to what they promise.
fn sink<'s>(input: &'s [u8], found: &'s mut Found) -> impl FnMut(Piece<'_>, Piece<'_>) + 's {
    move |name, value| {
        for piece in [name, value] {
            if let Some(offset) = piece.offset {
                assert_eq!(&input[offset..offset + piece.bytes.len()], piece.bytes);
            }
        }
        found.push((name.bytes.to_vec(), value.bytes.to_vec()));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, input)) = data.split_first() else { return };
    let size = usize::from(choice >> 2) + 1;

    let limits = urlencoded::Limits { arguments: 50 };
    let (mut whole, mut pieces) = (Found::new(), Found::new());
    let outcome = urlencoded::parse(input, b'&', limits, &mut sink(input, &mut whole));
    let mut parser = urlencoded::Parser::new(b'&', limits);
    for piece in input.chunks(size) {
        parser.feed(piece, &mut sink(input, &mut pieces));
    }
    assert_eq!(parser.finish(&mut sink(input, &mut pieces)), outcome);
    assert_eq!(pieces, whole);

    let naming = [Naming::ModSecurity2, Naming::LibModSecurity, Naming::Coraza][usize::from(choice % 3)];
    let limits = json::Limits { depth: 8, arguments: 50, name_bytes: 64 };
    let (mut whole, mut pieces) = (Found::new(), Found::new());
    let result = json::parse(input, naming, limits, &mut sink(input, &mut whole));
    let mut parser = json::Parser::new(naming, limits);
    for piece in input.chunks(size) {
        let _ = parser.feed(piece, &mut sink(input, &mut pieces));
    }
    assert_eq!(parser.finish(&mut sink(input, &mut pieces)), result);
    assert_eq!(pieces, whole);
});
