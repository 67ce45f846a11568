//! `portcullis rules`

use clap::{Args, Subcommand};

use super::{Exit, output};
use crate::config::BUILTIN;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the built-in rules, to read them or to start one's own from.
    Builtin,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match arguments.command {
        Command::Builtin => {
            for (name, text) in BUILTIN.iter().filter(|(name, _)| name.ends_with(".conf")) {
                output::print(&format!("# {name}\n{}\n", String::from_utf8_lossy(text)));
            }
        }
    }
    Exit::Success
}
