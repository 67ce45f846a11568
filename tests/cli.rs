//! The command line from outside: exit codes, what goes to which stream, a daemon's life.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

fn portcullis(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).env_remove("PORTCULLIS_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const GOOD: &str = "listeners: [{name: a, address: '127.0.0.1:0'}]\n\
    sites: [{name: s, policy: p, routes: [{respond: {status: 200, body: hello}}]}]\n\
    policies: [{name: p, mode: off}]\nadmin: {address: '127.0.0.1:0'}\nlogs: {access: access.log, firewall: off}\n";

fn write(directory: &Path, text: &str) -> String {
    let path = directory.join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn exit_codes_tell_success_problems_and_usage_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), GOOD);
    assert_eq!(portcullis(&["check", "--config", &file]).status.code(), Some(0));
    let file = write(directory.path(), &format!("{GOOD}nope: 1\n"));
    let refused = portcullis(&["check", &file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("gateway.yaml:6:1: error: unknown key `nope`"), "{}", text(&refused.stderr));
    assert!(!text(&refused.stderr).contains('\x1b'), "no colours into a pipe");
    assert_eq!(portcullis(&["run", "--config", &file]).status.code(), Some(1));
    assert_eq!(portcullis(&["nonsense"]).status.code(), Some(2));
    assert_eq!(portcullis(&[]).status.code(), Some(2));
    assert_eq!(portcullis(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_rule_is_explained_in_words_and_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my.conf");
    let rules = "SecRule ARGS:id \"!@rx ^\\d+$\" \"id:7,phase:2,deny,msg:'no number'\"\nSecRuleRemoveById 7\n";
    std::fs::write(&path, rules).unwrap();
    let file = path.to_str().unwrap();
    let human = portcullis(&["rules", "explain", "--rules", file, "7"]);
    let shown = text(&human.stdout);
    assert!(human.status.success() && shown.starts_with("rule 7 at "), "{shown}");
    assert!(shown.contains("Answers with status 403.") && shown.contains("SecRuleRemoveById 7"), "{shown}");
    let json = portcullis(&["rules", "explain", "--format", "json", "--rules", file, "7"]);
    let found: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&found["id"], &found["line"], &found["phase"]), (&7.into(), &1.into(), &2.into()));
    assert_eq!(found["links"][0]["is_negated"], true);
    let missing = portcullis(&["rules", "explain", "--rules", file, "7", "8"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("no rule of this rule set has the id 8"), "{}", text(&missing.stderr));
}

#[test]
fn check_reports_for_programs_too() {
    let directory = tempfile::tempdir().unwrap();
    let tls = GOOD.replace("0'}]", "0', tls: {certificates: [{certificate: a.pem, key: a.key}]}}]");
    std::fs::write(directory.path().join("a.pem"), "no certificate").unwrap();
    std::fs::write(directory.path().join("a.key"), "no key").unwrap();
    let file = write(directory.path(), &tls);
    let output = portcullis(&["check", "--config", &file, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    // A certificate that cannot be used is found when TLS is built, and still has its place in the file.
    let problems = report["problems"].as_array().unwrap();
    let is_placed = |problem: &serde_json::Value| problem["severity"] == "error" && problem["line"] == 1;
    assert_eq!(problems.iter().filter(|problem| is_placed(problem)).count(), 2, "{report:#}");
}

#[test]
fn pages_are_printed() {
    let version: serde_json::Value =
        serde_json::from_slice(&portcullis(&["version", "--format", "json"]).stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(text(&portcullis(&["completion", "bash"]).stdout).contains("_portcullis"));
    assert!(text(&portcullis(&["man"]).stdout).contains(".TH portcullis"));
    let schema: serde_json::Value = serde_json::from_slice(&portcullis(&["config", "schema"]).stdout).unwrap();
    assert!(schema["properties"]["listeners"].is_object());
}

#[test]
fn certificates_are_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("certs");
    let place = place.to_str().unwrap();
    assert_eq!(portcullis(&["certs", "init", "--directory", place]).status.code(), Some(0));
    for name in ["ca.pem", "edge.pem", "edge.key", "backend.pem", "client.pem", "client.key"] {
        assert!(Path::new(place).join(name).exists(), "{name}");
    }
    let again = portcullis(&["certs", "init", "--directory", place]);
    assert_eq!(again.status.code(), Some(1), "files are never overwritten");
}

/// Every example is valid, with certificates in place of those it names.
#[test]
fn examples_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    assert_eq!(portcullis(&["certs", "init", "--directory", place]).status.code(), Some(0));
    let shared = std::env::var_os("PORTCULLIS_SHARED").map_or_else(|| root.join("../shared"), Into::into);
    let rule_set = shared.join("crs");
    let mut seen = 0;
    for entry in std::fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        if std::fs::read_to_string(&path).unwrap().contains("${CRS:-") && !rule_set.exists() {
            eprintln!("SKIPPED {}: no rule set in {}", path.display(), rule_set.display());
            continue;
        }
        seen += 1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("check").arg(&path).env("CERTS", place).env("LAB", place).env("CRS", rule_set.as_os_str());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}:\n{}", path.display(), text(&output.stderr));
    }
    assert!(seen >= 4, "{seen}");
}

