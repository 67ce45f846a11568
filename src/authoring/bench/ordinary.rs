//! Ordinary requests of ordinary size.

use super::scenario::{Expected, Scenario, plain_answer, with_body};

/// As a shop's page asks for its orders; what the laboratory's `get` sends, the last of its 64.
pub(super) const LAB_GET: &str = "GET /api/v1/orders/64?page=1&sort=created_at&filter=status%3Aopen&q=winter+jacket+size+64 HTTP/1.1\r\n\
     Host: localhost:8443\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36\r\n\
     Accept: application/json, text/plain, */*\r\n\
     Accept-Language: en-US,en;q=0.9\r\n\
     Accept-Encoding: gzip, deflate, br\r\n\
     Referer: https://shop.example.com/catalog?page=2\r\n\
     Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1718000000\r\n\
     Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkphbmUifQ.\
     c2lnbmF0dXJlLXBsYWNlaG9sZGVy\r\n\r\n";

/// A browser's own navigation: what Chromium sends with a cookie jar of some age.
const BROWSER_GET: &str = "GET /en/catalogue/outdoor/jackets?colour=forest-green&size=m&sort=price HTTP/1.1\r\n\
     Host: www.example.com\r\n\
     Connection: keep-alive\r\n\
     sec-ch-ua: \"Chromium\";v=\"126\", \"Not/A)Brand\";v=\"8\"\r\n\
     sec-ch-ua-mobile: ?0\r\n\
     sec-ch-ua-platform: \"Linux\"\r\n\
     Upgrade-Insecure-Requests: 1\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
     Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
     Sec-Fetch-Site: same-origin\r\n\
     Sec-Fetch-Mode: navigate\r\n\
     Sec-Fetch-User: ?1\r\n\
     Sec-Fetch-Dest: document\r\n\
     Referer: https://www.example.com/en/catalogue/outdoor\r\n\
     Accept-Encoding: gzip, deflate, br, zstd\r\n\
     Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
     Cookie: sid=4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f; consent=all-2026; _ga=GA1.2.982451653.1767225600; \
     basket=3; theme=light; last_seen=48213-48377-50102\r\n\r\n";

/// A program's request for one thing.
const API_GET: &str = "GET /api/v2/customers/48213/invoices/2026-0117 HTTP/1.1\r\n\
     Host: api.example.com\r\n\
     User-Agent: invoicing/4.2 (linux; amd64)\r\n\
     Accept: application/json\r\n\
     X-Request-Id: 5f1c0e9b7d2a4c36\r\n\
     Authorization: Bearer 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c\r\n\r\n";

pub(super) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, about, request: Vec<u8>, expected| Scenario {
        name,
        about,
        request,
        response: plain_answer(),
        inspects_response: false,
        expected,
    };
    vec![
        scenario(
            "get",
            "the laboratory's GET: 8 browser headers, 5 arguments",
            LAB_GET.into(),
            Expected::PASSES_BELOW_4,
        ),
        scenario(
            "json-post",
            "the laboratory's JSON POST: 1.2 kB, 53 leaves",
            lab_json_post(),
            Expected::PASSES_BELOW_4,
        ),
        scenario("browser-get", "a browser's navigation with cookies", BROWSER_GET.into(), Expected::PASSES),
        scenario("api-get", "a program's GET without arguments", API_GET.into(), Expected::PASSES),
        scenario("form-4k", "a contact form of 4 kB", form(), Expected::PASSES_BELOW_4),
        scenario("form-950", "a form with 950 arguments", form_of_many(), Expected::PASSES_BELOW_4),
        scenario("soap", "a SOAP call in XML, 3 kB", soap(), Expected::PASSES_BELOW_4),
    ]
}

