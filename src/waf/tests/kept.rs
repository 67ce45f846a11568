//! What a worker knows of values from one transaction to the next: it changes nothing, stays within bounds, and goes with
//! its rules.

use super::draws::draws;
use super::*;

const WORDS: [&str; 20] = [
    "alpha", "BETA", "<b>", "' or 1", "../", "x y", "%41", "q1w2", "a'b\"c", ";id", "zz", "Gamma7", "//", "/*c*/",
    "\\x41", "foo.bar", "union", "select", "7", "-",
];

const OPERATORS: [&str; 12] = [
    "@rx (al+)(pha|x)",
    "@contains beta",
    "@rx (?i)un(i)on.*(sel)",
    "@pm foo gamma zz",
    "@rx ^[a-z0-9]+$",
    "!@rx ^[\\w<>']+$",
    "@streq 7",
    "@rx (.)(.)$",
    "@detectSQLi",
    "@within alpha zz 7",
    "@rx q(\\d)w(\\d)",
    "@beginsWith ../",
];

const TRANSFORMATIONS: [&str; 9] = [
    "t:none",
    "t:lowercase",
    "t:none,t:urlDecodeUni,t:lowercase",
    "t:removeWhitespace",
    "t:cmdLine",
    "t:htmlEntityDecode,t:compressWhitespace",
    "t:hexEncode",
    "t:none,t:lowercase,t:normalizePath",
    "t:jsDecode,t:removeNulls",
];

const REQUEST_TARGETS: [&str; 7] = [
    "ARGS",
    "ARGS_NAMES|ARGS",
    "REQUEST_HEADERS:X|ARGS:/^a/",
    "REQUEST_HEADERS|!REQUEST_HEADERS:Host",
    "REQUEST_COOKIES|ARGS_GET",
    "MATCHED_VARS",
    "ARGS|!ARGS:b",
];

const RESPONSE_TARGETS: [&str; 4] = ["RESPONSE_HEADERS", "RESPONSE_BODY", "ARGS", "RESPONSE_HEADERS:X|ARGS_NAMES"];

/// Rules in all phases about the same values, which capture, count, jump and are chains.
fn rules(salt: usize) -> String {
    let mut rules = String::from("SecResponseBodyMimeType text/html\n");
    for number in 0..60 {
        let (kind, id) = (number * 7 + salt * 5, number + 1);
        let phase = [1, 2, 2, 3, 4][kind % 5];
        let target = if phase > 2 {
            RESPONSE_TARGETS[(number + salt) % RESPONSE_TARGETS.len()]
        } else {
            REQUEST_TARGETS[(number * 3 + salt) % REQUEST_TARGETS.len()]
        };
        let operator = OPERATORS[(number * 5 + salt) % OPERATORS.len()];
        let mut actions =
            format!("id:{id},phase:{phase},pass,logdata:'%{{MATCHED_VAR_NAME}}=%{{MATCHED_VAR}} %{{TX.0}} %{{TX.1}}'");
        actions.push_str(if kind % 3 == 0 { ",capture," } else { "," });
        actions.push_str(if kind % 11 == 0 { "multiMatch," } else { "" });
        actions.push_str(TRANSFORMATIONS[(number * 2 + salt) % TRANSFORMATIONS.len()]);
        if kind % 4 == 0 {
            let link = OPERATORS[(number + 2) % OPERATORS.len()];
            rules.push_str(&format!("SecRule {target} \"{operator}\" \"{actions},chain\"\n"));
            rules.push_str(&format!("SecRule MATCHED_VARS \"{link}\" \"t:lowercase,setvar:tx.s=+1\"\n"));
        } else if kind % 13 == 0 {
            rules.push_str(&format!("SecRule {target} \"{operator}\" \"{actions},skipAfter:M{number}\"\n"));
            rules.push_str(&format!("SecRule ARGS \"@rx b(.)\" \"id:{},phase:{phase},pass,capture\"\n", 1000 + number));
            rules.push_str(&format!("SecMarker M{number}\n"));
        } else {
            rules.push_str(&format!("SecRule {target} \"{operator}\" \"{actions},setvar:tx.s=+1\"\n"));
        }
    }
    rules.push_str("SecRule TX:S \"@gt 90\" \"id:900,phase:2,deny,msg:'sum %{TX.s}'\"\n");
    rules.push_str("SecRule TX:S \"@gt 3\" \"id:901,phase:5,pass,msg:'end %{TX.s}'\"\n");
    rules
}

