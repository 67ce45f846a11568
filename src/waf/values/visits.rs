//! What classes of values ask of checks.
//!
//! A check asks for what its lane makes of a value. As long as the lane's functions leave the value alone, the answer
//! depends on the value's class only, so it is worked out once for a class: which checks have it answered with
//! something, and which functions change the value, with the checks that are *left* to be asked of the result. Results
//! have classes too, for which the same is worked out. A value that nobody has seen before costs what is really done to
//! it, not one look at every check.

use std::collections::HashMap;
use std::ops::Range;

use super::known::{Full, ValueId};
use super::{Member, PhaseValues, Program, Transaction};
use crate::limits::{WAF_KEPT_SUSPECTS, WAF_KEPT_VISITS, WAF_PHASE_SUSPECTS};
use crate::waf::number_index::{MOST_NUMBERS, NumberIndex};
use crate::waf::plan::{Check, Group, Layout};
use crate::waf::prefilter::{ClassId, Classes, set};
use crate::waf::program::RuleIndex;
use crate::waf::scratch::make_room;
use crate::waf::signature::{CAPITALS, SMALL, Signature};
use crate::waf::transformation::{Transformation, Trigger};

/// A check that is left to be asked, and how many functions of its lane the value has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Task {
    check: u32,
    passed: u32,
}

/// Number of a list of tasks.
type TasksId = u32;

/// No list.
const NONE: TasksId = TasksId::MAX;

/// What becomes of tasks with values of a class.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: (ClassId, TasksId),
    /// Where its own begin, each up to where those of the next entry do: in `Visits::loud`,
    loud: u32,
    /// in `Visits::rules`,
    rules: u32,
    /// and in `Visits::changes`.
    changes: u32,
    /// The visit that added the candidates last.
    visit: u32,
}

/// What an entry has of the lists.
struct Own {
    loud: Range<usize>,
    rules: Range<usize>,
    changes: Range<usize>,
}

/// A function that changes values of a class, and what is left to be asked of the result.
#[derive(Debug, Clone, Copy)]
struct Change {
    transformation: Transformation,
    tasks: TasksId,
    /// A result that cannot be as long as this has nothing that is asked for.
    shortest: usize,
}

const _: () = assert!(WAF_KEPT_VISITS < MOST_NUMBERS, "their numbers fit into the index");

/// All that is known of it for the usual layout of a program.
#[derive(Debug, Default)]
pub(super) struct Visits {
    /// By the first check of a group: the tasks that its values begin with.
    roots: Vec<TasksId>,
    /// Where each list begins in `tasks`.
    lists: Vec<(u32, u32)>,
    tasks: Vec<Task>,
    ids: HashMap<Box<[Task]>, TasksId>,
    entries: Vec<Entry>,
    index: NumberIndex,
    /// Checks that ask for something that values of a class have.
    loud: Vec<u32>,
    /// What these set among the candidates.
    rules: Vec<RuleIndex>,
    changes: Vec<Change>,
    /// Number of the visit of a group that is under way.
    visit: u32,
}

impl Visits {
    /// Is it time to begin anew?
    pub(super) const fn is_large(&self) -> bool {
        self.entries.len() >= WAF_KEPT_VISITS
    }

    /// Are there soon no more numbers for visits?
    pub(super) const fn is_worn(&self) -> bool {
        self.visit > u32::MAX / 2
    }

    /// Forgets all but the number of the last visit, which values remember.
    pub(super) fn clear(&mut self) {
        *self = Self { visit: self.visit, ..Self::default() };
    }

    /// The tasks of a list.
    fn list(&self, id: TasksId) -> &[Task] {
        let (start, end) = self.lists.get(id as usize).copied().unwrap_or_default();
        self.tasks.get(start as usize..end as usize).unwrap_or_default()
    }

    fn intern(&mut self, tasks: Vec<Task>) -> TasksId {
        let tasks = tasks.into_boxed_slice();
        if let Some(id) = self.ids.get(&tasks) {
            return *id;
        }
        let id = self.lists.len() as TasksId;
        let start = self.tasks.len() as u32;
        self.tasks.extend_from_slice(&tasks);
        self.lists.push((start, self.tasks.len() as u32));
        self.ids.insert(tasks, id);
        id
    }

