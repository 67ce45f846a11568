//! `portcullis config`

use clap::{Args, Subcommand};

use super::{Exit, output};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Print every default with its reason.
    Defaults,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match arguments.command {
        Command::Schema => output::print(&config::json_schema()),
        Command::Defaults => {
            for row in config::defaults::all() {
                output::print(&format!("{:46} {:24} {}\n", row.key, row.value, row.reason));
            }
        }
    }
    Exit::Success
}