/// A daemon that is killed when the test ends, however it ends.
struct Daemon {
    process: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Daemon {
    fn start(arguments: &[&str]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let reader = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, lines }
    }

    /// The first line that contains `wanted`, within a deadline.
    fn wait_for(&self, wanted: &str) -> String {
        let end = SystemTime::now() + Duration::from_secs(30);
        let mut seen = String::new();
        while let Ok(left) = end.duration_since(SystemTime::now()) {
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(wanted) => return line,
                Ok(line) => seen.push_str(&format!("{line}\n")),
                Err(_) => break,
            }
        }
        panic!("no `{wanted}` in:\n{seen}");
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn request(address: &str, method: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_demo_opens_its_logs_again_and_takes_its_keys_along() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("demo");
    let ports = ["--port", "0", "--admin-port", "0", "--backend-port", "0"];
    let mut demo = Daemon::start(&[&["demo", "--directory", place.to_str().unwrap()], &ports[..]].concat());
    demo.wait_for("is healthy");
    demo.wait_for("is healthy");
    std::fs::rename(place.join("firewall.log"), place.join("firewall.log.1")).unwrap();
    demo.signal("-USR1");
    demo.wait_for("opened again");
    assert!(place.join("firewall.log").exists());
    demo.signal("-HUP");
    assert!(demo.process.wait().unwrap().success());
    assert!(place.join("edge.key").exists(), "a directory that was named stays");

    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let mut demo = Daemon::of(command.arg("demo").args(ports).env("TMPDIR", directory.path()));
    demo.wait_for("is healthy");
    let made = || std::fs::read_dir(directory.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path() != place);
    assert_eq!(made().count(), 1);
    // As when its terminal is closed.
    demo.signal("-HUP");
    assert!(demo.process.wait().unwrap().success());
    assert_eq!(made().count(), 0, "the temporary directory went with it");
}

#[test]
fn a_daemon_serves_reloads_refuses_rotates_and_drains() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), GOOD);
    let mut daemon = Daemon::start(&["run", "--config", &file]);
    let listener = daemon.wait_for("listener a on ");
    let address = listener.rsplit(' ').next().unwrap().to_owned();
    let admin = daemon.wait_for("admin on http://");
    let admin = admin.rsplit('/').next().unwrap().to_owned();
    assert!(request(&admin, "GET", "/readyz").contains("ready"));
    assert!(request(&address, "GET", "/").ends_with("hello"));

    // A good reload keeps the socket and changes the answer.
    write(directory.path(), &GOOD.replace("hello", "changed"));
    let reload = portcullis(&["reload", "--admin", &admin]);
    assert_eq!(reload.status.code(), Some(0), "{}", text(&reload.stderr));
    assert!(text(&reload.stdout).contains("site `s` changed"), "{}", text(&reload.stdout));
    assert!(request(&address, "GET", "/").ends_with("changed"));

    // A bad one says why and changes nothing, by command and by signal.
    write(directory.path(), "listeners: []\nnope: 1\n");
    let refused = portcullis(&["reload", "--admin", &admin]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("unknown key `nope`"), "{}", text(&refused.stderr));
    daemon.wait_for("refused");
    daemon.signal("-HUP");
    daemon.wait_for("refused");
    assert!(request(&address, "GET", "/").ends_with("changed"));
    let metrics = request(&admin, "GET", "/metrics");
    for wanted in [
        "portcullis_config_reloads_total{result=\"success\"} 1",
        "portcullis_config_reloads_total{result=\"failure\"} 2",
        "portcullis_config_last_reload_successful 0",
        "portcullis_http_requests_total{listener=\"a\",site=\"s\",route=\"/\",code=\"200\",action=\"respond\"} 3",
    ] {
        assert!(metrics.contains(wanted), "{wanted}\n{metrics}");
    }

    // Rotation: the log goes on under its name.
    let log = directory.path().join("access.log");
    std::fs::rename(&log, directory.path().join("access.log.1")).unwrap();
    daemon.signal("-USR1");
    daemon.wait_for("opened again");
    request(&address, "GET", "/after");
    daemon.signal("-TERM");
    daemon.wait_for("stopped");
    assert!(daemon.process.wait().unwrap().success());
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.contains("\"target\":\"/after\""), "{lines}");
    assert_eq!(std::fs::read_to_string(directory.path().join("access.log.1")).unwrap().lines().count(), 3);
}

