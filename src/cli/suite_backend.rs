//! `portcullis rules backend`: the backend that the Core Rule Set's regression suite is written for.
//!
//! For live runs: any request is answered with an empty 200, and `POST /reflect` as its body says. A thread for each
//! connection, because the suite's runner has one; this is a tool for tests and not for traffic.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::output;
use super::rules::problem;
use crate::authoring::backend;
use crate::diagnostics::Diagnostics;
use crate::http::h1::{BodyDecoder, BodyPart, HeadLimits, RequestReader, encode, request_framing};
use crate::http::{HeadError, RequestHead, path_of};
use crate::limits;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9444")]
    listen: String,
    /// Certificate chain (PEM); without it the backend speaks plain HTTP.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Private key (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

/// Serves until the process is killed.
pub(super) fn run(arguments: &Arguments) -> Result<bool, Diagnostics> {
    let tls = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Some(server(certificate, key).map_err(problem)?),
        _ => None,
    };
    let listener = TcpListener::bind(&arguments.listen)
        .map_err(|error| problem(format!("cannot listen on {}: {error}", arguments.listen)))?;
    let bound = listener.local_addr().map_or_else(|_| arguments.listen.clone(), |address| address.to_string());
    output::print_error(&format!("the suite's backend listens on {bound}\n"));
    for tcp in listener.incoming().flatten() {
        let tls = tls.clone();
        std::thread::spawn(move || {
            // A peer that goes away ends its own connection and nothing else.
            drop(connection(tcp, tls));
        });
    }
    Ok(true)
}

fn server(certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, String> {
    let fail = |path: &PathBuf| {
        let path = path.display().to_string();
        move |error: rustls::pki_types::pem::Error| format!("cannot read {path}: {error}")
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(fail(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(fail(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connection that says nothing for so long is closed.
const PATIENCE: Duration = Duration::from_secs(60);

fn connection(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> std::io::Result<()> {
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    match tls {
        None => converse(tcp),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            converse(StreamOwned::new(connection, tcp))
        }
    }
}

fn converse(mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut buffer = BytesMut::new();
    let mut head = RequestHead::default();
    loop {
        let mut reader = RequestReader::default();
        let limits = HeadLimits { bytes: limits::REQUEST_HEAD_BYTES * 2, fields: limits::REQUEST_HEADERS * 2 };
        loop {
            match reader.read(&mut buffer, limits, &mut head) {
                Ok(true) => break,
                Ok(false) if fill(&mut stream, &mut buffer)? => {}
                Ok(false) => return Ok(()),
                // The gateway sends CONNECT with a path, so that nobody makes a tunnel of it; any path is answered.
                Err(HeadError::Target) if head.method() == b"CONNECT" => return refuse(&mut stream, 200),
                Err(error) => return refuse(&mut stream, error.status()),
            }
        }
        let framing = match request_framing(&mut head) {
            Ok(framing) => framing,
            Err(error) => return refuse(&mut stream, error.status()),
        };
        if head.fields.named(b"expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut decoder = BodyDecoder::new(framing.length);
        let mut body = Vec::new();
        loop {
            match decoder.decode(&mut buffer, false) {
                Ok(Some(BodyPart::Data(data))) => body.extend_from_slice(&data),
                Ok(Some(BodyPart::Trailers(_))) => {}
                Ok(Some(BodyPart::End)) => break,
                Ok(None) if fill(&mut stream, &mut buffer)? => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        let response = backend::answer(head.method(), path_of(head.path_and_query()), &body);
        respond(&mut stream, response.status, &response.headers, &response.body)?;
        if !framing.is_persistent {
            return Ok(());
        }
    }
}

/// More bytes; false when the peer has closed.
fn fill(stream: &mut impl Read, buffer: &mut BytesMut) -> std::io::Result<bool> {
    let mut chunk = [0; 16 * 1024];
    let length = stream.read(&mut chunk)?;
    buffer.extend_from_slice(chunk.get(..length).unwrap_or_default());
    Ok(length > 0)
}

/// An empty answer, and the end of the connection.
fn refuse(stream: &mut impl Write, status: u16) -> std::io::Result<()> {
    let headers = [("Content-Length".to_owned(), b"0".to_vec()), ("Connection".to_owned(), b"close".to_vec())];
    respond(stream, status, &headers, &[])
}

fn respond(stream: &mut impl Write, status: u16, headers: &[(String, Vec<u8>)], body: &[u8]) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    encode::status_line(&mut out, status, encode::standard_reason(status));
    for (name, value) in headers {
        encode::field(&mut out, name.as_bytes(), value);
    }
    encode::end_of_head(&mut out);
    out.extend_from_slice(body);
    stream.write_all(&out)?;
    stream.flush()
}
