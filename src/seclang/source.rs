//! Where rule texts come from: the file system, or memory.
//!
//! This is the only file of the room that touches `std::fs`; the parser and the engine see [`SourceLoader`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use crate::diagnostics::Source;
use crate::limits;

/// Finds what a rule text names.
pub trait SourceLoader {
    /// The texts that `Include pattern` in the file `from` means, in the order in which they are read. Nothing
    /// found is an empty list or [`io::ErrorKind::NotFound`].
    fn include(&self, from: &Path, pattern: &str) -> io::Result<Vec<Source>>;

    /// A data file (`@pmFromFile words.data`), relative to the file `from`.
    fn read(&self, from: &Path, name: &str) -> io::Result<Vec<u8>>;
}

/// Reads files. Patterns hold `*`, `?` and `[…]`; matches are in the order of Apache: by name, byte by byte (capitals
/// before small letters, `10` before `9`), directory by directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileLoader;

impl FileLoader {
    /// The root text of a rule set.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Source> {
        let path = path.into();
        let text = read_bounded(&path)?;
        Ok(Source::new(path, text))
    }
}

impl SourceLoader for FileLoader {
    fn include(&self, from: &Path, pattern: &str) -> io::Result<Vec<Source>> {
        let mut found = Vec::new();
        for path in expand(&beside(from, pattern))? {
            collect_files(&path, &mut found, 0)?;
        }
        found.into_iter().map(Self::open).collect()
    }

    fn read(&self, from: &Path, name: &str) -> io::Result<Vec<u8>> {
        read_bounded(&beside(from, name))
    }
}

/// Texts in memory, for tests, fuzzing and built-in rules. Paths are compared as written, `from`'s directory first.
#[derive(Debug, Clone, Default)]
pub struct MemoryLoader {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryLoader {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl SourceLoader for MemoryLoader {
    fn include(&self, from: &Path, pattern: &str) -> io::Result<Vec<Source>> {
        let wanted = beside(from, pattern);
        let matches = self.files.iter().filter(|(path, _)| {
            let mut parts = path.components();
            let fits = wanted.components().all(|part| parts.next().is_some_and(|own| component_fits(part, own)));
            fits && parts.next().is_none()
        });
        Ok(matches.map(|(path, text)| Source::new(path.clone(), text.clone())).collect())
    }

