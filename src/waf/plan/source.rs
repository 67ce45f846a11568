//! Targets whose values stay the same while a phase runs.

use crate::waf::collection::Variable;
use crate::waf::program::{Selector, Target};

/// What makes two targets give the same values.
pub(super) fn key(target: &Target) -> String {
    let selector = match &target.selector {
        Selector::All | Selector::Dynamic(_) => String::new(),
        Selector::Key(key) => format!("k{}", key.to_ascii_lowercase().escape_ascii()),
        Selector::Slot(slot) => format!("s{}", slot.0),
        Selector::Regex(regex, _) => format!("r{}", regex.pattern().escape_ascii()),
        Selector::XPath(path) => format!("x{}", path.0),
    };
    format!("{:?} {} {selector}", target.variable, target.is_exclusion)
}

/// How long the values of a variable stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// Rules change them.
    Not,
    /// While the rules of a phase run.
    Phase,
    /// From the phase of a head to that of its body.
    Head,
}

impl Lasting {
    const fn of(variable: Variable) -> Self {
        use Variable as V;
        match variable {
            V::RequestHeaders
            | V::RequestHeadersNames
            | V::ResponseHeaders
            | V::ResponseHeadersNames
            | V::RequestCookies
            | V::RequestCookiesNames
            | V::RequestLine
            | V::RequestMethod
            | V::RequestProtocol
            | V::RequestUriRaw
            | V::QueryString
            | V::RemoteAddr
            | V::RemoteHost
            | V::UserAgentIp
            | V::ServerAddr
            | V::ServerName
            | V::ResponseStatus => Self::Head,
            // The path is decoded behind phase 1, as ModSecurity 2 does.
            V::RequestUri | V::RequestFilename | V::RequestBasename | V::PathInfo => Self::Phase,
            V::Args
            | V::ArgsGet
            | V::ArgsPost
            | V::ArgsNames
            | V::ArgsGetNames
            | V::ArgsPostNames
            | V::ArgsCombinedSize
            | V::RequestBody
            | V::RequestBodyLength
            | V::ReqbodyError
            | V::Files
            | V::FilesNames
            | V::FilesSizes
            | V::FilesCombinedSize
            | V::FilesTmpContent
            | V::MultipartPartHeaders
            | V::MultipartStrictError
            | V::MultipartUnmatchedBoundary
            | V::Xml
            | V::ResponseBody => Self::Phase,
            _ => Self::Not,
        }
    }
}

/// Can no rule change what the target gives while the rules of a phase run?
pub(super) fn is_stable(target: &Target) -> bool {
    !matches!(target.selector, Selector::Dynamic(_)) && !target.is_count && Lasting::of(target.variable) != Lasting::Not
}

/// Does it stay the same from the phase of a head to that of its body?
pub(super) fn is_of_head(target: &Target) -> bool {
    Lasting::of(target.variable) == Lasting::Head
}
