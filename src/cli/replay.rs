//! `portcullis replay`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files with raw HTTP requests, directories of them, or `.tar.gz` archives.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    output::print_error(&format!("replay of {} paths is not built yet\n", arguments.paths.len()));
    Exit::Usage
}
