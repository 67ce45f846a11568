//! `portcullis version`

use clap::Args;
use serde_json::json;

use super::{Exit, Format, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How it is printed.
    #[arg(long, default_value = "human")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    match arguments.format {
        Format::Human => output::print(&format!("portcullis {version}\n")),
        Format::Json => {
            let value = json!({
                "name": "portcullis",
                "version": version,
                "architecture": std::env::consts::ARCH,
                "system": std::env::consts::OS,
                "debug": cfg!(debug_assertions),
            });
            output::print(&format!("{value}\n"));
        }
    }
    Exit::Success
}
