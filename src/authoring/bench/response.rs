//! Answers whose bodies are inspected.

use super::ordinary::{LAB_GET, SENTENCES};
use super::scenario::{Expected, Scenario};
use crate::authoring::backend::Response;

pub(super) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, about, kind: &str, body: String, expected| Scenario {
        name,
        about,
        request: LAB_GET.into(),
        response: answer(kind, body),
        inspects_response: true,
        expected,
    };
    vec![
        scenario(
            "response-html-10k",
            "a page of 10 kB is inspected on its way back",
            "text/html; charset=utf-8",
            html(10 << 10),
            Expected::PASSES_BELOW_4,
        ),
        scenario(
            "response-json-100k",
            "a JSON answer of 100 kB is inspected on its way back",
            "application/json",
            json(100 << 10),
            Expected::PASSES_BELOW_4,
        ),
        scenario(
            "response-leak",
            "a page that shows a database's error message",
            "text/html; charset=utf-8",
            html(2 << 10).replace(
                "</body>",
                "<b>Warning</b>: mysqli_query(): You have an error in your SQL syntax; check the manual that \
                 corresponds to your MySQL server version for the right syntax to use near '' at line 1</body>",
            ),
            Expected::BLOCKED,
        ),
    ]
}

fn answer(kind: &str, body: String) -> Response {
    let headers = vec![
        ("Server".to_owned(), b"nginx".to_vec()),
        ("Date".to_owned(), b"Thu, 01 Jan 2026 00:00:00 GMT".to_vec()),
        ("Content-Type".to_owned(), kind.as_bytes().to_vec()),
        ("Content-Length".to_owned(), body.len().to_string().into_bytes()),
        ("Cache-Control".to_owned(), b"private, max-age=60".to_vec()),
    ];
    Response { status: 200, headers, body: body.into_bytes() }
}

fn html(bytes: usize) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Catalogue</title></head>\n<body>\n",
    );
    let mut number = 0;
    while page.len() + 200 < bytes {
        number += 1;
        let text = SENTENCES[number % SENTENCES.len()];
        page.push_str(&format!(
            "<article id=\"review-{number}\"><h2>Review {number}</h2>\n<p class=\"text\">{text}</p></article>\n"
        ));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn json(bytes: usize) -> String {
    let mut list = String::from("{\"reviews\":[");
    let mut number = 0;
    while list.len() + 150 < bytes {
        number += 1;
        let text = SENTENCES[number % SENTENCES.len()];
        let comma = if number > 1 { "," } else { "" };
        list.push_str(&format!("{comma}{{\"id\":{number},\"stars\":{},\"text\":\"{text}\"}}", number % 5 + 1));
    }
    list.push_str("]}");
    list
}
