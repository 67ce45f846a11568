//! One request to the admin listener.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::backends;
use super::server::{AdminState, ReloadRequest, State};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn answer(request: Request<Incoming>, state: &AdminState) -> Response<Full<Bytes>> {
    let (expected, response) = match request.uri().path() {
        "/reload" => (Method::POST, None),
        "/healthz" => (Method::GET, Some(respond(StatusCode::OK, TEXT, "ok\n"))),
        "/readyz" => (Method::GET, Some(ready(state.readiness.state()))),
        "/metrics" => {
            let mut text = String::with_capacity(32 * 1024);
            state.recorder.render_metrics(&mut text);
            backends::render_metrics(&(state.upstreams)(), &mut text);
            (Method::GET, Some(respond(StatusCode::OK, METRICS, text)))
        }
        "/backends" => (Method::GET, Some(respond(StatusCode::OK, JSON, backends::json(&(state.upstreams)())))),
        "/" => (Method::GET, Some(respond(StatusCode::OK, TEXT, INDEX))),
        _ => return respond(StatusCode::NOT_FOUND, TEXT, INDEX),
    };
    let is_fine = *request.method() == expected || (expected == Method::GET && *request.method() == Method::HEAD);
    if !is_fine {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("use {expected}\n"));
        if let Ok(value) = HeaderValue::from_str(expected.as_str()) {
            response.headers_mut().insert(ALLOW, value);
        }
        return response;
    }
    match response {
        Some(response) => response,
        None => reload(&request, state).await,
    }
}

const INDEX: &str = "portcullis admin\n\n\
    GET  /healthz   is the process alive?\n\
    GET  /readyz    does it serve?\n\
    GET  /metrics   for Prometheus\n\
    GET  /backends  health of every backend\n\
    POST /reload    read the configuration again\n";

fn ready(state: State) -> Response<Full<Bytes>> {
    match state {
        State::Starting => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "starting\n"),
        State::Ready => respond(StatusCode::OK, TEXT, "ready\n"),
        State::Draining => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"),
    }
}

async fn reload(request: &Request<Incoming>, state: &AdminState) -> Response<Full<Bytes>> {
    // A page in somebody's browser may post to loopback too; it cannot leave this header out.
    if request.headers().contains_key(ORIGIN) || !request.headers().contains_key(HOST) {
        return respond(StatusCode::FORBIDDEN, TEXT, "not for browsers\n");
    }
    let Some(reloads) = &state.reloads else {
        return respond(StatusCode::NOT_FOUND, TEXT, "there is nothing to reload\n");
    };
    let (answer, outcome) = oneshot::channel();
    if reloads.send(ReloadRequest { answer }).await.is_err() {
        return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "shutting down\n");
    }
    match outcome.await {
        Ok(Ok(changes)) if changes.is_empty() => respond(StatusCode::OK, TEXT, "reloaded; nothing changed\n"),
        Ok(Ok(changes)) => respond(StatusCode::OK, TEXT, format!("reloaded\n{}\n", changes.join("\n"))),
        Ok(Err(problems)) => respond(StatusCode::UNPROCESSABLE_ENTITY, TEXT, format!("{problems}\n")),
        Err(_) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "shutting down\n"),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
