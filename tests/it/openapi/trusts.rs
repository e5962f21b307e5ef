//! What is done with trust between zones.

use super::*;

impl Seen {
    /// Trust both ways with another zone, and everything that is done with one.
    pub(super) async fn trusts(&mut self) {
        let other = Cell::of_zone("z1.test");
        let kdc = other.serve();
        let there = other.admin(&kdc);
        let bundle = |http: Http| async move { http.get("/v1/bundle").await.json() };
        let lists = |bundle: Value| json!({ "bundle": bundle, "sources": ["a"], "destinations": ["b"] });
        let path = "/v1/admin/trusts/offers";
        let offer = lists(bundle(kdc.http()).await);
        let with_key = |path: &str, body: &Value| {
            json_to(self.admin.request(Method::POST, path), body).header("idempotency-key", "trust")
        };
        let another = json!({ "bundle": offer["bundle"], "valid_seconds": 60 });
        let requests =
            [(201, with_key(path, &offer)), (201, with_key(path, &offer)), (422, with_key(path, &another))];
        for (status, request) in requests {
            self.see(status, request).await;
        }
        self.send(201, Method::POST, path, &another).await;
        // The other way round, it is this zone that accepts.
        let own = lists(bundle(self.admin.clone()).await);
        let mut theirs = Vec::new();
        for _ in 0..3 {
            let made = there.send(Method::POST, path, &own).await.json();
            theirs.push(json!({
                "offer": made["offer"],
                "fingerprint": made["fingerprint"],
                "sources": ["a"],
                "destinations": ["b"],
            }));
        }
        let path = "/v1/admin/trusts/accepted";
        let with_key = |body: &Value| {
            json_to(self.admin.request(Method::POST, path), body).header("idempotency-key", "accepted")
        };
        let requests =
            [(201, with_key(&theirs[0])), (201, with_key(&theirs[0])), (422, with_key(&theirs[1]))];
        for (status, request) in requests {
            self.see(status, request).await;
        }
        self.send(200, Method::POST, path, &theirs[0]).await;
        self.send(201, Method::POST, path, &theirs[2]).await;
        self.send(409, Method::POST, path, &theirs[1]).await;
        let trust = "/v1/admin/trusts/incoming/z1.test";
        let patch = json!({ "mode": "monitor", "rate": null, "lifetime_seconds": 60, "note": "Why." });
        self.send(200, Method::PATCH, trust, &patch).await;
        let rotate = format!("{trust}/rotate");
        for (status, key) in [(200, "t"), (200, "t"), (422, "trust")] {
            let request = self.admin.request(Method::POST, &rotate).header("idempotency-key", key);
            self.see(status, request).await;
        }
    }
}
