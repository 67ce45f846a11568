//! The daemon's own messages: what a person reads on a terminal, or one JSON object per line for a machine.
//!
//! Written to standard error at once. Nothing on the path of a request writes here per request; a state that changes
//! (a backend's health, a reload, a log that cannot be written) does, once per change.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::json::{JsonLine, push_time};
use crate::runtime::clock;

/// How loud a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something works, but not as it should.
    Warning,
    /// Something changed.
    Info,
    /// For whoever looks for a fault.
    Debug,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `06:40:00 warning upstream: …`, coloured on a terminal unless `NO_COLOR` is set.
    Human,
    /// `{"time":…,"level":…,"component":…,"message":…}`
    Json,
}

/// Bit 7: JSON. Bit 6: colour. The rest: level.
static SETTINGS: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Chooses level and format for the process; called once, at the start.
pub fn configure(level: Level, format: Format) {
    let is_coloured =
        format == Format::Human && std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let settings = level as u8 | u8::from(format == Format::Json) << 7 | u8::from(is_coloured) << 6;
    SETTINGS.store(settings, Ordering::Relaxed);
}

/// Something does not work.
pub fn error(component: &str, message: fmt::Arguments<'_>) {
    write(Level::Error, component, message);
}

/// Something works, but not as it should.
pub fn warning(component: &str, message: fmt::Arguments<'_>) {
    write(Level::Warning, component, message);
}

/// Something changed.
pub fn info(component: &str, message: fmt::Arguments<'_>) {
    write(Level::Info, component, message);
}

/// For whoever looks for a fault.
pub fn debug(component: &str, message: fmt::Arguments<'_>) {
    write(Level::Debug, component, message);
}

fn write(level: Level, component: &str, message: fmt::Arguments<'_>) {
    let settings = SETTINGS.load(Ordering::Relaxed);
    if level as u8 > settings & 0x3f {
        return;
    }
    let now = clock::unix_now();
    let line = format_line(level, component, &message.to_string(), now, settings & 0x80 != 0, settings & 0x40 != 0);
    // Nowhere to complain when standard error is gone.
    let _gone = std::io::stderr().lock().write_all(&line);
}

fn format_line(
    level: Level,
    component: &str,
    message: &str,
    now: Duration,
    is_json: bool,
    is_coloured: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    if is_json {
        let mut line = JsonLine::new(&mut out);
        line.time("time", now);
        line.bytes("level", level.name().as_bytes());
        line.bytes("component", component.as_bytes());
        line.bytes("message", message.as_bytes());
        line.finish();
        return out;
    }
    let mut time = Vec::new();
    push_time(&mut time, now);
    // The time of day in whole seconds.
    out.extend_from_slice(time.get(11..19).unwrap_or_default());
    let (start, end) = match (is_coloured, level) {
        (false, _) => ("", ""),
        (true, Level::Error) => ("\x1b[31m", "\x1b[0m"),
        (true, Level::Warning) => ("\x1b[33m", "\x1b[0m"),
        (true, Level::Info) => ("\x1b[32m", "\x1b[0m"),
        (true, Level::Debug) => ("\x1b[2m", "\x1b[0m"),
    };
    out.extend_from_slice(format!(" {start}{:7}{end} {component}: ", level.name()).as_bytes());
    // A message may tell what a peer sent: no escape sequence of its may reach the terminal.
    for character in message.chars() {
        match character {
            '\n' => out.extend_from_slice(b"\n         "),
            c if c.is_control() => out.extend_from_slice(c.escape_default().to_string().as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_and_one_for_machines() {
        let now = Duration::from_secs(1_795_500_000);
        let human = format_line(Level::Warning, "upstream", "a\nb\x1b[2J", now, false, false);
        assert_eq!(String::from_utf8(human).unwrap(), "06:00:00 warning upstream: a\n         b\\u{1b}[2J\n");
        let json = format_line(Level::Info, "reload", "a\nb", now, true, false);
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["message"], "a\nb");
        assert_eq!(value["time"], "2026-11-24T06:00:00.000000Z");
    }
}
