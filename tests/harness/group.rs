//! A party that asks for the keys of its groups, made of the protocol's own types and nothing else.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use keycell_client::system_rng;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_protocol::{
    GroupKeys, GroupKeysReply, GroupKeysRequest, Instance, KeysFor, Nonce, SealedGroupKeys,
    SignedGroupRequest,
};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::http::{Answer, Http};
use crate::party::Party;

impl Party {
    /// A request for the keys of these groups, or of all its own if none is named, made now.
    #[must_use]
    pub fn group_keys(&self, groups: &[&str]) -> GroupKeysRequest {
        let random = &mut system_rng();
        GroupKeysRequest {
            source: self.name.clone(),
            groups: groups.iter().map(|name| name.parse().expect("a name")).collect(),
            timestamp: SystemClock.now(),
            nonce: Nonce::generate(random),
            instance: Instance::generate(random),
        }
    }

    /// The JSON of a request, signed with this party's key.
    #[must_use]
    pub fn sign_group_keys(&self, request: &GroupKeysRequest) -> Vec<u8> {
        SignedGroupRequest::sign(request, &self.keys_for_groups()).expect("at most 100 groups").to_json()
    }

    /// Asks for the keys of these groups, or of all its own if none is named.
    ///
    /// # Errors
    /// The KDC refuses the whole request.
    pub async fn ask_for_groups(&self, kdc: &Http, groups: &[&str]) -> Result<GroupKeysReply, Answer> {
        let request = self.group_keys(groups);
        let answer = kdc.group_keys(self.sign_group_keys(&request)).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let sealed = SealedGroupKeys::parse(&answer.body).expect("the form of an answer");
        Ok(sealed.open(&self.keys_for_groups(), &request).expect("the answer opens"))
    }

    fn keys_for_groups(&self) -> KeysFor<GroupKeys> {
        let now = self.ratchet_period.epoch(SystemClock.now().seconds());
        self.key.clone().advance(now).expect("the key is not of the future").keys_for()
    }
}

impl Http {
    /// Sends a request for group keys.
    pub async fn group_keys(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, "/v1/group-keys");
        Answer::of(request.header(CONTENT_TYPE, "application/json").body(body.into())).await
    }
}
