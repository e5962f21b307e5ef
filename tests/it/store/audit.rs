//! The audit log: a chain that goes on whatever happens, and what can be asked of it.

use keycell_kdc::audit::{Action, Actor, AuditKey, Event, Link, Outcome, PublicKey, Record, Seal, SealKind};
use keycell_kdc::store::{Act, AuditQuery, CHECKPOINT_EVERY, Write};

use super::*;

/// All records, after a look that each follows the one before and that the head seal names the last.
pub(crate) async fn chain(store: &dyn Store) -> Vec<Record> {
    let records = store.audit(&AuditQuery { limit: u32::MAX, ..AuditQuery::default() }).await.unwrap();
    let trims = store.audit_seals(SealKind::Trim).await.unwrap();
    let mut link = trims.last().map_or(Link::origin(KEY.zone()), |seal| seal.link);
    for record in &records {
        assert_eq!((record.seq, record.hash), (link.seq + 1, record.hash_after(&link.hash)));
        link = record.link();
    }
    let heads = store.audit_seals(SealKind::Head).await.unwrap();
    let [head] = heads.as_slice() else { panic!("not one head: {heads:?}") };
    assert_eq!(head.link, link);
    assert!(head.holds(KEY.zone(), KEY.public()));
    records
}

fn updates(count: usize) -> Vec<Event> {
    (0..count).map(|n| event(n as u64, Action::PartyUpdate, &format!("p{n}@z"))).collect()
}

pub(crate) async fn records_follow_each_other(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[]).await.unwrap();
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    let denied = event(7, Action::TicketDeny, "a@z").outcome(Outcome::Denied).with("why", "é\0\"");
    // Records alone take no number in the order of changes.
    assert_eq!(store.act(vec![], vec![denied.clone()]).await.unwrap(), ChangeNumber(1));
    let quiet = store.act(vec![Write::KeepAnswer(answer("k", 5))], vec![]).await.unwrap();
    assert_eq!(quiet, ChangeNumber(1));
    assert_eq!(store.act(vec![], vec![]).await.unwrap(), ChangeNumber(1), "nothing is nothing");
    let records = chain(&*store).await;
    let actions: Vec<_> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["zone.create", "party.update", "ticket.deny"]);
    assert_eq!(records[2], records[1].link().next(&denied));
    store.close().await;

    let store = database.connect().await.unwrap();
    store.put_party(&party("b@z", &[1]), None).await.unwrap();
    assert_eq!(chain(&*store).await.len(), 4);
}

pub(crate) async fn a_failing_act_leaves_no_record(database: Database) {
    let store = database.create().await;
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    store.act(vec![Write::KeepAnswer(answer("k", 5))], vec![]).await.unwrap();
    let before = chain(&*store).await;
    for (last, why) in [
        (put(&party("a@z", &[2]), None), "exists"),
        (put(&party("d@z", &[1, 1]), None), "two keys of one generation"),
        (Write::DeleteParty { name: name("x@z"), expected: None }, "missing"),
        (put_document(Kind::Rule, "r", 2, Some(1)), "no document"),
        (Write::Expect { kind: Kind::Rule, change: ChangeNumber(9) }, "not expected"),
        (Write::KeepAnswer(answer("k", 6)), "kept already"),
    ] {
        let writes = vec![
            put(&party("b@z", &[1]), None),
            put_document(Kind::Token, "t", 1, None),
            Write::KeepAnswer(answer("new", 5)),
            last,
        ];
        assert!(store.act(writes, updates(2)).await.is_err(), "{why}");
        assert_eq!(chain(&*store).await, before, "{why}");
        assert_eq!(store.parties().await.unwrap().parties.len(), 1, "{why}");
        assert_eq!(store.document(Kind::Token, "t").await.unwrap(), None, "{why}");
        assert_eq!(store.answer("console:root", "new").await.unwrap(), None, "{why}");
    }
    assert_eq!(store.put_party(&party("b@z", &[1]), None).await.unwrap(), ChangeNumber(2));
}

