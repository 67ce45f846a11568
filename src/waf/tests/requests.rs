//! The request as rules see it.

use super::*;

/// Does a variable hold exactly this?
fn holds(exchange: &Exchange, phase: u8, variable: &str, value: &str) {
    let rules = format!("SecRule {variable} \"@streq {value}\" \"id:1,phase:{phase},pass\"");
    let shown = format!("SecAction \"id:2,phase:{phase},pass,msg:'%{{{}}}'\"", variable.replacen(':', ".", 1));
    let outcome = exchange.run(&program(&format!("{rules}\n{shown}")));
    assert_eq!(outcome.ids(), [1, 2], "{variable} is {:?}, not {value:?}", outcome.messages().last());
}

#[test]
fn request_line() {
    let exchange = Exchange::get("/a%20b/c.php?x=%41&y=1");
    for (variable, value) in [
        ("REQUEST_LINE", "GET /a%20b/c.php?x=%41&y=1 HTTP/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_URI", "/a%20b/c.php?x=%41&y=1"),
        ("REQUEST_URI_RAW", "/a%20b/c.php?x=%41&y=1"),
        ("REQUEST_FILENAME", "/a%20b/c.php"),
        ("REQUEST_BASENAME", "c.php"),
        ("QUERY_STRING", "x=%41&y=1"),
        ("SERVER_NAME", "www.example.com"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "40000"),
        ("SERVER_PORT", "443"),
        ("UNIQUE_ID", "ZxyID0123456789"),
        ("TIME_EPOCH", "1700000000"),
        ("TIME_YEAR", "2023"),
        ("ARGS:x", "A"),
        ("ARGS_COMBINED_SIZE", "4"),
    ] {
        holds(&exchange, 1, variable, value);
    }
    for (variable, value) in [
        ("REQUEST_URI", "/a b/c.php?x=%41&y=1"),
        ("REQUEST_URI_RAW", "/a%20b/c.php?x=%41&y=1"),
        ("REQUEST_FILENAME", "/a b/c.php"),
    ] {
        holds(&exchange, 2, variable, value);
    }
    holds(&Exchange::get("/a+%zz%2B/%2e"), 2, "REQUEST_FILENAME", "/a+%zz+/.");
    let absolute = Exchange::get("http://other.example/p?q=1");
    holds(&absolute, 1, "REQUEST_URI", "/p?q=1");
    holds(&absolute, 1, "REQUEST_URI_RAW", "http://other.example/p?q=1");
}

#[test]
fn query_arguments() {
    let exchange = Exchange::get("/?a=b+c&novalue&=noname&d=%zz&e=1=2&&f=%2B");
    holds(&exchange, 1, "ARGS:a", "b c");
    holds(&exchange, 1, "ARGS:novalue", "");
    holds(&exchange, 1, "ARGS:d", "%zz");
    holds(&exchange, 1, "ARGS:e", "1=2");
    holds(&exchange, 1, "ARGS:f", "+");
    holds(&exchange, 1, "&ARGS", "7");
    holds(&exchange, 1, "&ARGS_GET", "7");
    holds(&exchange, 1, "&ARGS_POST", "0");
    holds(&exchange, 1, "URLENCODED_ERROR", "1");
}

#[test]
fn duplicate_header_fields_are_joined() {
    let exchange = Exchange::get("/").header("X-A", "1").header("x-a", "2");
    holds(&exchange, 1, "&REQUEST_HEADERS:X-A", "1");
    holds(&exchange, 1, "REQUEST_HEADERS:X-A", "1, 2");
    holds(&exchange, 1, "&REQUEST_HEADERS_NAMES", "2");
}

#[test]
fn cookies() {
    let exchange = Exchange::get("/").header("Cookie", "a=1; B=2%41");
    holds(&exchange, 1, "REQUEST_COOKIES:b", "2%41");
    holds(&exchange, 1, "REQUEST_COOKIES_NAMES:/b/", "B");
}

#[test]
fn a_form() {
    let exchange = Exchange::form("a=1&b=x+y%21");
    holds(&exchange, 2, "ARGS:b", "x y!");
    holds(&exchange, 2, "ARGS_POST:a", "1");
    holds(&exchange, 2, "&ARGS_GET", "0");
    holds(&exchange, 2, "ARGS_POST_NAMES:a", "a");
    holds(&exchange, 2, "REQBODY_PROCESSOR", "URLENCODED");
    holds(&exchange, 2, "REQUEST_BODY", "a=1&b=x+y%21");
    holds(&exchange, 2, "REQUEST_BODY_LENGTH", "12");
    holds(&exchange, 2, "REQBODY_ERROR", "0");
    let with_charset = Exchange::post("/", "Application/x-www-form-urlencoded; charset=utf-8", "a=1");
    holds(&with_charset, 2, "ARGS_POST:a", "1");
}

