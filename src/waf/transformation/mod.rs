//! Transformations: what `t:NAME` does to a value before the operator sees it.
//!
//! One file per family; each is a pure function `(&[u8], &mut Vec<u8>) -> bool`. They are byte-exact with ModSecurity
//! 2, quirks included (a `NUL` that ends the text, a byte that is copied unseen), because rules were tuned against
//! them; where libmodsecurity 3 differs the function's own page says so.
//!
//! Called by the plan that computes each value once. What must stay true:
//! - [`Transformation::apply`] returns `false` when, and only when, the output equals the input, and then costs one
//!   vectorised look for the first byte that could matter: in practice nearly every value is unchanged.
//! - No panic, linear time, output at most a small constant times the input.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod base64;
mod bytes;
mod case;
mod command_line;
mod comments;
mod css;
mod digest;
mod escape_sequence;
mod hex;
mod html_entity;
mod javascript;
mod length;
mod marks;
mod nulls;
mod parity;
mod path;
mod php_names;
mod trigger;
mod trim;
mod unicode_map;
mod url;
mod utf8;
mod whitespace;

use std::sync::Arc;

pub(crate) use trigger::Trigger;
pub use unicode_map::{UnicodeMap, UnicodeMapError};

/// What transformations need besides the value.
#[derive(Debug, Clone)]
pub struct TransformationContext {
    /// Best-fit map for `%uXXXX` in `urlDecodeUni` (`SecUnicodeMapFile`). `None` takes the low byte only.
    pub unicode_map: Option<Arc<UnicodeMap>>,
}

impl Default for TransformationContext {
    /// With the built-in map of code page 20127 (US-ASCII), the one that the recommended configuration loads.
    fn default() -> Self {
        Self { unicode_map: Some(UnicodeMap::us_ascii()) }
    }
}

/// A transformation function. [`Transformation::None`] is the word `none` in a rule; applied, it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transformation {
    /// `base64Decode`
    Base64Decode,
    /// `base64DecodeExt`
    Base64DecodeExt,
    /// `base64Encode`
    Base64Encode,
    /// `cmdLine`
    CmdLine,
    /// `compressWhitespace`
    CompressWhitespace,
    /// `cssDecode`
    CssDecode,
    /// `escapeSeqDecode`
    EscapeSeqDecode,
    /// `hexDecode`
    HexDecode,
    /// `hexEncode`
    HexEncode,
    /// `htmlEntityDecode`
    HtmlEntityDecode,
    /// `jsDecode`
    JsDecode,
    /// `length`
    Length,
    /// `lowercase`
    Lowercase,
    /// `md5`
    Md5,
    /// `none`
    None,
    /// `normalisePath`, `normalizePath`
    NormalisePath,
    /// `normalisePathWin`, `normalizePathWin`
    NormalisePathWin,
    /// `parityEven7bit`
    ParityEven7bit,
    /// `parityOdd7bit`
    ParityOdd7bit,
    /// `parityZero7bit`
    ParityZero7bit,
    /// `phpArgsNames`
    PhpArgsNames,
    /// `removeComments`
    RemoveComments,
    /// `removeCommentsChar`
    RemoveCommentsChar,
    /// `removeNulls`
    RemoveNulls,
    /// `removeWhitespace`
    RemoveWhitespace,
    /// `replaceComments`
    ReplaceComments,
    /// `replaceNulls`
    ReplaceNulls,
    /// `sha1`
    Sha1,
    /// `sqlHexDecode`
    SqlHexDecode,
    /// `trim`
    Trim,
    /// `trimLeft`
    TrimLeft,
    /// `trimRight`
    TrimRight,
    /// `uppercase`
    Uppercase,
    /// `urlDecode`
    UrlDecode,
    /// `urlDecodeUni`
    UrlDecodeUni,
    /// `urlEncode`
    UrlEncode,
    /// `utf8toUnicode`
    Utf8ToUnicode,
}

impl Transformation {
    /// Every function, in alphabetical order of its name.
    pub const ALL: [Self; 37] = [
        Self::Base64Decode,
        Self::Base64DecodeExt,
        Self::Base64Encode,
        Self::CmdLine,
        Self::CompressWhitespace,
        Self::CssDecode,
        Self::EscapeSeqDecode,
        Self::HexDecode,
        Self::HexEncode,
        Self::HtmlEntityDecode,
        Self::JsDecode,
        Self::Length,
        Self::Lowercase,
        Self::Md5,
        Self::None,
        Self::NormalisePath,
        Self::NormalisePathWin,
        Self::ParityEven7bit,
        Self::ParityOdd7bit,
        Self::ParityZero7bit,
        Self::PhpArgsNames,
        Self::RemoveComments,
        Self::RemoveCommentsChar,
        Self::RemoveNulls,
        Self::RemoveWhitespace,
        Self::ReplaceComments,
        Self::ReplaceNulls,
        Self::Sha1,
        Self::SqlHexDecode,
        Self::Trim,
        Self::TrimLeft,
        Self::TrimRight,
        Self::Uppercase,
        Self::UrlDecode,
        Self::UrlDecodeUni,
        Self::UrlEncode,
        Self::Utf8ToUnicode,
    ];

