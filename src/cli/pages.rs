//! `portcullis completion`, `portcullis man`

use std::io;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{Exit, output};

#[derive(Debug, Args)]
pub(super) struct CompletionArguments {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Write one page for each command here, in place of printing the main one.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn completion(arguments: &CompletionArguments, mut command: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "portcullis", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Exit::Success
}

pub(super) fn man(arguments: &ManArguments, command: clap::Command) -> Exit {
    let written = match &arguments.directory {
        Some(directory) => {
            std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory))
        }
        None => page(command),
    };
    match written {
        Ok(()) => Exit::Success,
        Err(error) => {
            output::print_error(&format!("cannot write the manual: {error}\n"));
            Exit::Problems
        }
    }
}

fn page(command: clap::Command) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::print(&String::from_utf8_lossy(&page));
    Ok(())
}
