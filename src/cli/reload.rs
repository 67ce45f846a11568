//! `portcullis reload`: through the admin listener, which answers with what changed or what is wrong; or through the
//! file with the process id, which cannot answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::output::{self, Colours};
use super::{ConfigurationArgument, Exit, variable};
use crate::config::defaults;
use crate::runtime::system;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationArgument,
    /// Address of the admin listener, when it is not the one of the configuration (or the default).
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    admin: Option<SocketAddr>,
    /// Send SIGHUP to the process of this file instead; the outcome is in its log.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "admin"])]
    pid_file: Option<PathBuf>,
}

/// Compiling large rule sets takes a moment, and a queue of reloads another.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(arguments: &Arguments) -> Exit {
    let outcome = match &arguments.pid_file {
        Some(path) => by_process_id(path),
        None => address(arguments).and_then(by_admin),
    };
    match outcome {
        Ok((text, true)) => {
            output::print(&text);
            Exit::Success
        }
        Ok((text, false)) => {
            let colours = Colours::stderr();
            let note = "refused, the running configuration stays";
            output::print_error(&format!("{text}{}{note}{}\n", colours.red, colours.off));
            Exit::Problems
        }
        Err(message) => {
            output::print_error(&format!("{message}\n"));
            Exit::Problems
        }
    }
}

fn address(arguments: &Arguments) -> Result<SocketAddr, String> {
    if let Some(address) = arguments.admin {
        return Ok(address);
    }
    let Some(path) = &arguments.configuration.config else {
        return defaults::ADMIN_ADDRESS.parse().map_err(|_| "no admin address".to_owned());
    };
    // The file may be wrong: the gateway is asked all the same, at the default address, and says what is wrong.
    match crate::config::load(path, &variable, &crate::runtime::no_rules()) {
        Ok(loaded) => loaded
            .configuration
            .admin
            .ok_or_else(|| format!("{}: the admin listener is off; use --pid-file or send SIGHUP", path.display())),
        Err(problems) => Err(output::human(&problems, Colours::stderr())),
    }
}

/// Plain HTTP/1.0 by hand: one request, answered and closed.
fn by_admin(address: SocketAddr) -> Result<(String, bool), String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "POST /reload HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| {
        format!("no gateway answers on {address}: {error}\nhelp: name it with --admin or --config, or use --pid-file")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok((body.to_owned(), true)),
        "422" => Ok((body.to_owned(), false)),
        _ => Err(format!("{address} is not the admin listener of a gateway that can reload: {}", head.trim_end())),
    }
}

fn by_process_id(path: &Path) -> Result<(String, bool), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let process: i32 = text.trim().parse().map_err(|_| format!("{} holds no process id", path.display()))?;
    system::send_hangup(process).map_err(|error| format!("cannot signal process {process}: {error}"))?;
    Ok((format!("process {process} was told to reload; its log has the outcome\n"), true))
}
