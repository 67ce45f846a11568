//! The results of `portcullis bench`, for people and for programs.

use serde_json::{Value, json};

use super::{Arguments, Engine, Format, Recorded, Row};
use crate::authoring::bench::profile::Breakdown;
use crate::authoring::bench::worst::Report;
use crate::authoring::bench::{Decision, Figures, Setup};

/// Of scenarios.
pub(super) fn rows(rows: &[Row], setup: &Setup, arguments: &Arguments) -> String {
    if arguments.format == Format::Json {
        let scenarios: Vec<Value> = rows.iter().map(|row| row_json(row, arguments)).collect();
        return document(setup, json!({ "scenarios": scenarios }));
    }
    let is_both = arguments.engine == Engine::Both;
    let mut out = format!("{:20} {:>9} {:>12} {:>12} {:>10}", "scenario", "bytes", "median", "p99", "per kB");
    out.push_str(if is_both { "    reference    ratio  decision\n" } else { "  decision\n" });
    for row in rows {
        let Some(figures) = row.figures.first() else { continue };
        let bytes = row.subject.bytes();
        let per_kilobyte = per_kilobyte(figures, bytes);
        out.push_str(&format!(
            "{:20} {bytes:>9} {:>12} {:>12} {:>10}",
            row.subject.name,
            time(figures.median),
            time(figures.p99),
            time(per_kilobyte)
        ));
        if let Some(reference) = row.figures.get(1) {
            let ratio = reference.median as f64 / figures.median.max(1) as f64;
            out.push_str(&format!(" {:>12} {ratio:>8.1}", time(reference.median)));
        }
        out.push_str(&format!("  {}{}\n", row.decision.as_str(), surprise(row)));
    }
    for row in rows {
        if let Some(breakdown) = &row.breakdown {
            out.push_str(&format!("\n{}\n{}", row.subject.name, breakdown_text(breakdown, arguments.top)));
        }
    }
    out
}

/// What to say of a decision that is not the expected one.
fn surprise(row: &Row) -> String {
    match row.expected {
        Some(expected) if expected != row.decision => {
            format!("  WRONG, expected: {}; rules {:?}", expected.as_str(), row.rules)
        }
        _ => String::new(),
    }
}

/// Of recorded requests.
pub(super) fn recorded(recorded: &Recorded, setup: &Setup, arguments: &Arguments) -> String {
    let figures: Vec<Figures> = recorded.times.iter().map(|times| Figures::of(times.clone())).collect();
    let blocked = recorded.decisions.iter().filter(|decision| **decision == Decision::Blocked).count();
    let bytes: usize = recorded.subjects.iter().map(super::Subject::bytes).sum();
    let first = recorded.times.first().map_or(&[][..], Vec::as_slice);
    let mut dearest: Vec<usize> = (0..first.len()).collect();
    dearest.sort_by_key(|place| std::cmp::Reverse(first[*place]));
    let refused = recorded.refused.len();
    if arguments.format == Format::Json {
        let request = |place: usize| {
            let subject = &recorded.subjects[place];
            let times: Vec<u64> = recorded.times.iter().map(|times| times[place]).collect();
            json!({ "name": subject.name, "bytes": subject.bytes(), "nanoseconds": times,
                    "decision": recorded.decisions[place].as_str() })
        };
        let requests: Vec<Value> = (0..first.len()).map(request).collect();
        return document(
            setup,
            json!({
                "bytes": bytes, "blocked": blocked, "refused": refused,
                "refusals": recorded.refused.iter().map(|(name, answer)| json!({ "name": name, "answer": answer }))
                    .collect::<Vec<_>>(),
                "engines": engines(arguments.engine, &figures), "requests": requests,
                "profile": recorded.breakdown.as_ref().map(|breakdown| breakdown_json(breakdown, arguments.top)),
            }),
        );
    }
    let count = recorded.subjects.len();
    let mut out = format!(
        "{count} requests, {} bytes on average; {blocked} blocked, {refused} refused before the rules\n",
        bytes / count.max(1)
    );
    out.push_str(&format!("{:12} {:>12} {:>12} {:>12} {:>12}\n", "", "mean", "median", "p99", "slowest"));
    for (name, figures) in names(arguments.engine).iter().zip(&figures) {
        let [mean, median, p99, slowest] = [figures.mean, figures.median, figures.p99, figures.slowest].map(time);
        out.push_str(&format!("{name:12} {mean:>12} {median:>12} {p99:>12} {slowest:>12}\n"));
    }
    if arguments.top > 0 {
        out.push_str("\nthe dearest:\n");
    }
    for place in dearest.into_iter().take(arguments.top) {
        let subject = &recorded.subjects[place];
        let decision = recorded.decisions[place].as_str();
        out.push_str(&format!(
            "{:>12} {:>9} bytes  {decision}  {}\n",
            time(first[place]),
            subject.bytes(),
            subject.name
        ));
    }
    out.push_str(&refusals(&recorded.refused, arguments.top));
    if let Some(breakdown) = &recorded.breakdown {
        out.push_str(&format!("\n{}", breakdown_text(breakdown, arguments.top)));
    }
    out
}

/// Requests that no rule got to see, and what they are answered.
pub(super) fn refusals(refused: &[(String, String)], top: usize) -> String {
    let shown = refused.iter().take(top);
    let lines: String = shown.map(|(name, answer)| format!("{answer:>12}  {name}\n")).collect();
    let more = refused.len().saturating_sub(top);
    match (lines.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!("\nrefused before the rules:\n{lines}"),
        (false, more) => format!("\nrefused before the rules:\n{lines}{:>12}  more\n", more),
    }
}

