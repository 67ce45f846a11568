//! `portcullis check`

use std::path::PathBuf;

use clap::Args;

use super::output::{self, Colours};
use super::{ConfigurationArgument, Exit, Format, variable};
use crate::runtime::{self, Origin};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationArgument,
    /// The same as --config.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// How problems are printed.
    #[arg(long, default_value = "human")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let origin = arguments.file.clone().map_or_else(|| arguments.configuration.origin(), Origin::File);
    let surveyed = origin.survey(&variable);
    let (problems, is_fine) = match surveyed.and_then(|(loaded, problems)| runtime::check(loaded, problems)) {
        Ok(warnings) => (warnings, true),
        Err(problems) => (problems, false),
    };
    match arguments.format {
        Format::Json => output::print(&output::json(&problems)),
        Format::Human => {
            output::print_error(&output::human(&problems, Colours::stderr()));
            if is_fine {
                let colours = Colours::stdout();
                let name = match &origin {
                    Origin::File(path) => path.display().to_string(),
                    Origin::Embedded => "the built-in configuration".into(),
                };
                output::print(&format!("{name}: {}ok{}\n", colours.green, colours.off));
            }
        }
    }
    if is_fine { Exit::Success } else { Exit::Problems }
}
