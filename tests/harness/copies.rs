//! A key that two processes use at once.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use keycell_protocol::Instance;
use serde_json::Value;

use crate::http::Http;
use crate::party::Party;
use crate::wait::until;

/// The conflicts of a zone.
pub const CONFLICTS: &str = "/v1/admin/conflicts";

impl Party {
    /// Asks for the keys of its groups, as the process of that number.
    pub async fn ask_as(&self, process: u8, kdc: &Http) {
        let mut request = self.group_keys(&[]);
        request.instance = Instance([process; 16]);
        assert_eq!(kdc.group_keys(self.sign_group_keys(&request)).await.status, 200);
    }

    /// Two processes ask in turn, until an administrator sees the conflict: that is returned.
    pub async fn copied(&self, [one, other]: [&Http; 2], admin: &Http) -> Value {
        until("the conflict is raised", async || {
            self.ask_as(1, one).await;
            self.ask_as(2, other).await;
            conflict(admin, self.name.as_str()).await
        })
        .await
    }
}

/// The conflict of a party, if there is one.
pub async fn conflict(admin: &Http, party: &str) -> Option<Value> {
    let answer = admin.get(&format!("{CONFLICTS}?party={}", party.replace('@', "%40"))).await;
    let page = answer.json();
    let conflicts = page.get("conflicts").and_then(Value::as_array).expect("a page");
    conflicts.last().cloned()
}
