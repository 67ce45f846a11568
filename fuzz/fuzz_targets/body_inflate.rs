//! Any bytes as a compressed body: no panic, no more than the limits, and pieces give what the whole gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::waf::body::inflate::{Coding, Inflater, Limits, inflate};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, input)) = data.split_first() else { return };
    let coding = [Coding::Gzip, Coding::Deflate, Coding::Brotli][usize::from(choice % 3)];
    let limits = Limits { output_bytes: 1 << 16, ratio: 50, ratio_free_bytes: 4096 };
    let whole = inflate(coding, input, limits);
    let mut inflater = Inflater::new(coding, limits);
    for piece in input.chunks(usize::from(choice) + 1) {
        let _ = inflater.feed(piece);
    }
    assert_eq!(inflater.finish(), whole);
    if let Ok(out) = whole {
        assert!(out.len() <= limits.output_bytes);
    }
});
