//! What parties ask, hosts that enroll, and the KDCs of other zones.

use super::*;

impl Seen {
    pub(super) async fn tickets(&mut self) {
        let (a, off) = (self.admin.add("a@test.internal").await, self.admin.add("off@test.internal").await);
        self.admin.add("b@test.internal").await;
        self.admin.set_enabled("off@test.internal", false).await;
        let ask = |party: &Party| party.sign(&party.request(&["b@test.internal", "nobody@test.internal"]));
        let mut skewed = a.request(&["b@test.internal"]);
        skewed.timestamp = skewed.timestamp.shifted(-3_600_000);
        let once = ask(&a);
        let bodies = [(200, once.clone()), (401, once), (401, a.sign(&skewed)), (403, ask(&off))];
        self.post("/v1/tickets", bodies).await;
        self.group_keys(&a, &off).await;
        self.enrollment().await;
        self.rotation(&a, &off).await;
        let c = self.admin.add("c@test.internal").await;
        self.vouchers(&c, &off).await;
    }

    /// What is answered there to each of these.
    async fn post<const N: usize>(&mut self, path: &str, bodies: [(u16, Vec<u8>); N]) {
        for (status, body) in bodies {
            let request = self.http.request(Method::POST, path);
            self.see(status, request.header(CONTENT_TYPE, "application/json").body(body)).await;
        }
    }

    async fn vouchers(&mut self, c: &Party, off: &Party) {
        let random = &mut keycell_client::system_rng();
        let (key, other) = (AuthorKey::generate(random), AuthorKey::generate(random));
        let once = c.sign_voucher(&c.voucher_request(&key));
        let bodies = [
            (200, once.clone()),
            (401, once),
            (403, off.sign_voucher(&off.voucher_request(&key))),
            (409, c.sign_voucher(&c.voucher_request(&other))),
        ];
        self.post("/v1/vouchers", bodies).await;
        let shown = self.admin.request(Method::GET, "/v1/admin/parties/c%40test.internal");
        assert!(self.see(200, shown).await.json()["author_key"].is_string());
    }

    async fn group_keys(&mut self, a: &Party, off: &Party) {
        let ask = |party: &Party| party.sign_group_keys(&party.group_keys(&["nobody@test.internal"]));
        let once = ask(a);
        self.post("/v1/group-keys", [(200, once.clone()), (401, once), (403, ask(off))]).await;
    }

    pub(super) async fn peer_tickets(&mut self, [zone, off]: &[Party; 2]) {
        let ask = |zone: &Party| zone.sign_as_zone(&zone.for_its_parties(&[]));
        let once = ask(zone);
        self.post("/v1/peer/tickets", [(200, once.clone()), (401, once), (403, ask(off))]).await;
    }

    async fn enrollment(&mut self) {
        let bundle = self.http.bundle().await;
        let host = Host::new("nanoprobe", "web1.example");
        let let_in = host.clone().with(&self.join_token);
        let mut secondary = bundle.clone();
        secondary.identities.remove(0);
        let bodies = [
            (200, let_in.request(&bundle).json),
            (401, let_in.request_at(&bundle, now().minus(3_600_000)).json),
            (403, Host::new("nanoprobe", "web2.example").request(&bundle).json),
            (409, host.request(&secondary).json),
        ];
        self.post("/v1/enroll", bodies).await;
    }

    async fn rotation(&mut self, a: &Party, off: &Party) {
        let ask = |party: &Party| party.sign_rotation(&party.rotation(Step::Stage));
        let next = a.stage(&self.http).await.unwrap();
        let commit = next.sign_rotation(&next.rotation(Step::Commit));
        let bodies = [
            (200, ask(a)),
            (401, ask(&next)),
            (403, ask(off)),
            (200, commit.clone()),
            (401, commit),
            (409, ask(&next)),
        ];
        self.post("/v1/keys/rotate", bodies).await;
    }
}