#[test]
fn check_tells_certificates_and_everything_else_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let tls = GOOD.replace("0'}]", "0', tls: {certificates: [{certificate: a.pem, key: a.key}]}}]");
    let pools = "pools: [{name: b, backends: ['127.0.0.1:1'], tls: {roots: absent.pem}}]\n";
    let file = write(directory.path(), &format!("{tls}{pools}nope: 1\n"));
    let output = portcullis(&["check", &file]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    for part in ["unknown key `nope`", "a.pem", "a.key", "absent.pem"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Each once, although both reading the file and trying the certificates find them.
    assert_eq!(told.matches("cannot read").count(), 3, "{told}");
}

#[test]
fn the_configuration_in_force_can_be_shown_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    // Reading the file asks only whether they are there.
    std::fs::write(directory.path().join("a.pem"), "").unwrap();
    std::fs::write(directory.path().join("a.key"), "").unwrap();
    let file = write(
        directory.path(),
        "listeners: [{name: a, address: '127.0.0.1:0', tls: {certificates: [{certificate: a.pem, key: '${KEY_FILE}'}]}}]\n\
         sites: [{name: s, policy: p, routes: [\n\
           {path: /r, redirect: 'https://${host}/'}, {path: /s, respond: {status: 200, body: '${API_TOKEN} ${GREETING}'}}, {pool: b}]}]\n\
         pools: [{name: b, backends: ['[::1]:8443'], tls: {}, probe: {status: ['200-299', 404]}, ejection: {}}]\n\
         policies: [{name: p, mode: off}]\nadmin: {address: '127.0.0.1:0'}\n",
    );
    let show = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["config", "show", "--config", file]).env_remove("PORTCULLIS_CONFIG");
        command.env("API_TOKEN", "s3cret-value").env("GREETING", "hello: \"you\"").env("KEY_FILE", "a.key");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let shown = show(&file);
    assert!(!shown.contains("s3cret"), "{shown}");
    for part in [
        "body: \"*** hello: \\\"you\\\"\"",
        "location: \"https://$${host}/\"",
        "key: \"",
        "head: 15s",
        "status: [\"200-299\", \"404\"]",
        "maximum_percent: ",
        "address: \"[::1]:8443\"",
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    // What is shown means the same.
    let again = directory.path().join("again.yaml");
    std::fs::write(&again, &shown).unwrap();
    assert_eq!(show(again.to_str().unwrap()), shown);
}

#[test]
fn bench_says_which_recorded_requests_no_rule_got_to_see() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let rules = "SecRuleEngine On\nSecRule ARGS:q \"@contains evil\" \"id:1,phase:1,deny,status:403\"\n";
    std::fs::write(path("own.conf"), rules).unwrap();
    std::fs::create_dir(path("captured")).unwrap();
    std::fs::write(path("captured/good.http"), "GET /?q=1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::fs::write(path("captured/evil.http"), "GET /?q=evil HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::fs::write(path("captured/nameless.http"), "GET / HTTP/1.1\r\n\r\n").unwrap();
    let bench = |rest: &[&str]| portcullis(&[&["bench", "--rules", &path("own.conf"), "--rounds", "1"], rest].concat());
    let output = bench(&[&path("captured"), "--profile"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for part in ["2 requests", "1 blocked, 1 refused", "400  nameless.http", "rule 1 (line 2)", "phase 1"] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    let output = bench(&[&path("captured"), "--format", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["refusals"][0]["name"], "nameless.http", "{told}");
    let output = bench(&[&path("captured/nameless.http")]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("no request that rules get to see") && told.contains("400"), "{told}");
    let output = portcullis(&["bench", "--crs", &path("captured"), &path("captured")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("has no directory `rules`"), "{}", text(&output.stderr));
}
