//! What is counted of groups, and what is told of those that are out of service.

use keycell_protocol::ProblemType;

use super::members::L;
use crate::zone::Zone;

impl Zone {
    fn counted(&self, name: &str) -> u64 {
        let page = self.kdc.metrics().page().unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("keycell_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {page}")).parse().unwrap()
    }
}

#[tokio::test]
async fn what_members_ask_for_is_counted_by_what_came_of_it() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let (member, stranger) = (zone.party("web.one").await, zone.party("a").await);
    let counts = || ["", "_renewed", "_refused"].map(|kind| zone.counted(&format!("group_keys{kind}_total")));
    zone.keys_of("web.one", &member, "web").unwrap();
    assert_eq!(counts(), [1, 0, 0], "the first chain took nobody's place");
    assert_eq!(zone.keys_of("a", &stranger, "web").unwrap_err(), ProblemType::NotAllowed);
    assert_eq!(counts(), [1, 0, 1]);
    zone.change_group("web", true, |_| ()).await;
    zone.clock.advance(L * 1000 - 1);
    zone.keys_of("web.one", &member, "web").unwrap();
    assert_eq!(counts(), [2, 1, 1]);
    // From then on members ask as they always do.
    zone.clock.advance(1);
    zone.keys_of("web.one", &member, "web").unwrap();
    assert_eq!(counts(), [3, 1, 1]);
}

/// A group that was not turned for so long that no key of now can be derived of its secret is none that anybody can send to,
/// though its secret is at hand.
#[tokio::test]
async fn a_group_is_out_of_service_when_nothing_can_be_sealed_for_it() {
    let zone = Zone::new().await;
    zone.group("web").await;
    zone.kdc.keep_house().await.unwrap();
    assert_eq!((zone.counted("groups"), zone.counted("groups_out_of_service")), (1, 0));
    assert!(zone.kdc.groups_out_of_service().is_empty());
    zone.clock.advance(L * 1000 * 10_000_000);
    assert_eq!(zone.kdc.groups_out_of_service(), [zone.name("web").to_string()]);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!((zone.counted("groups"), zone.counted("groups_out_of_service")), (1, 1));
    zone.change_group("web", true, |_| ()).await;
    assert!(zone.kdc.groups_out_of_service().is_empty());
}
