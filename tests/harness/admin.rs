//! What administrators' clients say besides: conditions, retries, questions to the audit log.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::http::{Answer, Http};
use crate::wait::until;

/// The path of the rules, one by one.
pub const RULES: &str = "/v1/admin/policy/rules";
/// The path of the whole policy.
pub const POLICY: &str = "/v1/admin/policy";
/// The path of the groups.
pub const GROUPS: &str = "/v1/admin/groups";
/// The path of the tokens.
pub const TOKENS: &str = "/v1/admin/tokens";
/// The path of the zone's settings.
pub const ZONE: &str = "/v1/admin/zone";
/// The path of the zone's rates.
pub const LIMITS: &str = "/v1/admin/limits";
/// The path of the settings of enrollment.
pub const ENROLLMENT: &str = "/v1/admin/enrollment";
/// The path of the join tokens.
pub const JOIN_TOKENS: &str = "/v1/admin/join-tokens";
/// The path of the hosts that wait.
pub const ENROLLMENTS: &str = "/v1/admin/enrollments";
/// The path of the audit log.
pub const AUDIT: &str = "/v1/admin/audit";

/// The path of the trusts.
pub const TRUSTS: &str = "/v1/admin/trusts";

/// The path of one group.
#[must_use]
pub fn group_path(name: &str) -> String {
    format!("{GROUPS}/{}", name.replace('@', "%40"))
}

impl Http {
    /// Sends JSON, or nothing for `null`, with more headers.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        Answer::of(request).await
    }

    /// Every record of the audit log, the oldest first.
    pub async fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        let mut after = 0;
        loop {
            let page = self.get(&format!("{AUDIT}?order=oldest&limit=1000&after={after}")).await.json();
            let more = page.get("records").and_then(Value::as_array).expect("a page of records");
            records.extend(more.iter().cloned());
            match page.get("next").and_then(Value::as_u64) {
                Some(next) => after = next,
                None => return records,
            }
        }
    }

    /// The first record that is `wanted`, once it is there: what is refused is recorded a moment later.
    pub async fn recorded(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(what, async || self.records().await.into_iter().find(&wanted)).await
    }

    /// Looks through the audit log, and expects nothing wrong with it.
    ///
    /// # Panics
    /// When something is.
    pub async fn assert_intact(&self) {
        let report = self.send_with(Method::POST, &format!("{AUDIT}/verify"), &[], &Value::Null).await;
        assert_eq!(report.json().get("intact"), Some(&Value::Bool(true)), "{}", report.text());
    }
}
