//! `portcullis probe`: the configured probes, once, from this machine.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::output::{self, Colours};
use super::{ConfigurationArgument, Exit, Format, variable};
use crate::diagnostics::Diagnostics;
use crate::upstream::Upstreams;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationArgument,
    /// How it is printed.
    #[arg(long, default_value = "human")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let upstreams = match prepare(arguments) {
        Ok(upstreams) => upstreams,
        Err(problems) => {
            output::print_error(&output::human(&problems, Colours::stderr()));
            return Exit::Problems;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::print_error(&format!("cannot start the runtime: {error}\n"));
            return Exit::Problems;
        }
    };
    runtime.block_on(Arc::clone(&upstreams).run_probes(until_probed(Arc::clone(&upstreams)), |_| {}));
    report(&upstreams, arguments.format)
}

fn prepare(arguments: &Arguments) -> Result<Arc<Upstreams>, Diagnostics> {
    let loaded = arguments.configuration.origin().load(&variable, &crate::runtime::no_rules())?;
    Upstreams::build(&loaded.configuration, None).map_err(|problems| loaded.places.locate(problems))
}

/// Every probe has its own deadline; this waits until each has reported.
async fn until_probed(upstreams: Arc<Upstreams>) {
    let is_done = || {
        let probed = upstreams.pools().iter().filter(|pool| pool.settings().probe.is_some());
        probed.flat_map(|pool| pool.backends()).all(|backend| backend.last_probe().is_some())
    };
    while !is_done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn report(upstreams: &Upstreams, format: Format) -> Exit {
    let colours = Colours::stdout();
    let mut is_fine = true;
    let mut lines = Vec::new();
    let mut text = String::new();
    for pool in upstreams.pools() {
        let name = &pool.settings().name;
        for backend in pool.backends() {
            let report = backend.last_probe();
            let (word, colour, layer, message) = match report.as_deref().map(|report| &report.outcome) {
                None => ("no probe", colours.yellow, None, "the pool has no probe".to_owned()),
                Some(Ok(status)) => ("ok", colours.green, None, format!("status {status}")),
                Some(Err(failure)) => ("failed", colours.red, Some(failure.layer()), failure.to_string()),
            };
            is_fine &= layer.is_none();
            let took = report.as_ref().map(|report| report.took.as_millis());
            let time = took.map_or_else(String::new, |took| format!(" ({took} ms)"));
            text.push_str(&format!("{colour}{word:8}{} {name} {}: {message}{time}\n", colours.off, backend.name()));
            lines.push(json!({
                "pool": name, "backend": backend.name(), "ok": layer.is_none(), "failed_layer": layer,
                "message": message, "milliseconds": took,
            }));
        }
    }
    match format {
        Format::Human => output::print(&text),
        Format::Json => output::print(&(serde_json::to_string_pretty(&lines).unwrap_or_default() + "\n")),
    }
    if is_fine { Exit::Success } else { Exit::Problems }
}
