//! The requests, and what of them every engine is given.

use portcullis::authoring::bench::Subject;
use portcullis::authoring::bench::scenario::{self, Expected};
use portcullis::authoring::{capture, wire};

use crate::Result;

/// One request, taken apart.
pub(crate) struct Request {
    pub(crate) subject: Subject,
    /// Of a scenario.
    pub(crate) expected: Option<Expected>,
}

/// Head and answer as text, for engines whose interfaces take that.
pub(crate) struct Text {
    pub(crate) method: String,
    pub(crate) target: String,
    /// `1.1`
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) response_headers: Vec<(String, String)>,
}

/// The scenarios that need no inspection of responses, without the bodies of 2 MB: the peers take minutes for these.
pub(crate) fn scenarios() -> Vec<Request> {
    let is_wanted = |scenario: &scenario::Scenario| !scenario.inspects_response && scenario.request.len() < 3 << 19;
    let all = scenario::all().into_iter().filter(is_wanted);
    let request = |scenario: scenario::Scenario| {
        Some(Request { subject: Subject::of(&scenario).ok()?, expected: Some(scenario.expected) })
    };
    all.filter_map(request).collect()
}

/// Every so many of the recorded requests, without those that the front end answers.
pub(crate) fn traffic(every: usize) -> Result<Vec<Request>> {
    let shared = std::env::var_os("PORTCULLIS_SHARED").unwrap_or_else(|| "../shared".into());
    let path = std::path::Path::new(&shared).join("traffic/requests.tar.gz");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("SKIPPED: no recorded traffic in {}", path.display());
        return Ok(Vec::new());
    };
    let subject = |(name, request): (String, Vec<u8>)| Subject::new(name, &wire::alone(&request)).ok();
    let all = capture::archive(&bytes)?.into_iter().step_by(every).filter_map(subject);
    Ok(all.map(|subject| Request { subject, expected: None }).collect())
}

impl Request {
    /// Each byte as the character of that number.
    pub(crate) fn text(&self) -> Text {
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        let head = self.subject.head();
        let response = self.subject.response().headers.iter();
        Text {
            method: text(head.method()),
            target: text(head.target()),
            version: text(head.protocol()).trim_start_matches("HTTP/").to_owned(),
            headers: head.fields.iter().map(|(name, value)| (text(name), text(value))).collect(),
            response_headers: response.map(|(name, value)| (name.clone(), text(value))).collect(),
        }
    }
}