#[test]
fn other_bodies_are_seen_when_forced_only() {
    let count = |rules: &str, content_type: &str| {
        let rules = format!("{rules}\nSecRule REQUEST_BODY \"@rx .\" \"id:1,phase:2,pass\"");
        Exchange::post("/", content_type, "body").run(&program(&rules)).ids().len()
    };
    let force = "SecAction \"id:9,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"";
    assert_eq!(count("", "text/plain"), 0);
    assert_eq!(count(force, "text/plain"), 1);
    assert_eq!(count("", "application/x-www-form-urlencoded"), 1);
}

#[test]
fn body_limits() {
    let long = Exchange::form(&format!("a={}", "x".repeat(3000)));
    let limits = "SecRequestBodyLimit 1500\nSecRequestBodyLimitAction ProcessPartial\n";
    let rules =
        format!("{limits}SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:1,phase:2,pass,msg:'%{{request_body_length}}'\"");
    assert_eq!(long.run(&program(&rules)).messages(), ["1500"]);
    let program = program("SecRequestBodyLimit 1500");
    let mut scratch = Scratch::new();
    let connection = Connection {
        client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: 1,
        server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_port: 1,
        unique_id: "",
        now: Duration::ZERO,
        is_detection_only: false,
    };
    let mut transaction = Transaction::new(&program, &mut scratch, &connection);
    assert_eq!(transaction.request_body(&program, &[b'x'; 1500]), BodyStep::Continue);
    assert_eq!(transaction.request_body(&program, b"x"), BodyStep::Reject);
}

#[test]
fn the_response() {
    let exchange = Exchange::get("/").response(404, "text/plain; charset=x", "not found");
    holds(&exchange, 3, "RESPONSE_STATUS", "404");
    holds(&exchange, 3, "RESPONSE_PROTOCOL", "HTTP/1.1");
    holds(&exchange, 3, "RESPONSE_HEADERS:content-type", "text/plain; charset=x");
    holds(&exchange, 4, "RESPONSE_BODY", "not found");
    let image = Exchange::get("/").response(200, "image/png", "not looked at");
    let rules = r#"SecRule RESPONSE_BODY "@rx ^" "id:1,phase:4,pass"
        SecAction "id:2,phase:4,pass""#;
    assert_eq!(image.run(&program(rules)).ids(), [2]);
}

const JSON: &str = "SecAction \"id:90,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n";

#[test]
fn json_bodies() {
    let body = r#"{"a":{"b":"c\u0041","d":[1,true,null]},"e":{"f":"x"}}"#;
    let exchange = Exchange::post("/?q=1", "application/json", body);
    let rules =
        format!("{JSON}SecRule ARGS \"@rx ^\" \"id:1,phase:2,pass,msg:'%{{MATCHED_VAR_NAME}}=%{{MATCHED_VAR}}'\"");
    let messages = exchange.run(&program(&rules)).messages();
    assert_eq!(messages, ["ARGS:q=1", "ARGS:a.b=cA", "ARGS:a.d.d=1", "ARGS:a.d.d=true", "ARGS:a.d.d=", "ARGS:e.f=x"]);
    let count = |target: &str| {
        let rules =
            format!("{JSON}SecAction \"id:1,phase:2,pass,msg:'-'\"\nSecRule {target} \"@rx ^\" \"id:2,phase:2,pass\"");
        exchange.run(&program(&rules)).ids().len() - 1
    };
    assert_eq!(count("ARGS_POST"), 0);
    assert_eq!(count("ARGS_GET"), 1);
    assert_eq!(count("REQUEST_BODY"), 0);
}

