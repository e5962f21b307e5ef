//! One body for many recipients that are no group.

use keycell_tests::cell::Cell;

use super::fleet::{self, config, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_body_reaches_each_recipient_and_nobody_else() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let hosts = ["a.host", "b.host", "c.host"];
    let agents: Vec<_> = hosts.iter().map(|host| fleet::agent(&cell, host, config().agent)).collect();
    let sender = fleet::agent(&cell, "cma.main", config().agent);
    let to: Vec<_> = hosts[..2].iter().map(|host| name(host)).collect();
    let body = vec![7; 1 << 20];
    let many = sender.with_author_proof().seal_many(&to, "image", &body).await.unwrap();
    assert!(many.common.len() < body.len() + 100);
    for (at, (recipient, part)) in many.parts.iter().enumerate() {
        let part = part.as_ref().unwrap();
        assert!(part.len() < 700, "{}", part.len());
        assert_eq!(*recipient, to[at]);
        assert_eq!(agents[at].open(part).unwrap_err().cause().code(), "detached");
        let opened = agents[at].open_many(part, &many.common).unwrap();
        assert_eq!((opened.body, opened.topic), (body.clone(), "image".to_owned()));
        assert_eq!(agents[2].open_many(part, &many.common).unwrap_err().cause().code(), "not-for-me");
        assert_eq!(agents[at].open_many(part, &many.common).unwrap_err().cause().code(), "replayed");
    }
}