    /// The tasks that values of a group begin with.
    fn root(&mut self, group: &Group) -> TasksId {
        let place = group.first_check as usize;
        if let Some(root) = self.roots.get(place).copied().filter(|root| *root != NONE) {
            return root;
        }
        let root = self.intern((group.first_check..group.last_check).map(|check| Task { check, passed: 0 }).collect());
        if self.roots.len() <= place {
            self.roots.resize(place + 1, NONE);
        }
        if let Some(slot) = self.roots.get_mut(place) {
            *slot = root;
        }
        root
    }

    fn find(&self, key: (ClassId, TasksId)) -> Option<u32> {
        self.index.find(hash(&self.index, key), |number| {
            self.entries.get(number as usize).is_some_and(|entry| entry.key == key)
        })
    }

    /// An entry, and what it has of the lists.
    #[inline]
    fn entry(&mut self, number: u32) -> Option<(&mut Entry, Own)> {
        let ends = match self.entries.get(number as usize + 1) {
            Some(next) => (next.loud as usize, next.rules as usize, next.changes as usize),
            None => (self.loud.len(), self.rules.len(), self.changes.len()),
        };
        let entry = self.entries.get_mut(number as usize)?;
        let own = Own {
            loud: entry.loud as usize..ends.0,
            rules: entry.rules as usize..ends.1,
            changes: entry.changes as usize..ends.2,
        };
        Some((entry, own))
    }

    /// Works out what becomes of tasks with values of a class; nothing when there is no room for it.
    fn add(&mut self, program: &Program, layout: &Layout, classes: &Classes, key: (ClassId, TasksId)) -> Option<u32> {
        if self.entries.len() >= WAF_KEPT_VISITS {
            return None;
        }
        let (class, tasks) = key;
        let (loud, rules, changes) = (self.loud.len() as u32, self.rules.len() as u32, self.changes.len() as u32);
        let mut left_by: Vec<(Transformation, Vec<Task>)> = Vec::new();
        for number in 0..self.list(tasks).len() {
            let Some(task) = self.list(tasks).get(number).copied() else { break };
            let (is_loud, change) = outcome(program, layout, classes, class, task);
            if is_loud {
                self.loud.push(task.check);
                if let Some(check) = layout.check(task.check) {
                    layout.each_candidate(check, classes.answer(class), |rule| self.rules.push(rule));
                }
            }
            let Some((transformation, left)) = change else { continue };
            match left_by.iter_mut().find(|(other, _)| *other == transformation) {
                Some((_, tasks)) => tasks.push(left),
                None => left_by.push((transformation, vec![left])),
            }
        }
        for (transformation, tasks) in left_by {
            let shortest = tasks.iter().map(|task| shortest(program, layout, *task)).min().unwrap_or(0);
            let tasks = self.intern(tasks);
            make_room(&mut self.changes, 1);
            self.changes.push(Change { transformation, tasks, shortest });
        }
        let number = self.entries.len() as u32;
        make_room(&mut self.entries, 1);
        self.entries.push(Entry { key, loud, rules, changes, visit: 0 });
        let entries = &self.entries;
        let hash_of =
            |index: &NumberIndex, number: u32| entries.get(number as usize).map_or(0, |entry| hash(index, entry.key));
        self.index.insert(hash(&self.index, key), number, hash_of);
        Some(number)
    }
}

fn hash(index: &NumberIndex, (class, tasks): (ClassId, TasksId)) -> u32 {
    index.hash([u64::from(class) << 32 | u64::from(tasks)])
}

/// What becomes of a task with values of a class: does it ask for something that they have, and which function changes
/// them first, if that matters?
fn outcome(
    program: &Program,
    layout: &Layout,
    classes: &Classes,
    class: ClassId,
    task: Task,
) -> (bool, Option<(Transformation, Task)>) {
    let Some(check) = layout.check(task.check) else { return (false, None) };
    let Some(lane) = program.plan.lane(check.lane) else { return (false, None) };
    let is_asked_for = layout.asks_for(check, classes.answer(class));
    // A lane with `multiMatch` asks between functions too.
    let is_asked_here = is_asked_for && lane.is_multi_match;
    let mut signature = classes.signature(class);
    let mut in_case = None;
    for (number, transformation) in (1..).zip(program.pipeline(lane.pipeline)).skip(task.passed as usize) {
        let change = Some((*transformation, Task { passed: number, ..task }));
        match transformation.trigger() {
            Trigger::Bytes(trigger) if trigger & signature == 0 => {}
            _ => return (is_asked_here, in_case.or(change)),
        }
        if transformation.case_trigger() & signature != 0 {
            signature = in_other_case(signature, *transformation);
            in_case = in_case.or(change);
        }
    }
    match in_case {
        None => (is_asked_for, None),
        // The answer for a form in another case is the same, until an operator was asked about it.
        change => (is_asked_here, change.filter(|_| is_asked_for)),
    }
}

