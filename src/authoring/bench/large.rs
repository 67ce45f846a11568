//! Large bodies, generated: what a kilobyte costs, and what a single request may cost.

use super::ordinary::{FORM_HEAD, SENTENCES};
use super::scenario::{Expected, Scenario, plain_answer, with_body};

pub(super) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, about, request: Vec<u8>| Scenario {
        name,
        about,
        request,
        response: plain_answer(),
        inspects_response: false,
        expected: Expected::PASSES_BELOW_4,
    };
    vec![
        scenario("json-16k", "a JSON document of 16 kB", json(16 << 10)),
        scenario("json-128k", "a JSON document of 128 kB", json(128 << 10)),
        scenario("upload-1m", "a multipart upload: two fields and a picture of 1 MB", upload(1 << 20)),
        scenario("text-1k", "plain text, 1 kB: the lower end of the slope", text(1 << 10)),
        scenario("json-1k", "JSON, 1 kB: the lower end of the slope", json(1 << 10)),
        scenario("form-1k", "a form, 1 kB: the lower end of the slope", long_form(1 << 10)),
        scenario("text-2m", "plain text, 2 MB: the upper end of the slope", text(2 << 20)),
        scenario("json-2m", "JSON, 2 MB: the upper end of the slope", json(2 << 20)),
        scenario("form-2m", "a form, 2 MB: the upper end of the slope", long_form(2 << 20)),
    ]
}

/// Numbers that look drawn at random and are the same in every run.
pub(super) struct Sequence(u64);

impl Sequence {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one (SplitMix64).
    pub(super) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next one below `end`.
    pub(super) const fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.draw() % end as u64) as usize }
    }
}

const JSON_HEAD: &str = "POST /api/v2/orders/import HTTP/1.1\r\n\
     Host: api.example.com\r\n\
     User-Agent: warehouse-sync/3.0\r\n\
     Accept: application/json\r\n\
     Content-Type: application/json\r\n";

/// A list of orders.
fn json(bytes: usize) -> Vec<u8> {
    let mut sequence = Sequence::new(7);
    let mut body = String::from("{\"orders\":[");
    let mut number = 0;
    loop {
        number += 1;
        let text = SENTENCES[sequence.below(SENTENCES.len())];
        let order = format!(
            "{{\"id\":{},\"customer\":\"C-{:05}\",\"total\":{}.{:02},\"paid\":{},\"tags\":[\"spring\",\"web\"],\"remark\":\"{text}\"}}",
            100_000 + number,
            sequence.below(100_000),
            sequence.below(900),
            sequence.below(100),
            sequence.below(2) == 0,
        );
        if number > 1 {
            if body.len() + order.len() + 3 > bytes {
                break;
            }
            body.push(',');
        }
        body.push_str(&order);
    }
    body.push_str("]}");
    with_body(JSON_HEAD, body.as_bytes())
}

/// Prose, as a paste service or a webhook gets it.
fn text(bytes: usize) -> Vec<u8> {
    let mut sequence = Sequence::new(11);
    let mut body = String::with_capacity(bytes + 100);
    while body.len() < bytes {
        body.push_str(SENTENCES[sequence.below(SENTENCES.len())]);
        body.push(if sequence.below(6) == 0 { '\n' } else { ' ' });
    }
    body.truncate(bytes);
    let head = "POST /notes HTTP/1.1\r\n\
                Host: www.example.com\r\n\
                User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
                Accept: */*\r\n\
                Content-Type: text/plain\r\n";
    with_body(head, body.as_bytes())
}

/// Long text fields: 4 kB each.
fn long_form(bytes: usize) -> Vec<u8> {
    let mut sequence = Sequence::new(13);
    let mut body = String::with_capacity(bytes + 100);
    let mut field = 0;
    let mut next = 0;
    while body.len() < bytes {
        if body.len() >= next {
            field += 1;
            next += 4096;
            body.push_str(&format!("{}page_{field}=", if field > 1 { "&" } else { "" }));
        } else {
            body.push('+');
        }
        let sentence = SENTENCES[sequence.below(SENTENCES.len())];
        body.push_str(&sentence.replace(' ', "+").replace(',', "%2C").replace('?', "%3F"));
    }
    body.truncate(bytes);
    with_body(FORM_HEAD, body.as_bytes())
}

/// Two fields and a picture: bytes of all values, as compressed data has them.
fn upload(bytes: usize) -> Vec<u8> {
    const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nTent in the snow\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"album\"\r\n\r\nwinter-2026\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"tent.jpg\"\r\n\
         Content-Type: image/jpeg\r\n\r\n"
    )
    .into_bytes();
    let mut sequence = Sequence::new(17);
    let end = body.len() + bytes;
    while body.len() < end {
        body.extend_from_slice(&sequence.draw().to_le_bytes());
    }
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let head = format!(
        "POST /en/account/pictures HTTP/1.1\r\n\
         Host: www.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36\r\n\
         Accept: */*\r\n\
         Origin: https://www.example.com\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    );
    with_body(&head, &body)
}
