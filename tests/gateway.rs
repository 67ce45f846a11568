//! The path of a request, end to end over sockets: what passes, what is refused, and what a hostile peer gets.
#![cfg(feature = "gateway")]
#![expect(clippy::disallowed_methods, reason = "a test measures; only the gateway itself has one clock")]

#[path = "gateway/lab.rs"]
mod lab;

use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use lab::{backend, canned, echo, gate, with_rules};
use portcullis::config::model::{Beyond, HostHeader, LogSink, OnFault, PathMatch, RouteAction};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const GET_CLOSE: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn keep_alive_and_pipelining_keep_the_order() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    let requests: String = (0..5).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\n\r\n")).collect();
    client.write(requests);
    for n in 0..5 {
        let answer = client.response();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(&format!("GET /{n} HTTP/1.1")),
            "{answer}"
        );
    }
    client.write(GET);
    assert!(client.response().contains("x-request-id: "));
    drop(client);
    let records = gate.records(6);
    assert_eq!(records.len(), 6);
    assert_eq!(records[5]["connection_reused"], true);
}

#[test]
fn a_connection_that_waits_keeps_no_older_configuration() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let (mut used, _unused) = (gate.connect(), gate.connect());
    used.write(GET);
    assert!(used.response().starts_with("HTTP/1.1 200"));
    let old = gate.reload();
    let deadline = Instant::now() + lab::PATIENCE;
    while old.strong_count() > 0 {
        assert!(Instant::now() < deadline, "somebody has it still");
        std::thread::sleep(Duration::from_millis(20));
    }
    used.write(GET);
    assert!(used.response().starts_with("HTTP/1.1 200"));
}

#[test]
fn what_a_backend_is_told() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let answer = gate.exchange(
        "GET /a?b HTTP/1.1\r\nHost: a.test:80\r\nX-Case-KEPT: 1\r\nConnection: close, X-Hop\r\nX-Hop: 2\r\nKeep-Alive: 3\r\n\
         TE: trailers\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: gopher\r\nX-Request-Id: mine\r\n\
         Content_Length: 5\r\n\r\n",
    );
    for present in [
        "GET /a?b HTTP/1.1",
        "host: a.test:80",
        "X-Case-KEPT: 1",
        "x-forwarded-for: 9.9.9.9, 127.0.0.1",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: a.test:80",
    ] {
        assert!(answer.contains(present), "{present}: {answer}");
    }
    for absent in ["X-Hop", "Keep-Alive", "TE:", "gopher", "mine", "Content_Length", "onnection: x"] {
        assert!(!answer.contains(absent), "{absent}: {answer}");
    }
}