fn drawn_exchange(draw: &mut impl FnMut(usize) -> usize) -> Exchange {
    let mut text = |most: usize| -> String { (0..=draw(most)).map(|_| WORDS[draw(WORDS.len())]).collect() };
    // Every sixth is longer than what is kept.
    let values: Vec<String> = (0..14).map(|number| if number % 6 == 5 { text(90) } else { text(3) }).collect();
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let query: Vec<String> =
        (0..draw(8)).map(|number| format!("{}={}", ["a", "b", "Cc"][number % 3], encode(&values[number]))).collect();
    let exchange = Exchange::form(&format!("z={}&a9={}", encode(&values[8]), encode(&values[9])));
    let exchange = Exchange { target: format!("/?{}", query.join("&")), ..exchange };
    exchange.header("X", &values[10]).header("Cookie", "s=alpha; t=union").response(200, "text/html", &values[11])
}

/// A transaction of which some phases are over.
struct Live<'p> {
    exchange: Exchange,
    program: &'p Program,
    transaction: Box<Transaction>,
    steps: usize,
    verdicts: Vec<Verdict>,
}

impl<'p> Live<'p> {
    fn new(exchange: Exchange, program: &'p Program, scratch: &mut Scratch) -> Self {
        let transaction = Transaction::new(program, scratch, &exchange.connection());
        Self { exchange, program, transaction, steps: 0, verdicts: Vec::new() }
    }

    /// Goes through one phase more; all that came of the transaction when that was the last.
    fn advance(&mut self, scratch: &mut Scratch) -> Option<String> {
        let Self { exchange, program, transaction, .. } = self;
        self.steps += 1;
        let verdict = match self.steps {
            1 => exchange.request_headers(program, scratch, transaction),
            2 => exchange.request_body(program, scratch, transaction),
            3 => exchange.response_headers(program, scratch, transaction),
            4 => exchange.response_body(program, scratch, transaction),
            _ => {
                let summary = transaction.finish(program, scratch, Duration::from_millis(3));
                return Some(format!("{:?} {summary:?}", self.verdicts));
            }
        };
        self.verdicts.push(verdict);
        None
    }
}

