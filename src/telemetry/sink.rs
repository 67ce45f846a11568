//! Where the lines of a log go: a file, or the process's own output.
//!
//! Of a file only the end stays in the kernel's memory ([`CACHED_BYTES`]); what is older is on the disk. A flood of blocked
//! requests writes hundreds of megabytes of lines a second. Kept in memory as long as there is any, they would push out what
//! the machine's other programs read, and each line would go to memory that nobody has used before: on a virtual machine
//! whose host has to provide it first, a blocked request then took 23 µs instead of 14 (two cores of an AMD EPYC, after
//! sixteen seconds of 300 MB each).

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::path::PathBuf;

use super::log;
use crate::config::model::LogSink;

/// While there is much to write, a file is written up to the next border of so many bytes and the rest is kept for the next
/// time: the kernel then takes 0.69 µs for 4 kB and not 0.87 (ext4, kernel 6.18, two cores of an AMD EPYC, 29 November
/// 2026), because its pages come in large pieces and none is begun by one write and ended by the next.
const BLOCK_BYTES: u64 = 64 * 1024;

/// So much of a file's end may stay in the kernel's memory, for whoever reads it as it grows.
const CACHED_BYTES: u64 = 32 * 1024 * 1024;

/// Whenever a file has grown by so much, the kernel is told what is not needed.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;

/// Each piece so often: the first time sends it to the disk, and it stays in memory until it is there.
const TIMES: u64 = 4;

/// An open target, and whether its last write failed (one message per streak).
#[derive(Debug)]
pub(super) struct Sink {
    output: Output,
    is_failing: bool,
}

#[derive(Debug)]
enum Output {
    Off,
    Stdout,
    Stderr,
    File(PathBuf, File),
}

impl Sink {
    fn open(target: &LogSink) -> io::Result<Self> {
        let output = match target {
            LogSink::Off => Output::Off,
            LogSink::Stdout => Output::Stdout,
            LogSink::Stderr => Output::Stderr,
            LogSink::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot open the log {}: {error}", path.display()))
                })?;
                Output::File(path.clone(), file)
            }
        };
        Ok(Self { output, is_failing: false })
    }

    /// Writes what was left and what is new, of that perhaps only so much that a file ends at a border; says how much.
    pub(super) fn write(&mut self, left: &[u8], new: &[u8], may_leave_rest: bool) -> io::Result<usize> {
        if left.is_empty() && new.is_empty() {
            return Ok(0);
        }
        let mut taken = new;
        let result = match &mut self.output {
            Output::Off => Ok(()),
            Output::Stdout => {
                let mut out = io::stdout().lock();
                write_both(&mut out, left, new).and_then(|()| out.flush())
            }
            Output::Stderr => write_both(&mut io::stderr().lock(), left, new),
            Output::File(_, file) => {
                let begin = file.metadata().map_or(0, |metadata| metadata.len());
                if may_leave_rest && let Some(whole) = up_to_border(begin, left, new) {
                    taken = whole;
                }
                let result = write_both(file, left, taken);
                if let Some(stale) = stale(begin, begin + (left.len() + taken.len()) as u64) {
                    forget(file, &stale);
                }
                result
            }
        };
        match &result {
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                let name = match &self.output {
                    Output::File(path, _) => path.display().to_string(),
                    _ => "standard output".into(),
                };
                log::error(
                    "log",
                    format_args!("cannot write to {name}: {error}; lines are dropped until it works again"),
                );
            }
            Ok(()) => self.is_failing = false,
            Err(_) => {}
        }
        result.map(|()| taken.len())
    }
}

/// So much of `new` that the file, of `begin` bytes, ends at a border when `left` and it are written; `None` where there is
/// none in it.
fn up_to_border<'a>(begin: u64, left: &[u8], new: &'a [u8]) -> Option<&'a [u8]> {
    let end = begin + left.len() as u64 + new.len() as u64;
    let beyond = usize::try_from(end % BLOCK_BYTES).ok()?;
    new.get(..new.len().checked_sub(beyond)?)
}

/// What of a file need not stay in memory, if that is to be said now that it has grown.
fn stale(begin: u64, end: u64) -> Option<Range<u64>> {
    let end_of_stale = end.checked_sub(CACHED_BYTES)?;
    let is_due = begin / PIECE_BYTES != end / PIECE_BYTES;
    // As much as was written at once besides.
    let first = end_of_stale.saturating_sub(TIMES * PIECE_BYTES + (end - begin));
    (is_due && first < end_of_stale).then_some(first..end_of_stale)
}

