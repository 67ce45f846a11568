//! The one table.

use portcullis::authoring::bench::{Decision, Figures};

use crate::set::Request;

/// What one engine took and said, by request.
pub(crate) struct Column {
    name: String,
    /// Of the first round: nothing was known of any request.
    first: Vec<u64>,
    times: Vec<u64>,
    pub(crate) decisions: Vec<Decision>,
}

impl Column {
    pub(crate) fn new(name: &str, answers: &[(u64, Decision)]) -> Self {
        let (times, decisions): (Vec<u64>, _) = answers.iter().copied().unzip();
        Self { name: name.into(), first: times.clone(), times, decisions }
    }

    /// The fastest of the rounds for each request.
    pub(crate) fn merge(&mut self, answers: &[(u64, Decision)]) {
        for (own, (time, _)) in self.times.iter_mut().zip(answers) {
            *own = (*own).min(*time);
        }
    }
}

/// Prints all requests and figures; `scenarios` of them have a row of their own, the others one together.
pub(crate) fn print(requests: &[Request], scenarios: usize, columns: &[Column]) {
    let mut head = format!("{:28} {:>9}", "microseconds of processor", "bytes");
    for (number, column) in columns.iter().enumerate() {
        head.push_str(&format!(" {:>14}", column.name));
        if number > 0 {
            head.push_str("   ratio");
        }
    }
    println!("{head}");
    for (place, request) in requests.iter().enumerate().take(scenarios) {
        let times = columns.iter().map(|column| column.times[place]);
        let others = differing(columns, place..place + 1);
        row(&request.subject.name, &request.subject.bytes().to_string(), times, &others);
    }
    let all = scenarios..requests.len();
    if all.is_empty() {
        return;
    }
    let firsts = columns.iter().map(|column| Figures::of(column.first[all.clone()].to_vec()).mean);
    row("traffic, mean of round 1", "", firsts, "");
    let figures: Vec<Figures> = columns.iter().map(|column| Figures::of(column.times[all.clone()].to_vec())).collect();
    let bytes: usize = requests[all.clone()].iter().map(|request| request.subject.bytes()).sum();
    let mean = (bytes / all.len()).to_string();
    let others = differing(columns, all.clone());
    row("traffic, mean", &mean, figures.iter().map(|figures| figures.mean), &others);
    row("traffic, median", "", figures.iter().map(|figures| figures.median), "");
    row("traffic, p99", "", figures.iter().map(|figures| figures.p99), "");
    row("traffic, slowest", "", figures.iter().map(|figures| figures.slowest), "");
    // The same request in both: what a user of that request gains.
    for column in columns.iter().skip(1) {
        let ratios = all.clone().map(|place| column.times[place] * 100 / columns[0].times[place].max(1));
        let ratios = Figures::of(ratios.collect());
        let (mean, median) = (ratios.mean as f64 / 100.0, ratios.median as f64 / 100.0);
        println!("each request against {}: {mean:.1} times on average, {median:.1} at the median", column.name);
    }
}

fn row(name: &str, bytes: &str, times: impl Iterator<Item = u64>, remark: &str) {
    let mut line = format!("{name:28} {bytes:>9}");
    let mut own = None;
    for time in times {
        line.push_str(&format!(" {:>14.1}", time as f64 / 1000.0));
        match own {
            None => own = Some(time),
            Some(own) => line.push_str(&format!(" {:>7.1}", time as f64 / own.max(1) as f64)),
        }
    }
    println!("{line}  {remark}");
}

/// Who decides otherwise than the first engine, and how often.
fn differing(columns: &[Column], places: std::ops::Range<usize>) -> String {
    let count = |column: &Column| {
        places.clone().filter(|place| column.decisions[*place] != columns[0].decisions[*place]).count()
    };
    let all: Vec<String> = columns
        .iter()
        .skip(1)
        .filter(|column| count(column) > 0)
        .map(|column| format!("{} decides {} otherwise", column.name, count(column)))
        .collect();
    all.join(", ")
}