fn lab_json_post() -> Vec<u8> {
    let item = |number: u32| {
        let price = f64::from(number) * 3.5;
        let sku = 1000 + number;
        format!(r#"{{"sku":"SKU-{sku}","qty":{number},"price":{price},"note":"gift wrap please, deliver after 5pm"}}"#)
    };
    let items: Vec<String> = (1..=12).map(item).collect();
    let body = format!(
        r#"{{"customer":{{"name":"Jane Doe","email":"jane@example.com","address":{{"street":"12 Main St","city":"Springfield","zip":"12345"}}}},"items":[{}],"comment":"Thanks for the quick delivery last time!"}}"#,
        items.join(",")
    );
    let head = "POST /post?src=web HTTP/1.1\r\n\
                Host: localhost:8443\r\n\
                Content-Type: application/json\r\n\
                User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
                Accept: application/json\r\n\
                Cookie: session=8f14e45fceea167a5a36dedd4bea2543\r\n";
    with_body(head, body.as_bytes())
}

/// Head of a browser's POST of a form; the Content-Length follows.
pub(super) const FORM_HEAD: &str = "POST /en/account/contact HTTP/1.1\r\n\
     Host: www.example.com\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
     Accept: text/html,application/xhtml+xml;q=0.9\r\n\
     Accept-Language: en-GB,en;q=0.5\r\n\
     Origin: https://www.example.com\r\n\
     Referer: https://www.example.com/en/account/contact\r\n\
     Cookie: sid=4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f\r\n\
     Content-Type: application/x-www-form-urlencoded\r\n";

/// Sentences of a customer.
pub(super) const SENTENCES: &[&str] = &[
    "The parcel arrived on Tuesday and the box was slightly dented.",
    "Could you please tell me when the blue one will be back in stock?",
    "I would like to change the delivery address of my last order.",
    "We met your colleague at the fair and were very pleased with the advice.",
    "My neighbour bought the same tent and recommends it to everyone.",
    "Please send the invoice for March again, the first copy got lost.",
    "The zip of the left pocket is stuck after two weeks of normal use.",
    "Thank you for the quick answer and have a nice weekend.",
];

fn form() -> Vec<u8> {
    let mut message = String::new();
    for number in 0..80 {
        message
            .push_str(&SENTENCES[number % SENTENCES.len()].replace(' ', "+").replace(',', "%2C").replace('?', "%3F"));
        message.push('+');
    }
    let body = format!(
        "salutation=Ms&first_name=Jane&last_name=Doe&email=jane%40example.com&order=2026-0117&newsletter=on&topic=delivery&message={message}"
    );
    with_body(FORM_HEAD, &body.as_bytes()[..4096])
}

fn form_of_many() -> Vec<u8> {
    let fields: Vec<String> = (1..=950).map(|number| format!("line_{number}=item+{}", number * 37 % 1000)).collect();
    with_body(FORM_HEAD, fields.join("&").as_bytes())
}

fn soap() -> Vec<u8> {
    let lines: String = (1..=24)
        .map(|number| {
            format!(
                "      <ord:Line><ord:Article>A-{}</ord:Article><ord:Quantity>{number}</ord:Quantity>\
                 <ord:Remark>{}</ord:Remark></ord:Line>\n",
                4000 + number,
                SENTENCES[number % SENTENCES.len()].trim_end_matches(['.', '?'])
            )
        })
        .collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:ord=\"urn:example:orders\">\n\
         \x20 <soap:Body>\n    <ord:PlaceOrder>\n      <ord:Customer>48213</ord:Customer>\n{lines}\
         \x20   </ord:PlaceOrder>\n  </soap:Body>\n</soap:Envelope>\n"
    );
    let head = "POST /services/orders HTTP/1.1\r\n\
                Host: erp.example.com\r\n\
                User-Agent: OrderClient/2.1\r\n\
                Accept: text/xml\r\n\
                SOAPAction: \"urn:example:orders:place\"\r\n\
                Content-Type: text/xml; charset=utf-8\r\n";
    with_body(head, body.as_bytes())
}
