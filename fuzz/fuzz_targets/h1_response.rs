//! Any bytes as a backend's response: no panic, feeding by pieces equals feeding at once, and what is encoded from it
//! parses to the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::http::h1::{BodyDecoder, BodyPart, HeadLimits, ResponseReader, encode, response_framing};
use portcullis::http::ResponseHead;

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

fn read(stream: &[u8], step: usize, is_head_request: bool) -> String {
    let (mut head, mut reader, mut buffer) = (ResponseHead::default(), ResponseReader::default(), BytesMut::new());
    let mut pieces = stream.chunks(step.max(1));
    loop {
        match reader.read(&mut buffer, LIMITS, &mut head) {
            Ok(true) => break,
            Ok(false) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => return "no head".into(),
            },
            Err(error) => return format!("{error:?}"),
        }
    }
    let framing = match response_framing(&head, is_head_request) {
        Ok(framing) => framing,
        Err(error) => return format!("{error:?}"),
    };
    check(&head);
    let (mut decoder, mut body) = (BodyDecoder::new(framing.length), Vec::new());
    let mut is_eof = false;
    let end = loop {
        match decoder.decode(&mut buffer, is_eof) {
            Ok(Some(BodyPart::Data(data))) => body.extend_from_slice(&data),
            Ok(Some(BodyPart::Trailers(_))) => {}
            Ok(Some(BodyPart::End)) => break "complete".to_owned(),
            Ok(None) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => is_eof = true,
            },
            Err(error) => break format!("{error:?}"),
        }
    };
    format!("{} {:?} {framing:?} {body:?} {end}", head.status, head.fields.iter().collect::<Vec<_>>())
}

fn check(head: &ResponseHead) {
    let mut text = BytesMut::new();
    encode::status_line(&mut text, head.status, head.reason());
    head.fields.iter().for_each(|(name, value)| encode::field(&mut text, name, value));
    encode::end_of_head(&mut text);
    let mut again = ResponseHead::default();
    let limits = HeadLimits { bytes: 16 * 1024, fields: 64 };
    assert_eq!(ResponseReader::default().read(&mut text, limits, &mut again), Ok(true));
    assert_eq!(again.status, head.status);
    assert!(again.fields.iter().eq(head.fields.iter()));
}

fuzz_target!(|data: (u8, bool, &[u8])| {
    let (step, is_head_request, stream) = data;
    assert_eq!(read(stream, usize::from(step), is_head_request), read(stream, stream.len(), is_head_request));
});
