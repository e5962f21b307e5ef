//! Why the keys of groups do not come.

use std::collections::HashMap;

use keycell_protocol::{Name, ProblemType};

/// What is told to those who wait for the keys of a group: of that group, and of no other.
#[derive(Default)]
pub(super) struct GroupFailures {
    /// Why the last question was not answered; `None` after one that was.
    unanswered: Option<String>,
    /// The groups of which the last answer about them gave no keys.
    refused: HashMap<Name, Option<ProblemType>>,
}

impl GroupFailures {
    pub(super) fn unanswered(&mut self, why: String) {
        self.unanswered = Some(why);
    }

    /// A KDC answered about these groups; nobody named means all.
    pub(super) fn answered(&mut self, asked: &[Name], refused: &[(Name, Option<ProblemType>)]) {
        self.unanswered = None;
        self.refused.retain(|group, _| !asked.is_empty() && !asked.contains(group));
        self.refused.extend(refused.iter().cloned());
    }

    pub(super) fn forget(&mut self, group: &Name) {
        self.refused.remove(group);
    }

    /// Why the keys of this group do not come, where that is not for want of later ones.
    pub(super) fn of(&self, group: &Name) -> Option<String> {
        let refused = || {
            let problem = self.refused.get(group)?;
            let why = problem.map_or("for a reason that is not known here", ProblemType::title);
            Some(format!("the KDC gives no keys of it: {why}"))
        };
        self.unanswered.clone().or_else(refused)
    }
}
