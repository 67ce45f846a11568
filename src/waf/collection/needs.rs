//! What a target needs a transaction to have: most of what rules look at is not there, and that is told without looking
//! at the target itself.

use super::{Variable, headers};
use crate::waf::program::{Selector, Target};
use crate::waf::transaction::Transaction;

/// Without this a target has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// It may always have one.
    Nothing,
    /// A header field whose name has this bit: see [`Transaction::header_names`].
    Header(u8),
    Cookies,
    Arguments,
    Files,
    PartHeaders,
    Document,
    RequestBody,
    ResponseBody,
}

impl Needs {
    /// Of a target.
    pub(crate) fn of(target: &Target) -> Self {
        use Variable as V;
        match (target.variable, &target.selector) {
            (
                V::RequestHeaders | V::RequestHeadersNames | V::ResponseHeaders | V::ResponseHeadersNames,
                Selector::Key(key),
            ) => Self::Header(headers::name_bit(key)),
            (V::RequestCookies | V::RequestCookiesNames, _) => Self::Cookies,
            (V::Args | V::ArgsGet | V::ArgsPost | V::ArgsNames | V::ArgsGetNames | V::ArgsPostNames, _) => {
                Self::Arguments
            }
            (V::Files | V::FilesNames | V::FilesSizes | V::FilesTmpNames | V::FilesTmpContent, _) => Self::Files,
            (V::MultipartPartHeaders, _) => Self::PartHeaders,
            (V::Xml, _) => Self::Document,
            (V::RequestBody, _) => Self::RequestBody,
            (V::ResponseBody, _) => Self::ResponseBody,
            _ => Self::Nothing,
        }
    }
}

impl Transaction {
    /// Is it there? `header_names` is [`Transaction::header_names`].
    #[inline]
    pub(crate) fn has(&self, needed: Needs, header_names: u64) -> bool {
        match needed {
            Needs::Nothing => true,
            Needs::Header(bit) => header_names >> bit & 1 == 1,
            Needs::Cookies => !self.cookies.is_empty(),
            Needs::Arguments => !self.arguments.is_empty(),
            Needs::Files => !self.multipart.parts.is_empty(),
            Needs::PartHeaders => !self.multipart.part_headers.is_empty(),
            Needs::Document => self.xml.has_document,
            Needs::RequestBody => self.body.is_request_body_visible,
            Needs::ResponseBody => self.response.is_body_inspected,
        }
    }
}
