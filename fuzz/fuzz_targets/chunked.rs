//! The chunked coding: any bytes decode the same whole and in pieces, and any body encoded in any pieces decodes to
//! itself, leaving what follows.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::http::h1::{BodyPart, ChunkedDecoder, encode};

fn decode(stream: &[u8], step: usize) -> (Vec<u8>, String, Vec<u8>) {
    let (mut decoder, mut buffer, mut body) = (ChunkedDecoder::default(), BytesMut::new(), Vec::new());
    let mut pieces = stream.chunks(step.max(1));
    let end = loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(BodyPart::Data(data))) => body.extend_from_slice(&data),
            Ok(Some(BodyPart::Trailers(fields))) => break format!("{:?}", fields.iter().collect::<Vec<_>>()),
            Ok(Some(BodyPart::End)) => break "end".into(),
            Ok(None) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => break "incomplete".into(),
            },
            Err(error) => return (body, format!("{error:?}"), Vec::new()),
        }
    };
    let mut rest = buffer.to_vec();
    pieces.for_each(|piece| rest.extend_from_slice(piece));
    (body, end, rest)
}

fuzz_target!(|data: (u8, u8, &[u8])| {
    let (step, size, bytes) = data;
    assert_eq!(decode(bytes, usize::from(step)), decode(bytes, bytes.len()));
    let mut text = BytesMut::new();
    for chunk in bytes.chunks(usize::from(size).max(1)) {
        encode::chunk_start(&mut text, chunk.len());
        text.extend_from_slice(chunk);
        encode::chunk_end(&mut text);
    }
    encode::last_chunk(&mut text, None);
    text.extend_from_slice(b"next");
    assert_eq!(decode(&text, usize::from(step)), (bytes.to_vec(), "end".to_owned(), b"next".to_vec()));
});