/// A shorter value than this comes out of the rest of a lane as something too short for what is asked for.
fn shortest(program: &Program, layout: &Layout, task: Task) -> usize {
    let Some(check) = layout.check(task.check) else { return 0 };
    let Some(lane) = program.plan.lane(check.lane) else { return 0 };
    let mut rest = program.pipeline(lane.pipeline).iter().skip(task.passed as usize);
    if rest.all(|transformation| transformation.longest_result(check.shortest) <= check.shortest) {
        check.shortest
    } else {
        0
    }
}

/// The signature of what only changes the case of letters.
pub(super) fn in_other_case(signature: Signature, transformation: Transformation) -> Signature {
    let gone = transformation.case_trigger();
    signature & !gone | if gone == CAPITALS { SMALL } else { CAPITALS }
}

/// Values because of which rules are candidates.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// By bit of the candidates: the phase that it was set in, and the last of its values.
    lists: Vec<(u32, u32)>,
    /// Values, and the one before of the same rule.
    values: Vec<(ValueId, u32)>,
}

/// There is no value before.
const FIRST: u32 = u32::MAX;

/// Any value could match.
const ALL: u32 = u32::MAX - 1;

/// Which values of a rule have to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// None.
    None,
    /// Those with this mark.
    Marked(u32),
    /// All.
    All,
}

impl Suspects {
    /// Begins a phase of a program with so many rules.
    pub(super) fn begin(&mut self, rules: usize) {
        self.values.clear();
        if self.values.capacity() > WAF_KEPT_SUSPECTS {
            self.values = Vec::new();
        }
        // A bit for each rule, and again for links, from the next word on.
        self.lists.resize(rules.next_multiple_of(64) * 2, (0, FIRST));
    }

    /// A rule is a candidate because of a value.
    #[inline]
    fn add(&mut self, stamp: u32, rule: RuleIndex, id: ValueId) {
        let next = self.values.len() as u32;
        let Some((own, last)) = self.lists.get_mut(rule as usize) else { return };
        if *own != stamp {
            (*own, *last) = (stamp, FIRST);
        }
        if *last == ALL {
            return;
        }
        if self.values.len() >= WAF_PHASE_SUSPECTS {
            *last = ALL;
            return;
        }
        self.values.push((id, *last));
        *last = next;
    }

    /// The rules of a check are candidates, and nobody knows because of which values.
    pub(super) fn add_all(&mut self, stamp: u32, layout: &Layout, check: &Check) {
        for rule in layout.each_rule(check) {
            if let Some(list) = self.lists.get_mut(rule as usize) {
                *list = (stamp, ALL);
            }
        }
    }
}

impl PhaseValues {
    /// Finds out which values of a rule or link have to be looked at: the others cannot match it.
    pub(crate) fn suspect(&mut self, program: &Program, rule: RuleIndex) -> Suspicion {
        if !self.are_suspects_known {
            return Suspicion::All;
        }
        let Some(bit) = program.plan.usual().asked_as(rule) else { return Suspicion::All };
        let Self { known, current, suspects, stamp, .. } = self;
        let Some(known) = known.get_mut(*current) else { return Suspicion::All };
        let mut last = match suspects.lists.get(bit as usize) {
            Some((own, last)) if own == stamp => *last,
            _ => FIRST,
        };
        match last {
            ALL => return Suspicion::All,
            FIRST => return Suspicion::None,
            _ => {}
        }
        known.visits.visit += 1;
        let mark = known.visits.visit;
        while let Some((id, before)) = suspects.values.get(last as usize).copied() {
            known.was_visited(id, mark);
            last = before;
        }
        Suspicion::Marked(mark)
    }

    /// The next value of a stretch that has to be looked at.
    #[inline]
    pub(crate) fn next_suspect(&self, suspicion: Suspicion, places: &mut Range<u32>) -> Option<Member> {
        let members = self.members.get(places.start as usize..places.end as usize)?;
        let found = match suspicion {
            Suspicion::None => None,
            Suspicion::All => members.first().map(|_| 0),
            Suspicion::Marked(mark) => {
                let known = self.known();
                members.iter().position(|member| known.is_visited(member.id, mark))
            }
        };
        let found = found.unwrap_or(members.len());
        places.start = places.end.min(places.start + found as u32 + 1);
        members.get(found).copied()
    }

