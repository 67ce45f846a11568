//! Takes away from a case what its difference does not need.

use super::Case;
use super::requests::Request;
use super::rules::Unit;
use super::run::{Sweep, compare};

/// Evaluations that are tried at most; a fuzzer waits for the end.
const ATTEMPTS: usize = 3000;

/// The smallest case found, and how it differs.
pub(super) fn shrink(case: Case) -> (Case, String) {
    let problem = compare(&case, Sweep::All).err().unwrap_or_else(|| "the difference is not there again".into());
    let mut shrinker = Shrinker { case, problem, attempts: ATTEMPTS };
    while shrinker.round() {}
    (shrinker.case, shrinker.problem)
}

struct Shrinker {
    case: Case,
    problem: String,
    attempts: usize,
}

impl Shrinker {
    /// Is the case still one after the change? Then it stays changed.
    fn attempt(&mut self, change: impl FnOnce(&mut Case)) -> bool {
        if self.attempts == 0 {
            return false;
        }
        self.attempts -= 1;
        let mut smaller = self.case.clone();
        change(&mut smaller);
        match compare(&smaller, Sweep::All) {
            Err(problem) => {
                (self.case, self.problem) = (smaller, problem);
                true
            }
            Ok(_) => false,
        }
    }

    /// Tries to take everything away once; did anything go?
    fn round(&mut self) -> bool {
        let mut has_changed = false;
        for index in (0..self.case.requests.len()).rev() {
            has_changed |= self.case.requests.len() > 1 && self.attempt(|case| drop(case.requests.remove(index)));
        }
        for index in (0..self.case.units.len()).rev() {
            has_changed |= self.attempt(|case| drop(case.units.remove(index)));
        }
        for index in 0..self.case.units.len() {
            let Unit::Chain(links) = &self.case.units[index] else { continue };
            for link in (0..links.len()).rev() {
                has_changed |= self.link(index, link);
            }
        }
        for index in 0..self.case.requests.len() {
            has_changed |= self.request(index);
        }
        has_changed
    }

    fn link(&mut self, unit: usize, link: usize) -> bool {
        let change = |case: &mut Case, change: &dyn Fn(&mut Vec<super::rules::Link>)| {
            if let Some(Unit::Chain(links)) = case.units.get_mut(unit) {
                change(links);
            }
        };
        if link > 0 && self.attempt(|case| change(case, &|links| drop(links.remove(link)))) {
            return true;
        }
        let mut has_changed = false;
        let Unit::Chain(links) = &self.case.units[unit] else { return false };
        let (targets, actions) = (links[link].targets.len(), links[link].actions.len());
        for index in (0..actions).rev() {
            has_changed |= self.attempt(|case| change(case, &|links| drop(links[link].actions.remove(index))));
        }
        for index in (0..targets).rev() {
            has_changed |=
                targets > 1 && self.attempt(|case| change(case, &|links| drop(links[link].targets.remove(index))));
        }
        has_changed
    }

    fn request(&mut self, index: usize) -> bool {
        let mut has_changed = false;
        for header in (0..self.case.requests[index].headers.len()).rev() {
            has_changed |= self.attempt(|case| drop(case.requests[index].headers.remove(header)));
        }
        for header in (0..self.case.requests[index].response_headers.len()).rev() {
            has_changed |= self.attempt(|case| drop(case.requests[index].response_headers.remove(header)));
        }
        let texts: [fn(&mut Request) -> &mut Vec<u8>; 3] =
            [|request| &mut request.target, |request| &mut request.body, |request| &mut request.response_body];
        for text in texts {
            has_changed |= self.text(index, text);
        }
        for header in 0..self.case.requests[index].headers.len() {
            has_changed |= self.text(index, |request| &mut request.headers[header].1);
        }
        has_changed
    }

    /// Cuts halves, quarters and so on out of a text.
    fn text(&mut self, index: usize, of: impl Fn(&mut Request) -> &mut Vec<u8>) -> bool {
        let mut has_changed = false;
        let mut size = of(&mut self.case.requests[index]).len();
        while size > 0 {
            let mut start = 0;
            while start < of(&mut self.case.requests[index]).len() {
                let is_smaller = self.attempt(|case| {
                    let text = of(&mut case.requests[index]);
                    drop(text.drain(start..(start + size).min(text.len())));
                });
                has_changed |= is_smaller;
                if !is_smaller {
                    start += size;
                }
            }
            size /= 2;
        }
        has_changed
    }
}
