//! `portcullis demo`

use clap::Args;

use super::{Exit, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> Exit {
    output::print_error("the demo is not built yet\n");
    Exit::Usage
}