#[test]
fn a_trusted_request_id_is_kept_if_it_is_harmless() {
    let server = echo();
    let gate = gate(&[server.address], |configuration| configuration.listeners[0].trust_request_id = true);
    let ask = |fields: &str| gate.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"));
    let answer = ask("X-Request-ID: order-17.a_B\r\n");
    // In the response's head, and in what the backend was told, which it echoes.
    assert_eq!(answer.matches("x-request-id: order-17.a_B\r\n").count(), 2, "{answer}");
    for bad in ["X-Request-ID: <b>\r\n", "X-Request-ID: a\r\nX-Request-ID: b\r\n", "X-Request-ID: \r\n"] {
        let answer = ask(bad);
        let id = answer.split("x-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{answer}");
    }
    let records = gate.records(4);
    assert_eq!(records[0]["id"], "order-17.a_B", "{records:?}");
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_is_one_500_and_the_gateway_goes_on() {
    portcullis::gateway::PANIC_ON.set("/panic-on-purpose").unwrap();
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    client.write("GET /panic-on-purpose HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(gate.exchange(GET_CLOSE).starts_with("HTTP/1.1 200 "));
    let records = gate.records(2);
    assert_eq!((&records[0]["status"], &records[0]["fault"]["kind"]), (&500.into(), &"panic".into()), "{records:?}");
}

#[test]
fn audit_entries_are_written_where_the_rules_say() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let server = echo();
    let gate = gate(&[server.address], |configuration| {
        let rules = format!(
            "SecRuleEngine On\nSecAuditEngine RelevantOnly\nSecAuditLogFormat JSON\nSecAuditLog {}\n\
             SecRule ARGS \"@streq attack\" \"id:7,phase:1,deny,log,msg:'found'\"",
            path.display()
        );
        with_rules(configuration, &rules);
    });
    let ask = |target: &str| gate.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    assert!(ask("/?q=fine").starts_with("HTTP/1.1 200 "));
    assert!(ask("/?q=attack").starts_with("HTTP/1.1 403 "));
    gate.records(2);
    let old = directory.path().join("audit.log.1");
    std::fs::rename(&path, &old).unwrap();
    gate.shared.recorder.reopen();
    gate.records(2);
    assert!(ask("/?q=attack").starts_with("HTTP/1.1 403 "));
    gate.records(3);
    for file in [old, path] {
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(entry.to_string().contains("q=attack"), "{entry}");
    }
}

/// A rule of each phase that logs the target; one that denies.
const TALKATIVE: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecAction "id:1,phase:1,pass,msg:'1 %{REQUEST_URI}'"
SecRule ARGS:deny "@streq early" "id:2,phase:2,deny,status:405,nolog"
SecRule ARGS:deny "@streq late" "id:4,phase:4,deny,status:406,nolog"
SecAction "id:5,phase:5,pass,msg:'5 %{REQUEST_URI} %{RESPONSE_STATUS} %{RESPONSE_HEADERS.content-type}.'"
"#;

/// A gateway with these rules whose rule messages go to the file `rules.log` of the directory.
fn talkative(backend: SocketAddr, directory: &std::path::Path, rules: &str) -> lab::Gate {
    gate(&[backend], |configuration| {
        with_rules(configuration, rules);
        configuration.logs.rule_messages = LogSink::File(directory.join("rules.log"));
    })
}

/// The messages in the log, once everything queued is written.
fn messages(gate: &lab::Gate, directory: &std::path::Path) -> Vec<String> {
    gate.shared.recorder.flush(lab::PATIENCE);
    let text = std::fs::read_to_string(directory.join("rules.log")).unwrap();
    let message = |line: &str| line.split("[msg \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    text.lines().map(message).collect()
}

#[test]
fn who_has_read_a_response_finds_its_messages_in_the_log() {
    const LARGE: usize = 300_000;
    // Every way in which a response can end, and some sizes around what is written at once.
    let server = backend(|mut peer| {
        loop {
            let head = peer.head();
            if head.is_empty() {
                return;
            }
            peer.body(&head);
            let large = "x".repeat(LARGE);
            let kind = head.split(['/', '?', ' ']).nth(2).unwrap();
            match kind {
                "length" => peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
                "large" => peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n{large}")),
                "pieces" => {
                    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
                    std::thread::sleep(Duration::from_millis(2));
                    peer.write("lo");
                }
                "chunked" => {
                    peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                    std::thread::sleep(Duration::from_millis(2));
                    peer.write("0\r\n\r\n");
                }
                "empty" => peer.write("HTTP/1.1 204 No Content\r\n\r\n"),
                "close" => {
                    peer.write("HTTP/1.1 200 OK\r\n\r\nhello");
                    return;
                }
                _ => return,
            }
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let gate = talkative(server.address, directory.path(), TALKATIVE);
    let kinds: [(&str, u16, &str); 9] = [
        ("length", 200, "hello"),
        ("large", 200, "x"),
        ("pieces", 200, "hello"),
        ("chunked", 200, "0\r\n\r\n"),
        ("empty", 204, "\r\n\r\n"),
        ("close", 200, "0\r\n\r\n"),
        ("broken", 502, ""),
        ("length?deny=early", 405, ""),
        ("length?deny=late", 406, ""),
    ];
    let read = |client: &mut lab::Client, status: u16, end: &str| match (status, end) {
        (200, "x") => assert!(client.response().len() > LARGE),
        (200 | 204, end) => assert!(client.until(end).starts_with(&format!("HTTP/1.1 {status} "))),
        _ => assert!(client.response().starts_with(&format!("HTTP/1.1 {status} "))),
    };
    let mut wanted = Vec::new();
    let mut note = |target: &str, status: u16| {
        let own = if status > 204 { "application/problem+json" } else { "" };
        wanted.extend([format!("1 {target}"), format!("5 {target} {status} {own}.")]);
        wanted.clone()
    };
    // One connection after the other, then all on one: when a response is read, its last message is in the log; what
    // was said of the next request comes behind it.
    let mut kept = gate.connect();
    for is_kept in [false, true] {
        for round in 0..20 {
            for (kind, status, end) in kinds {
                let target = format!("/{kind}{}round={round}", if kind.contains('?') { '&' } else { '?' });
                let mut fresh = gate.connect();
                let client = if is_kept { &mut kept } else { &mut fresh };
                client.write(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                read(client, status, end);
                let wanted = note(&target, status);
                if round % 10 == 9 {
                    assert_eq!(messages(&gate, directory.path()), wanted);
                }
            }
        }
    }
    let records = gate.records(wanted.len() / 2);
    assert_eq!(records.len(), wanted.len() / 2);
}

#[test]
fn what_one_request_taught_a_collection_the_next_one_knows() {
    let rules = r#"SecRuleEngine On
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecAction "id:2,phase:1,pass,msg:'%{IP.seen}.'"
SecAction "id:5,phase:5,pass,nolog,setvar:ip.seen=+1"
"#;
    let server = canned(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let directory = tempfile::tempdir().unwrap();
    let gate = talkative(server.address, directory.path(), rules);
    for _ in 0..50 {
        let mut client = gate.connect();
        client.write(GET);
        client.until("hello");
    }
    let wanted: Vec<String> = (0..50).map(|n| if n == 0 { ".".to_owned() } else { format!("{n}.") }).collect();
    assert_eq!(messages(&gate, directory.path()), wanted);
}

/// What must be answered with 400 and never reach a backend.
const SMUGGLED: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nabcde",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

#[test]
fn smuggled_requests_are_refused_and_reach_nobody() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    for request in SMUGGLED {
        let answer = gate.exchange(request);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request:?}: {answer:?}");
        assert!(answer.contains("connection: close") && answer.contains("request_id"), "{answer}");
    }
    assert_eq!(server.received(), "");
    let records = gate.records(SMUGGLED.len());
    assert_eq!(records.len(), SMUGGLED.len());
    assert!(records.iter().all(|record| record["status"] == 400));
}

#[test]
fn both_framings_are_made_one_and_the_connection_ends() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let answer = gate.exchange(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(!server.received().contains("smuggled"));
    assert!(!server.received().to_lowercase().contains("content-length: 4"));
}

#[test]
fn malformed_chunks_break_off_before_the_backend_takes_them_for_whole() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    for chunk in
        ["0x3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "3 \r\nabc\r\n", "\r\n\r\n"]
    {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = gate.exchange(format!("{head}{chunk}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunk:?}: {answer:?}");
    }
    assert!(!server.received().contains("\r\n0\r\n"));
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let server = backend(|mut peer| {
        let head = peer.head();
        let body = peer.read_until(b"X-Sum: 1\r\n\r\n");
        assert!(head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
        assert!(body.starts_with(b"3\r\nabc\r\n"), "{body:?}");
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Check: 2\r\nContent-Length: 9\r\n\r\n");
    });
    let gate = gate(&[server.address], |_| {});
    let answer = gate.exchange(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert!(answer.ends_with("5\r\nhello\r\n0\r\nX-Check: 2\r\n\r\n"), "{answer}");
}

#[test]
fn responses_without_a_body() {
    let server = canned(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n");
    let gate_304 = gate(&[server.address], |_| {});
    let mut client = gate_304.connect();
    for _ in 0..2 {
        client.write(GET);
        assert!(client.until("\r\n\r\n").contains("content-length: 77"));
    }
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    for _ in 0..2 {
        client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: "), "{head}");
    }
}

#[test]
fn continue_is_said_before_the_body_and_early_hints_pass() {
    let server = backend(|mut peer| {
        let head = peer.head();
        assert!(!head.to_lowercase().contains("expect"), "{head}");
        let body = peer.body(&head);
        peer.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        peer.write(body);
    });
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("abc");
    assert_eq!(client.until("\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert!(client.response().ends_with("\r\n\r\nabc"));
    let answer = gate.exchange("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 3\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 417"), "{answer}");
}

#[test]
fn a_body_that_nobody_wants_is_not_asked_for() {
    let dead = gate(&[nobody()], |_| {});
    let redirecting = gate(&[nobody()], |configuration| {
        configuration.sites[0].routes[0].action = RouteAction::Redirect { status: 302, location: "/there".into() };
    });
    for (gate, status) in [(&dead, "502"), (&redirecting, "302")] {
        let mut client = gate.connect();
        client.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        // Nothing before the answer, and then the end: the client may send the body or not, nobody could tell.
        let answer = client.rest();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && !answer.contains(" 100 "), "{answer}");
    }
}

#[test]
fn an_upgrade_becomes_a_tunnel_with_half_close() {
    let server = backend(|mut peer| {
        let head = peer.head();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        peer.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
        let all = peer.read_until(b"done");
        peer.write(all);
        // The client has ended its side; ours still speaks.
        assert!(peer.read_until(b"nothing").is_empty());
        peer.write("bye");
    });
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    client.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101"));
    client.until("hello");
    client.write("echo this, done");
    client.until("echo this, done");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "bye");
    assert_eq!(gate.records(1)[0]["status"], 101);
}

#[test]
fn a_protocol_switch_that_nobody_asked_for_is_refused() {
    let server = canned(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nevil");
    let gate = gate(&[server.address], |_| {});
    assert!(gate.exchange(GET_CLOSE).starts_with("HTTP/1.1 502"));
}

#[test]
fn connect_is_no_tunnel() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let answer = gate.exchange("CONNECT 1.2.3.4:80 HTTP/1.1\r\nHost: a\r\n\r\nGET /inside HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("CONNECT / HTTP/1.1"), "{answer}");
    assert!(!server.received().contains("inside") && !server.received().contains("1.2.3.4"));
}

#[test]
fn an_event_passes_at_once() {
    let server = backend(|mut peer| {
        peer.head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for n in 0..3 {
            // Waits to be told, so that the test measures each event alone.
            std::thread::sleep(Duration::from_millis(100));
            peer.write(format!("data: {n}\n\n"));
        }
    });
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    client.write(GET);
    client.until("\r\n\r\n");
    for n in 0..3 {
        let before = Instant::now();
        client.until(&format!("data: {n}\n\n"));
        assert!(before.elapsed() < Duration::from_millis(180), "{:?}", before.elapsed());
    }
}

#[test]
fn slow_clients_meet_their_deadlines() {
    let server = echo();
    let gate = gate(&[server.address], |configuration| {
        let timeouts = &mut configuration.listeners[0].timeouts;
        timeouts.head = Duration::from_millis(300);
        timeouts.body = Duration::from_millis(300);
        timeouts.idle = Duration::from_millis(300);
    });
    let before = Instant::now();
    let mut client = gate.connect();
    // A byte now and then does not buy time.
    client.write("GET / HTTP/1.1\r\n");
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(50));
        if std::io::Write::write_all(&mut client.stream, b"X").is_err() {
            break;
        }
    }
    assert!(client.rest().starts_with("HTTP/1.1 408"));
    assert!(gate.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").starts_with("HTTP/1.1 408"));
    let mut client = gate.connect();
    client.write(GET);
    client.response();
    assert_eq!(client.rest(), "");
    assert_eq!(gate.connect().rest(), "");
    assert!(before.elapsed() < Duration::from_secs(6));
}

#[test]
fn limits_of_head_and_body() {
    let server = echo();
    let gate = gate(&[server.address], |configuration| configuration.listeners[0].limits.body_bytes = 10);
    let long = "x".repeat(20_000);
    assert!(gate.exchange(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")).starts_with("HTTP/1.1 414"));
    assert!(gate.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")).starts_with("HTTP/1.1 431"));
    let many = "X: y\r\n".repeat(101);
    assert!(gate.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")).starts_with("HTTP/1.1 431"));
    let announced = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890";
    assert!(gate.exchange(announced).starts_with("HTTP/1.1 413"));
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    assert!(gate.exchange(chunked).starts_with("HTTP/1.1 413"));
    assert!(!server.received().contains("\r\n0\r\n"));
}

#[test]
fn no_backend_is_a_502_that_says_why() {
    let gate = gate(&[nobody()], |_| {});
    let answer = gate.exchange(GET_CLOSE);
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("refused"), "{answer}");
    let record = &gate.records(1)[0];
    assert!(answer.contains(record["id"].as_str().unwrap()), "{answer}");
    let answer = gate.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("<!doctype html>"), "{answer}");
}

#[test]
fn the_next_backend_is_tried_when_nothing_was_sent() {
    let server = echo();
    let gate = gate(&[nobody(), server.address], |_| {});
    for _ in 0..4 {
        let answer = gate.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(gate.records(4).iter().any(|record| record["retries"] == 1));
}

#[test]
fn a_dead_idle_connection_is_replaced_for_idempotent_requests_only() {
    // Answers one request per connection, and closes when the second comes.
    let server = backend(|mut peer| {
        let head = peer.head();
        peer.body(&head);
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.head();
    });
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    for _ in 0..4 {
        client.write(GET);
        assert!(client.response().ends_with("ok"));
    }
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert!(client.response().starts_with("HTTP/1.1 502"));
    client.write(GET);
    assert!(client.response().ends_with("ok"));
}

#[test]
fn a_response_that_breaks_off_is_not_passed_for_whole() {
    let server = backend(|mut peer| {
        peer.head();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let gate = gate(&[server.address], |_| {});
    let answer = gate.exchange(GET);
    assert!(answer.contains("5\r\nhello\r\n") && !answer.contains("\r\n0\r\n"), "{answer}");
    assert_eq!(gate.records(1)[0]["fault"]["side"], "upstream");
}

#[test]
fn ambiguous_responses_are_502() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        let server = canned(answer);
        let gate = gate(&[server.address], |_| {});
        assert!(gate.exchange(GET_CLOSE).starts_with("HTTP/1.1 502"), "{:?}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn old_clients_get_bodies_that_end_with_the_connection() {
    let server = canned(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let gate = gate(&[server.address], |_| {});
    let answer = gate.exchange("GET / HTTP/1.0\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nhello") && !answer.contains("chunked"), "{answer}");
    assert_eq!(gate.exchange("GET /\r\n\r\n"), "");
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let mut client = gate.connect();
    client.write(GET);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.rest().starts_with("HTTP/1.1 200"));
}

#[test]
fn redirects_fixed_answers_rewrites_and_unknown_hosts() {
    let server = echo();
    let gate = gate(&[server.address], |configuration| {
        let site = &mut configuration.sites[0];
        site.hosts = vec!["a.test".into()];
        let mut route = site.routes[0].clone();
        route.path = PathMatch::Prefix("/old".into());
        route.action = RouteAction::Redirect { status: 308, location: "https://${host}${path}${query}".into() };
        let mut fixed = route.clone();
        fixed.path = PathMatch::Exact("/fixed".into());
        fixed.action = RouteAction::Respond { status: 200, body: "here".into() };
        let mut api = route.clone();
        api.path = PathMatch::Prefix("/api".into());
        api.action = RouteAction::Forward {
            pool: portcullis::config::model::PoolId(0),
            host: HostHeader::Literal("inner.test".into()),
            rewrite_prefix: Some("/v1".into()),
        };
        site.routes = vec![route, fixed, api];
    });
    let mut client = gate.connect();
    client.write("GET /old/x?y=1 HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
    let answer = client.response();
    assert!(answer.contains("308") && answer.contains("location: https://a.test/old/x?y=1\r\n"), "{answer}");
    client.write("GET /fixed HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.response().ends_with("here"));
    client.write("GET /api/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let answer = client.response();
    assert!(answer.contains("GET /v1/x?y HTTP/1.1") && answer.contains("host: inner.test"), "{answer}");
    client.write("GET /none HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.response().starts_with("HTTP/1.1 404"));
    client.write("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert!(client.response().starts_with("HTTP/1.1 404"));
}

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule REQUEST_URI "@contains evil1" "id:1,phase:1,deny,status:403"
SecRule ARGS "@contains evil2" "id:2,phase:2,deny,status:406"
SecRule RESPONSE_HEADERS:X-Leak "@contains evil3" "id:3,phase:3,deny"
SecRule RESPONSE_BODY "@contains evil4" "id:4,phase:4,deny"
SecRule ARGS "@contains dropit" "id:5,phase:2,drop"
"#;

#[test]
fn every_phase_can_stop_a_request() {
    let server = backend(|mut peer| {
        loop {
            let head = peer.head();
            if head.is_empty() {
                return;
            }
            peer.body(&head);
            let leak = if head.contains("/leak-head") { "evil3" } else { "fine" };
            let body = if head.contains("/leak-body") { "evil4" } else { "good!" };
            peer.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Leak: {leak}\r\nContent-Length: 5\r\n\r\n{body}"
            ));
        }
    });
    let gate = gate(&[server.address], |configuration| with_rules(configuration, RULES));
    let mut client = gate.connect();
    let form = "Host: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    for (request, status) in [
        ("GET /fine HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        ("GET /evil1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 403),
        ("GET /?q=evil2 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 406),
        (format!("POST / HTTP/1.1\r\n{form}Content-Length: 7\r\n\r\nq=evil2"), 406),
        (format!("POST / HTTP/1.1\r\n{form}Transfer-Encoding: chunked\r\n\r\n4\r\nq=ev\r\n3\r\nil2\r\n0\r\n\r\n"), 406),
        (format!("POST / HTTP/1.1\r\n{form}Content-Length: 6\r\n\r\nq=fine"), 200),
        ("GET /leak-head HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 403),
        ("GET /leak-body HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 403),
        ("GET /fine HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
    ] {
        client.write(&request);
        let answer = client.response();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(!answer.contains("evil"), "{answer}");
    }
    assert!(!server.received().contains("evil"), "{}", server.received());
    assert_eq!(gate.exchange("GET /?q=dropit HTTP/1.1\r\nHost: a\r\n\r\n"), "");
    let records = gate.records(10);
    assert_eq!(records.len(), 10);
    assert_eq!(records.iter().filter(|record| record["waf"]["verdict"] == "blocked").count(), 7);
}

#[test]
fn inspection_comes_before_a_dead_backend_and_before_a_redirect() {
    let gate = gate(&[nobody()], |configuration| {
        with_rules(configuration, RULES);
        let mut route = configuration.sites[0].routes[0].clone();
        route.path = PathMatch::Prefix("/old".into());
        route.action = RouteAction::Redirect { status: 301, location: "https://b.test/".into() };
        configuration.sites[0].routes.insert(0, route);
    });
    for (target, status) in [("/?q=evil2", 406), ("/old?q=evil2", 406), ("/old", 301), ("/", 502)] {
        let answer = gate.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
    }
}

#[test]
fn bodies_beyond_the_window() {
    let server = echo();
    let long = format!("q={}", "x".repeat(5000));
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{long}",
        long.len()
    );
    let partial = gate(&[server.address], |configuration| with_rules(configuration, RULES));
    let answer = partial.exchange(&request);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&long), "{}", &answer[..200]);
    let reject = gate(&[server.address], |configuration| {
        with_rules(configuration, RULES);
        configuration.policies[0].request_body.beyond = Beyond::Reject;
    });
    assert!(reject.exchange(&request).starts_with("HTTP/1.1 413"));
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    assert!(reject.exchange(&chunked).starts_with("HTTP/1.1 413"));
}

#[test]
fn inspection_that_does_not_end_is_not_waited_for() {
    // Enough work for any engine and machine: the shortest patience of a timer is a millisecond or two.
    let long = format!("q={}", (0..50_000).map(|n| format!("few; words {n}, &q=")).collect::<String>());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    let server = backend(move |mut peer| {
        loop {
            let head = peer.head();
            if head.is_empty() {
                return;
            }
            peer.body(&head);
            peer.write(if head.starts_with("POST") { "HTTP/1.1 204 No Content\r\n\r\n" } else { &answer });
        }
    });
    let post = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{long}",
        long.len()
    );
    let get = "GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned();
    let mut rules = r#"
        SecRuleEngine On
        SecRequestBodyAccess On
        SecRequestBodyNoFilesLimit 2000000
        SecArgumentsLimit 100000
        SecResponseBodyAccess On
        SecResponseBodyLimit 2000000
    "#
    .to_owned();
    for id in 10..30 {
        rules.push_str(&format!(
            "SecRule ARGS \"@rx ^(?:[a-z]+;? ?)+[0-9]*,x{{0,{id}}};$\" \"id:1{id},phase:2,deny,t:lowercase\"\n\
             SecRule RESPONSE_BODY \"@rx (?:[a-z]+;? ?)+[0-9]*,x{{0,{id}}};$\" \"id:2{id},phase:4,deny,t:lowercase\"\n"
        ));
    }
    for (patience, on_fault, statuses, verdict) in [
        (Duration::from_secs(60), OnFault::Deny, [204, 200], "allowed"),
        (Duration::ZERO, OnFault::Deny, [503, 503], "failed"),
        (Duration::ZERO, OnFault::Allow, [204, 200], "failed"),
    ] {
        let gate = lab::gate_with(&[server.address], patience, |configuration| {
            with_rules(configuration, &rules);
            let policy = &mut configuration.policies[0];
            policy.on_fault = on_fault;
            (policy.request_body.bytes, policy.response_body.bytes) = (4_000_000, 4_000_000);
        });
        for (index, (request, status)) in [&post, &get].into_iter().zip(statuses).enumerate() {
            let answer = gate.exchange(request);
            let start = answer.get(..200).unwrap_or(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{patience:?} {on_fault:?}: {start}");
            assert!(status != 200 || answer.ends_with(&long));
            let record = gate.records(index + 1).remove(index);
            assert_eq!(record["waf"]["verdict"], verdict, "{record}");
            let kind = if status == 503 { "inspection_timeout".into() } else { serde_json::Value::Null };
            assert_eq!(record["fault"]["kind"], kind, "{record}");
        }
    }
}

#[test]
fn draining_ends_idle_connections_and_waits_for_running_ones() {
    let server = backend(|mut peer| {
        peer.head();
        std::thread::sleep(Duration::from_millis(400));
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.head();
    });
    let gate = gate(&[server.address], |_| {});
    let mut idle = gate.connect();
    let mut running = gate.connect();
    running.write(GET);
    std::thread::sleep(Duration::from_millis(150));
    gate.drain.start();
    assert_eq!(idle.rest(), "");
    let answer = running.rest();
    assert!(answer.contains("connection: close") && answer.ends_with("ok"), "{answer}");
    let before = Instant::now();
    while gate.drain.connections() > 0 {
        assert!(before.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_large_body_passes_both_ways() {
    let server = echo();
    let gate = gate(&[server.address], |_| {});
    let body = "0123456789abcdef".repeat(256 * 1024);
    let mut client = gate.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let request =
        format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, request.as_bytes()));
    let answer = client.rest();
    sending.join().unwrap().unwrap();
    assert!(answer.ends_with(&body) && answer.starts_with("HTTP/1.1 200"), "{}", answer.len());
}
