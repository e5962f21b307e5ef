//! What is recorded: one event.

use std::fmt;
use std::net::IpAddr;

use keycell_protocol::{Name, UnixMillis, Zone};
use serde_json::{Map, Value};

use crate::named::named;

/// Something that happened, before it has its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: UnixMillis,
    /// Who did it.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To what: a party, a rule, a token. Empty where the action says it all.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The request's name in the log, where there is one.
    pub request: Option<String>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// What else is worth knowing: names of fields, old and new values. Never a secret.
    pub detail: Detail,
}

impl Event {
    /// Something that `actor` did to `target`, with nothing else to say.
    #[must_use]
    pub fn new(at: UnixMillis, actor: Actor, action: Action, target: impl Into<String>) -> Self {
        Self {
            at,
            actor,
            action,
            target: target.into(),
            outcome: Outcome::Done,
            request: None,
            address: None,
            detail: Detail::default(),
        }
    }

    /// The same with another outcome.
    #[must_use]
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same with one more thing worth knowing.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.0.insert(name.to_owned(), value.into());
        self
    }
}

/// Things worth knowing of an event, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detail(Map<String, Value>);

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::Object(self.0.clone()).fmt(f)
    }
}

/// Who did something. Its text is what the log holds, and what `--actor` looks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// An administrator with a token of this zone: `administrator:SUBJECT`.
    Administrator(String),
    /// An administrator of an external issuer: `external:SUBJECT@ISSUER`.
    External {
        /// The issuer's URL.
        issuer: String,
        /// Whose token it is.
        subject: String,
    },
    /// Who ran a command on the cell's own files: `console:USER`.
    Console(String),
    /// A party: `party:NAME`.
    Party(Name),
    /// The KDC of another zone: `zone:NAME`.
    Zone(Zone),
    /// Somebody who did not say who, or could not prove it: `address:ADDRESS`.
    Address(IpAddr),
    /// The KDC itself: `kdc`.
    Kdc,
}

impl Actor {
    /// Who signs with a key of this zone: a party, or another zone by what it is here.
    #[must_use]
    pub fn of(name: &Name) -> Self {
        name.asking_zone().map_or_else(|| Self::Party(name.clone()), Self::Zone)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrator(subject) => write!(f, "administrator:{subject}"),
            Self::External { issuer, subject } => write!(f, "external:{subject}@{issuer}"),
            Self::Console(user) => write!(f, "console:{user}"),
            Self::Party(name) => write!(f, "party:{name}"),
            Self::Zone(zone) => write!(f, "zone:{zone}"),
            Self::Address(address) => write!(f, "address:{address}"),
            Self::Kdc => f.write_str("kdc"),
        }
    }
}

