//! Clients: raw bytes through TLS, and hyper's connections.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::lab::{EDGE, Lab, PATIENCE, spawn};

/// A TLS connection to the gateway.
pub(crate) async fn connect(lab: &Lab, address: SocketAddr, protocol: &str) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let name = ServerName::try_from(EDGE).expect("a name");
    let stream = lab.connector(&[protocol]).connect(name, stream).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    stream
}

/// An HTTP/1 connection that one writes to byte by byte.
pub(crate) struct Raw {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(lab: &Lab, address: SocketAddr) -> Self {
        Self { stream: connect(lab, address, "http/1.1").await, read: Vec::new() }
    }

    /// The other side may have closed already: what comes back is what counts.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        if self.stream.write_all(bytes.as_ref()).await.is_ok() {
            drop(self.stream.flush().await);
        }
    }

    /// Everything until `end`, which must come.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let end = end.as_bytes();
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                let rest = self.read.split_off(at + end.len());
                let whole = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&whole).into_owned();
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            assert!(matches!(read, Ok(Ok(1..))), "{read:?} instead of {end:?} after {so_far:?}");
        }
    }

    /// A head, and a body of the length that it says.
    pub(crate) async fn response(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().expect("a length"))
        });
        let length = length.unwrap_or_default();
        while self.read.len() < length {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
            assert!(matches!(read, Ok(Ok(1..))), "{read:?} after {head}");
        }
        let rest = self.read.split_off(length);
        let body = std::mem::replace(&mut self.read, rest);
        head + &String::from_utf8_lossy(&body)
    }

    /// Everything until the other side closes, which must happen.
    pub(crate) async fn rest(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await {
                Err(_) => panic!("still open after {:?}", String::from_utf8_lossy(&self.read)),
                Ok(Ok(1..)) => {}
                // A reset is an end as well.
                Ok(_) => return String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned(),
            }
        }
    }
}

/// Writes, and reads until the connection closes.
pub(crate) async fn exchange(lab: &Lab, address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(lab, address).await;
    raw.write(bytes).await;
    raw.rest().await
}

/// A body that a test feeds.
pub(crate) struct Fed {
    frames: mpsc::Receiver<Frame<Bytes>>,
    length: Option<u64>,
}

impl Fed {
    pub(crate) fn new() -> (mpsc::Sender<Frame<Bytes>>, Self) {
        let (sender, frames) = mpsc::channel(4);
        (sender, Self { frames, length: None })
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let (sender, mut body) = Self::new();
        let bytes = bytes.into();
        body.length = Some(bytes.len() as u64);
        if !bytes.is_empty() {
            sender.try_send(Frame::data(bytes)).expect("room for one");
        }
        body
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.frames.poll_recv(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

pub(crate) type Http2 = http2::SendRequest<Fed>;

/// An HTTP/2 connection.
pub(crate) async fn http2(lab: &Lab, address: SocketAddr) -> Http2 {
    let stream = connect(lab, address, "h2").await;
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("an HTTP/2 connection");
    spawn(async move { drop(connection.await) });
    sender
}

pub(crate) type Http1 = http1::SendRequest<Fed>;

/// An HTTP/1 connection that speaks for itself.
pub(crate) async fn http1(lab: &Lab, address: SocketAddr) -> Http1 {
    let stream = connect(lab, address, "http/1.1").await;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("an HTTP/1 connection");
    spawn(async move { drop(connection.await) });
    sender
}

/// A request to the gateway in HTTP/2.
pub(crate) fn request(method: &str, target: &str, body: Fed) -> http::Request<Fed> {
    let builder = http::Request::builder().method(method).uri(format!("https://{EDGE}{target}"));
    builder.body(body).expect("a request")
}

/// The whole of a response: status, body.
pub(crate) async fn collect(response: http::Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = timeout(PATIENCE, response.into_body().collect()).await.expect("a body in time").expect("a body");
    (status, String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// The next data of a body. An HTTP/2 frame without any says only that the end has come.
pub(crate) async fn next_data(body: &mut Incoming) -> Option<Bytes> {
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.expect("a frame in time")?.expect("a frame");
        match frame.into_data() {
            Ok(bytes) if bytes.is_empty() => {}
            other => return other.ok(),
        }
    }
}
