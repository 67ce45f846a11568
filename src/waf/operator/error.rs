//! Why an operator cannot be compiled.

use std::io;

/// What is wrong with an operator or its argument. The caller knows where it stands.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No operator has that name.
    #[error("there is no operator @{name}")]
    Unknown {
        /// As given.
        name: String,
    },
    /// The operator exists, but not here.
    #[error("@{name} is not supported: {reason}")]
    Refused {
        /// Its name.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The operator needs an argument.
    #[error("@{name} needs an argument")]
    MissingArgument {
        /// Its name.
        name: &'static str,
    },
    /// A data file could not be read.
    #[error("cannot read the file {file:?}: {source}")]
    Unreadable {
        /// As the rule names it.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A data file has a name that is no text, or an address that rules may not fetch.
    #[error("{file:?} is not a file that rules can read")]
    BadFileName {
        /// As the rule names it.
        file: String,
    },
    /// Not an address or a network.
    #[error("{network:?} is neither an address nor a network")]
    BadNetwork {
        /// As written.
        network: String,
    },
    /// Not a byte or a range of bytes.
    #[error("{range:?} is not a byte or a range of bytes (0 to 255)")]
    BadByteRange {
        /// As written.
        range: String,
    },
    /// An escape that phrases do not have.
    #[error("unknown escape sequence \\{escaped}")]
    UnknownEscape {
        /// The character behind the backslash.
        escaped: char,
    },
    /// More phrases than an automaton can hold.
    #[error("{count} phrases are too many")]
    TooManyPhrases {
        /// How many.
        count: usize,
    },
    /// The pattern is not a regular expression.
    #[error(transparent)]
    Regex(#[from] crate::waf::regex::RegexError),
}
