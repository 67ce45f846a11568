//! What the demo writes and prints.

use std::net::SocketAddr;
use std::path::Path;

use super::BACKEND_NAME;
use super::backend::PAUSE;
use crate::cli::output::Colours;

/// The configuration, as a user would write it; it stays in the directory to be read.
pub(super) fn configuration(port: u16, admin_port: u16, backends: [u16; 2]) -> String {
    let [first, second] = backends;
    format!(
        "# The configuration of `portcullis demo`.
listeners:
  - name: demo
    address: 127.0.0.1:{port}
    tls:
      certificates:
        - {{ certificate: edge.pem, key: edge.key }}

sites:
  - name: demo
    policy: prevention
    routes:
      - path: /
        pool: backends

pools:
  - name: backends
    backends: [\"127.0.0.1:{first}\", \"127.0.0.1:{second}\"]
    tls:
      roots: ca.pem
      server_name: {BACKEND_NAME}
      client_certificate: {{ certificate: client.pem, key: client.key }}
    probe:
      path: /healthz
      interval: 1s
      timeout: 1s
      healthy_threshold: 1
      unhealthy_threshold: 2
      status: [200]

policies:
  - name: prevention
    mode: prevention
    rules: [builtin]

admin:
  address: 127.0.0.1:{admin_port}

logs:
  access: access.log
  firewall: firewall.log
"
    )
}

/// The lines to try. What begins with `curl` or `tail` is to be copied as it stands.
pub(super) fn lines(directory: &Path, port: u16, admin: SocketAddr, backend: u16, colours: Colours) -> String {
    let Colours { bold, off, .. } = colours;
    let file = |name: &str| quoted(&directory.join(name));
    let (ca, client, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let seconds = PAUSE.as_secs();
    let url = format!("https://localhost:{port}");
    format!(
        "\n{bold}portcullis demo{off}: {url}, two HTTPS backends behind it that demand a client certificate,\n\
         built-in rules in prevention. Everything is in {}. Ctrl-C ends it.\n\n\
         {bold}A good request{off}; `backend` says who answered:\n\
         \n    curl --cacert {ca} '{url}/hello?name=world'\n\n\
         {bold}An SQL injection{off}; answered with 403 and a request id:\n\
         \n    curl -i --cacert {ca} -G --data-urlencode \"id=1' UNION SELECT password FROM users--\" {url}/products\n\n\
         {bold}Why it was blocked{off}: one line for the request, with every match in it:\n\
         \n    tail -n 1 {}\n\n\
         {bold}Kill a backend{off} for {seconds} seconds (asked directly, with the client certificate); the probe takes \
         it out, and\n\
         requests go on at the other one:\n\
         \n    curl --cacert {ca} --cert {client} --key {key} -X POST https://localhost:{backend}/stop\n\
         \n    curl --cacert {ca} '{url}/hello?after=stop'\n\n\
         {bold}What the probes say{off}, and the metrics:\n\
         \n    curl http://{admin}/backends\n\
         \n    curl http://{admin}/metrics\n\n",
        directory.display(),
        file("firewall.log"),
    )
}

/// Fit for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_'));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_fit_for_a_shell() {
        assert_eq!(quoted(Path::new("/tmp/a-b_c.pem")), "/tmp/a-b_c.pem");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
    }
}
