//! What a value must have for a transformation to change it.
//!
//! Whether a whole chain of transformations leaves a value alone is then one look at its signature.

use super::Transformation;
use crate::waf::signature::{self, CAPITALS, ENDS_WITH_DOT, SMALL, Signature, of_bytes};

/// When a transformation changes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Perhaps always.
    Any,
    /// Only when the value has one of these bytes or pairs, or in nothing but the case of letters.
    Bytes(Signature),
}

/// Space as C and ModSecurity know it: `isspace`, and (as all bytes beyond ASCII) the no-break space.
const SPACE: &[u8] = b" \t\r\n\x0b\x0c\xa0";

impl Transformation {
    /// Letters that the function changes the case of.
    pub(crate) const fn case_trigger(self) -> Signature {
        match self {
            Self::Lowercase | Self::CmdLine => CAPITALS,
            Self::Uppercase => SMALL,
            _ => 0,
        }
    }

    /// How long the result for a value of `len` bytes can be; `usize::MAX` when that is not known.
    pub(crate) const fn longest_result(self, len: usize) -> usize {
        match self {
            Self::Base64Decode | Self::Base64DecodeExt => len / 4 * 3 + len % 4 * 3 / 4,
            Self::CmdLine
            | Self::CompressWhitespace
            | Self::JsDecode
            | Self::Lowercase
            | Self::None
            | Self::RemoveNulls
            | Self::RemoveWhitespace
            | Self::ReplaceComments
            | Self::UrlDecode
            | Self::UrlDecodeUni => len,
            _ => usize::MAX,
        }
    }

    /// See [`Trigger`].
    pub(crate) const fn trigger(self) -> Trigger {
        // Several functions stop at a NUL; none is worth a set without it.
        const fn bytes(bytes: &[u8], pairs: Signature) -> Trigger {
            Trigger::Bytes(of_bytes(bytes) | of_bytes(b"\0") | pairs)
        }
        match self {
            Self::None => Trigger::Bytes(0),
            Self::Lowercase | Self::Uppercase | Self::RemoveNulls | Self::ReplaceNulls => bytes(b"", 0),
            Self::CmdLine => {
                bytes(b"\"'\\^,;\t\r\n", signature::SPACES | signature::SPACE_SLASH | signature::SPACE_PARENTHESIS)
            }
            Self::CompressWhitespace => bytes(b"\t\r\n\x0b\x0c\xa0", signature::SPACES),
            Self::RemoveWhitespace | Self::Trim | Self::TrimLeft | Self::TrimRight => bytes(SPACE, 0),
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => bytes(b"\\", 0),
            Self::HtmlEntityDecode => bytes(b"&", 0),
            Self::NormalisePath => bytes(b"", signature::SLASHES | signature::DOT_SLASH | ENDS_WITH_DOT),
            Self::NormalisePathWin => bytes(b"\\", signature::SLASHES | signature::DOT_SLASH | ENDS_WITH_DOT),
            Self::RemoveComments | Self::RemoveCommentsChar => {
                bytes(b"<#", signature::COMMENT_OPENS | signature::COMMENT_CLOSES | signature::DASHES)
            }
            Self::ReplaceComments => bytes(b"", signature::COMMENT_OPENS),
            Self::SqlHexDecode => bytes(b"", signature::HEX_PREFIX),
            Self::UrlDecode | Self::UrlDecodeUni => bytes(b"%+", 0),
            Self::Utf8ToUnicode => bytes(b"\xff", 0),
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::ParityEven7bit
            | Self::ParityOdd7bit
            | Self::ParityZero7bit
            | Self::PhpArgsNames
            | Self::Sha1
            | Self::UrlEncode => Trigger::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::signature::{PAIRS, of_value};
    use crate::waf::transformation::TransformationContext;

    fn signature(value: &[u8]) -> Signature {
        let lower = value.to_ascii_lowercase();
        let pairs = PAIRS.iter().filter(|(pair, _)| lower.windows(2).any(|window| window == *pair));
        let dot = if value.ends_with(b".") { ENDS_WITH_DOT } else { 0 };
        pairs.fold(of_value(value) | dot, |all, (_, bit)| all | bit)
    }

    /// Every short value over an alphabet of what functions look for, and longer ones put together at random.
    #[test]
    fn without_its_trigger_a_function_changes_at_most_the_case() {
        const ALPHABET: &[u8] = b"aAX0x /.\\*-<>#%+&;'\"^,!\0\x80\xa0\t_=[]";
        let context = TransformationContext::default();
        let mut draw = crate::waf::tests::draws::draws();
        let mut out = Vec::new();
        let mut changes = 0;
        for round in 0..60_000_usize {
            let len = round % 9;
            let width = 2 + round % (ALPHABET.len() - 2);
            let shift = round / 7 % ALPHABET.len();
            let value: Vec<u8> = (0..len).map(|_| ALPHABET[(draw(width.min(4)) + shift) % ALPHABET.len()]).collect();
            for function in Transformation::ALL {
                let len = if function.apply(&value, &mut out, &context) { out.len() } else { value.len() };
                assert!(len <= function.longest_result(value.len()), "{}", function.name());
                let Trigger::Bytes(trigger) = function.trigger() else { continue };
                if (trigger | function.case_trigger()) & signature(&value) == 0 {
                    assert!(!function.apply(&value, &mut out, &context), "{}", function.name());
                }
                if function.apply(&value, &mut out, &context) && !out.eq_ignore_ascii_case(&value) {
                    changes += 1;
                    assert!(
                        signature(&value) & trigger != 0,
                        "{} changes {} to {}",
                        function.name(),
                        value.escape_ascii(),
                        out.escape_ascii()
                    );
                }
            }
        }
        assert!(changes > 10_000);
    }
}
