//! The transformations that a rule can apply to a value before its operator.

use super::table::{Named, Origin};

/// One row.
#[derive(Debug)]
pub struct Transformation {
    /// Canonical spelling.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// Who knows it.
    pub origin: Origin,
    /// One sentence.
    pub doc: &'static str,
}

impl Named for Transformation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }
}

const fn row(name: &'static str, doc: &'static str) -> Transformation {
    Transformation { name, aliases: &[], origin: Origin::Both, doc }
}

const fn v3(row: Transformation) -> Transformation {
    Transformation { origin: Origin::V3, ..row }
}

/// All transformations, in alphabetical order.
pub const TRANSFORMATIONS: &[Transformation] = &[
    row("base64Decode", "Decodes Base64, up to the first byte that is none."),
    row("base64DecodeExt", "Decodes Base64, skipping bytes that are none."),
    row("base64Encode", "Encodes as Base64."),
    row("cmdLine", "Undoes shell obfuscation: quotes, carets, backslashes, repeated white space, case."),
    row("compressWhitespace", "Turns each run of white space into one space."),
    row("cssDecode", "Decodes CSS escapes such as \\6a."),
    row("escapeSeqDecode", "Decodes C escapes such as \\n, \\x41 and \\101."),
    row("hexDecode", "Decodes pairs of hexadecimal digits."),
    row("hexEncode", "Encodes as pairs of hexadecimal digits."),
    row("htmlEntityDecode", "Decodes HTML entities."),
    row("jsDecode", "Decodes JavaScript escapes such as \\u0041."),
    row("length", "The number of bytes, as text."),
    row("lowercase", "ASCII letters to lower case."),
    row("md5", "The MD5 hash, raw bytes."),
    row("none", "Forgets the transformations before it, those of SecDefaultAction included."),
    Transformation {
        aliases: &["normalizePath"],
        ..row("normalisePath", "Removes repeated slashes, `.` and `..` from a path.")
    },
    Transformation {
        aliases: &["normalizePathWin"],
        ..row("normalisePathWin", "As normalisePath, backslashes taken for slashes.")
    },
    row("parityEven7bit", "Sets the eighth bit of each byte to even parity."),
    row("parityOdd7bit", "Sets the eighth bit of each byte to odd parity."),
    row("parityZero7bit", "Clears the eighth bit of each byte."),
    v3(row("phpArgsNames", "Spells an argument's name as PHP does.")),
    row("removeComments", "Removes comments in the styles of C, SQL and HTML."),
    row("removeCommentsChar", "Removes the characters that begin and end comments."),
    row("removeNulls", "Removes NUL bytes."),
    row("removeWhitespace", "Removes white space."),
    row("replaceComments", "Replaces each comment in the style of C with one space."),
    row("replaceNulls", "Replaces NUL bytes with spaces."),
    row("sha1", "The SHA-1 hash, raw bytes."),
    row("sqlHexDecode", "Decodes SQL hexadecimal literals such as 0x414243."),
    row("trim", "Removes white space at both ends."),
    row("trimLeft", "Removes white space at the beginning."),
    row("trimRight", "Removes white space at the end."),
    v3(row("uppercase", "ASCII letters to upper case.")),
    row("urlDecode", "Decodes %XX and plus signs."),
    row("urlDecodeUni", "Decodes %XX, %uXXXX (through SecUnicodeMapFile) and plus signs."),
    row("urlEncode", "Encodes as %XX."),
    row("utf8toUnicode", "Turns UTF-8 sequences into %uXXXX."),
];
