//! What the process tells those who run it: systemd, and whoever asks for a reload.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use crate::backend;
use crate::client::{Fed, Raw, collect, http2, request};
use crate::lab::{Gateway, Lab, PATIENCE, Process, binary, spawn};

/// The next datagram, as `NAME=value` lines.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("a notification in time");
    String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect()
}

fn has(told: &[String], line: &str) -> bool {
    told.iter().any(|found| found == line)
}

#[test]
fn systemd_is_told_of_start_reload_and_end() {
    let lab = Lab::new();
    let path = lab.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let file = lab.write("gateway.yaml", &lab.configuration(&[crate::lab::closed_port()]).text());
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(&file).env("NOTIFY_SOCKET", &path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let ready = told(&socket);
    assert!(has(&ready, "READY=1") && has(&ready, "STATUS=serving"), "{ready:?}");
    // `Type=notify-reload`: the clock of the beginning tells systemd which READY ends it.
    for (change, status) in [("", "STATUS=serving"), ("nonsense: 1\n", "STATUS=serving; the last reload was refused")] {
        let text = std::fs::read_to_string(&file).expect("the file");
        std::fs::write(&file, text + change).expect("written");
        process.signal("HUP");
        let reloading = told(&socket);
        let is_timed = reloading.iter().any(|line| {
            line.strip_prefix("MONOTONIC_USEC=").is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 0))
        });
        assert!(has(&reloading, "RELOADING=1") && is_timed, "{reloading:?}");
        let ready = told(&socket);
        assert!(has(&ready, "READY=1") && has(&ready, status), "{ready:?}");
    }
    process.signal("TERM");
    let stopping = told(&socket);
    assert!(has(&stopping, "STOPPING=1"), "{stopping:?}");
    assert_eq!(process.0.wait().expect("an end").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_runtime_for_all_workers_serves_reloads_and_drains() {
    let lab = Lab::new();
    let address =
        backend::hyper(&lab, |request| async move { http::Response::new(Fed::whole(request.uri().path().to_owned())) })
            .await;
    let mut configuration = lab.configuration(&[address]);
    configuration.runtime = "workers: 2, flavour: shared".to_owned();
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let mut kept = Raw::connect(&lab, gateway.address()).await;
    for round in 0..3 {
        let client = http2(&lab, gateway.address()).await;
        let mut running = tokio::task::JoinSet::new();
        for number in 0..50 {
            let mut client = client.clone();
            running.spawn(async move {
                let path = format!("/{round}/{number}");
                let response = client.send_request(request("GET", &path, Fed::whole(""))).await.expect("a head");
                assert_eq!(collect(response).await, (200, path));
            });
        }
        while let Some(ended) = running.join_next().await {
            ended.expect("an answer");
        }
        kept.write("GET /kept HTTP/1.1\r\nHost: edge.example\r\n\r\n").await;
        kept.until("\r\n\r\n/kept").await;
        let answer = tokio::task::block_in_place(|| gateway.ask("POST", "/reload"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    gateway.assert_sound();
    gateway.process.signal("TERM");
    assert_eq!(kept.rest().await, "");
    let ended = spawn(async move { gateway.process.0.wait().expect("an end") }).await.expect("no panic");
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_reload_says_what_it_cannot_change() {
    let lab = Lab::new();
    let mut configuration = lab.configuration(&[crate::lab::closed_port()]);
    let mut gateway = Gateway::start(&lab, &configuration.text());
    configuration.runtime = "workers: 1, flavour: shared".to_owned();
    let text =
        configuration.text().replace("admin: { address: \"127.0.0.1:0\" }", "admin: { address: \"127.0.0.1:1\" }");
    lab.write("gateway.yaml", &text);
    let answer = gateway.ask("POST", "/reload");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for key in ["runtime.workers", "runtime.flavour", "admin.address"] {
        assert!(answer.contains(&format!("`{key}` changed, which takes a restart")), "{key}: {answer}");
        gateway.wait_for_log(&format!("`{key}` changed: this takes a restart"));
    }
    gateway.assert_sound();
}
