//! What a party that enrolled itself is known by.

use std::net::IpAddr;

use keycell_protocol::{
    AuthorPublicKey, EnrolledName, Fingerprint, Generation, HostName, IdentityName, JoinTokenId, Name,
    ServiceName, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::named::named;

/// The enrollment of a party, as its row keeps it in JSON.
///
/// The name holds the fingerprint of the public key, so who writes another key here finds that it is not the party's
/// ([`EnrollmentRecord::is_of`]); and who makes up a party with its own key does not have the master key for the seal
/// (docs/decisions/0038).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentRecord {
    /// The service that it is on its host.
    pub service: ServiceName,
    /// The host, as it said.
    pub host: HostName,
    /// What it proves with that it is the same again.
    pub public_key: AuthorPublicKey,
    /// Which of the KDC's identities it enrolled with last.
    pub identity: IdentityName,
    /// The generation that it was given then.
    pub generation: Generation,
    /// The time of its last request: an earlier one is not taken any more.
    pub timestamp: UnixMillis,
    /// The SHA-256 of that request, in hexadecimal: the same once more gets the same answer.
    pub request: String,
    /// By what it was let in at first.
    pub admission: Admission,
    /// The join token that it had, where it was by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<JoinTokenId>,
    /// Where its last request came from.
    pub address: IpAddr,
    /// When it first enrolled.
    pub enrolled_at: UnixMillis,
    /// When it last did.
    pub renewed_at: UnixMillis,
    /// What proves that Keycell wrote it, and what the party is: of columns of its own.
    #[serde(skip)]
    pub seal: EnrollmentSeal,
}

/// What proves that Keycell wrote how a party came aboard, and that the party is still what it was then
/// ([`Keyring::check_enrollment`](crate::keyring::Keyring::check_enrollment)). The one that there is by default holds for
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrollmentSeal {
    /// The version of the master key that it is under.
    pub master_version: u32,
    /// The seal.
    pub sealed: Vec<u8>,
}

impl EnrollmentRecord {
    /// Its JSON, as it is stored and sealed. A member that a later release adds is left out where it says nothing, and none
    /// changes its place: else the seals of all who are aboard would not hold any more.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers only: there is nothing that JSON could not say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it is that of the party of this name: the fingerprint in the name is that of the key.
    #[must_use]
    pub fn is_of(&self, name: &Name) -> bool {
        EnrolledName::of(name).is_some_and(|enrolled| {
            enrolled.service == self.service
                && enrolled.host == self.host
                && enrolled.fingerprint == Fingerprint::of(&self.public_key)
        })
    }
}

named! {
    /// By what a host was let in.
    Admission(UnknownAdmission, "a host is let in by token, approval or tofu") {
        /// It had a join token.
        Token = "token",
        /// An administrator approved it.
        Approval = "approval",
        /// It was the first to come by that key.
        Tofu = "tofu",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(service: &str, host: &str, key: [u8; 32]) -> EnrollmentRecord {
        EnrollmentRecord {
            service: service.parse().unwrap(),
            host: host.parse().unwrap(),
            public_key: AuthorPublicKey::new(key),
            identity: IdentityName::PRIMARY,
            generation: Generation::FIRST,
            timestamp: UnixMillis(5),
            request: "00".to_owned(),
            admission: Admission::Tofu,
            token: None,
            address: "192.0.2.1".parse().unwrap(),
            enrolled_at: UnixMillis(6),
            renewed_at: UnixMillis(6),
            seal: EnrollmentSeal::default(),
        }
    }

    /// The seals of all who are aboard are over these very characters.
    #[test]
    fn its_json_is_always_the_same() {
        let mut mine = record("nanoprobe", "web1.example", [1; 32]);
        let json = |token: &str| {
            format!(
                r##"{{"service":"nanoprobe","host":"web1.example","public_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","identity":"#KDC#00001","generation":1,"timestamp":5,"request":"00","admission":"tofu",{token}"address":"192.0.2.1","enrolled_at":6,"renewed_at":6}}"##
            )
        };
        assert_eq!(mine.to_json(), json(""));
        mine.token = Some("0123456789abcdef".parse().unwrap());
        assert_eq!(mine.to_json(), json(r#""token":"0123456789abcdef","#));
        assert_eq!(serde_json::from_str::<EnrollmentRecord>(&mine.to_json()).unwrap(), mine);
    }

    #[test]
    fn its_name_tells_whose_it_is() {
        let mine = record("nanoprobe", "web1.example", [1; 32]);
        let fingerprint = Fingerprint::of(&mine.public_key);
        let enrolled = EnrolledName { service: mine.service.clone(), host: mine.host.clone(), fingerprint };
        let name = enrolled.name(&"z".parse().unwrap());
        assert!(mine.is_of(&name));
        assert!(!record("nanoprobe", "web1.example", [2; 32]).is_of(&name));
        assert!(!record("nanoprobe", "web2.example", [1; 32]).is_of(&name));
        assert!(!record("cma", "web1.example", [1; 32]).is_of(&name));
        assert!(!mine.is_of(&"nanoprobe.web1.example@z".parse().unwrap()));
    }
}
