//! Actions on persistent collections: opening one, letting its variables expire or fall.

use super::{expanded, setvar};
use crate::waf::collection::Variable;
use crate::waf::expand::Text;
use crate::waf::number::atoi;
use crate::waf::program::{Program, RuleIndex};
use crate::waf::scratch::Scratch;
use crate::waf::transaction::Transaction;

/// `initcol:ip=KEY`, `setsid:KEY`, `setuid:KEY`, `setrsc:KEY`
#[derive(Debug, Clone)]
pub(crate) struct Open {
    /// Which collection.
    pub(crate) collection: Variable,
    /// Is its name space that of the web application (SESSION, USER, RESOURCE)?
    pub(crate) is_per_application: bool,
    /// Under which key.
    pub(crate) key: Text,
}

impl Open {
    pub(crate) fn run(&self, program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, rule: RuleIndex) {
        let key = expanded(&self.key, program, transaction, scratch, rule);
        if self.is_per_application {
            let id = transaction.store(&key);
            match self.collection {
                Variable::Session => transaction.persistent.session_id = Some(id),
                Variable::User => transaction.persistent.user_id = Some(id),
                _ => {}
            }
        }
        let name_space = if self.is_per_application { &program.settings.web_app_id[..] } else { &[] };
        transaction.open_persistent(self.collection, name_space, &key, program.settings.collection_timeout, scratch);
    }
}

/// `expirevar` and `deprecatevar`.
#[derive(Debug, Clone)]
pub(crate) struct Timed {
    pub(crate) collection: Variable,
    pub(crate) name: Text,
    /// Seconds, or amount/seconds.
    pub(crate) value: Text,
}

impl Timed {
    /// The variable goes after that many seconds.
    pub(crate) fn expire(
        &self,
        program: &Program,
        transaction: &mut Transaction,
        scratch: &mut Scratch,
        rule: RuleIndex,
    ) {
        let name = setvar::expand_name(&self.name, program, transaction, scratch, rule);
        let seconds = atoi(&expanded(&self.value, program, transaction, scratch, rule)).max(0) as u64;
        let at = transaction.now.as_secs().saturating_add(seconds);
        transaction.expire_persistent(self.collection, &name, at);
    }

    /// The variable falls by `amount` for every `seconds` since the collection was last written.
    pub(crate) fn deprecate(
        &self,
        program: &Program,
        transaction: &mut Transaction,
        scratch: &mut Scratch,
        rule: RuleIndex,
    ) {
        let name = setvar::expand_name(&self.name, program, transaction, scratch, rule);
        let value = expanded(&self.value, program, transaction, scratch, rule);
        let Some(slash) = value.iter().position(|byte| *byte == b'/') else { return };
        let amount = atoi(value.get(..slash).unwrap_or_default());
        let seconds = atoi(value.get(slash + 1..).unwrap_or_default());
        let Some(current) = transaction.persistent_value(self.collection, &name).map(atoi) else { return };
        let Some(updated) = transaction.persistent_value(self.collection, b"LAST_UPDATE_TIME").map(atoi) else {
            return;
        };
        let now = i64::try_from(transaction.now.as_secs()).unwrap_or(i64::MAX);
        let Some(steps) = now.saturating_sub(updated).checked_div(seconds) else { return };
        let lowered = current.saturating_sub(amount.saturating_mul(steps)).max(0);
        if lowered != current {
            transaction.add_persistent(self.collection, &name, lowered - current);
        }
    }
}
