//! `portcullis certs`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Exit;
use super::output;
use crate::certificate::authority::{AUTHORITY_DAYS, Authority, AuthorityError, Validity};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an authority, a server certificate for the gateway, one for backends, and a client certificate.
    Init(InitArguments),
}

#[derive(Debug, Args)]
struct InitArguments {
    /// Where to; made if need be. Existing files are never overwritten.
    #[arg(long, value_name = "DIRECTORY", default_value = "certs")]
    directory: PathBuf,
    /// Names and addresses of the gateway.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "localhost,127.0.0.1,::1")]
    server: Vec<String>,
    /// Names and addresses of the backends.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "backend.test,localhost,127.0.0.1")]
    backend: Vec<String>,
    /// Name in the client certificate that the gateway shows to the backends.
    #[arg(long, value_name = "NAME", default_value = "portcullis")]
    client: String,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Command::Init(arguments) = &arguments.command;
    match init(arguments) {
        Ok(()) => Exit::Success,
        Err(error) => {
            output::print_error(&format!("{error}\n"));
            Exit::Problems
        }
    }
}

fn init(arguments: &InitArguments) -> Result<(), AuthorityError> {
    let directory: &Path = &arguments.directory;
    std::fs::create_dir_all(directory)
        .map_err(|source| AuthorityError::Write { path: directory.to_owned(), source })?;
    let authority = Authority::new("portcullis laboratory CA", Validity::days(AUTHORITY_DAYS))?;
    let names = |list: &[String]| list.iter().map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    let server = names(&arguments.server);
    let backend = names(&arguments.backend);
    let borrowed = |list: &[String]| -> Vec<String> { list.to_vec() };
    let issue = |list: Vec<String>| authority.server(&list.iter().map(String::as_str).collect::<Vec<_>>());
    authority.as_issued().write(directory, "ca")?;
    issue(borrowed(&server))?.write(directory, "edge")?;
    issue(borrowed(&backend))?.write(directory, "backend")?;
    authority.client(&arguments.client)?.write(directory, "client")?;
    output::print(&format!(
        "{0}/ca.pem, ca.key            the authority: give ca.pem to whoever must trust it, ca.key to nobody\n\
         {0}/edge.pem, edge.key        for the gateway: {1}\n\
         {0}/backend.pem, backend.key  for backends: {2}\n\
         {0}/client.pem, client.key    shown to backends by the gateway: {3}\n",
        directory.display(),
        server.join(", "),
        backend.join(", "),
        arguments.client,
    ));
    Ok(())
}