named! {
    /// What was done. The part before the first dot says to what kind of thing.
    Action(UnknownAction, "there is no action of that name") {
        /// The zone was made.
        ZoneCreate = "zone.create",
        /// Settings of the zone were changed.
        ZoneUpdate = "zone.update",
        /// The database was brought to a newer schema.
        ZoneMigrate = "zone.migrate",
        /// Rates of the zone were changed.
        LimitsUpdate = "limits.update",
        /// A party was made.
        PartyCreate = "party.create",
        /// A party's note or logging was changed.
        PartyUpdate = "party.update",
        /// A party may speak again.
        PartyEnable = "party.enable",
        /// A party may not speak any more.
        PartyDisable = "party.disable",
        /// A party and its keys were deleted.
        PartyDelete = "party.delete",
        /// Parties were made in bulk: the summary after their own records.
        PartyImport = "party.import",
        /// A party's key is to be replaced, or was.
        KeyRotate = "key.rotate",
        /// A new key of a party was made, and is not used yet.
        KeyStage = "key.stage",
        /// A staged key was proved by its party, and is used from now on.
        KeyActivate = "key.activate",
        /// A key's time is over: it is erased.
        KeyErase = "key.erase",
        /// The zone's keys at rest are turned again after a clock that was not believed.
        RatchetConfirm = "ratchet.confirm",
        /// A new version of the master key wraps from now on.
        MasterKeyRotate = "master_key.rotate",
        /// Everything is wrapped under the newest version of the master key.
        MasterKeyRewrapped = "master_key.rewrapped",
        /// The master key was split into shares.
        MasterKeySplit = "master_key.split",
        /// Shares of the master key were tried, and make the right one.
        MasterKeyDrill = "master_key.drill",
        /// The key that a party signs with as an author was registered: the first stays.
        PartyAuthorKeyRegister = "party.author_key.register",
        /// The key that a party signs with as an author was removed: it may register another.
        PartyAuthorKeyRemove = "party.author_key.remove",
        /// An identity of the KDC was made.
        IdentityCreate = "identity.create",
        /// The KDC went over to its secondary identity, and has a new one.
        IdentityRecover = "identity.recover",
        /// The private half of an identity left the KDC's machine, in a file.
        IdentityExport = "identity.export",
        /// The database was backed up.
        BackupCreate = "backup.create",
        /// The database is older than the cell, and was accepted as it is.
        RestoreAccept = "restore.accept",
        /// A running KDC took in its configuration anew.
        ConfigReload = "config.reload",
        /// A party's key does not unwrap.
        KeyDamaged = "key.damaged",
        /// A host came aboard by itself.
        PartyEnroll = "party.enroll",
        /// A host that is known came again, and got a new key.
        PartyReenroll = "party.reenroll",
        /// A host may not come aboard.
        EnrollmentRefuse = "enrollment.refuse",
        /// A host waits for an administrator.
        EnrollmentWait = "enrollment.wait",
        /// A host that waits may come aboard.
        EnrollmentApprove = "enrollment.approve",
        /// A host may not come aboard, whatever it brings.
        EnrollmentDeny = "enrollment.deny",
        /// What was decided on a host is forgotten.
        EnrollmentForget = "enrollment.forget",
        /// It was changed who may come aboard.
        EnrollmentUpdate = "enrollment.update",
        /// A join token was made.
        JoinTokenCreate = "join_token.create",
        /// A join token was revoked.
        JoinTokenRevoke = "join_token.revoke",
        /// Two say to be one.
        ConflictRaise = "conflict.raise",
        /// An administrator has seen to a conflict.
        ConflictClear = "conflict.clear",
        /// A rule was made.
        RuleCreate = "rule.create",
        /// A rule was changed.
        RuleUpdate = "rule.update",
        /// A rule was deleted.
        RuleDelete = "rule.delete",
        /// All rules were replaced at once.
        PolicyReplace = "policy.replace",
        /// A group's keys were replaced at once: a new chain of them began.
        GroupRotate = "group.rotate",
        /// A group was made.
        GroupCreate = "group.create",
        /// A group's members, lifetime, requirement or note were changed.
        GroupUpdate = "group.update",
        /// A group and its keys were deleted.
        GroupDelete = "group.delete",
        /// A party was taken out of a group.
        GroupExclude = "group.exclude",
        /// A party was let back into a group.
        GroupInclude = "group.include",
        /// A token was made.
        TokenCreate = "token.create",
        /// A token was revoked.
        TokenRevoke = "token.revoke",
        /// A trust was offered to another zone, with a new key.
        TrustOffer = "trust.offer",
        /// The offer of another zone was accepted.
        TrustAccept = "trust.accept",
        /// What a trust lets through, its note, or where the other zone's KDCs are was changed.
        TrustUpdate = "trust.update",
        /// A trust gives tickets again.
        TrustEnable = "trust.enable",
        /// A trust gives no tickets any more.
        TrustDisable = "trust.disable",
        /// The key of a trust is to be replaced.
        TrustRotate = "trust.rotate",
        /// A trust and its keys were deleted.
        TrustDelete = "trust.delete",
        /// Old records were removed.
        AuditTrim = "audit.trim",
        /// A ticket was refused.
        TicketDeny = "ticket.deny",
        /// A ticket was given that a monitored rule would have refused.
        TicketMonitor = "ticket.monitor",
        /// Many authentications failed from one address.
        AuthenticationBurst = "authentication.burst",
        /// An administrator's role did not reach, or the token did not hold.
        AdministratorDeny = "administrator.deny",
        /// A KDC began to serve.
        KdcStart = "kdc.start",
        /// A KDC stopped in good order.
        KdcStop = "kdc.stop",
    }
}

impl Action {
    /// What a filter that holds for no action could have meant: `None` where it holds for one, by its name or by what stands
    /// before a dot in it.
    #[must_use]
    pub fn instead_of(text: &str) -> Option<String> {
        let first = |name: &'static str| name.split('.').next().unwrap_or(name);
        let begins =
            |name: &str| name.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let names = || Self::ALL.iter().map(|action| action.as_str());
        if names().any(begins) {
            return None;
        }
        let kind = text.split('.').next().unwrap_or(text);
        let mut near: Vec<_> = names().filter(|name| first(name) == kind).collect();
        if near.is_empty() {
            near = names().map(first).collect();
            near.sort_unstable();
            near.dedup();
        }
        Some(near.join(", "))
    }
}

named! {
    /// How something ended.
    Outcome(UnknownOutcome, "an outcome is done, denied or failed") {
        /// It was done.
        Done = "done",
        /// It was refused.
        Denied = "denied",
        /// It went wrong.
        Failed = "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_action_could_have_meant_one() {
        for known in Action::ALL.iter().map(|action| action.as_str()).chain(["party", "party.author_key"]) {
            assert_eq!(Action::instead_of(known), None, "{known}");
        }
        let near = |text| Action::instead_of(text).unwrap();
        assert!(near("enrollment.refused").starts_with("enrollment.refuse, enrollment.wait"));
        assert_eq!(near("token."), "token.create, token.revoke");
        for stranger in ["", "part", "Party", "enrolment"] {
            let near = near(stranger);
            assert!(near.starts_with("administrator, audit, authentication, backup,"), "{stranger}: {near}");
        }
    }
}
