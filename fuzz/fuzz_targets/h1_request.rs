//! Any bytes as a stream of requests: no panic, feeding by pieces equals feeding at once, an accepted request has
//! exactly one framing, and what is encoded from it parses to the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use portcullis::http::h1::{BodyDecoder, BodyPart, HeadLimits, Length, RequestReader, encode, request_framing};
use portcullis::http::{Known, RequestHead};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

/// What a reader makes of a stream: one text per message, and how it ended.
fn read(stream: &[u8], step: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let (mut head, mut reader, mut buffer) = (RequestHead::default(), RequestReader::default(), BytesMut::new());
    let mut pieces = stream.chunks(step.max(1));
    'messages: loop {
        loop {
            match reader.read(&mut buffer, LIMITS, &mut head) {
                Ok(true) => break,
                Ok(false) => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => break 'messages,
                },
                Err(error) => {
                    seen.push(format!("{error:?}"));
                    break 'messages;
                }
            }
        }
        let framing = match request_framing(&mut head) {
            Ok(framing) => framing,
            Err(error) => {
                seen.push(format!("{error:?}"));
                break;
            }
        };
        check(&head, framing.length);
        seen.push(format!("{:?} {:?}", head.line(), head.fields.iter().collect::<Vec<_>>()));
        let (mut decoder, mut body) = (BodyDecoder::new(framing.length), Vec::new());
        loop {
            match decoder.decode(&mut buffer, false) {
                Ok(Some(BodyPart::Data(data))) => body.extend_from_slice(&data),
                Ok(Some(BodyPart::Trailers(fields))) => seen.push(format!("{:?}", fields.iter().collect::<Vec<_>>())),
                Ok(Some(BodyPart::End)) => break,
                Ok(None) => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => {
                        seen.push(format!("incomplete {body:?}"));
                        break 'messages;
                    }
                },
                Err(error) => {
                    seen.push(format!("{body:?} {error:?}"));
                    break 'messages;
                }
            }
        }
        seen.push(format!("{body:?}"));
        if !framing.is_persistent {
            break;
        }
    }
    seen
}

/// One framing, and a head that survives being written again.
fn check(head: &RequestHead, length: Length) {
    let codings = head.fields.all(Known::TransferEncoding).count();
    let lengths = head.fields.all(Known::ContentLength).count();
    assert!(codings + lengths <= 1);
    assert_eq!(codings == 1, length == Length::Chunked);
    assert_eq!(lengths == 1, matches!(length, Length::Bytes(_)));
    assert!(length != Length::UntilClose);
    let mut text = BytesMut::new();
    encode::request_line(&mut text, head.method(), head.target());
    let has_host = head.fields.first(Known::Host).is_some_and(|host| !host.is_empty());
    if !has_host {
        encode::field(&mut text, b"host", b"a");
    }
    for (known, name, value) in head.fields.iter_known() {
        if known != Known::Host || has_host {
            encode::field(&mut text, name, value);
        }
    }
    encode::end_of_head(&mut text);
    let mut again = RequestHead::default();
    let limits = HeadLimits { bytes: 16 * 1024, fields: 64 };
    assert_eq!(RequestReader::default().read(&mut text, limits, &mut again), Ok(true));
    assert!(text.is_empty());
    assert_eq!((again.method(), again.target()), (head.method(), head.target()));
    assert_eq!(again.path_and_query(), head.path_and_query());
    let framing = request_framing(&mut again).expect("framed once, framed again");
    assert_eq!(framing.length, length);
}

fuzz_target!(|data: (u8, &[u8])| {
    let (step, stream) = data;
    assert_eq!(read(stream, usize::from(step)), read(stream, stream.len()));
});