    /// The function of that name, in any case, by any of its spellings.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|function| {
            name.eq_ignore_ascii_case(function.name().as_bytes())
                || function.alias().is_some_and(|alias| name.eq_ignore_ascii_case(alias.as_bytes()))
        })
    }

    /// Canonical spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64Decode => "base64Decode",
            Self::Base64DecodeExt => "base64DecodeExt",
            Self::Base64Encode => "base64Encode",
            Self::CmdLine => "cmdLine",
            Self::CompressWhitespace => "compressWhitespace",
            Self::CssDecode => "cssDecode",
            Self::EscapeSeqDecode => "escapeSeqDecode",
            Self::HexDecode => "hexDecode",
            Self::HexEncode => "hexEncode",
            Self::HtmlEntityDecode => "htmlEntityDecode",
            Self::JsDecode => "jsDecode",
            Self::Length => "length",
            Self::Lowercase => "lowercase",
            Self::Md5 => "md5",
            Self::None => "none",
            Self::NormalisePath => "normalisePath",
            Self::NormalisePathWin => "normalisePathWin",
            Self::ParityEven7bit => "parityEven7bit",
            Self::ParityOdd7bit => "parityOdd7bit",
            Self::ParityZero7bit => "parityZero7bit",
            Self::PhpArgsNames => "phpArgsNames",
            Self::RemoveComments => "removeComments",
            Self::RemoveCommentsChar => "removeCommentsChar",
            Self::RemoveNulls => "removeNulls",
            Self::RemoveWhitespace => "removeWhitespace",
            Self::ReplaceComments => "replaceComments",
            Self::ReplaceNulls => "replaceNulls",
            Self::Sha1 => "sha1",
            Self::SqlHexDecode => "sqlHexDecode",
            Self::Trim => "trim",
            Self::TrimLeft => "trimLeft",
            Self::TrimRight => "trimRight",
            Self::Uppercase => "uppercase",
            Self::UrlDecode => "urlDecode",
            Self::UrlDecodeUni => "urlDecodeUni",
            Self::UrlEncode => "urlEncode",
            Self::Utf8ToUnicode => "utf8toUnicode",
        }
    }

    /// A second spelling, if the function has one.
    #[must_use]
    pub const fn alias(self) -> Option<&'static str> {
        match self {
            Self::NormalisePath => Some("normalizePath"),
            Self::NormalisePathWin => Some("normalizePathWin"),
            _ => None,
        }
    }

    /// Writes the transformed `input` to `out` (cleared first) and returns `true`; or returns `false` when that would
    /// equal `input`, and leaves `out` in an unspecified state.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>, context: &TransformationContext) -> bool {
        out.clear();
        match self {
            Self::Base64Decode => base64::decode(input, out),
            Self::Base64DecodeExt => base64::decode_lenient(input, out),
            Self::Base64Encode => base64::encode(input, out),
            Self::CmdLine => command_line::normalise(input, out),
            Self::CompressWhitespace => whitespace::compress(input, out),
            Self::CssDecode => css::decode(input, out),
            Self::EscapeSeqDecode => escape_sequence::decode(input, out),
            Self::HexDecode => hex::decode(input, out),
            Self::HexEncode => hex::encode(input, out),
            Self::HtmlEntityDecode => html_entity::decode(input, out),
            Self::JsDecode => javascript::decode(input, out),
            Self::Length => length::write(input, out),
            Self::Lowercase => case::lower(input, out),
            Self::Md5 => digest::md5(input, out),
            Self::None => false,
            Self::NormalisePath => path::normalise(input, out, false),
            Self::NormalisePathWin => path::normalise(input, out, true),
            Self::ParityEven7bit => parity::even(input, out),
            Self::ParityOdd7bit => parity::odd(input, out),
            Self::ParityZero7bit => parity::zero(input, out),
            Self::PhpArgsNames => php_names::mangle(input, out),
            Self::RemoveComments => comments::remove(input, out),
            Self::RemoveCommentsChar => comments::remove_marks(input, out),
            Self::RemoveNulls => nulls::remove(input, out),
            Self::RemoveWhitespace => whitespace::remove(input, out),
            Self::ReplaceComments => comments::replace(input, out),
            Self::ReplaceNulls => nulls::replace(input, out),
            Self::Sha1 => digest::sha1(input, out),
            Self::SqlHexDecode => hex::decode_sql(input, out),
            Self::Trim => trim::both(input, out),
            Self::TrimLeft => trim::left(input, out),
            Self::TrimRight => trim::right(input, out),
            Self::Uppercase => case::upper(input, out),
            Self::UrlDecode => url::decode(input, out),
            Self::UrlDecodeUni => url::decode_unicode(input, out, context.unicode_map.as_deref()),
            Self::UrlEncode => url::encode(input, out),
            Self::Utf8ToUnicode => utf8::to_unicode(input, out),
        }
    }

    /// Whether ModSecurity 2 says that this application changed the value, which is what `multiMatch` asks before it
    /// runs the operator again. Usually that is `input != output`, but some functions always say yes (so an
    /// unchanged value is matched, and scored, twice) and some say no although a byte was replaced. `output` must be
    /// the result of [`Self::apply`], or `input` itself where that returned `false`.
    #[must_use]
    pub fn reports_change(self, input: &[u8], output: &[u8]) -> bool {
        match self {
            Self::CmdLine
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::Sha1
            | Self::SqlHexDecode => true,
            Self::Base64Decode | Self::Base64DecodeExt | Self::Base64Encode => !output.is_empty(),
            // One white-space character replaced by a space goes unreported.
            Self::CompressWhitespace => input.len() != output.len(),
            Self::NormalisePath => path::reports_change(input, false),
            Self::NormalisePathWin => path::reports_change(input, true),
            Self::Utf8ToUnicode => utf8::reports_change(input),
            _ => input != output,
        }
    }
}

#[cfg(test)]
mod tests;
