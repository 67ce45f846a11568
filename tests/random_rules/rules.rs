//! Rule sets as people write them: settings, defaults, switches in front, gates with what stands behind them, chains,
//! and what takes rules and targets away again.

use super::condition::{TX, number, operator, part_of, plain_target, targets, transformations};
use super::pool::Pool;
use super::supply::Supply;
use super::words::{NUMBERS, escape, text};

/// A part of a rule set that can be left out.
#[derive(Debug, Clone)]
pub(crate) enum Unit {
    /// Any directive but those below.
    Line(String),
    /// A rule with its links.
    Chain(Vec<Link>),
}

/// A rule.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// None in a SecAction.
    pub(crate) targets: Vec<String>,
    pub(crate) operator: String,
    /// Without `chain`.
    pub(crate) actions: Vec<String>,
}

/// As the text of a file.
pub(crate) fn text_of(units: &[Unit]) -> String {
    let mut out = String::new();
    for unit in units {
        match unit {
            Unit::Line(line) => out.extend([line, "\n"]),
            Unit::Chain(links) => {
                for (index, link) in links.iter().enumerate() {
                    let mut actions = link.actions.clone();
                    if index + 1 < links.len() {
                        actions.push("chain".into());
                    }
                    let actions = quoted(&actions.join(","));
                    out.push_str(if index > 0 { "    " } else { "" });
                    if link.targets.is_empty() {
                        out.extend(["SecAction ", &actions, "\n"]);
                    } else {
                        let (targets, operator) = (quoted(&link.targets.join("|")), quoted(&link.operator));
                        out.extend(["SecRule ", &targets, " ", &operator, " ", &actions, "\n"]);
                    }
                }
            }
        }
    }
    out
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Makes one.
pub(crate) fn rules(supply: &mut Supply<'_>) -> Vec<Unit> {
    let mut maker = Maker {
        supply,
        units: Vec::new(),
        next_id: 101,
        markers: 0,
        conditions: Vec::new(),
        pool: None,
        is_private: false,
    };
    maker.settings();
    maker.switches();
    let mut count = maker.supply.between(1, 6);
    if maker.supply.one_in(2) {
        maker.pool = Some(Pool::new(maker.supply));
        count += 3;
        maker.crossed_rules();
    }
    for _ in 0..count {
        match maker.supply.below(10) {
            0..=3 => maker.rule(None),
            4 => {
                let phase = maker.supply.pick(PHASES);
                maker.private_chain(phase);
            }
            5 | 6 => maker.section(),
            7 => maker.detour(),
            8 => maker.switch(),
            _ => maker.change(),
        }
    }
    for _ in 0..maker.supply.pick(&[0, 0, 1, 2]) {
        maker.change();
    }
    for _ in 0..maker.supply.pick(&[0, 0, 1, 1, 2]) {
        maker.aim();
    }
    if maker.supply.one_in(if maker.is_private { 1 } else { 4 }) {
        // Nobody reads TX but by name, and nobody what another chain captured.
        maker.units.iter_mut().for_each(keep_captures_private);
        maker.line("SecRule TX:x|TX:level|TX:score \"@unconditionalMatch\" \"id:903,phase:5,pass,log,t:none\"");
        if maker.is_private && maker.supply.one_in(2) {
            maker.onlooker();
        }
    } else {
        maker.observers();
    }
    maker.units
}

/// Replaces what could be names of captures, but for those of the link itself; and targets with all of TX.
fn keep_captures_private(unit: &mut Unit) {
    let without = |text: &mut String| {
        for digit in ["0", "1", "2"] {
            for (name, other) in [("TX:", "TX:x"), ("tx.", "tx.y"), ("TX.", "TX.x")] {
                *text = text.replace(&format!("{name}{digit}"), other);
            }
        }
    };
    match unit {
        Unit::Line(line) => without(line),
        Unit::Chain(links) => {
            for link in links {
                without(&mut link.operator);
                for target in &mut link.targets {
                    without(target);
                    if target.ends_with("TX") || target.contains(":%") {
                        *target = "TX:score".into();
                    }
                }
                let captures =
                    link.actions.iter().any(|action| action == "capture") && link.operator.starts_with("@rx ");
                if !captures {
                    link.actions.iter_mut().for_each(without);
                }
                link.actions.retain(|action| !action.starts_with("setvar:'tx.%{"));
            }
        }
    }
}

const PHASES: &[u8] = &[1, 1, 2, 2, 2, 2, 2, 2, 3, 4, 5];

struct Maker<'s, 'd> {
    supply: &'s mut Supply<'d>,
    units: Vec<Unit>,
    next_id: u32,
    markers: usize,
    /// Conditions of the rules so far.
    conditions: Vec<(Vec<String>, String)>,
    /// What most rules are made of.
    pool: Option<Pool>,
    /// Is there a chain with variables of its own?
    is_private: bool,
}

impl Maker<'_, '_> {
    fn line(&mut self, line: impl Into<String>) {
        self.units.push(Unit::Line(line.into()));
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("id:{}", self.next_id - 1)
    }

    /// That of a rule before, or of one soon after, or of none.
    fn any_id(&mut self) -> usize {
        101 + self.supply.below(self.next_id as usize - 101 + 4)
    }

    fn settings(&mut self) {
        let engine = self.supply.pick(&["On", "On", "On", "On", "On", "DetectionOnly"]);
        self.line(format!("SecRuleEngine {engine}"));
        let access = |supply: &mut Supply<'_>| if supply.one_in(12) { "Off" } else { "On" };
        let (request, response) = (access(self.supply), access(self.supply));
        self.line(format!("SecRequestBodyAccess {request}"));
        self.line(format!("SecResponseBodyAccess {response}"));
        if self.supply.one_in(3) {
            let audit = self.supply.pick(&["On", "RelevantOnly"]);
            self.line(format!("SecAuditEngine {audit}"));
            let format = self.supply.pick(&["Native", "JSON"]);
            self.line(format!("SecAuditLogFormat {format}"));
            self.line("SecAuditLogParts ABCEFHIJKZ");
        }
        if self.supply.one_in(6) {
            let line = self.supply.pick(&[
                "SecArgumentSeparator ;",
                "SecArgumentsLimit 3",
                "SecRequestBodyLimit 40\nSecRequestBodyLimitAction ProcessPartial",
                "SecRequestBodyLimit 40",
                "SecResponseBodyLimit 10\nSecResponseBodyLimitAction ProcessPartial",
                "SecParseXmlIntoArgs On",
                "SecRequestBodyJsonDepthLimit 1",
                "SecCookieFormat 1",
                "SecUploadFileLimit 1",
                "SecWebAppId shop",
            ]);
            self.line(line);
        }
        if self.supply.one_in(4) {
            for _ in 0..self.supply.between(1, 2) {
                let phase = self.supply.pick(PHASES);
                let action = self.supply.pick(&["pass", "pass", "deny,status:406", "drop", "allow"]);
                let log = self.supply.pick(&["log,auditlog", "nolog", "log,noauditlog", "nolog,auditlog"]);
                let more =
                    self.supply.pick(&["", "", ",t:lowercase", ",tag:'all'", ",capture", ",t:none,t:urlDecodeUni"]);
                let line = format!("SecDefaultAction \"phase:{phase},{log},{action}{more}\"");
                self.line(line);
            }
        }
        for (kind, processor) in [("/json", "JSON"), ("/xml", "XML")] {
            if !self.supply.one_in(6) {
                let id = self.id();
                let targets = vec!["REQUEST_HEADERS:Content-Type".into()];
                let actions = [&id, "phase:1,pass,nolog,t:none", &format!("ctl:requestBodyProcessor={processor}")];
                let link =
                    Link { targets, operator: format!("@contains {kind}"), actions: actions.map(Into::into).into() };
                self.units.push(Unit::Chain(vec![link]));
            }
        }
    }

    /// What a rule set's setup file says of itself.
    fn switches(&mut self) {
        for _ in 0..self.supply.pick(&[0, 1, 1, 2, 3]) {
            self.switch();
        }
    }

    /// Sets numbers that gates ask for: for every request, or for some.
    fn switch(&mut self) {
        let id = self.id();
        let phase = self.supply.pick(&[1, 1, 1, 1, 2, 3]);
        let mut actions = vec![id, format!("phase:{phase}"), "pass".into(), "nolog".into(), "t:none".into()];
        if self.supply.one_in(8) {
            actions.remove(2);
        }
        for _ in 0..self.supply.between(1, 3) {
            let action = self.set_number();
            actions.push(action);
        }
        let mut links = vec![Link { targets: Vec::new(), operator: String::new(), actions }];
        match self.supply.below(6) {
            // As the Core Rule Set: set unless it is.
            0 => {
                links[0].targets.push(format!("&TX:{}", self.supply.pick(TX)));
                links[0].operator = "@eq 0".into();
            }
            1 => {
                links[0].targets = targets(self.supply);
                links[0].operator = operator(self.supply);
            }
            2 if self.supply.one_in(2) => {
                let link = Link { targets: targets(self.supply), operator: operator(self.supply), actions: Vec::new() };
                links.push(link);
            }
            _ => {}
        }
        self.units.push(Unit::Chain(links));
    }

    fn set_number(&mut self) -> String {
        let name = self.supply.pick(&["level", "level", "mode", "score", "x", "Level", "y"]);
        let value = match self.supply.below(10) {
            0 => "+1".to_owned(),
            1 => format!("%{{tx.{}}}", self.supply.pick(TX)),
            2 => text(self.supply).trim().replace(['\'', ','], ""),
            _ => (self.supply.pick(NUMBERS)).to_owned(),
        };
        format!("setvar:'tx.{name}={}'", escaped(&value))
    }

    /// A number that is set, and set again for those requests that a rule does not lead elsewhere, and who asks for it: what
    /// is the same for all requests has to be told from what is not.
    fn detour(&mut self) {
        self.markers += 1;
        let marker = format!("END-{}", self.markers);
        // A name that a macro can make of what a request has.
        let rest = text(self.supply);
        let is_made = rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) && self.supply.one_in(3);
        let made = format!("x{rest}");
        let name = if is_made { &made } else { self.supply.pick(&["level", "mode", "y"]) };
        let phase = self.supply.pick(&[1, 1, 2, 2, 3]);
        let [first, second, other] = [(); 3].map(|()| self.supply.pick(&["1", "2", "3"]));
        let asked = if is_made { other } else { self.supply.pick(&[first, second, other]) };
        self.set(phase, name, first);
        let Link { mut targets, mut operator, mut actions } = self.question();
        if is_made {
            targets = vec!["ARGS".into(), "REQUEST_HEADERS".into()];
            operator = format!("@streq {rest}");
        }
        let (way, asked_in): (String, u8) = match if is_made { 9 } else { self.supply.below(9) } {
            0 | 1 => ("deny".into(), 5),
            2 => (self.supply.pick(&["allow", "allow:phase", "allow:request"]).into(), 5),
            3 | 4 => (format!("pass,skip:{}", self.supply.between(1, 2)), phase),
            5 | 6 => (format!("pass,skipAfter:{marker}"), phase),
            7 => (format!("pass,setvar:'tx.{name}={second}'"), phase),
            _ => (format!("pass,setvar:'tx.x%{{MATCHED_VAR}}={other}'"), phase),
        };
        let is_assigned = way.contains("setvar");
        let log = self.supply.pick(&["nolog", "log"]);
        actions.splice(0..0, [self.id(), format!("phase:{phase}"), way, log.into()]);
        self.units.push(Unit::Chain(vec![Link { targets, operator, actions }]));
        if !is_assigned || self.supply.one_in(3) {
            let name = if self.supply.one_in(4) { "x" } else { name };
            self.set(phase, name, second);
        }
        if self.supply.one_in(2) {
            let other = self.supply.pick(&["level", "mode", "y"]);
            self.set(phase, other, first);
        }
        self.line(format!("SecMarker {marker}"));
        let (id, phase) = (self.id(), self.supply.pick(&[asked_in, asked_in, 5]));
        let comparison = self.supply.pick(&["lt", "eq", "ge", "streq"]);
        let actions = vec![id, format!("phase:{phase}"), "pass,log,t:none".into()];
        let target = format!("TX:{name}");
        self.units.push(Unit::Chain(vec![Link {
            targets: vec![target],
            operator: format!("@{comparison} {asked}"),
            actions,
        }]));
    }

    fn set(&mut self, phase: u8, name: &str, value: &str) {
        let actions = vec![self.id(), format!("phase:{phase},pass,nolog,t:none,setvar:'tx.{name}={value}'")];
        self.units.push(Unit::Chain(vec![Link { targets: Vec::new(), operator: String::new(), actions }]));
    }

    /// A gate, some rules, and the marker that it jumps to.
    fn section(&mut self) {
        self.markers += 1;
        let marker = format!("END-{}", self.markers);
        let phase = match &self.pool {
            Some(pool) => pool.phase(self.supply),
            None => self.supply.pick(PHASES),
        };
        let id = self.id();
        let name = self.supply.pick(&["level", "level", "level", "mode", "x", "score", "1", "LEVEL"]);
        let (target, operator) = match self.supply.below(8) {
            0 => (format!("&TX:{name}"), self.supply.pick(&["@eq 0", "@eq 1", "!@eq 0", "@gt 0", "@lt 1"]).to_string()),
            1 => ("TX:/^level$/".into(), "@lt 2".into()),
            2 => (
                format!("TX:{name}"),
                format!(
                    "{}@{} {}",
                    self.supply.pick(&["", "!"]),
                    self.supply.pick(&["streq", "within", "rx"]),
                    self.supply.pick(NUMBERS)
                ),
            ),
            _ => {
                let negation = self.supply.pick(&["", "", "", "!"]);
                let comparison = self.supply.pick(&["lt", "lt", "lt", "gt", "eq", "ge", "le"]);
                (format!("TX:{name}"), format!("{negation}@{comparison} {}", number(self.supply)))
            }
        };
        let log = self.supply.pick(&["nolog", "nolog", "nolog", "log", "nolog,auditlog"]);
        let mut actions = vec![id, format!("phase:{phase}"), "pass".into(), log.into(), format!("skipAfter:{marker}")];
        if self.supply.one_in(8) {
            let action = self.set_number();
            actions.push(action);
        }
        if self.supply.one_in(12) {
            transformations(self.supply, &mut actions);
        }
        self.units.push(Unit::Chain(vec![Link { targets: vec![target], operator, actions }]));
        for _ in 0..self.supply.between(1, 4) {
            match self.supply.below(12) {
                0 => self.switch(),
                1 if self.markers < 4 => self.section(),
                2 => self.private_chain(phase),
                _ => self.rule(Some(phase)),
            }
        }
        if !self.supply.one_in(10) {
            self.line(format!("SecMarker {marker}"));
        }
    }

    /// A rule, perhaps with links.
    fn rule(&mut self, phase: Option<u8>) {
        let phase = if self.supply.one_in(6) { None } else { phase };
        let phase = phase.unwrap_or_else(|| match &self.pool {
            Some(pool) => pool.phase(self.supply),
            None => self.supply.pick(PHASES),
        });
        let mut starter = self.condition();
        let mut actions = vec![self.id(), format!("phase:{phase}")];
        self.disruption(phase, &mut actions);
        self.metadata(&mut actions);
        match self.supply.below(24) {
            0 => actions.push(format!("skip:{}", self.supply.between(1, 3))),
            1 => {
                let marker = self.supply.between(1, 4);
                actions.push(format!("skipAfter:END-{marker}"));
            }
            2 => {
                let id = self.any_id();
                actions.push(format!("skipAfter:{id}"));
            }
            _ => {}
        }
        actions.append(&mut starter.actions);
        starter.actions = actions;
        let mut links = vec![starter];
        for _ in 0..self.supply.pick(&[0, 0, 0, 0, 1, 1, 2, 3]) {
            let link = self.condition();
            links.push(link);
        }
        self.units.push(Unit::Chain(links));
    }

    /// Somebody who does look at what a private chain leaves behind, so that it is not one.
    fn onlooker(&mut self) {
        let phase = self.supply.pick(&[2, 2, 4, 5]);
        let line = self.supply.pick(&[
            "SecRule TX:0 \"@rx .\" \"id:904,pass,log,t:none",
            "SecRule TX:0 \"@rx .\" \"id:904,pass,log,t:none",
            "SecAction \"id:904,pass,log,msg:'%{tx.1}'",
            "SecRule TX:own_%{tx.x}|TX:%{tx.x} \"@rx .\" \"id:904,pass,log,t:none",
            "SecRule &TX:/^own/ \"@gt 0\" \"id:904,pass,log,t:none",
            "SecAction \"id:904,pass,log,msg:'%{tx.own_id}%{tx.own_q}'",
            "SecRule TX:/d$/ \"@rx .\" \"id:904,pass,log,t:none",
        ]);
        self.line(format!("{line},phase:{phase}\""));
    }

    /// A chain that makes a variable of each value for its second link, perhaps with somebody else who looks there.
    fn private_chain(&mut self, phase: u8) {
        self.is_private = !self.supply.one_in(4);
        let name = self.supply.pick(&["own_", "own_", "other_", "own_x_"]);
        let pattern = self.supply.pick(&["^own_", "^own_", "^other_", "own_", "^own_x", "^own_$"]);
        let target = match self.supply.below(4) {
            0 => self.supply.pick(&["ARGS", "ARGS_NAMES", "REQUEST_HEADERS_NAMES"]).to_owned(),
            _ => plain_target(self.supply),
        };
        let mut pattern_of_value = String::from(self.supply.pick(&["^.*$", "^(.)(.*)$", "i", "(?i)^[a-f]", "", ""]));
        if pattern_of_value.is_empty() {
            escape(text(self.supply), &mut pattern_of_value);
        }
        let mut actions = vec![self.id(), format!("phase:{phase}"), "pass".into(), "log".into(), "capture".into()];
        transformations(self.supply, &mut actions);
        let value = self.supply.pick(&["/%{tx.0}/", "%{tx.0}", "%{tx.1}x", "%{tx.x}"]);
        actions.push(format!("setvar:'tx.{name}%{{tx.0}}={value}'"));
        let starter = Link { targets: vec![target], operator: format!("@rx {pattern_of_value}"), actions };
        let looked_for = match self.supply.below(4) {
            0 => "@within /id/ /q/ %{tx.x} %{tx.level}".into(),
            1 => format!("@contains {}", text(self.supply).trim()),
            2 => "@streq %{tx.x}".into(),
            _ => operator(self.supply),
        };
        let mut actions = Vec::new();
        transformations(self.supply, &mut actions);
        if self.supply.one_in(2) {
            actions.push("setvar:'tx.score=+1'".into());
        }
        let judge = Link { targets: vec![format!("TX:/{pattern}/")], operator: looked_for, actions };
        self.units.push(Unit::Chain(vec![starter, judge]));
        if self.supply.one_in(6) {
            let id = self.id();
            let pattern = self.supply.pick(&["own_id", "^own_", "x"]);
            self.line(format!("SecRule TX:/{pattern}/ \"!@rx ^/\" \"{id},phase:{phase},pass,log,t:none\""));
        }
    }

    /// Rules that ask the same in other lanes, and mostly one next to which they ask for little.
    fn crossed_rules(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        let mut all = Vec::new();
        if !self.supply.one_in(3) {
            all.push(pool.heavy(self.supply));
        }
        if self.supply.one_in(2) {
            all.extend(pool.crossed(self.supply));
        }
        let phase = pool.phase(self.supply);
        for mut link in all {
            let mut actions = vec![self.id(), format!("phase:{phase}"), "pass".into(), "log".into()];
            actions.append(&mut link.actions);
            self.units.push(Unit::Chain(vec![Link { actions, ..link }]));
        }
        self.pool = Some(pool);
    }

    /// Targets, operator and transformations.
    fn question(&mut self) -> Link {
        if let Some(pool) = self.pool.as_ref().filter(|_| !self.supply.one_in(5)) {
            return pool.condition(self.supply);
        }
        let mut actions = Vec::new();
        let (targets, operator) = if self.supply.one_in(12) { (Vec::new(), String::new()) } else { self.test() };
        transformations(self.supply, &mut actions);
        Link { targets, operator, actions }
    }

    /// Targets, operator, and what happens when a value matches.
    fn condition(&mut self) -> Link {
        let Link { targets, operator, mut actions } = self.question();
        if self.supply.one_in(2) {
            actions.push("capture".into());
        }
        for _ in 0..self.supply.pick(&[0, 0, 0, 1, 1, 2]) {
            let action = self.effect();
            actions.push(action);
        }
        Link { targets, operator, actions }
    }

    /// Targets and operator; often those of a rule before, or nearly, because that is what rules share.
    fn test(&mut self) -> (Vec<String>, String) {
        let (mut targets, mut operator) = (targets(self.supply), operator(self.supply));
        if !self.conditions.is_empty() {
            let known = &self.conditions[self.supply.below(self.conditions.len())];
            let flipped = match known.1.strip_prefix('!') {
                Some(plain) => plain.to_owned(),
                None => format!("!{}", known.1),
            };
            match self.supply.below(8) {
                0 => targets.clone_from(&known.0),
                1 => {
                    targets.clone_from(&known.0);
                    let of = targets[0].trim_start_matches(['!', '&']);
                    targets.push(format!("!{}", part_of(self.supply, of)));
                }
                2 => operator.clone_from(&known.1),
                3 => operator = flipped,
                4 => (targets, operator) = (known.0.clone(), flipped),
                5 => (targets, operator) = known.clone(),
                _ => {}
            }
        }
        self.conditions.push((targets.clone(), operator.clone()));
        (targets, operator)
    }

    fn disruption(&mut self, phase: u8, actions: &mut Vec<String>) {
        let action = match self.supply.below(24) {
            0..=16 => "pass",
            17 => return,
            18 | 19 => "block",
            20 => "allow:phase",
            21 => self.supply.pick(&["allow", "allow:request"]),
            _ if phase == 5 => "pass",
            22 => self.supply.pick(&["deny", "deny,status:418", "drop"]),
            _ => "redirect:'http://x.example/%{tx.1}'",
        };
        actions.push(action.into());
    }

    fn metadata(&mut self, actions: &mut Vec<String>) {
        actions.push(
            (self.supply.pick(&["log", "log", "log", "log", "nolog", "auditlog", "noauditlog", "nolog,auditlog"]))
                .into(),
        );
        if self.supply.one_in(2) {
            let message =
                self.supply.pick(&["%{MATCHED_VAR_NAME}", "found %{tx.0}", "m %{rule.id} %{tx.score}", "seven"]);
            actions.push(format!("msg:'{message}'"));
        }
        if self.supply.one_in(2) {
            let data =
                self.supply.pick(&["%{TX.0} in %{MATCHED_VAR_NAME}", "%{MATCHED_VAR}", "%{TX.1}|%{TX.2}", "%{ARGS.q}"]);
            actions.push(format!("logdata:'{data}'"));
        }
        if self.supply.one_in(3) {
            actions.push(format!("severity:{}", self.supply.below(8)));
        }
        if self.supply.one_in(3) {
            actions.push(format!("tag:'{}'", self.supply.pick(&["all", "attack-sqli", "level/2", "%{tx.x}"])));
        }
    }

    /// An action that runs for every match.
    fn effect(&mut self) -> String {
        match self.supply.below(24) {
            0..=4 => self.set_number(),
            5..=8 => {
                let name = self.supply.pick(&["score", "x", "blocking_inbound_anomaly_score", "level"]);
                let value = self.supply.pick(&["+1", "+5", "-1", "+%{tx.x}", "+%{tx.level}", "%{MATCHED_VAR}"]);
                format!("setvar:'tx.{name}={value}'")
            }
            9 => format!("setvar:'!tx.{}'", self.supply.pick(TX)),
            // Names made of what a client sends: of slots that others know by name.
            10 => "setvar:'tx.%{MATCHED_VAR}=1'".into(),
            11 => "setvar:'tx.%{MATCHED_VAR_NAME}=%{TX.0}'".into(),
            12 => format!("setvar:tx.{}", self.supply.pick(TX)),
            13..=17 => self.control(),
            18 => format!("setvar:'{}.x=+1'", self.supply.pick(&["ip", "global", "session"])),
            19 => self
                .supply
                .pick(&["initcol:ip=%{REMOTE_ADDR}", "initcol:global=g", "setsid:%{ARGS.id}", "setuid:u"])
                .to_string(),
            20 => "setenv:'x=%{MATCHED_VAR}'".into(),
            21 => self.supply.pick(&["sanitiseArg:id", "sanitiseMatched", "sanitiseMatchedBytes"]).to_string(),
            22 => "expirevar:'ip.x=1'".into(),
            _ => self.set_number(),
        }
    }

    fn control(&mut self) -> String {
        let id = self.any_id();
        match self.supply.below(16) {
            0..=3 => format!("ctl:ruleRemoveById={id}"),
            4 => format!("ctl:'ruleRemoveById={id}-{}'", id + 4),
            5 => format!("ctl:ruleRemoveByTag={}", self.supply.pick(&["all", "attack", "level/2"])),
            6..=9 => format!("ctl:'ruleRemoveTargetById={id};{}'", escaped(&plain_target(self.supply))),
            10 => {
                let tag = self.supply.pick(&["all", "attack", "level/2"]);
                format!("ctl:'ruleRemoveTargetByTag={tag};{}'", escaped(&plain_target(self.supply)))
            }
            11 => format!("ctl:ruleRemoveByMsg={}", self.supply.pick(&["seven", "found"])),
            12 => format!("ctl:ruleEngine={}", self.supply.pick(&["DetectionOnly", "DetectionOnly", "On", "Off"])),
            13 => format!("ctl:auditEngine={}", self.supply.pick(&["On", "Off", "RelevantOnly"])),
            14 => "ctl:forceRequestBodyVariable=On".into(),
            _ => format!("ctl:requestBodyProcessor={}", self.supply.pick(&["JSON", "XML", "URLENCODED"])),
        }
    }

    /// Takes rules or targets away, or adds targets.
    fn change(&mut self) {
        let id = self.any_id();
        let sign = self.supply.pick(&["!", "!", "!", ""]);
        let target = format!("{sign}{}", plain_target(self.supply));
        let tag = self.supply.pick(&["all", "attack", "level/2"]);
        let line = match self.supply.below(10) {
            0 => format!("SecRuleRemoveById {id}"),
            1 => format!("SecRuleRemoveById {id}-{}", id + 2),
            2 => format!("SecRuleRemoveByTag {tag}"),
            3 => "SecRuleRemoveByMsg seven".into(),
            4..=6 => format!("SecRuleUpdateTargetById {id} {}", quoted(&target)),
            7 => format!("SecRuleUpdateTargetByTag {tag} {}", quoted(&target)),
            8 => format!("SecRuleUpdateTargetById {id} {} ARGS", quoted(&target)),
            _ => format!(
                "SecRuleUpdateActionById {id} {}",
                self.supply.pick(&["pass,nolog", "deny", "t:lowercase,log", "capture"])
            ),
        };
        self.line(line);
    }

    /// Takes a rule or something that it looks at away: for all requests, or by a rule that stands anywhere.
    fn aim(&mut self) {
        let index = self.supply.below(self.units.len());
        let Unit::Chain(links) = &self.units[index] else { return };
        let Some(id) = links[0].actions.first().and_then(|action| action.strip_prefix("id:")) else { return };
        let id = id.to_owned();
        let mut all: Vec<&String> = links.iter().flat_map(|link| &link.targets).collect();
        all.retain(|target| !target.contains('%'));
        if all.is_empty() || self.supply.one_in(6) {
            self.line(format!("SecRuleRemoveById {id}"));
            return;
        }
        let target = self.supply.pick(&all).trim_start_matches(['!', '&']).to_owned();
        let target = part_of(self.supply, &target);
        if self.supply.one_in(3) {
            self.line(format!("SecRuleUpdateTargetById {id} {}", quoted(&format!("!{target}"))));
            return;
        }
        let action = match self.supply.below(4) {
            0 => format!("ctl:ruleRemoveById={id}"),
            _ => format!("ctl:'ruleRemoveTargetById={id};{}'", escaped(&target)),
        };
        let place = self.supply.below(self.units.len());
        match &mut self.units[place] {
            Unit::Chain(links) => links[0].actions.push(action),
            Unit::Line(_) => {
                let actions = vec![self.id(), "phase:1,pass,nolog,t:none".into(), action];
                self.units.push(Unit::Chain(vec![Link { targets: Vec::new(), operator: String::new(), actions }]));
            }
        }
    }

    /// Says at the end what is in TX. Not always: who reads TX may make a difference.
    fn observers(&mut self) {
        if self.supply.one_in(4) {
            return;
        }
        self.line(
            "SecRule TX \"@unconditionalMatch\" \"id:901,phase:5,pass,log,t:none,logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'\"\n\
             SecAction \"id:902,phase:5,pass,log,t:none,msg:'%{HIGHEST_SEVERITY} %{MATCHED_VAR_NAME} %{ENV.x} %{IP.x}'\"",
        );
    }
}

/// Inside single quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
