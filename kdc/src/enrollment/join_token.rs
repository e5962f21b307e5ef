//! Join tokens: what lets hosts in that nobody knows yet. Of the token itself only a verifier is kept.

use std::net::IpAddr;

use ipnet::IpNet;
use keycell_protocol::{HostName, JoinToken, ServiceName, UnixMillis};
use serde::{Deserialize, Serialize};

use super::HostPattern;
use crate::audit::hex;

/// The body of the document of a join token; its id is the token's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRecord {
    /// What the token is checked by, in hexadecimal: it cannot be made from this.
    #[serde(with = "hex::bytes")]
    pub verifier: [u8; 32],
    /// The only service that it lets in.
    pub service: ServiceName,
    /// The hosts that it lets in.
    pub hosts: Vec<HostPattern>,
    /// The networks that they come from; any, where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<IpNet>,
    /// How many hosts it lets in.
    pub uses: u32,
    /// How many it has let in.
    pub used: u32,
    /// Until when it is good.
    pub expires_at: UnixMillis,
    /// What an administrator wants to remember of it.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: UnixMillis,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixMillis>,
    /// Counts up with every change; the document's own.
    #[serde(skip)]
    pub revision: u64,
}

impl JoinTokenRecord {
    /// Whether it still lets anybody in.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && self.used < self.uses
    }

    /// Whether `token` lets this host in.
    ///
    /// # Errors
    /// [`TokenRefusal`], for the log: the host is not told.
    pub fn admits(
        &self,
        token: &JoinToken,
        service: &ServiceName,
        host: &HostName,
        from: IpAddr,
        now: UnixMillis,
    ) -> Result<(), TokenRefusal> {
        let from = from.to_canonical();
        // The secret first: nobody learns from the time it takes what else is wrong.
        if !token.checks(&self.verifier) {
            return Err(TokenRefusal::Secret);
        }
        if self.revoked_at.is_some() {
            return Err(TokenRefusal::Revoked);
        }
        if now >= self.expires_at {
            return Err(TokenRefusal::Expired);
        }
        if self.service != *service {
            return Err(TokenRefusal::Service);
        }
        if !self.hosts.iter().any(|pattern| pattern.matches(host)) {
            return Err(TokenRefusal::Host);
        }
        if !self.networks.is_empty() && !self.networks.iter().any(|network| network.contains(&from)) {
            return Err(TokenRefusal::Network);
        }
        if self.used >= self.uses {
            return Err(TokenRefusal::UsedUp);
        }
        Ok(())
    }
}

/// Why a join token does not let a host in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// There is none of that id.
    #[error("there is no such join token")]
    Unknown,
    /// Somebody guesses.
    #[error("its secret is wrong")]
    Secret,
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It is for another service.
    #[error("it is for another service")]
    Service,
    /// It is for other hosts.
    #[error("it is for other hosts")]
    Host,
    /// It is for other networks.
    #[error("it is for other networks")]
    Network,
    /// It has let in as many as it was made for.
    #[error("it is used up")]
    UsedUp,
}

impl TokenRefusal {
    /// Its name in the counters and the audit log.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "token-unknown",
            Self::Secret => "token-secret",
            Self::Revoked => "token-revoked",
            Self::Expired => "token-expired",
            Self::Service => "token-service",
            Self::Host => "token-host",
            Self::Network => "token-network",
            Self::UsedUp => "token-used-up",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(token: &JoinToken) -> JoinTokenRecord {
        JoinTokenRecord {
            verifier: token.verifier(),
            service: "nanoprobe".parse().unwrap(),
            hosts: vec!["web*.example".parse().unwrap()],
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            uses: 2,
            used: 1,
            expires_at: UnixMillis(100),
            note: String::new(),
            created_by: "console:root".to_owned(),
            created_at: UnixMillis(1),
            revoked_at: None,
            revision: 0,
        }
    }

    #[test]
    fn a_token_lets_in_whom_it_is_for() {
        let random = &mut crate::random::system();
        let (token, other) = (JoinToken::generate(random), JoinToken::generate(random));
        let whole = record(&token);
        let asked =
            |record: &JoinTokenRecord, token: &JoinToken, service: &str, host: &str, from: &str, now| {
                let (service, host) = (service.parse().unwrap(), host.parse().unwrap());
                record.admits(token, &service, &host, from.parse().unwrap(), UnixMillis(now))
            };
        let good =
            |record: &JoinTokenRecord| asked(record, &token, "nanoprobe", "web1.example", "192.0.2.9", 99);
        assert_eq!(good(&whole), Ok(()));
        assert_eq!(asked(&whole, &token, "nanoprobe", "web1.example", "::ffff:192.0.2.9", 99), Ok(()));
        for (service, host, from, now, refusal) in [
            ("cma", "web1.example", "192.0.2.9", 99, TokenRefusal::Service),
            ("nanoprobe", "db1.example", "192.0.2.9", 99, TokenRefusal::Host),
            ("nanoprobe", "web1.example", "198.51.100.9", 99, TokenRefusal::Network),
            ("nanoprobe", "web1.example", "192.0.2.9", 100, TokenRefusal::Expired),
        ] {
            assert_eq!(asked(&whole, &token, service, host, from, now), Err(refusal));
        }
        assert_eq!(
            asked(&whole, &other, "nanoprobe", "web1.example", "192.0.2.9", 99),
            Err(TokenRefusal::Secret)
        );
        let revoked = JoinTokenRecord { revoked_at: Some(UnixMillis(2)), ..whole.clone() };
        assert_eq!(good(&revoked), Err(TokenRefusal::Revoked));
        assert_eq!(good(&JoinTokenRecord { used: 2, ..whole.clone() }), Err(TokenRefusal::UsedUp));
        assert!(whole.is_live(UnixMillis(99)) && !revoked.is_live(UnixMillis(99)));
        assert!(!whole.is_live(UnixMillis(100)));
    }

    #[test]
    fn it_is_kept_without_its_secret() {
        let token = JoinToken::generate(&mut crate::random::system());
        let json = serde_json::to_string(&record(&token)).unwrap();
        let back: JoinTokenRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(back, record(&token));
        assert!(!json.contains(&token.to_text()[21..]));
    }
}
