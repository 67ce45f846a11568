//! Which rules look at the same values in the same way.
//!
//! Rules with the same targets share one list of values, and those with the same transformations too share the answer
//! of the prefilter, so that both are worked out once in a phase. That holds for variables that no rule can change
//! while the phase runs; rules over others (TX, MATCHED_…, persistent collections) are evaluated plainly.

use std::collections::{HashMap, HashSet};

use super::collection::Variable;
use super::prefilter::Prefilter;
use super::program::{PipelineId, Program, Rule, RuleIndex, Selector, Target};
use super::transformation::Transformation;

/// What is known of a program as a whole.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By rule.
    views: Vec<Option<View>>,
    /// How many lists of targets there are.
    pub(crate) lists: usize,
    /// How many views there are.
    pub(crate) groups: usize,
    /// Of the operators that look at requests, and of those that look at responses.
    prefilters: [Prefilter; 2],
    /// The transformations that there are, each once.
    pub(crate) transformations: usize,
    /// Where each of them is among those.
    places: Vec<usize>,
}

/// How a rule looks at a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// Its list of targets.
    pub(crate) list: u32,
    /// Its list of targets and its transformations.
    pub(crate) group: u32,
}

impl Plan {
    /// Of a program that is complete but for this.
    pub(crate) fn new(program: &Program) -> Self {
        if !program.options.prefilter && !program.options.transformation_cache {
            return Self::default();
        }
        let mut lists: HashMap<String, u32> = HashMap::new();
        let mut groups: HashMap<(u32, PipelineId, bool), u32> = HashMap::new();
        let mut view = |rule: &Rule| {
            let targets = program.targets(rule);
            if !targets.iter().all(is_stable) {
                return None;
            }
            let next = lists.len() as u32;
            let list = *lists.entry(key(targets)).or_insert(next);
            let next = groups.len() as u32;
            let group = *groups.entry((list, rule.pipeline, rule.is_multi_match)).or_insert(next);
            Some(View { list, group })
        };
        let views = program.rules.iter().map(&mut view).collect();
        let (lists, groups) = (lists.len(), groups.len());
        let used: HashSet<Transformation> = program.pipelines.iter().flatten().copied().collect();
        let mut places = vec![0; Transformation::ALL.len()];
        for (place, transformation) in used.iter().enumerate() {
            if let Some(slot) = places.get_mut(*transformation as usize) {
                *slot = place;
            }
        }
        let mut plan = Self { views, lists, groups, transformations: used.len(), places, ..Self::default() };
        plan.prefilters = [1..=2, 3..=5].map(|phases: std::ops::RangeInclusive<u8>| {
            let indices = phases.flat_map(|phase| program.phase(phase));
            let rules = indices.filter(|index| plan.view(*index).is_some()).filter_map(|index| program.rule(index));
            let asked: HashSet<u32> = rules.filter(|rule| !rule.is_negated).map(|rule| rule.operator.0).collect();
            Prefilter::new(&program.operators, |id| asked.contains(&id))
        });
        plan
    }

    /// The prefilter for the rules of a phase.
    pub(crate) fn prefilter(&self, phase: u8) -> &Prefilter {
        let [request, response] = &self.prefilters;
        if phase <= 2 { request } else { response }
    }

    /// Where a transformation is among those that there are.
    pub(crate) fn place(&self, transformation: Transformation) -> usize {
        self.places.get(transformation as usize).copied().unwrap_or_default()
    }

    /// How a rule looks; nothing when its values can change while the phase runs.
    pub(crate) fn view(&self, rule: RuleIndex) -> Option<View> {
        self.views.get(rule as usize).copied().flatten()
    }
}

/// What makes targets the same.
fn key(targets: &[Target]) -> String {
    let mut key = String::new();
    for target in targets {
        let selector = match &target.selector {
            Selector::All | Selector::Dynamic(_) => String::new(),
            Selector::Key(key) => format!("k{}", key.escape_ascii()),
            Selector::Slot(slot) => format!("s{}", slot.0),
            Selector::Regex(regex, _) => format!("r{}", regex.pattern().escape_ascii()),
            Selector::XPath(path) => format!("x{}", path.0),
        };
        key.push_str(&format!("{:?} {} {} {selector}\n", target.variable, target.is_exclusion, target.is_count));
    }
    key
}

/// Can no rule change what the target gives while the rules of a phase run?
fn is_stable(target: &Target) -> bool {
    use Variable as V;
    !matches!(target.selector, Selector::Dynamic(_))
        && matches!(
            target.variable,
            V::Args
                | V::ArgsGet
                | V::ArgsPost
                | V::ArgsNames
                | V::ArgsGetNames
                | V::ArgsPostNames
                | V::ArgsCombinedSize
                | V::RequestHeaders
                | V::RequestHeadersNames
                | V::ResponseHeaders
                | V::ResponseHeadersNames
                | V::RequestCookies
                | V::RequestCookiesNames
                | V::RequestLine
                | V::RequestMethod
                | V::RequestProtocol
                | V::RequestUri
                | V::RequestUriRaw
                | V::RequestFilename
                | V::RequestBasename
                | V::PathInfo
                | V::QueryString
                | V::RequestBody
                | V::RequestBodyLength
                | V::ReqbodyError
                | V::RemoteAddr
                | V::RemoteHost
                | V::UserAgentIp
                | V::ServerAddr
                | V::ServerName
                | V::Files
                | V::FilesNames
                | V::FilesSizes
                | V::FilesCombinedSize
                | V::FilesTmpContent
                | V::MultipartPartHeaders
                | V::MultipartStrictError
                | V::MultipartUnmatchedBoundary
                | V::Xml
                | V::ResponseBody
                | V::ResponseStatus
        )
}