/// Of a search.
pub(super) fn worst(report: &Report, setup: &Setup, arguments: &Arguments) -> String {
    if arguments.format == Format::Json {
        let find = |find: &crate::authoring::bench::worst::Find| json!({ "nanoseconds": find.nanoseconds, "rule": find.origin, "recipe": find.recipe.describe() });
        let finds: Vec<Value> = report.finds.iter().map(find).collect();
        return document(
            setup,
            json!({ "bytes": arguments.bytes, "seed": arguments.seed, "screened": report.screened,
                    "climbed": report.climbed, "finds": finds }),
        );
    }
    let mut out = format!(
        "{} bodies tried in small size, {} of {} bytes; seed {}\n",
        report.screened, report.climbed, arguments.bytes, arguments.seed
    );
    for find in &report.finds {
        let origin = if find.origin == 0 { "-".to_owned() } else { find.origin.to_string() };
        out.push_str(&format!("{:>12}  rule {origin:7} {}\n", time(find.nanoseconds), find.recipe.describe()));
    }
    out
}

const fn names(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Fast => &["fast"],
        Engine::Reference => &["reference"],
        Engine::Both => &["fast", "reference"],
    }
}

fn engines(engine: Engine, figures: &[Figures]) -> Value {
    let all = names(engine).iter().zip(figures).map(|(name, figures)| {
        let Figures { count, mean, median, p99, slowest } = figures;
        let value =
            json!({ "count": count, "mean_ns": mean, "median_ns": median, "p99_ns": p99, "slowest_ns": slowest });
        ((*name).to_owned(), value)
    });
    Value::Object(all.collect())
}

fn document(setup: &Setup, mut results: Value) -> String {
    if let Some(object) = results.as_object_mut() {
        object.insert("rules".into(), setup.describe().into());
        object.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    }
    serde_json::to_string_pretty(&results).unwrap_or_default() + "\n"
}

fn row_json(row: &Row, arguments: &Arguments) -> Value {
    json!({
        "name": row.subject.name,
        "bytes": row.subject.bytes(),
        "decision": row.decision.as_str(),
        "expected": row.expected.map(Decision::as_str),
        "matched": row.rules,
        "engines": engines(arguments.engine, &row.figures),
        "ns_per_kb": row.figures.first().map(|figures| per_kilobyte(figures, row.subject.bytes())),
        "profile": row.breakdown.as_ref().map(|breakdown| breakdown_json(breakdown, arguments.top)),
    })
}

fn per_kilobyte(figures: &Figures, bytes: usize) -> u64 {
    (u128::from(figures.median) * 1024 / bytes.max(1) as u128) as u64
}

fn breakdown_json(breakdown: &Breakdown, top: usize) -> Value {
    let runs = breakdown.runs.max(1) as u64;
    let stages =
        breakdown.stages.iter().map(|(stage, figures)| json!({ "stage": stage.as_str(), "mean_ns": figures.mean }));
    let rules = breakdown.rules.iter().take(top).map(|rule| {
        json!({ "rule": rule.rule_id.0, "line": rule.line, "visits": rule.visits, "ns": rule.nanoseconds / runs })
    });
    json!({
        "runs": breakdown.runs, "stages": stages.collect::<Vec<_>>(), "shared_ns": breakdown.shared / runs,
        "rules": rules.collect::<Vec<_>>(),
    })
}

fn breakdown_text(breakdown: &Breakdown, top: usize) -> String {
    let total: u64 = breakdown.stages.iter().map(|(_, figures)| figures.mean).sum();
    let share = |part: u64, whole: u64| format!("{:>5.1} %", part as f64 * 100.0 / whole.max(1) as f64);
    let (requests, runs) = (breakdown.requests, breakdown.runs / breakdown.requests.max(1));
    let average = if requests > 1 { format!(", on average over {requests} requests") } else { String::new() };
    let mut out = format!("  stages, median of {runs} runs{average}:\n");
    for (stage, figures) in &breakdown.stages {
        out.push_str(&format!("  {:>12} {}  {}\n", time(figures.mean), share(figures.mean, total), stage.as_str()));
    }
    let runs = breakdown.runs.max(1) as u64;
    let inside = breakdown.shared + breakdown.rules.iter().map(|rule| rule.nanoseconds).sum::<u64>();
    out.push_str("  rules, of what the phases took (reading the clock included):\n");
    if breakdown.shared > 0 {
        let shown = time(breakdown.shared / runs);
        out.push_str(&format!("  {shown:>12} {}  finding out which rules to visit\n", share(breakdown.shared, inside)));
    }
    for rule in breakdown.rules.iter().take(top) {
        out.push_str(&format!(
            "  {:>12} {}  rule {} (line {}), {:.1} visits\n",
            time(rule.nanoseconds / runs),
            share(rule.nanoseconds, inside),
            rule.rule_id.0,
            rule.line,
            rule.visits as f64 / runs as f64
        ));
    }
    let rest: u64 = breakdown.rules.iter().skip(top).map(|rule| rule.nanoseconds).sum();
    if rest > 0 {
        let count = breakdown.rules.len().saturating_sub(top);
        out.push_str(&format!("  {:>12} {}  {count} other rules\n", time(rest / runs), share(rest, inside)));
    }
    out
}

/// Three digits and a unit.
fn time(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    match nanoseconds {
        0..=9_999 => format!("{nanoseconds} ns"),
        10_000..=999_999 => format!("{:.1} µs", value / 1e3),
        1_000_000..=9_999_999_999 => format!("{:.1} ms", value / 1e6),
        _ => format!("{:.1} s", value / 1e9),
    }
}
