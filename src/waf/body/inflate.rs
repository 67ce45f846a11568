//! Content codings undone for inspection, within bounds. The only place where decoders are used.
//!
//! The decoders write into a sink that refuses more than the limits allow, so a bomb is stopped after at most one
//! internal buffer beyond them. Input is handed on in blocks of a fixed size, so that it makes no difference in what
//! pieces it arrives. What cannot be undone is an [`Error`]; the caller decides whether the body is refused or
//! inspected as it is.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// Input is decoded in blocks of so many bytes; between them the ratio is looked at.
const BLOCK_BYTES: usize = 1024;

/// Decoded at a time (deflate, brotli).
const BUFFER_BYTES: usize = 8 * 1024;

/// Most codings of one body, one around the other.
const CODINGS: usize = 3;

/// A content coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, `x-gzip`
    Gzip,
    /// `deflate`: zlib's format, or raw as some clients send it.
    Deflate,
    /// `br`
    Brotli,
}

impl Coding {
    /// One name of a Content-Encoding header; `identity` is no coding and not known here.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            _ => None,
        }
    }

    /// A whole Content-Encoding header: the codings in the order in which to undo them. None: one is not known, or
    /// there are too many.
    #[must_use]
    pub fn parse_list(value: &[u8]) -> Option<Vec<Self>> {
        let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let names = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
        let mut codings = names.map(Self::parse).collect::<Option<Vec<_>>>()?;
        codings.reverse();
        (codings.len() <= CODINGS).then_some(codings)
    }
}

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that come out.
    pub output_bytes: usize,
    /// Bytes out for each byte in, once more than `ratio_free_bytes` are out. Deflate reaches 1,032, ordinary text 10.
    pub ratio: usize,
    /// Output up to which the ratio does not matter.
    pub ratio_free_bytes: usize,
}

/// Why a body could not be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is said by its message")]
pub enum Error {
    #[error("inflated body too large")]
    TooLarge,
    #[error("inflated body out of proportion")]
    RatioExceeded,
    #[error("compressed body is corrupt")]
    Corrupt,
    #[error("compressed body ends early")]
    Truncated,
    #[error("data after the compressed body")]
    TrailingData,
}

/// Undoes one coding of a whole body.
pub fn inflate(coding: Coding, input: &[u8], limits: Limits) -> Result<Vec<u8>, Error> {
    let mut inflater = Inflater::new(coding, limits);
    inflater.feed(input)?;
    inflater.finish()
}

/// Undoes one coding of a body that arrives in chunks.
#[derive(Debug)]
pub struct Inflater {
    decoder: Decoder,
    block: Vec<u8>,
    failure: Option<Error>,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Output>>),
    /// Before the first block: which format is it?
    DeflateUnknown(Output),
    Deflate {
        stream: Box<Decompress>,
        is_complete: bool,
        output: Output,
    },
    Brotli(Box<DecompressorWriter<Output>>),
}

impl Inflater {
    /// For one body.
    #[must_use]
    pub fn new(coding: Coding, limits: Limits) -> Self {
        let output = Output { bytes: Vec::new(), taken: 0, input_bytes: 0, limits, refused: None };
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(output))),
            Coding::Deflate => Decoder::DeflateUnknown(output),
            Coding::Brotli => Decoder::Brotli(Box::new(DecompressorWriter::new(output, BUFFER_BYTES))),
        };
        Self { decoder, block: Vec::new(), failure: None }
    }

    /// The next bytes. After an error every further call gives the same error.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let result = self.feed_blocks(chunk);
        self.failure = result.err();
        result
    }

    fn feed_blocks(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = BLOCK_BYTES - self.block.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            rest = later;
            if self.block.is_empty() && now.len() == BLOCK_BYTES {
                self.decoder.block(now)?;
                continue;
            }
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK_BYTES {
                self.decoder.block(&self.block)?;
                self.block.clear();
            }
        }
        Ok(())
    }

    /// What came out since the last call; up to one block of input may still be waiting.
    pub fn take(&mut self) -> &[u8] {
        self.decoder.output_mut().take()
    }

    /// The end of the body: everything that came out.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        if !self.block.is_empty() {
            self.decoder.block(&self.block)?;
        }
        self.decoder.finish()?;
        Ok(std::mem::take(&mut self.decoder.output_mut().bytes))
    }
}

