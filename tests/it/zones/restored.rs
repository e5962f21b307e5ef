//! A zone whose database is put back to before it ended a trust: the trust does not come back with it.

use std::path::PathBuf;

use keycell_protocol::ProblemType;
use keycell_tests::backup::Recovery;
use keycell_tests::party::Party;
use serde_json::json;

use super::scene::Zone;

/// The parties of one zone may speak to those of the other, which has a backup of that.
struct Scene {
    asks: Zone,
    gives: Zone,
    asker: Party,
    recovery: Recovery,
    backup: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let (asks, gives) = (Zone::start("a.test"), Zone::start("b.test"));
        gives.lets_speak(&asks);
        let asker = asks.cell.add("asker");
        gives.cell.run(&["party", "add", "receiver"]).succeeded();
        let recovery = Recovery::of(&gives.cell);
        let scene =
            Self { backup: recovery.back_up(&gives.cell, "before.age"), asks, gives, asker, recovery };
        assert_eq!(scene.refusal().await, None);
        scene
    }

    fn trust(&self, command: &str) {
        self.gives.cell.run(&["trust", command, "incoming", "a.test"]).succeeded();
    }

    fn restore(&mut self) {
        assert_eq!(self.gives.kdc.terminate(), Some(0));
        self.recovery.restore(&self.gives.cell, &self.backup, &[]).succeeded();
        self.gives.kdc = self.gives.cell.serve();
    }

    /// Why the party gets no ticket of its own zone's KDC.
    async fn refusal(&self) -> Option<ProblemType> {
        self.asker.refusal(&self.asks.kdc.http(), "receiver@b.test").await
    }

    async fn trusted(&self) -> usize {
        self.gives.kdc.http().get("/v1/bundle").await.json()["trusted"].as_array().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_that_was_disabled_stays_so_when_a_backup_is_put_back() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.trusted().await, 1);
    scene.trust("disable");
    scene.restore();
    assert_eq!(scene.gives.trust("incoming", &scene.asks)["enabled"], false);
    let status = scene.gives.json(&["status"]);
    assert_eq!(status["trusts"][0]["enabled"], false, "{status}");
    assert_eq!(scene.trusted().await, 0);
    let other = scene.asks.cell.add("other");
    let refusal = other.refusal(&scene.asks.kdc.http(), "receiver@b.test").await;
    assert_eq!(refusal, Some(ProblemType::UntrustedZone));
    let admin = scene.gives.admin();
    let told = |record: &serde_json::Value| {
        record["action"] == "trust.disable" && record["detail"]["restored"] == json!(true)
    };
    admin.recorded("that it was disabled again", told).await;
    admin.assert_intact().await;
    // One command lets them in again.
    scene.trust("enable");
    assert_eq!(scene.trusted().await, 1);
    let again = scene.asks.cell.add("again");
    assert_eq!(again.refusal(&scene.asks.kdc.http(), "receiver@b.test").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_that_was_deleted_stays_so_when_a_backup_is_put_back() {
    let mut scene = Scene::new().await;
    scene.trust("delete");
    scene.restore();
    let shown = scene.gives.cell.run(&["trust", "show", "incoming", "a.test"]).failed();
    assert!(shown.contains("no incoming trust with a.test"), "{shown}");
    assert_eq!(scene.trusted().await, 0);
    assert_eq!(scene.gives.json(&["status"])["trusts"], json!([]));
    scene.gives.admin().assert_intact().await;
    // What comes after goes on counting.
    scene.gives.offer(&scene.asks, &[]);
    assert_eq!(scene.gives.trust("incoming", &scene.asks)["generation"], 2);
}