#[test]
fn json_errors() {
    let rules =
        format!("{JSON}SecRule REQBODY_ERROR \"!@eq 0\" \"id:1,phase:2,deny,status:400,msg:'%{{reqbody_error_msg}}'\"");
    let program = program(&rules);
    let run = |body: &str| Exchange::post("/", "application/json", body).run(&program);
    assert_eq!(run("{\"a\":1}").status(), None);
    let outcome = run("{\"a\":1");
    assert_eq!(outcome.status(), Some(400));
    assert_eq!(outcome.messages(), ["JSON parsing error: parse error: premature EOF"]);
    let outcome = run("<a>");
    assert_eq!(outcome.status(), Some(400));
    let notice = String::from_utf8_lossy(&outcome.summary.notices[0]).into_owned();
    assert!(notice.starts_with("ModSecurity: JSON parsing error: parse error"), "{notice}");
    assert!(notice.ends_with("[uri \"/\"] [unique_id \"ZxyID0123456789\"]"), "{notice}");
}

fn multipart(body: &str) -> Exchange {
    Exchange::post("/", "multipart/form-data; boundary=x", body.replace('\n', "\r\n"))
}

#[test]
fn macros_take_the_first_node_of_an_xpath() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
                 SecAction \"id:2,phase:2,pass,msg:'%{XML.//b} %{XML:/a/@c} %{XML.//nope}.'\"";
    let outcome = Exchange::post("/", "text/xml", "<a c='1'><b>x</b><b>y</b></a>").run(&program(rules));
    assert_eq!(outcome.messages(), ["x 1 ."]);
    let outcome = Exchange::post("/", "text/xml", "<a>").run(&program(rules));
    assert_eq!(outcome.messages(), ["  ."]);
}

#[test]
fn multipart_fields_beyond_the_limit_are_refused() {
    let field = "a".repeat(300);
    let exchange = multipart(&format!(
        "--x\nContent-Disposition: form-data; name=\"a\"\n\n{field}\n--x\n\
         Content-Disposition: form-data; name=\"f\"; filename=\"f\"\n\n{field}\n--x--\n"
    ));
    let rules = |limit: u32, mode: &str, action: &str| {
        format!(
            "SecRuleEngine {mode}\nSecRequestBodyAccess On\nSecRequestBodyNoFilesLimit {limit}\n\
             SecRequestBodyLimitAction {action}\n\
             SecRule REQBODY_ERROR \"@eq 1\" \"id:1,phase:2,pass\"\nSecAction \"id:2,phase:5,pass\""
        )
    };
    let outcome = |limit, mode, action| {
        let outcome = exchange.run(&program(&rules(limit, mode, action)));
        (outcome.status(), outcome.ids())
    };
    assert_eq!(outcome(300, "On", "Reject"), (Some(413), vec![2]));
    assert_eq!(outcome(300, "On", "ProcessPartial"), (None, vec![1, 2]));
    assert_eq!(outcome(300, "DetectionOnly", "Reject"), (None, vec![2]));
    // The file does not count.
    assert_eq!(outcome(500, "On", "Reject"), (None, vec![2]));
}

#[test]
fn multipart_bodies() {
    let exchange = multipart(
        "--x\nContent-Disposition: form-data; name=\"a\"\n\n1\n2\n--x\nContent-Disposition: form-data; name=\"up\"; \
         filename=\"f.txt\"\nContent-Type: text/plain\n\nhello\n--x--\n",
    );
    for (variable, value) in [
        ("ARGS_POST:a", "1\r\n2"),
        ("&ARGS", "1"),
        ("FILES:up", "f.txt"),
        ("FILES_NAMES", "up"),
        ("FILES_SIZES:up", "5"),
        ("FILES_COMBINED_SIZE", "5"),
        ("FILES_TMP_CONTENT:up", "hello"),
        ("MULTIPART_NAME", "up"),
        ("MULTIPART_FILENAME", "f.txt"),
        ("&MULTIPART_PART_HEADERS:up", "2"),
        ("MULTIPART_PART_HEADERS:a", "Content-Disposition: form-data; name=\"a\""),
        ("MULTIPART_STRICT_ERROR", "0"),
        ("MULTIPART_CRLF_LF_LINES", "0"),
        ("REQBODY_PROCESSOR", "MULTIPART"),
        ("REQBODY_ERROR", "0"),
    ] {
        let value = value.replace('"', "\\\"");
        if value.contains('\r') {
            let rules = format!("SecRule {variable} \"@rx ^1\\r\\n2$\" \"id:1,phase:2,pass\"");
            assert_eq!(exchange.run(&program(&rules)).ids(), [1], "{variable}");
        } else {
            holds(&exchange, 2, variable, &value);
        }
    }
}

