//! A party that replaces its key, made of the protocol's own types and nothing else.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use keycell_client::system_rng;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_protocol::{
    Instance, LongTermKey, Nonce, Rotated, RotationKeys, RotationRequest, SealedRotation, SignedRotation,
    Step,
};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::http::{Answer, Http};
use crate::party::Party;

impl Party {
    /// The same party with another key.
    #[must_use]
    pub fn with_key(&self, key: &LongTermKey) -> Self {
        Self { name: self.name.clone(), key: key.clone(), ratchet_period: self.ratchet_period }
    }

    /// A request for a step of a rotation, made now.
    #[must_use]
    pub fn rotation(&self, step: Step) -> RotationRequest {
        let random = &mut system_rng();
        RotationRequest {
            source: self.name.clone(),
            step,
            timestamp: SystemClock.now(),
            nonce: Nonce::generate(random),
            instance: Instance::generate(random),
        }
    }

    /// The JSON of a request, signed with this party's key.
    #[must_use]
    pub fn sign_rotation(&self, request: &RotationRequest) -> Vec<u8> {
        SignedRotation::sign(request, &self.rotation_keys()).to_json()
    }

    /// Takes a step of a rotation.
    ///
    /// # Errors
    /// The KDC refuses it.
    pub async fn rotate(&self, kdc: &Http, step: Step) -> Result<Rotated, Answer> {
        let request = self.rotation(step);
        let answer = kdc.rotation(self.sign_rotation(&request)).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let sealed = SealedRotation::parse(&answer.body).expect("the form of an answer");
        Ok(sealed.open(&self.rotation_keys(), &request).expect("the answer opens"))
    }

    /// This party with the next key that the KDC gives it.
    ///
    /// # Errors
    /// The KDC refuses it.
    pub async fn stage(&self, kdc: &Http) -> Result<Self, Answer> {
        match self.rotate(kdc, Step::Stage).await? {
            Rotated::Staged { key, .. } => Ok(self.with_key(&key)),
            Rotated::Committed { .. } => unreachable!("the answer opened as one to another step"),
        }
    }

    /// Whether the KDC asks it to rotate.
    ///
    /// # Errors
    /// The KDC refuses the request for a ticket.
    pub async fn is_told_to_rotate(&self, kdc: &Http, destination: &str) -> Result<bool, Answer> {
        let request = self.request(&[destination]);
        let answer = kdc.tickets(self.sign(&request)).await;
        if answer.status != 200 {
            return Err(answer);
        }
        Ok(self.open(&answer.body, &request).expect("the reply opens").rotate)
    }

    fn rotation_keys(&self) -> RotationKeys {
        let now = self.ratchet_period.epoch(SystemClock.now().seconds());
        self.key.clone().advance(now).expect("the key is not of the future").keys_for()
    }
}

impl Http {
    /// Sends a request for a step of a rotation.
    pub async fn rotation(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, "/v1/keys/rotate");
        Answer::of(request.header(CONTENT_TYPE, "application/json").body(body.into())).await
    }
}
