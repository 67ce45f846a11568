//! What ModSecurity 2's error log would show of a request: for comparing matched rules with answers taken from such a log.
//!
//! Beside the matches it has the ids of rules whose pattern ran into PCRE's match limit, and it lacks those that stood
//! beyond the 1,023 bytes that a message may have. (`docs/modsecurity-differences.md`: match-limit, log-cut.)

/// Bytes of a message, after `ModSecurity: ` and before the fields of the host.
pub const MESSAGE_BYTES: usize = 1_023;

/// The folder of the rule files in the log of the recorded reference has about this length, to judge by what its lines
/// lack. Used wherever answers are compared, so that they do not depend on where somebody keeps the rules.
pub const FOLDER_BYTES: usize = 19;

/// Ids of rules in order, each once. `folder_bytes`: the length to count for the folder of the rule files, if not their own.
pub fn logged_rules(log: &[Vec<u8>], folder_bytes: Option<usize>) -> Vec<u32> {
    let mut rules = Vec::new();
    for (id, end) in log.iter().filter_map(|line| place_of_id(line, folder_bytes)) {
        if end <= MESSAGE_BYTES && !rules.contains(&id) {
            rules.push(id);
        }
    }
    rules
}

/// The id in a log line and where its field ends in the message.
pub fn place_of_id(line: &[u8], folder_bytes: Option<usize>) -> Option<(u32, usize)> {
    let message = line.strip_prefix(b"ModSecurity: ")?;
    // Names of arguments come before the fields, and may look like them.
    let at = memchr::memmem::rfind(message, b"[id \"")? + 5;
    let length = message.get(at..)?.iter().position(|byte| *byte == b'"')?;
    let id = std::str::from_utf8(message.get(at..at + length)?).ok()?.parse().ok()?;
    let end = at + length + 2;
    let folder = message.get(..at).and_then(folder_length).unwrap_or_default();
    Some((id, end - folder + folder_bytes.unwrap_or(folder)))
}

/// In the last `[file "…"]`.
fn folder_length(message: &[u8]) -> Option<usize> {
    let start = memchr::memmem::rfind(message, b"[file \"")? + 7;
    let file = message.get(start..)?;
    let file = file.get(..file.iter().position(|byte| *byte == b'"')?)?;
    Some(memchr::memrchr(b'/', file).map_or(0, |at| at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_the_cut_are_lost() {
        let line = |name: usize, id: u32| {
            let name = "n".repeat(name);
            format!(r#"ModSecurity: Warning. Found at ARGS:[id "7"]{name}. [file "/etc/rules/a.conf"] [line "1"] [id "{id}"]"#)
                .into_bytes()
        };
        let notice =
            br#"ModSecurity: Rule [id "5"][file "/etc/rules/a.conf"][line "9"] - PCRE limits exceeded."#.to_vec();
        let link =
            br#"ModSecurity: Rule [id "-"][file "/etc/rules/a.conf"][line "9"] - PCRE limits exceeded."#.to_vec();
        let log = [notice, link, line(0, 3), line(940, 2), line(950, 1), line(0, 3)];
        assert_eq!(logged_rules(&log, None), [5, 3, 2]);
        assert_eq!(logged_rules(&log, Some(0)), [5, 3, 2, 1]);
        assert_eq!(place_of_id(&log[2], None), Some((3, log[2].len() - 13)));
    }
}