pub(crate) async fn committers_at_once_keep_the_chain(database: Database) {
    let one = database.create().await;
    let two = database.connect().await.unwrap();
    let committers: Vec<_> = (0..24)
        .map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            // A third of them changes nothing: their records must find their place as well.
            let writes = if n % 3 == 0 { vec![] } else { vec![put(&party(&format!("p{n}@z"), &[1]), None)] };
            tokio::spawn(async move { store.act(writes, updates(50)).await.unwrap() })
        })
        .collect();
    for committer in committers {
        committer.await.unwrap();
    }
    assert_eq!(chain(&*one).await.len(), 24 * 50);
    let checkpoints = one.audit_seals(SealKind::Checkpoint).await.unwrap();
    assert_eq!(checkpoints.len(), 1);
    assert_eq!(two.parties().await.unwrap().change, ChangeNumber(16));
}

pub(crate) async fn many_records_leave_checkpoints(database: Database) {
    let store = database.create().await;
    store.act(vec![], updates(1)).await.unwrap();
    store.act(vec![], updates(3_500)).await.unwrap();
    let records = chain(&*store).await;
    let checkpoints = store.audit_seals(SealKind::Checkpoint).await.unwrap();
    let links: Vec<_> = checkpoints.iter().map(|seal| seal.link).collect();
    let every = usize::try_from(CHECKPOINT_EVERY).unwrap();
    let expected: Vec<_> = (1..=3).map(|n| records[n * every - 1].link()).collect();
    assert_eq!(links, expected);
    assert!(checkpoints.iter().all(|seal| seal.holds(KEY.zone(), KEY.public())));
}

pub(crate) async fn queries_find_what_they_ask_for(database: Database) {
    let store = database.create().await;
    let mut other = event(30, Action::TokenCreate, "a_z");
    other.actor = Actor::Administrator("ann%".to_owned());
    other.request = Some("a\0b".to_owned());
    let denied = event(40, Action::AdministratorDeny, "").outcome(Outcome::Denied);
    let events = vec![
        event(10, Action::PartyCreate, "a@z"),
        event(20, Action::PartyDelete, "a@z"),
        other,
        denied,
        event(50, Action::PartyCreate, "b@z"),
    ];
    store.act(vec![], events).await.unwrap();
    let find = async |query: AuditQuery| -> Vec<u64> {
        store.audit(&query).await.unwrap().into_iter().map(|record| record.seq).collect()
    };
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    let newest = AuditQuery { newest_first: true, ..all.clone() };
    assert_eq!(find(all.clone()).await, [1, 2, 3, 4, 5]);
    assert_eq!(find(newest.clone()).await, [5, 4, 3, 2, 1]);
    assert_eq!(find(AuditQuery { limit: 2, ..all.clone() }).await, [1, 2]);
    assert_eq!(find(AuditQuery { limit: 2, ..newest.clone() }).await, [5, 4]);
    assert_eq!(find(AuditQuery { limit: 0, ..all.clone() }).await, [0; 0]);
    assert_eq!(find(AuditQuery { after: Some(1), before: Some(4), ..all.clone() }).await, [2, 3]);
    assert_eq!(find(AuditQuery { after: Some(1), before: Some(4), ..newest.clone() }).await, [3, 2]);
    assert_eq!(find(AuditQuery { after: Some(u64::MAX), ..all.clone() }).await, [0; 0]);
    let moments = |since, until| AuditQuery {
        since: Some(UnixMillis(since)),
        until: Some(UnixMillis(until)),
        ..all.clone()
    };
    assert_eq!(find(moments(20, 40)).await, [2, 3], "from the first moment on, and before the last");
    let texts =
        |actor: Option<&str>, action: Option<&str>, target: Option<&str>, outcome: Option<&str>| AuditQuery {
            actor: actor.map(Into::into),
            action: action.map(Into::into),
            target: target.map(Into::into),
            outcome: outcome.map(Into::into),
            ..all.clone()
        };
    assert_eq!(find(texts(Some("administrator:ann%"), None, None, None)).await, [3]);
    assert_eq!(find(texts(Some("administrator:ann"), None, None, None)).await, [0; 0]);
    assert_eq!(find(texts(None, None, Some("a_z"), None)).await, [3], "no pattern");
    assert_eq!(find(texts(None, None, None, Some("denied"))).await, [4]);
    assert_eq!(find(texts(None, Some("party"), None, None)).await, [1, 2, 5]);
    assert_eq!(find(texts(None, Some("party.create"), None, None)).await, [1, 5]);
    for none in ["part", "party.", "%", "party.c", "Party", "", "party\0", "_arty"] {
        assert_eq!(find(texts(None, Some(none), None, None)).await, [0; 0], "{none:?}");
    }
    let both = texts(Some("console:root"), Some("party"), Some("a@z"), Some("done"));
    assert_eq!(find(AuditQuery { since: Some(UnixMillis(15)), ..both }).await, [2]);
}

