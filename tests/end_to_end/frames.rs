//! HTTP/2 by hand, for what no library sends: frames, and header blocks of literals.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::client::connect;
use crate::lab::{Lab, PATIENCE};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A length with a prefix of seven bits, without Huffman coding.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        out.push(text.len() as u8);
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend(text);
}

/// A header block of literals that are not indexed.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        string(&mut out, name);
        string(&mut out, value);
    }
    out
}

/// A literal that the receiver keeps as entry 62.
pub(crate) fn kept(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0x40];
    string(&mut out, name);
    string(&mut out, value);
    out
}

/// The block of an ordinary GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    block(&[
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"edge.example"),
        (b":path", path.as_bytes()),
    ])
}

/// What an HTTP/2 connection said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// `(kind, stream, payload)`
    pub(crate) frames: Vec<(u8, u32, Vec<u8>)>,
    pub(crate) is_closed: bool,
}

impl Heard {
    pub(crate) fn has(&self, kind: u8) -> bool {
        self.frames.iter().any(|frame| frame.0 == kind)
    }
}

/// A connection after the preface.
pub(crate) struct Frames {
    pub(crate) stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

impl Frames {
    pub(crate) async fn connect(lab: &Lab, address: SocketAddr) -> Self {
        let mut stream = connect(lab, address, "h2").await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("written");
        stream.flush().await.expect("flushed");
        Self { stream, read: Vec::new() }
    }

    /// False when the other side is gone.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        matches!(timeout(PATIENCE, write).await, Ok(Ok(())))
    }

    /// Reads until `done`, or until the other side closes.
    pub(crate) async fn hear(&mut self, done: impl Fn(&Heard) -> bool) -> Heard {
        let mut heard = Heard::default();
        loop {
            while self.read.len() >= 9 {
                let length =
                    usize::from(self.read[0]) << 16 | usize::from(self.read[1]) << 8 | usize::from(self.read[2]);
                if self.read.len() < 9 + length {
                    break;
                }
                let rest = self.read.split_off(9 + length);
                let whole = std::mem::replace(&mut self.read, rest);
                let stream = u32::from_be_bytes([whole[5], whole[6], whole[7], whole[8]]);
                heard.frames.push((whole[3], stream, whole[9..].to_vec()));
            }
            if done(&heard) {
                return heard;
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await {
                Err(_) => panic!("nothing more after {heard:?}"),
                Ok(Ok(1..)) => {}
                Ok(_) => {
                    heard.is_closed = true;
                    return heard;
                }
            }
        }
    }
}
