//! `portcullis config`

use clap::{Args, Subcommand};

use super::output::{self, Colours};
use super::{ConfigurationArgument, Exit, variable};
use crate::config::{self, show::is_secret};
use crate::runtime;

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
    /// Print the configuration as it is in force: with every default, and with `***` for what comes from a secret of
    /// the environment (variables with SECRET, PASSWORD, TOKEN and the like in their names).
    Show(ConfigurationArgument),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Show(argument) => return show(argument),
        Command::Schema => output::print(&config::json_schema()),
        Command::Defaults => {
            for row in config::defaults::all() {
                output::print(&format!("{:46} {:24} {}\n", row.key, row.value, row.reason));
            }
        }
    }
    Exit::Success
}

fn show(argument: &ConfigurationArgument) -> Exit {
    let masked = |name: &str| {
        let value = variable(name)?;
        Some(if is_secret(name) { config::show::MASK.to_owned() } else { value })
    };
    match argument.origin().load(&masked, &runtime::no_rules()) {
        Ok(loaded) => {
            output::print(&config::show::show(&loaded.configuration));
            Exit::Success
        }
        Err(problems) => {
            output::print_error(&output::human(&problems, Colours::stderr()));
            Exit::Problems
        }
    }
}