    fn read(&self, from: &Path, name: &str) -> io::Result<Vec<u8>> {
        self.files.get(&beside(from, name)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// `name`, relative to the directory of `from` unless it is absolute.
fn beside(from: &Path, name: &str) -> PathBuf {
    from.parent().unwrap_or_else(|| Path::new("")).join(name)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for its other end, and a device such as /dev/zero never ends.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // What the file says of its length is not believed: it may grow, and files of /proc have none.
    fs::File::open(path)?.take(limits::RULE_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::RULE_FILE_BYTES {
        let message = format!("it is longer than {} bytes", limits::RULE_FILE_BYTES);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The existing paths that a pattern means, in order. A path without wildcards is taken as it is, so that reading it
/// reports why it cannot be read.
fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().as_encoded_bytes();
        if !has_wildcard(name) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for directory in &found {
            let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            let Ok(entries) = fs::read_dir(listed) else { continue };
            let start = next.len();
            for entry in entries {
                let entry = entry?.file_name();
                if matches(name, entry.as_encoded_bytes()) {
                    next.push(directory.join(entry));
                }
            }
            // Each directory's own, as Apache reads them: what is in `a` comes before what is in `a-b`, though `-` is
            // less than `/`.
            if let Some(own) = next.get_mut(start..) {
                own.sort();
            }
        }
        found = next;
    }
    Ok(found)
}

/// A file itself; all files below a directory, sorted.
fn collect_files(path: &Path, found: &mut Vec<PathBuf>, depth: usize) -> io::Result<()> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth >= limits::RULE_INCLUDE_DEPTH {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    let mut entries = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| collect_files(entry, found, depth + 1))
}

fn component_fits(pattern: Component<'_>, name: Component<'_>) -> bool {
    matches(pattern.as_os_str().as_encoded_bytes(), name.as_os_str().as_encoded_bytes())
}

fn has_wildcard(name: &[u8]) -> bool {
    name.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// Shell pattern against one name. A leading dot must be written, as in `fnmatch` with `FNM_PERIOD`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // The classic walk with one point to come back to: linear but for the last star.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(_) => one(pattern.get(p..).unwrap_or_default(), name.get(n).copied().unwrap_or_default()),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after, from))) => {
                p = after;
                n = from + 1;
                star = Some((after, n));
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|b| *b == b'*')
}

/// Length of the pattern element that matches `byte`, if the next one does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', class @ ..] => {
            let (negated, class) = match class {
                [b'!' | b'^', rest @ ..] => (true, rest),
                _ => (false, class),
            };
            let skipped = pattern.len() - class.len();
            // A closing bracket in first place is a member.
            let end = class.iter().skip(1).position(|b| *b == b']')? + 1;
            let members = class.get(..end)?;
            let mut found = false;
            let mut rest = members;
            while let [first, tail @ ..] = rest {
                rest = match tail {
                    [b'-', last, after @ ..] => {
                        found |= (*first..=*last).contains(&byte);
                        after
                    }
                    _ => {
                        found |= *first == byte;
                        tail
                    }
                };
            }
            (found != negated).then_some(skipped + end + 1)
        }
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("a*b*c", "aXXbYYbc", true),
            ("a?c", "abc", true),
            ("a[b-d]c", "acc", true),
            ("a[!b-d]c", "acc", false),
            ("a[]]c", "a]c", true),
            ("REQUEST-9[0-4]*", "REQUEST-942", true),
            ("*", "", true),
            ("a", "b", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_found_beside_the_including_file_and_sorted() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root.conf");
        fs::create_dir(directory.path().join("rules")).unwrap();
        for name in ["b.conf", "a.conf", "c.data"] {
            fs::write(directory.path().join("rules").join(name), name).unwrap();
        }
        let found = FileLoader.include(&root, "rules/*.conf").unwrap();
        let texts: Vec<_> = found.iter().map(|s| String::from_utf8_lossy(s.text()).into_owned()).collect();
        assert_eq!(texts, ["a.conf", "b.conf"]);
        assert_eq!(FileLoader.include(&root, "rules").unwrap().len(), 3);
        assert!(FileLoader.include(&root, "none/*.conf").unwrap().is_empty());
        assert_eq!(FileLoader.include(&root, "none.conf").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(FileLoader.read(&root, "rules/c.data").unwrap(), b"c.data");
    }

    #[test]
    fn the_order_is_that_of_apache() {
        const FILES: [&str; 12] = [
            "a/REQUEST-10-X.conf",
            "a/REQUEST-9-X.conf",
            "a/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf",
            "a/REQUEST-942-APPLICATION-ATTACK-SQLI.conf",
            "a/REQUEST-999-COMMON-EXCEPTIONS-AFTER.conf",
            "a/RESPONSE-950-DATA-LEAKAGES.conf",
            "a/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf",
            "a/Z.conf",
            "a/_.conf",
            "a/request-900.conf",
            "a-b/a.conf",
            "b/a.conf",
        ];
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root.conf");
        let mut memory = MemoryLoader::new();
        // Made in another order than they are read in; some file systems list by age.
        for name in FILES.iter().rev() {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            memory = memory.with(path, *name);
        }
        let loaders: [&dyn SourceLoader; 2] = [&FileLoader, &memory];
        for loader in loaders {
            for (pattern, expected) in
                [("a/*.conf", &FILES[..10]), ("*/*.conf", &FILES[..]), ("a*/*.conf", &FILES[..11])]
            {
                let found = loader.include(&root, pattern).unwrap();
                let names: Vec<_> = found.iter().map(|source| String::from_utf8_lossy(source.text())).collect();
                assert_eq!(names, expected, "{pattern}");
            }
        }
        let below: Vec<_> = FileLoader.include(&root, ".").unwrap();
        let names: Vec<_> = below.iter().map(|source| String::from_utf8_lossy(source.text())).collect();
        assert_eq!(names, FILES, "a directory means the same");
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_within_the_bound_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root.conf");
        for name in ["/dev/zero", "/dev/null"] {
            let problem = FileLoader.include(&root, name).unwrap_err();
            assert_eq!(
                (problem.kind(), problem.to_string().as_str()),
                (io::ErrorKind::InvalidInput, "it is not a regular file")
            );
            assert!(FileLoader.read(&root, name).is_err() && FileLoader::open(name).is_err());
        }
        assert!(FileLoader.read(&root, ".").is_err());
        let file = fs::File::create(directory.path().join("long")).unwrap();
        file.set_len(limits::RULE_FILE_BYTES + 1).unwrap();
        assert_eq!(FileLoader.read(&root, "long").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn memory() {
        let loader = MemoryLoader::new().with("x/b.conf", "b").with("x/a.conf", "a").with("y/a.conf", "");
        assert_eq!(loader.include(Path::new("x/root.conf"), "*.conf").unwrap().len(), 2);
        assert_eq!(loader.read(Path::new("x/root.conf"), "a.conf").unwrap(), b"a");
    }
}