/// Tells the kernel that it need not keep this part of the file in memory. What is not on the disk yet it begins to write.
#[cfg(target_os = "linux")]
fn forget(file: &File, part: &Range<u64>) {
    let length = std::num::NonZeroU64::new(part.end - part.start);
    // A file system that does not know this keeps it, as it would without.
    let _unknown = rustix::fs::fadvise(file, part.start, length, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File, _: &Range<u64>) {}

/// Writes all of both, with one call where the writer takes them.
fn write_both(out: &mut impl Write, first: &[u8], second: &[u8]) -> io::Result<()> {
    let mut slices = &mut [IoSlice::new(first), IoSlice::new(second)][..];
    // Without empty ones in front, which would look like a writer that takes nothing.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match out.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens all or none.
pub(super) fn open_all(targets: &[LogSink; 3]) -> io::Result<[Sink; 3]> {
    let [access, firewall, messages] = targets;
    Ok([Sink::open(access)?, Sink::open(firewall)?, Sink::open(messages)?])
}

/// Were all opened? One that cannot be keeps its old handle: better a renamed log than none.
pub(super) fn reopen(targets: &[LogSink; 3], sinks: &mut [Sink; 3]) -> bool {
    let mut are_all_open = true;
    for (target, sink) in targets.iter().zip(sinks) {
        match Sink::open(target) {
            Ok(opened) => *sink = opened,
            Err(error) => {
                are_all_open = false;
                log::error("log", format_args!("{error}; the old file stays open"));
            }
        }
    }
    are_all_open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_says_how_much_it_has_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let length = || std::fs::metadata(&path).unwrap().len();
        let mut sink = Sink::open(&LogSink::File(path.clone())).unwrap();
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        assert_eq!(sink.write(b"", b"", true).unwrap(), 0);
        // The file is at a border.
        assert_eq!(sink.write(b"", b"abc", true).unwrap(), 0);
        assert_eq!(length(), 0);
        let much = vec![b'x'; 2 * block];
        assert_eq!(sink.write(b"abc", &much, true).unwrap(), 2 * block - 3);
        assert_eq!(length(), 2 * BLOCK_BYTES);
        // What was left is written in any case; no border is in the new.
        assert_eq!(sink.write(b"xxx", b"abc\n", true).unwrap(), 4);
        assert_eq!(sink.write(b"", &much, false).unwrap(), 2 * block);
        assert_eq!(length(), 4 * BLOCK_BYTES + 7);
        assert_eq!(sink.write(&much, b"", true).unwrap(), 0);
        assert_eq!(length(), 6 * BLOCK_BYTES + 7);
        // Other outputs take everything at once.
        assert_eq!(Sink::open(&LogSink::Off).unwrap().write(b"", &much, true).unwrap(), much.len());
    }

    #[test]
    fn all_but_the_end_of_a_file_is_stale_piece_by_piece() {
        const MIB: u64 = 1 << 20;
        assert_eq!(stale(0, 32 * MIB), None);
        assert_eq!(stale(31 * MIB, 33 * MIB), Some(0..MIB));
        // Nothing new to say before the next piece is full.
        assert_eq!(stale(33 * MIB, 35 * MIB), None);
        assert_eq!(stale(99 * MIB, 101 * MIB), Some(51 * MIB..69 * MIB));
        // However it grows, every byte is said to be stale at least as often as is needed.
        let mut times = vec![0; 200];
        let mut begin = 0;
        for step in (1..=9).cycle().take(40) {
            let end = begin + step * MIB;
            for mib in stale(begin, end).into_iter().flat_map(|stale| stale.start / MIB..stale.end / MIB) {
                times[mib as usize] += 1;
            }
            begin = end;
        }
        assert!(times[..100].iter().all(|times| *times >= 2), "{times:?}");
    }

    #[test]
    fn what_was_forgotten_is_still_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut sink = Sink::open(&LogSink::File(path.clone())).unwrap();
        let mut expected = Vec::new();
        let mut number = 0_u64;
        while expected.len() as u64 <= CACHED_BYTES + 2 * PIECE_BYTES {
            let piece: Vec<u8> = (0..1 << 17)
                .flat_map(|_| {
                    number += 1;
                    number.to_le_bytes()
                })
                .collect();
            assert_eq!(sink.write(&[], &piece, false).unwrap(), piece.len());
            expected.extend(piece);
        }
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