#[test]
fn transactions_whose_phases_alternate_do_not_disturb_each_other() {
    let [fast, plain] = [EngineOptions::default(), EngineOptions::reference()]
        .map(|options| (0..5).map(|salt| program_with(&rules(salt), &options)).collect::<Vec<Program>>());
    let mut draw = draws();
    let mut scratches = [Scratch::new(), Scratch::new()];
    let mut live: Vec<(usize, Live<'_>)> = Vec::new();
    let (mut over, mut matches) = (0, 0);
    while over < 600 {
        if live.len() < 5 {
            let rules = draw(fast.len());
            let exchange = drawn_exchange(&mut draw);
            live.push((rules, Live::new(exchange, &fast[rules], &mut scratches[draw(2)])));
        }
        // Mostly the same worker, and now and then another.
        let (place, scratch) = (draw(live.len()), usize::from(draw(4) == 0));
        let Some(found) = live[place].1.advance(&mut scratches[scratch]) else { continue };
        let (rules, done) = live.swap_remove(place);
        done.transaction.recycle(&mut scratches[scratch]);
        let mut alone = Scratch::new();
        let mut again = Live::new(done.exchange, &plain[rules], &mut alone);
        let expected = loop {
            if let Some(expected) = again.advance(&mut alone) {
                break expected;
            }
        };
        assert_eq!(found, expected, "{} of rules {rules}", again.exchange.target);
        over += 1;
        matches += found.matches("rule_id").count();
    }
    assert!(matches > 5 * over, "{matches}");
}

#[test]
fn values_stay_known_however_many_groups_of_rules_look_at_them() {
    let blocks: String = (0..400)
        .map(|number| {
            format!(
                "SecRule REQUEST_HEADERS:X \"@contains skip{number}\" \"id:{},phase:2,pass,nolog,skipAfter:M{number}\"\n\
                 SecRule ARGS \"@contains word{number:03}\" \"id:{},phase:2,pass,log\"\nSecMarker M{number}\n",
                2 * number + 1,
                2 * number + 2
            )
        })
        .collect();
    let program = program_with(&blocks, &EngineOptions::default());
    let mut scratch = Scratch::new();
    let mut known = 0;
    for number in 0..50 {
        let outcome =
            Exchange::get(&format!("/?a=hello&b=word{number:03}x&c={number}")).run_with(&program, &mut scratch);
        assert_eq!(outcome.ids(), [2 * number + 2]);
        let now = scratch.kept_values();
        assert!(now > known, "{now} after {known}: values were forgotten");
        known = now;
    }
}

#[test]
fn values_go_with_their_rules() {
    let mut scratch = Scratch::new();
    let exchange = Exchange::get("/?a=some&b=values");
    let mut first = 0;
    for round in 0..20 {
        let program = program_with("SecRule ARGS \"@contains a\" \"id:1,phase:2,pass\"\n", &EngineOptions::default());
        assert_eq!(exchange.run_with(&program, &mut scratch).ids(), [1]);
        let known = scratch.kept_values();
        first = if round == 0 { known } else { first };
        assert!(known > 0 && known == first, "{known} in round {round}, {first} at first");
    }
}

/// As where bodies are inspected beside the worker: with a scratch that no transaction begins with.
#[test]
fn values_go_with_their_rules_where_only_bodies_are_looked_at() {
    let (mut worker, mut aside) = (Scratch::new(), Scratch::new());
    let mut first = 0;
    for round in 0..20 {
        let program = program_with("SecRule ARGS \"@contains a\" \"id:1,phase:2,pass\"\n", &EngineOptions::default());
        let mut live = Live::new(Exchange::form("a=some&b=values"), &program, &mut worker);
        live.advance(&mut worker);
        live.advance(&mut aside);
        let known = aside.kept_values();
        first = if round == 0 { known } else { first };
        assert!(known > 0 && known == first, "{known} in round {round}, {first} at first");
    }
}

#[test]
fn when_there_is_no_room_most_of_what_is_asked_for_again_stays() {
    let [program, plain] =
        [EngineOptions::default(), EngineOptions::reference()].map(|options| program_with(&rules(1), &options));
    // Values of capitals, each of which transformations make something of.
    let arguments = |round: usize| -> String { (0..900).map(|number| format!("a=Q{round}W{number}%27&")).collect() };
    let exchange = |round: usize| Exchange::form(&arguments(round));
    let mut scratch = Scratch::new();
    let ids = |scratch: &mut Scratch, round: usize| exchange(round).run_with(&program, scratch).ids();
    let (mut before, mut round) = (0, 0);
    let left = loop {
        round += 1;
        // The first comes again and again.
        ids(&mut scratch, 0);
        ids(&mut scratch, round);
        before = scratch.kept_values().max(before);
        Exchange::get("/").run_with(&program, &mut scratch);
        if scratch.kept_values() < before {
            break scratch.kept_values();
        }
    };
    assert!(before > 40_000 && left > before / 4 && left < before, "{left} of {before}");
    let mut added = |round: usize| {
        let before = scratch.kept_values();
        assert_eq!(ids(&mut scratch, round), exchange(round).run_with(&plain, &mut Scratch::new()).ids());
        scratch.kept_values() - before
    };
    let (first, cold, new) = (added(0), added(2), added(round + 1));
    assert!(first > 0 && first * 5 < cold * 4 && cold * 5 < new * 4 && cold * 8 > new, "{first} {cold} of {new}");
}
