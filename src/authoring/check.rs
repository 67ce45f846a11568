//! Compares what came back with what a case asserts.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::cases::{Expected, Pattern};
use super::exchange::{Answer, Exchange};

/// Everything that is wrong; nothing when the stage holds.
pub fn check(expected: &Expected, exchange: &Exchange) -> Vec<String> {
    if let Answer::Unknown(reason) = &exchange.answer {
        return vec![format!("the runner failed: {reason}")];
    }
    let mut wrong = Vec::new();
    let has_answer = match (&exchange.answer, expected.is_error) {
        (Answer::None(_) | Answer::Unknown(_), true) => false,
        (Answer::Status(status), true) => {
            wrong.push(format!("the answer is {status}; none was expected"));
            true
        }
        (Answer::None(reason) | Answer::Unknown(reason), false) => {
            wrong.push(format!("there is no answer: {reason}"));
            false
        }
        (Answer::Status(status), false) => {
            if !expected.status.is_empty() && !expected.status.contains(status) {
                wrong.push(format!("the answer is {status}, not {}", list(&expected.status)));
            }
            true
        }
    };
    for pattern in expected.response_contains.iter().filter(|p| !p.regex.is_match(&exchange.response)) {
        wrong.push(format!("the response does not contain {}", pattern.text));
    }
    let logged = rule_ids(&exchange.log);
    // A request that ends without an answer need not have reached the rules: then only what must not be is asked.
    if has_answer || !expected.is_error {
        let missing: Vec<_> = expected.expect_ids.iter().filter(|id| !logged.contains(id)).collect();
        if !missing.is_empty() {
            wrong.push(format!("rule {} was not logged", list(&missing)));
        }
        for pattern in expected.matches.iter().filter(|pattern| !any_line(pattern, &exchange.log)) {
            wrong.push(format!("no log line matches {}", pattern.text));
        }
        if expected.is_isolated && logged.len() != 1 {
            wrong.push(format!("{} rules were logged, not one", logged.len()));
        }
    }
    let unwanted: Vec<_> = expected.no_expect_ids.iter().filter(|id| logged.contains(id)).collect();
    if !unwanted.is_empty() {
        wrong.push(format!("rule {} was logged", list(&unwanted)));
    }
    for pattern in expected.no_matches.iter().filter(|pattern| any_line(pattern, &exchange.log)) {
        wrong.push(format!("a log line matches {}", pattern.text));
    }
    wrong
}

fn any_line(pattern: &Pattern, log: &[Vec<u8>]) -> bool {
    log.iter().any(|line| pattern.regex.is_match(line))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The ids of all rules in log lines: `[id "942100"]`, or `"id":942100` and `"ruleId":"942100"` in JSON logs.
pub fn rule_ids(log: &[Vec<u8>]) -> BTreeSet<u32> {
    static NATIVE: LazyLock<Option<Pattern>> =
        LazyLock::new(|| Pattern::new(r#"\[(?:id |\\?"id\\?":)\\?"(\d+)\\?"\]"#).ok());
    static JSON: LazyLock<Option<Pattern>> =
        LazyLock::new(|| Pattern::new(r#""id":\s*"?(\d+)"?|"ruleId":\s*"?(\d+)"?"#).ok());
    let mut ids = BTreeSet::new();
    for line in log {
        let before = ids.len();
        collect(&NATIVE, line, &mut ids);
        if ids.len() == before {
            collect(&JSON, line, &mut ids);
        }
    }
    ids
}

fn collect(pattern: &Option<Pattern>, line: &[u8], ids: &mut BTreeSet<u32>) {
    let Some(pattern) = pattern else { return };
    for captures in pattern.regex.captures_iter(line) {
        let group = captures.get_group(1).or_else(|| captures.get_group(2));
        let digits = group.and_then(|span| line.get(span.range())).and_then(|text| std::str::from_utf8(text).ok());
        ids.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(answer: Answer, log: &[&str]) -> Exchange {
        let log = log.iter().map(|line| line.as_bytes().to_vec()).collect();
        Exchange { answer, response: b"HTTP/1.1 200 \r\n\r\nhello".to_vec(), log, summary: None }
    }

    #[test]
    fn ids_in_log_lines() {
        let log = [br#"ModSecurity: Warning. [id "1"] [msg "x"] [id "22"]"#.to_vec(), br#"{"ruleId":"3"}"#.to_vec()];
        assert_eq!(rule_ids(&log).into_iter().collect::<Vec<_>>(), [1, 3, 22]);
    }

    #[test]
    fn every_assertion_can_fail() {
        let line = r#"Warning [id "7"] [data "x"]"#;
        let ok = exchange(Answer::Status(200), &[line]);
        let all = |change: &dyn Fn(&mut Expected)| {
            let mut expected = Expected::default();
            change(&mut expected);
            check(&expected, &ok)
        };
        assert!(all(&|e| e.status = vec![200]).is_empty());
        assert_eq!(all(&|e| e.status = vec![403]).len(), 1);
        assert!(all(&|e| e.expect_ids = vec![7]).is_empty());
        assert_eq!(all(&|e| e.expect_ids = vec![7, 8]), ["rule 8 was not logged"]);
        assert_eq!(all(&|e| e.no_expect_ids = vec![7, 8]), ["rule 7 was logged"]);
        assert_eq!(all(&|e| e.matches.push(Pattern::new("nope").unwrap())).len(), 1);
        assert_eq!(all(&|e| e.no_matches.push(Pattern::new(r#"\[id "\d+"\]"#).unwrap())).len(), 1);
        assert_eq!(all(&|e| e.response_contains = Pattern::new("bye").ok()).len(), 1);
        assert_eq!(all(&|e| e.is_error = true).len(), 1);
        assert!(all(&|e| e.is_isolated = true).is_empty());
        let unknown = exchange(Answer::Unknown("no log".into()), &[]);
        assert_eq!(check(&Expected { no_expect_ids: vec![7], ..Expected::default() }, &unknown).len(), 1);
        assert_eq!(check(&Expected { is_error: true, ..Expected::default() }, &unknown).len(), 1);
        let none = exchange(Answer::None("closed".into()), &[]);
        let expected = Expected { is_error: true, expect_ids: vec![7], ..Expected::default() };
        assert!(check(&expected, &none).is_empty());
        let expected = Expected { no_expect_ids: vec![7], ..Expected::default() };
        assert_eq!(check(&expected, &none).len(), 1);
    }
}
