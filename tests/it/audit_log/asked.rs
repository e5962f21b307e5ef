//! What is asked of the log.

use keycell_tests::admin::AUDIT;
use keycell_tests::cell::Cell;
use serde_json::Value;

#[tokio::test]
async fn questions_to_the_log_are_answered() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for n in 0..12 {
        admin.add(&format!("p{n}@test.internal")).await;
    }
    assert_eq!(admin.delete("p3@test.internal").await.status, 204);
    let seqs = async |query: &str| {
        let page = admin.get(&format!("{AUDIT}?limit=1000{query}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        let page = page.json();
        page["records"].as_array().unwrap().iter().map(|r| r["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let all = admin.records().await;
    let that = |wanted: &dyn Fn(&Value) -> bool| {
        all.iter().filter(|r| wanted(r)).map(|r| r["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        all.iter().map(|r| r["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
        (1..=all.len() as u64).collect::<Vec<_>>()
    );
    let mut newest = seqs("").await;
    newest.reverse();
    assert_eq!(newest, that(&|_| true));
    assert_eq!(seqs("&order=oldest&action=party.delete").await, that(&|r| r["action"] == "party.delete"));
    assert_eq!(
        seqs("&order=oldest&target=p3@test.internal").await,
        that(&|r| r["target"] == "p3@test.internal")
    );
    assert_eq!(
        seqs("&order=oldest&actor=administrator:admin").await,
        that(&|r| r["actor"] == "administrator:admin")
    );
    assert_eq!(seqs("&order=oldest&outcome=denied").await, that(&|r| r["outcome"] == "denied"));
    let mid = all[6]["at"].as_u64().unwrap();
    assert_eq!(
        seqs(&format!("&order=oldest&since={mid}")).await,
        that(&|r| r["at"].as_u64().unwrap() >= mid)
    );
    let until = seqs(&format!("&order=oldest&until={mid}")).await;
    assert!(
        until == that(&|r| r["at"].as_u64().unwrap() <= mid)
            || until == that(&|r| r["at"].as_u64().unwrap() < mid)
    );
    assert_eq!(seqs("&order=oldest&after=3&before=6").await, [4, 5]);
    for (query, field) in
        [("order=x", "order"), ("after=-1", "after"), ("limit=1001", "limit"), ("since=x", "since")]
    {
        let refused = admin.get(&format!("{AUDIT}?{query}")).await;
        assert_eq!((refused.status, refused.problem().field.as_deref()), (400, Some(field)), "{query}");
    }
}
