//! Requests to a running gateway, with the log lines that it writes about them.
//!
//! This is what the reference runner (go-ftw) does: a marker request with a header that a rule logs, the request on
//! a connection of its own, another marker; what stands in the log between the two is about the request. Unlike it,
//! no two markers are the same, so that one that is written late is never taken for another or for a rule that
//! matched, and the marker after a request is also the one before the next.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::authoring::{Answer, Exchange, Target};
use crate::http::ResponseHead;
use crate::http::h1::{BodyDecoder, BodyPart, HeadLimits, ResponseReader, response_framing};
use crate::limits;

/// How long an answer may take; the reference runner waits as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a marker is sent before the log is given up.
const MARKER_TRIES: u32 = 20;

/// The header that the marker rule logs.
const MARKER_HEADER: &str = "X-CRS-Test";

/// Where to send requests and where to look for log lines.
#[derive(Debug, Clone)]
pub(super) struct LiveOptions {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    log: PathBuf,
}

impl LiveOptions {
    /// `https://host:port` or `http://host:port`. The certificate is not verified: the runner tests rules.
    pub(super) fn new(url: &str, log: &Path) -> Result<Self, String> {
        let (authority, is_tls, default) = match url.split_once("://") {
            Some(("https", rest)) => (rest, true, 443),
            Some(("http", rest)) => (rest, false, 80),
            _ => return Err(format!("{url} does not begin with https:// or http://")),
        };
        let authority = authority.trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("{port} is not a port"))?)
            }
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = is_tls.then(client).transpose().map_err(|error| error.to_string())?;
        Ok(Self { host, port, tls, log: log.to_owned() })
    }
}

