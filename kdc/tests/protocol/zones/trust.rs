//! Trust between two zones of one test, as an offer that is accepted leaves it in their databases.

use keycell_kdc::keyring::{Life, Standing};
use keycell_kdc::policy::Mode;
use keycell_kdc::random::system;
use keycell_kdc::store::{Act, Kind, PartyRecord, Write};
use keycell_kdc::trust::{DEFAULT_RATE, Direction, HeldKeys, PeerRecord, SCHEMA, TrustRecord, document_id};
use keycell_protocol::{Generation, LongTermKey, Name};

use crate::zone::Zone;

/// Lets every party of `asking` speak to every party and group of `asked`; returns the key of the trust.
pub(crate) async fn trust_between(asking: &Zone, asked: &Zone) -> LongTermKey {
    trust_with(asking, asked, |_| {}).await
}

/// The same with other terms, at both ends.
pub(crate) async fn trust_with(
    asking: &Zone,
    asked: &Zone,
    change: impl Fn(&mut TrustRecord),
) -> LongTermKey {
    let (z1, z2) = (asking.kdc.zone(), asked.kdc.zone());
    let period = asked.kdc.zone_record().ratchet_period;
    let epoch = period.epoch(asked.now().seconds());
    let key = LongTermKey::generate(Generation::FIRST, epoch, &mut system());

    let name = Name::of_zone(z1, z2);
    let life = Life::active(asked.now());
    let sealed = asked.kdc.ledger().keyring().seal_key(&name, Standing::NEW, &key, life, &mut system());
    let party = PartyRecord { keys: vec![sealed], ..PartyRecord::new(name, asked.now()) };
    let mut incoming = terms(asked, asking, Direction::Incoming);
    change(&mut incoming);
    let writes = vec![
        Write::PutParty { party, expected: None },
        document(asked, &incoming, None),
        Write::NeedSchema(SCHEMA),
    ];
    write(asked, writes).await;

    let held = HeldKeys { active: Some(key.clone()), staged: None };
    let mut outgoing = terms(asking, asked, Direction::Outgoing);
    outgoing.peer = Some(PeerRecord {
        urls: asked.kdc.config().urls.clone(),
        tls_roots: asked.kdc.bundle().await.unwrap().tls_roots,
        ratchet_period: period,
        held: held.seen(1),
        rotate_from: None,
    });
    change(&mut outgoing);
    let secret = held.seal(asking.kdc.ledger().keyring(), z2, 1, &mut system());
    let writes = vec![Write::AddSecret(secret), document(asking, &outgoing, None), Write::NeedSchema(SCHEMA)];
    write(asking, writes).await;
    key
}

/// Changes what `zone` keeps of its trust with `other`.
pub(crate) async fn change_trust(
    zone: &Zone,
    direction: Direction,
    other: &Zone,
    change: impl FnOnce(&mut TrustRecord),
) {
    let trusts = zone.kdc.directory().trusts();
    let mut record = TrustRecord::clone(trusts.get(direction, other.kdc.zone().as_str()).unwrap());
    let before = record.revision;
    change(&mut record);
    record.revision = before + 1;
    write(zone, vec![document(zone, &record, Some(before))]).await;
}

/// Ends what `zone` keeps of its trust with `other`, but for the keys.
pub(crate) async fn delete_trust(zone: &Zone, direction: Direction, other: &Zone) {
    let id = document_id(direction, other.kdc.zone());
    write(zone, vec![Write::DeleteDocument { kind: Kind::Trust, id, expected: None }]).await;
}

pub(crate) async fn write(zone: &Zone, writes: Vec<Write>) {
    zone.kdc.ledger().commit(&Act { writes, events: Vec::new() }).await.unwrap();
}

/// Everything, for as long and as often as there is.
fn terms(zone: &Zone, other: &Zone, direction: Direction) -> TrustRecord {
    let (ours, theirs) = (zone.kdc.zone(), other.kdc.zone());
    let (from, to) = match direction {
        Direction::Incoming => (theirs, ours),
        Direction::Outgoing => (ours, theirs),
    };
    TrustRecord {
        direction,
        zone: theirs.clone(),
        enabled: true,
        mode: Mode::Enforce,
        sources: vec![format!("*@{from}").parse().unwrap()],
        destinations: vec![format!("*@{to}").parse().unwrap()],
        lifetime_seconds: None,
        rate: DEFAULT_RATE,
        log_tickets: false,
        note: String::new(),
        identities: other.kdc.identities().public(),
        peer: None,
        offered: None,
        created_at: zone.now(),
        updated_at: zone.now(),
        revision: 1,
    }
}

fn document(zone: &Zone, record: &TrustRecord, expected: Option<u64>) -> Write {
    let body = serde_json::to_string(record).unwrap();
    let keyring = zone.kdc.ledger().keyring();
    let document = keyring.seal_document(Kind::Trust, record.id(), record.revision, body, &mut system());
    Write::PutDocument { document, expected }
}
