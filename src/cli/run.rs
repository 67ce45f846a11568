//! `portcullis run`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::{self, Colours};
use super::{ConfigurationArgument, Exit};
use crate::runtime::{self, DaemonOptions, Origin, RunError, StartError};
use crate::telemetry::log;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationArgument,
    /// Write the process id to this file while running.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// How much of its own doing the gateway tells.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "PORTCULLIS_LOG_LEVEL")]
    log_level: LogLevel,
    /// How it tells it.
    #[arg(long, value_name = "FORMAT", default_value = "human", env = "PORTCULLIS_LOG_FORMAT")]
    log_format: super::Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warning,
    Info,
    Debug,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let level = match arguments.log_level {
        LogLevel::Error => log::Level::Error,
        LogLevel::Warning => log::Level::Warning,
        LogLevel::Info => log::Level::Info,
        LogLevel::Debug => log::Level::Debug,
    };
    let format = match arguments.log_format {
        super::Format::Human => log::Format::Human,
        super::Format::Json => log::Format::Json,
    };
    log::configure(level, format);
    let origin = arguments.configuration.origin();
    if matches!(origin, Origin::Embedded) {
        log::info("start", format_args!("no --config: running the built-in configuration"));
    }
    let options = DaemonOptions { origin, pid_file: arguments.pid_file.clone() };
    match runtime::run(&options) {
        Ok(()) => Exit::Success,
        Err(RunError::Configuration(problems) | RunError::Start(StartError::Configuration(problems))) => {
            output::print_error(&output::human(&problems, Colours::stderr()));
            Exit::Problems
        }
        Err(error) => {
            log::error("start", format_args!("{error}"));
            Exit::Problems
        }
    }
}