    /// The value does not match: take the mark away.
    pub(crate) fn trust(&mut self, suspicion: Suspicion, id: ValueId) {
        if matches!(suspicion, Suspicion::Marked(_)) {
            // No visit has this number.
            self.known_mut().was_visited(id, 0);
        }
    }

    /// Begins a visit to the values of a group, and gives its number.
    pub(super) fn begin_visit(&mut self) -> u32 {
        let visits = &mut self.known_mut().visits;
        visits.visit += 1;
        visits.visit
    }

    /// Finds the candidates of a group of the usual layout because of one value.
    pub(super) fn visit_value(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        layout: &Layout,
        group: &Group,
        id: ValueId,
        candidates: &mut [u64],
    ) {
        let known = self.known_mut();
        let visit = known.visits.visit;
        if known.is_quiet(id, group.number) || known.was_visited(id, visit) {
            return;
        }
        let root = known.visits.root(group);
        self.is_loud = false;
        self.visited = id;
        self.visit(program, transaction, layout, id, root, candidates);
        if !self.is_loud {
            self.known_mut().note_quiet(id, group.number);
        }
    }

    /// Asks what is left to be asked of a value.
    fn visit(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        layout: &Layout,
        id: ValueId,
        tasks: TasksId,
        candidates: &mut [u64],
    ) {
        let known = self.known_mut();
        let class = known.class(id);
        let has_learned = known.has_learned(id);
        let (classes, visits) = known.classes();
        let found = visits.find((class, tasks)).or_else(|| visits.add(program, layout, classes, (class, tasks)));
        let visit = visits.visit;
        let Some((entry, own)) = found.and_then(|number| visits.entry(number)) else {
            return self.visit_singly(program, transaction, layout, id, tasks, candidates);
        };
        let is_added = entry.visit == visit;
        if !has_learned {
            entry.visit = visit;
        }
        let Own { loud, rules, changes } = own;
        if !loud.is_empty() {
            let Self { known, current, is_loud, suspects, stamp, visited, .. } = self;
            let Some(known) = known.get(*current) else { return };
            let checks = known.visits.loud.get(loud).unwrap_or_default();
            if has_learned {
                for check in checks.iter().filter_map(|number| layout.check(*number)) {
                    layout.each_candidate(check, known.open(id), |rule| {
                        *is_loud = true;
                        set(candidates, rule);
                        suspects.add(*stamp, rule, *visited);
                    });
                }
            } else {
                *is_loud = true;
                for rule in known.visits.rules.get(rules).unwrap_or_default() {
                    if !is_added {
                        set(candidates, *rule);
                    }
                    suspects.add(*stamp, *rule, *visited);
                }
            }
        }
        for number in changes {
            let Some(change) = self.known().visits.changes.get(number).copied() else { break };
            if change.transformation.longest_result(self.known().len(id)) < change.shortest {
                continue;
            }
            match self.step(program, transaction, change.transformation, id) {
                Ok(result) => self.visit(program, transaction, layout, result, change.tasks, candidates),
                Err(Full) => {
                    for number in 0..self.known().visits.list(change.tasks).len() {
                        self.add_task(layout, change.tasks, number, candidates);
                    }
                }
            }
        }
    }

    /// As [`Self::visit`], one check after the other.
    fn visit_singly(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        layout: &Layout,
        id: ValueId,
        tasks: TasksId,
        candidates: &mut [u64],
    ) {
        for number in 0..self.known().visits.list(tasks).len() {
            let Some(Task { check, passed }) = self.known().visits.list(tasks).get(number).copied() else { break };
            let Some(asked) = layout.check(check) else { break };
            match self.add_candidates_of_check(program, transaction, layout, asked, id, passed as usize, candidates) {
                Ok(false) => {}
                Ok(true) => {
                    self.suspects.add_all(self.stamp, layout, asked);
                    self.is_loud = true;
                }
                Err(Full) => self.add_task(layout, tasks, number, candidates),
            }
        }
    }

    /// There is no room to find out what a task asks for: everything.
    fn add_task(&mut self, layout: &Layout, tasks: TasksId, number: usize, candidates: &mut [u64]) {
        let Some(task) = self.known().visits.list(tasks).get(number).copied() else { return };
        if let Some(check) = layout.check(task.check) {
            layout.add_all(check, candidates);
            self.suspects.add_all(self.stamp, layout, check);
        }
        self.is_loud = true;
    }
}