fn client() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Unverified { provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Takes any certificate, but only from someone who has its key.
#[derive(Debug)]
struct Unverified {
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// One runner's view of the gateway.
#[derive(Debug)]
pub(super) struct Live {
    options: LiveOptions,
    sent: u64,
    /// Did the last marker come through? Then it is also the one before the next request.
    is_marked: bool,
    /// Where in the log the next line begins.
    offset: u64,
}

/// A plain or a TLS connection.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Live {
    /// Nothing is sent yet; the log is read from its present end.
    pub(super) fn new(options: &LiveOptions) -> Self {
        let offset = std::fs::metadata(&options.log).map_or(0, |metadata| metadata.len());
        Self { options: options.clone(), sent: 0, is_marked: false, offset }
    }

    fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for address in (self.options.host.as_str(), self.options.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(tcp) => {
                    tcp.set_read_timeout(Some(PATIENCE))?;
                    tcp.set_write_timeout(Some(PATIENCE))?;
                    tcp.set_nodelay(true)?;
                    return self.secure(tcp);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn secure(&self, tcp: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        let Some(config) = &self.options.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(self.options.host.clone()).map_err(std::io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, tcp)))
    }

    /// Sends bytes and reads the answer, whole.
    fn converse(&self, request: &[u8]) -> Result<(u16, Vec<u8>), String> {
        let mut stream = self.connect().map_err(|error| format!("cannot connect: {error}"))?;
        // A gateway may answer and close before it has read everything.
        let sent = stream.write_all(request).and_then(|()| stream.flush());
        let mut reader = AnswerReader::default();
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(answer) = reader.advance(false)? {
                return Ok(answer);
            }
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => reader.push(chunk.get(..length).unwrap_or_default()),
                // Rustls reports a peer that closes without saying so; what came before counts.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) => {
                    let sending = sent.err().map(|error| format!("; sending: {error}")).unwrap_or_default();
                    return reader.advance(true)?.ok_or_else(|| format!("cannot read the answer: {error}{sending}"));
                }
            }
        }
        reader.advance(true)?.ok_or_else(|| "the connection closed without an answer".into())
    }

    /// Sends markers until the log shows one; gives the lines before it.
    fn marker(&mut self) -> Result<Vec<Vec<u8>>, String> {
        self.sent += 1;
        // Of this runner; a marker that had to be sent again may show up late.
        let mine = format!("marker-{:x}-", std::process::id());
        let id = format!("{mine}{:x}-", self.sent);
        let request = format!(
            "GET /status/200 HTTP/1.1\r\nAccept: */*\r\nHost: localhost\r\nUser-Agent: go-ftw test agent\r\n{MARKER_HEADER}: {id}\r\nConnection: close\r\n\r\n"
        );
        let mut lines = Vec::new();
        for attempt in 0..MARKER_TRIES {
            self.converse(request.as_bytes()).map_err(|error| format!("the marker request failed: {error}"))?;
            // The log is written beside the answer: look for a moment before sending another one.
            for look in 0..10u64 {
                lines.append(&mut self.read_log()?);
                let is_marker = |line: &Vec<u8>| contains(&line.to_ascii_lowercase(), id.as_bytes());
                if let Some(at) = lines.iter().position(is_marker) {
                    lines.truncate(at);
                    lines.retain(|line| !contains(&line.to_ascii_lowercase(), mine.as_bytes()));
                    return Ok(lines);
                }
                std::thread::sleep(Duration::from_millis((look + 1) * u64::from(attempt + 1)));
            }
        }
        Err(format!("no line of {} shows the marker; is this the right log?", self.options.log.display()))
    }

    /// The complete lines that were added since the last look.
    fn read_log(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let fail = |error: std::io::Error| format!("cannot read {}: {error}", self.options.log.display());
        let mut file = File::open(&self.options.log).map_err(fail)?;
        // A log that became shorter was rotated.
        if file.metadata().map_err(fail)?.len() < self.offset {
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(fail)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(fail)?;
        let complete = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
        self.offset += complete as u64;
        let text = text.get(..complete).unwrap_or_default();
        Ok(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

impl Target for Live {
    fn send(&mut self, request: &[u8]) -> Exchange {
        let framed = |live: &mut Self| {
            if !std::mem::take(&mut live.is_marked) {
                live.marker()?;
            }
            let answer = live.converse(request);
            let log = live.marker()?;
            live.is_marked = true;
            Ok::<_, String>((answer, log))
        };
        match framed(self) {
            Ok((Ok((status, response)), log)) => {
                Exchange { answer: Answer::Status(status), response, log, summary: None }
            }
            Ok((Err(reason), log)) => {
                Exchange { answer: Answer::None(reason), response: Vec::new(), log, summary: None }
            }
            // Without markers nothing is known of the log.
            Err(reason) => {
                Exchange { answer: Answer::Unknown(reason), response: Vec::new(), log: Vec::new(), summary: None }
            }
        }
    }
}

/// Collects an answer.
#[derive(Default)]
struct AnswerReader {
    buffer: BytesMut,
    all: Vec<u8>,
    head: ResponseHead,
    reader: ResponseReader,
    body: Option<BodyDecoder>,
}

impl AnswerReader {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.all.extend_from_slice(bytes);
    }

    /// The status and all bytes, when the answer is complete.
    fn advance(&mut self, is_eof: bool) -> Result<Option<(u16, Vec<u8>)>, String> {
        let limits = HeadLimits { bytes: limits::REQUEST_HEAD_BYTES, fields: limits::REQUEST_HEADERS };
        while self.body.is_none() {
            let is_complete = self.reader.read(&mut self.buffer, limits, &mut self.head);
            if !is_complete.map_err(|error| format!("the answer is malformed: {error}"))? {
                return Ok(None);
            }
            // An answer to HEAD has no body though it has a length; whoever sends HEAD closes the connection.
            let framing = response_framing(&self.head, false).map_err(|error| error.to_string())?;
            if self.head.status >= 200 {
                self.body = Some(BodyDecoder::new(framing.length));
            }
        }
        let status = self.head.status;
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            match body.decode(&mut self.buffer, is_eof) {
                Ok(Some(BodyPart::End)) => return Ok(Some((status, std::mem::take(&mut self.all)))),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // The head has come: that is an answer.
                Err(_) => return Ok(Some((status, std::mem::take(&mut self.all)))),
            }
        }
    }
}