pub(crate) async fn what_is_trimmed_is_sealed(database: Database) {
    let store = database.create().await;
    store.act(vec![], updates(2_100)).await.unwrap();
    let records = chain(&*store).await;
    let trim = |link, at| Write::TrimAudit(KEY.seal(SealKind::Trim, link, UnixMillis(at), "{}"));
    let forged = Link { hash: [1; 32], ..records[99].link() };
    let ahead = Link { seq: 3_000, ..forged };
    for (bad, row) in [
        (trim(forged, 1), "audit 100"),
        (trim(ahead, 1), "audit 3000"),
        (
            Write::TrimAudit(KEY.seal(SealKind::Checkpoint, records[99].link(), UnixMillis(1), "")),
            "audit_seal trim 100",
        ),
    ] {
        match store.write(bad).await {
            Err(StoreError::Damaged { row: found, .. }) => assert_eq!(found, row),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(chain(&*store).await, records);

    let trimmed = event(9, Action::AuditTrim, "");
    store.act(vec![trim(records[1_499].link(), 9)], vec![trimmed]).await.unwrap();
    let left = chain(&*store).await;
    assert_eq!((left[0].seq, left.len()), (1_501, 601));
    let checkpoints = store.audit_seals(SealKind::Checkpoint).await.unwrap();
    assert_eq!(checkpoints.iter().map(|seal| seal.link.seq).collect::<Vec<_>>(), [2_000]);
    // All there is, the end included: the head seal says where it goes on.
    store.act(vec![trim(left[600].link(), 10)], vec![]).await.unwrap();
    assert_eq!(store.audit_seals(SealKind::Trim).await.unwrap().len(), 2);
    store.act(vec![], updates(1)).await.unwrap();
    assert_eq!(chain(&*store).await[0].seq, 2_102);
}

/// The log goes over to another key: all that the one before sealed holds by the new one, and nothing else does.
pub(crate) async fn another_key_seals_the_log_anew(database: Database) {
    let store = database.create().await;
    store.act(vec![], updates(2_100)).await.unwrap();
    let records = chain(&*store).await;
    let trim = KEY.seal(SealKind::Trim, records[99].link(), UnixMillis(9), "{}");
    store.act(vec![Write::TrimAudit(trim)], vec![]).await.unwrap();
    store.act(vec![Write::KeepAnswer(answer("k", 5))], vec![]).await.unwrap();
    // Somebody else's, which stays so.
    let zeros = if database.is_sqlite() { "zeroblob(64)" } else { "decode(repeat('00', 64), 'hex')" };
    database
        .run(&format!("UPDATE audit_seal SET signature = {zeros} WHERE kind = 'checkpoint' AND seq = 1000"))
        .await;
    let key = || AuditKey::new(&AuditKey::generate().unwrap(), KEY.zone()).unwrap();
    let (new, stranger) = (key(), key());
    let anew = |before: &AuditKey| Write::SealAnew { before: PublicKey::of(before.public()).unwrap() };
    let act =
        |write| Act { writes: vec![write], events: vec![event(9, Action::IdentityRecover, "#KDC#00002")] };
    // Nobody who does not name the key that signed its end.
    for before in [&stranger, &new] {
        let refused = store.commit(&act(anew(before)), &new).await;
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    }
    let mut whole = act(anew(&KEY));
    whole.writes.push(Write::ForgetAnswers);
    store.commit(&whole, &new).await.unwrap();
    assert_eq!(store.answer("console:root", "k").await.unwrap(), None);
    let seals = async |kind| store.audit_seals(kind).await.unwrap();
    let held = |seals: Vec<Seal>| {
        seals
            .into_iter()
            .map(|seal| (seal.link.seq, seal.holds(KEY.zone(), new.public())))
            .collect::<Vec<_>>()
    };
    assert_eq!(held(seals(SealKind::Head).await), [(2_101, true)]);
    assert_eq!(held(seals(SealKind::Trim).await), [(100, true)]);
    assert_eq!(held(seals(SealKind::Checkpoint).await), [(1_000, false), (2_000, true)]);
    assert_eq!(seals(SealKind::Trim).await[0].summary, "{}");
    assert!(!seals(SealKind::Head).await[0].holds(KEY.zone(), KEY.public()));
    // Who has the key of before writes nothing any more.
    let late = store.act(vec![], updates(1)).await;
    assert!(matches!(late, Err(StoreError::Damaged { .. })), "{late:?}");
    store.commit(&Act { writes: vec![], events: updates(1) }, &new).await.unwrap();
    let all = AuditQuery { limit: u32::MAX, ..AuditQuery::default() };
    let mut link = records[99].link();
    for record in store.audit(&all).await.unwrap() {
        assert_eq!((record.seq, record.hash), (link.seq + 1, record.hash_after(&link.hash)));
        link = record.link();
    }
    assert_eq!(link.seq, 2_102);
}

pub(crate) async fn damage_is_neither_hidden_nor_in_the_way(database: Database) {
    let store = database.create().await;
    store.act(vec![], updates(5)).await.unwrap();
    let link = chain(&*store).await[4].link();
    let next = async || {
        store.act(vec![], updates(1)).await?;
        let query = AuditQuery { newest_first: true, limit: 1, ..AuditQuery::default() };
        Ok::<Record, StoreError>(store.audit(&query).await?.remove(0))
    };
    // The last record was edited together with its hash, then removed: what follows still follows what was signed.
    let zeros = if database.is_sqlite() { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" };
    database.run(&format!("UPDATE audit SET target = 'x', hash = {zeros} WHERE seq = 5")).await;
    let sixth = next().await.unwrap();
    assert_eq!((sixth.seq, sixth.hash), (6, sixth.hash_after(&link.hash)));
    database.run("DELETE FROM audit WHERE seq = 6").await;
    let seventh = next().await.unwrap();
    assert_eq!((seventh.seq, seventh.hash), (7, seventh.hash_after(&sixth.hash)));

    // Where it is not known what was signed, or the place is taken, nothing is written.
    for (damage, repair, row) in [
        ("UPDATE audit_seal SET seq = 5", "UPDATE audit_seal SET seq = 7", "audit_seal head 5"),
        ("UPDATE audit_seal SET at = at + 1", "UPDATE audit_seal SET at = at - 1", "audit_seal head 7"),
        ("UPDATE audit_seal SET kind = 'trim'", "UPDATE audit_seal SET kind = 'head'", "audit_seal head"),
        (
            "CREATE TABLE kept AS SELECT * FROM audit_seal; DELETE FROM audit_seal",
            "INSERT INTO audit_seal SELECT * FROM kept; DROP TABLE kept",
            "audit 7",
        ),
        ("UPDATE audit SET seq = 8 WHERE seq = 7", "UPDATE audit SET seq = 7 WHERE seq = 8", "audit 8"),
    ] {
        database.run(damage).await;
        match next().await {
            Err(StoreError::Damaged { row: found, .. }) => assert_eq!(found, row, "{damage}"),
            other => panic!("{damage}: {other:?}"),
        }
        assert!(store.put_party(&party("a@z", &[1]), None).await.is_err());
        database.run(repair).await;
    }
    assert_eq!(next().await.unwrap().seq, 8);
    assert_eq!(store.parties().await.unwrap().parties, []);
}