impl Decoder {
    fn output_mut(&mut self) -> &mut Output {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::DeflateUnknown(output) | Self::Deflate { output, .. } => output,
            Self::Brotli(decoder) => decoder.get_mut(),
        }
    }

    fn block(&mut self, block: &[u8]) -> Result<(), Error> {
        self.output_mut().input_bytes += block.len();
        if let Self::DeflateUnknown(output) = self {
            let output = std::mem::replace(output, Output::spent());
            *self = Self::Deflate { stream: Box::new(Decompress::new(is_zlib(block))), is_complete: false, output };
        }
        let written = match self {
            Self::Gzip(decoder) => decoder.write_all(block),
            Self::Brotli(decoder) => decoder.write_all(block),
            Self::Deflate { stream, is_complete, output } => {
                return inflate_block(stream, is_complete, output, block);
            }
            Self::DeflateUnknown(_) => Ok(()),
        };
        written.map_err(|error| self.error(&error))
    }

    fn finish(&mut self) -> Result<(), Error> {
        let finished = match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Deflate { is_complete: true, .. } => Ok(()),
            Self::Deflate { .. } | Self::DeflateUnknown(_) => return Err(Error::Truncated),
        };
        finished.map_err(|error| match self.error(&error) {
            Error::Corrupt if self.output_mut().refused.is_none() => Error::Truncated,
            error => error,
        })
    }

    fn error(&mut self, error: &io::Error) -> Error {
        match (self.output_mut().refused, error.kind()) {
            (Some(refused), _) => refused,
            (None, io::ErrorKind::UnexpectedEof) => Error::Truncated,
            (None, io::ErrorKind::WriteZero) => Error::TrailingData,
            (None, _) => Error::Corrupt,
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::DeflateUnknown(_) | Self::Deflate { .. } => "Deflate",
            Self::Brotli(_) => "Brotli",
        })
    }
}

/// RFC 1950: method 8, and the two bytes are a multiple of 31.
fn is_zlib(block: &[u8]) -> bool {
    match block {
        [method, flags, ..] => method & 0x0f == 8 && (u16::from(*method) * 256 + u16::from(*flags)).is_multiple_of(31),
        _ => false,
    }
}

fn inflate_block(
    stream: &mut Decompress,
    is_complete: &mut bool,
    output: &mut Output,
    block: &[u8],
) -> Result<(), Error> {
    let mut buffer = [0; BUFFER_BYTES];
    let mut rest = block;
    loop {
        if *is_complete {
            return if rest.is_empty() { Ok(()) } else { Err(Error::TrailingData) };
        }
        let (before_in, before_out) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(rest, &mut buffer, FlushDecompress::None).map_err(|_| Error::Corrupt)?;
        let consumed = usize::try_from(stream.total_in() - before_in).unwrap_or_default();
        let produced = usize::try_from(stream.total_out() - before_out).unwrap_or_default();
        rest = rest.get(consumed..).unwrap_or_default();
        output.accept(buffer.get(..produced).unwrap_or_default())?;
        *is_complete = status == Status::StreamEnd;
        if consumed == 0 && produced == 0 && !*is_complete {
            return if rest.is_empty() { Ok(()) } else { Err(Error::Corrupt) };
        }
    }
}

/// Takes what is decoded, up to the limits.
struct Output {
    bytes: Vec<u8>,
    /// How many of them the caller has seen.
    taken: usize,
    input_bytes: usize,
    limits: Limits,
    refused: Option<Error>,
}

impl Output {
    /// In the place of one that moved.
    fn spent() -> Self {
        let limits = Limits { output_bytes: 0, ratio: 0, ratio_free_bytes: 0 };
        Self { bytes: Vec::new(), taken: 0, input_bytes: 0, limits, refused: None }
    }

