//! The command line: parses, calls the rooms, prints. One file for each command.
//!
//! Exit codes: 0 all is well, 1 problems were found (and printed), 2 the command line is wrong. Colours only on a
//! terminal and without `NO_COLOR`.

mod bench;
mod captures;
mod case_files;
mod certs;
mod check;
mod config;
mod demo;
mod live;
mod output;
mod pages;
mod probe;
mod reload;
mod replay;
mod rules;
mod run;
mod suite_backend;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::runtime::Origin;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Success,
    /// Problems were found, and printed.
    Problems,
    /// The command line is wrong.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Problems => Self::from(1),
            Exit::Usage => Self::from(2),
        }
    }
}

/// The guarded gate in front of an API: TLS in, every request shown to a ModSecurity-compatible rule engine, TLS out
/// again.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 all is well, 1 problems were found, 2 the command line is wrong.\n\
                        First steps: `portcullis demo`, then `portcullis run --config gateway.yaml`.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT; SIGHUP reloads, SIGUSR1 opens the logs again.
    Run(run::Arguments),
    /// Check a configuration, its certificates and its rules, and print every problem at once.
    Check(check::Arguments),
    /// Show the gateway at work: certificates, two backends, rules in prevention, and lines to try.
    Demo(demo::Arguments),
    /// Make certificates for a laboratory.
    Certs(certs::Arguments),
    /// About the configuration file.
    Config(config::Arguments),
    /// Have a running gateway read its configuration again.
    Reload(reload::Arguments),
    /// Run the configured probes once, and name the layer that fails.
    Probe(probe::Arguments),
    /// Work with rules.
    Rules(rules::Arguments),
    /// Run recorded requests through the rules in process; one JSON line for each.
    Replay(replay::Arguments),
    /// Measure what inspection costs on this machine: built-in scenarios, or recorded requests.
    Bench(bench::Arguments),
    /// Print a completion script for a shell.
    Completion(pages::CompletionArguments),
    /// Print the manual page, or write those of all commands to a directory.
    Man(pages::ManArguments),
    /// Print the version.
    Version(version::Arguments),
}

/// A configuration to work on.
#[derive(Debug, Args)]
struct ConfigurationArgument {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigurationArgument {
    /// The file, or what is built in.
    fn origin(&self) -> Origin {
        self.config.clone().map_or(Origin::Embedded, Origin::File)
    }
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // clap's own choice of stream and code: 0 for help and version, 2 for mistakes.
            let is_mistake = error.use_stderr();
            let printed = error.print();
            return if is_mistake || printed.is_err() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    let exit = match line.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Certs(arguments) => certs::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Rules(arguments) => rules::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Completion(arguments) => pages::completion(&arguments, CommandLine::command()),
        Command::Man(arguments) => pages::man(&arguments, CommandLine::command()),
        Command::Version(arguments) => version::run(&arguments),
    };
    exit.into()
}

/// The process's own environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
