//! Recorded requests: one raw request a file, or a tar archive of such files.

use std::io::{self, Read as _};

use crate::limits;

/// A name, and the bytes of one request.
pub type Capture = (String, Vec<u8>);

/// The requests of a tar archive, packed with gzip or not, in its order.
pub fn archive(bytes: &[u8]) -> io::Result<Vec<Capture>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return entries(bytes);
    }
    let mut unpacked = Vec::new();
    let limit = limits::CAPTURE_ARCHIVE_BYTES;
    flate2::read::MultiGzDecoder::new(bytes).take(limit + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it unpacks to more than {limit} bytes")));
    }
    entries(&unpacked)
}

/// Files of an archive in the formats that tar programs write today: ustar, GNU's long names, pax.
fn entries(archive: &[u8]) -> io::Result<Vec<Capture>> {
    let mut found = Vec::new();
    let mut rest = archive;
    // Said by the entry before.
    let mut long_name: Option<Vec<u8>> = None;
    while let Some((header, behind)) = rest.split_first_chunk::<BLOCK>() {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        if !has_right_sum(header) {
            return Err(bad("a header of the archive is damaged, or it is not a tar archive"));
        }
        let size = octal(&header[124..136]).ok_or_else(|| bad("the size of an entry is no number"))?;
        let content = behind.get(..size).ok_or_else(|| bad("the archive ends within an entry"))?;
        rest = behind.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
        match header[156] {
            b'L' => long_name = Some(text(content).to_vec()),
            b'x' => long_name = pax_path(content).or(long_name),
            b'0' | 0 => {
                let name = long_name.take().unwrap_or_else(|| name(header));
                found.push((String::from_utf8_lossy(&name).into_owned(), content.to_vec()));
            }
            // Directories, links, what is said of all entries.
            _ => long_name = None,
        }
    }
    Ok(found)
}

const BLOCK: usize = 512;

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The sum over the header, with blanks where the sum stands.
fn has_right_sum(header: &[u8; BLOCK]) -> bool {
    let sum: usize = (0..BLOCK).map(|at| usize::from(if (148..156).contains(&at) { b' ' } else { header[at] })).sum();
    octal(&header[148..156]) == Some(sum)
}

fn octal(field: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(text(field)).ok()?.trim();
    usize::from_str_radix(digits, 8).ok()
}

/// Up to the first zero byte.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn name(header: &[u8; BLOCK]) -> Vec<u8> {
    let prefix = if &header[257..262] == b"ustar" { text(&header[345..500]) } else { b"" };
    let name = text(&header[..100]);
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// `path` of a pax header: lines of a length, a key and a value.
fn pax_path(mut records: &[u8]) -> Option<Vec<u8>> {
    while let Some(blank) = records.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..length.checked_sub(1)?)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.to_vec());
        }
        records = records.get(length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name);
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[257..262].copy_from_slice(b"ustar");
        header[148..156].fill(b' ');
        let sum: usize = header.iter().map(|byte| usize::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut out = header.to_vec();
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out
    }

    #[test]
    fn files_with_short_and_long_names() {
        let bytes = [
            entry(b"dir/", b'5', b""),
            entry(b"dir/a.http", b'0', b"GET / HTTP/1.1\r\n\r\n"),
            entry(b"././@LongLink", b'L', b"dir/long\0"),
            entry(b"dir/lo", b'0', b"two"),
            entry(b"pax", b'x', b"18 path=dir/three\n"),
            entry(b"short", 0, b""),
            vec![0; 2 * BLOCK],
        ]
        .concat();
        let found = archive(&bytes).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["dir/a.http", "dir/long", "dir/three"]);
        assert_eq!(found[0].1, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(found[1].1, b"two");
    }

    #[test]
    fn what_is_no_archive_is_said_to_be_none() {
        let mut bytes = entry(b"a", b'0', b"content");
        assert!(archive(&bytes[..BLOCK + 3]).is_err());
        bytes[0] = b'b';
        assert!(archive(&bytes).is_err());
        assert!(archive(&[b'x'; 2000]).is_err());
        assert!(archive(b"\x1f\x8bxx").is_err());
        assert!(archive(b"").unwrap().is_empty());
    }
}