    fn accept(&mut self, more: &[u8]) -> Result<(), Error> {
        let total = self.bytes.len().saturating_add(more.len());
        let refused = if total > self.limits.output_bytes {
            Some(Error::TooLarge)
        } else if total > self.limits.ratio_free_bytes && total / self.limits.ratio.max(1) > self.input_bytes {
            Some(Error::RatioExceeded)
        } else {
            None
        };
        if let Some(error) = refused {
            self.refused = Some(error);
            return Err(error);
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    fn take(&mut self) -> &[u8] {
        let from = std::mem::replace(&mut self.taken, self.bytes.len());
        self.bytes.get(from..).unwrap_or_default()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.accept(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const LIMITS: Limits = Limits { output_bytes: 1 << 20, ratio: 100, ratio_free_bytes: 64 * 1024 };

    /// `hello`, written by hand: one uncompressed block and the last, empty one.
    const BROTLI: &[u8] = &[0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn run(coding: Coding, input: &[u8], limits: Limits) -> Result<Vec<u8>, Error> {
        let whole = inflate(coding, input, limits);
        for chunk in [1, 7, 1000, 1024, 5000] {
            let mut inflater = Inflater::new(coding, limits);
            let mut seen = Vec::new();
            let mut result = Ok(());
            for piece in input.chunks(chunk) {
                result = inflater.feed(piece);
                seen.extend_from_slice(inflater.take());
            }
            let end = inflater.finish();
            assert_eq!(end, whole, "{coding:?} in chunks of {chunk}");
            if let Ok(all) = &end {
                assert!(all.starts_with(&seen));
            } else if let Err(error) = result {
                assert_eq!(end, Err(error));
            }
        }
        whole
    }

    #[test]
    fn every_coding_is_undone() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|number| number.to_string().into_bytes()).collect();
        assert_eq!(run(Coding::Gzip, &gzip(&text), LIMITS), Ok(text.clone()));
        assert_eq!(run(Coding::Deflate, &zlib(&text), LIMITS), Ok(text.clone()));
        assert_eq!(run(Coding::Deflate, &deflate(&text), LIMITS), Ok(text.clone()));
        assert_eq!(run(Coding::Gzip, &[gzip(b"a"), gzip(b"b")].concat(), LIMITS), Ok(b"ab".to_vec()));
        assert_eq!(run(Coding::Brotli, BROTLI, LIMITS), Ok(b"hello".to_vec()));
    }

    #[test]
    fn broken_bodies_are_errors() {
        let text = b"some text that is compressed, some text".repeat(100);
        for (coding, body) in
            [(Coding::Gzip, gzip(&text)), (Coding::Deflate, zlib(&text)), (Coding::Deflate, deflate(&text))]
        {
            for length in [1, body.len() / 2, body.len() - 1] {
                assert!(run(coding, &body[..length], LIMITS).is_err(), "{coding:?} cut at {length}");
            }
            assert!(run(coding, &[body.clone(), b"xyz".to_vec()].concat(), LIMITS).is_err());
            assert!(run(coding, b"\xffgarbage that is no stream at all", LIMITS).is_err());
        }
        let mut wrong = gzip(&text);
        let last = wrong.len() - 6;
        wrong[last] ^= 1;
        assert!(run(Coding::Gzip, &wrong, LIMITS).is_err());
        assert!(run(Coding::Brotli, &BROTLI[..4], LIMITS).is_err());
        assert!(run(Coding::Brotli, b"", LIMITS).is_err());
        assert!(run(Coding::Deflate, b"", LIMITS).is_err());
    }

    #[test]
    fn bombs_are_stopped() {
        let zeros = vec![0; 64 << 20];
        let wide = Limits { ratio: usize::MAX, ..LIMITS };
        for (coding, bomb) in [(Coding::Gzip, gzip(&zeros)), (Coding::Deflate, zlib(&zeros))] {
            assert_eq!(run(coding, &bomb, LIMITS), Err(Error::RatioExceeded));
            assert_eq!(run(coding, &bomb, wide), Err(Error::TooLarge));
        }
        assert_eq!(run(Coding::Gzip, &gzip(&zeros[..60_000]), LIMITS).map(|out| out.len()), Ok(60_000));
    }

    #[test]
    fn headers_are_read() {
        use Coding::{Brotli, Deflate, Gzip};
        assert_eq!(Coding::parse_list(b"gzip"), Some(vec![Gzip]));
        assert_eq!(Coding::parse_list(b" X-GZIP , br,deflate"), Some(vec![Deflate, Brotli, Gzip]));
        assert_eq!(Coding::parse_list(b"identity"), Some(vec![]));
        assert_eq!(Coding::parse_list(b"zstd"), None);
        assert_eq!(Coding::parse_list(b"gzip,gzip,gzip,gzip"), None);
    }
}