#[test]
fn multipart_errors() {
    let broken = multipart("--x\nContent-Disposition: form-data; name=\"a\"\n\n1\n");
    holds(&broken, 2, "REQBODY_ERROR", "1");
    holds(&broken, 2, "&ARGS", "0");
    let no_boundary = Exchange::post("/", "multipart/form-data", "x");
    holds(&no_boundary, 2, "REQBODY_ERROR", "1");
}

const XML: &str = "SecAction \"id:90,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n";

#[test]
fn xml_bodies() {
    let body = "<a x=\"1\">t<b y='2'>u</b> <n:c xmlns:n=\"urn:n\">v</n:c></a>";
    let exchange = Exchange::post("/", "text/xml", body);
    let values = |target: &str, actions: &str| {
        let rules = format!("{XML}SecRule {target} \"@rx ^\" \"id:1,phase:2,pass,msg:'%{{MATCHED_VAR}}'{actions}\"");
        let outcome = exchange.run(&program(&rules));
        assert!(outcome.variables().iter().all(|name| name == "XML"), "{:?}", outcome.variables());
        outcome.messages()
    };
    assert_eq!(values("XML:/*", ""), ["tu v"]);
    assert_eq!(values("XML://@*", ""), ["1", "2"]);
    assert_eq!(values("XML:/a/b", ""), ["u"]);
    assert_eq!(values("XML://p:c", ",xmlns:p=urn:n"), ["v"]);
    assert_eq!(values("XML", ""), ["[XML document tree]"]);
    assert_eq!(values("XML:/*|XML://@*|!XML:/*", ""), ["1", "2"]);
    assert_eq!(values("XML:/*|XML://@*", ",ctl:ruleRemoveTargetById=1;XML:/*"), ["tu v", "1", "2"]);
    let removed = format!(
        "{XML}SecAction \"id:2,phase:2,pass,nolog,ctl:ruleRemoveTargetById=1;XML://@*\"\n\
         SecRule XML:/*|XML://@* \"@rx ^\" \"id:1,phase:2,pass\"\nSecRule REQUEST_BODY|ARGS \"@rx ^\" \"id:3,phase:2,pass\""
    );
    assert_eq!(exchange.run(&program(&removed)).ids(), [1]);
    let broken = Exchange::post("/", "text/xml", "<a><b></a>");
    let rules = format!(
        "{XML}SecRule REQBODY_ERROR \"@eq 1\" \"id:1,phase:2,deny,status:400\"\nSecRule XML:/* \"@rx ^\" \"id:2\""
    );
    assert_eq!(broken.run(&program(&rules)).ids(), [1]);
}

#[test]
fn xml_as_arguments() {
    let body = "<a><b>1</b><c><d>2</d><d/></c></a>";
    let rules = |setting: &str| {
        format!(
            "{XML}{setting}\nSecRule ARGS|XML:/* \"@rx ^\" \"id:1,phase:2,pass,msg:'%{{MATCHED_VAR_NAME}}=%{{MATCHED_VAR}}'\""
        )
    };
    let run = |setting: &str| Exchange::post("/", "text/xml", body).run(&program(&rules(setting))).messages();
    let arguments = ["ARGS:xml.a.b=1", "ARGS:xml.a.c.d=2", "ARGS:xml.a.c.d="];
    assert_eq!(run(""), ["XML=12"]);
    assert_eq!(run("SecParseXmlIntoArgs OnlyArgs"), arguments);
    assert_eq!(run("SecParseXmlIntoArgs On")[..3], arguments);
    assert_eq!(run("SecAction \"id:9,phase:1,pass,nolog,ctl:parseXmlIntoArgs=On\"").len(), 4);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_bodies() {
    let compressed = |body: Vec<u8>| {
        Exchange::post("/", "application/x-www-form-urlencoded", body).header("Content-Encoding", "gzip")
    };
    let form = compressed(gzip(b"a=1&b=2"));
    holds(&form, 2, "ARGS_POST:b", "2");
    holds(&form, 2, "REQBODY_ERROR", "0");
    let plain = compressed(b"a=1".to_vec());
    holds(&plain, 2, "REQBODY_ERROR", "1");
    holds(&plain, 2, "ARGS_POST:a", "1");
    let bomb = compressed(gzip(&vec![b'x'; 10_000_000]));
    holds(&bomb, 2, "REQBODY_ERROR", "1");
    let mut answer = Exchange::get("/").response(200, "text/html", "");
    answer.response_headers.push(("Content-Encoding".into(), "gzip".into()));
    answer.response_body = gzip(b"secret");
    holds(&answer, 4, "RESPONSE_BODY", "secret");
}
