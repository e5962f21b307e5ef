//! Every kind of request that a party signs is refused alike, and told of alike.

use keycell_protocol::{AuthorKey, Name, Problem, ProblemType, Step};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::party::Party;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

/// A kind: its path, the log's words for one that is refused, and a request of it by `party` in the name of `source`.
struct Kind {
    path: &'static str,
    refused: &'static str,
    sign: fn(party: &Party, source: &Name) -> Vec<u8>,
}

const KINDS: [Kind; 4] = [
    Kind {
        path: "/v1/tickets",
        refused: "ticket request refused",
        sign: |party, source| {
            let mut request = party.request(&["b@test.internal"]);
            request.source.clone_from(source);
            party.sign(&request)
        },
    },
    Kind {
        path: "/v1/keys/rotate",
        refused: "key rotation refused",
        sign: |party, source| {
            let mut request = party.rotation(Step::Stage);
            request.source.clone_from(source);
            party.sign_rotation(&request)
        },
    },
    Kind {
        path: "/v1/vouchers",
        refused: "voucher refused",
        sign: |party, source| {
            let mut request = party.voucher_request(&AuthorKey::new(&[7; 32]));
            request.source.clone_from(source);
            party.sign_voucher(&request)
        },
    },
    Kind {
        path: "/v1/group-keys",
        refused: "group keys refused",
        sign: |party, source| {
            let mut request = party.group_keys(&[]);
            request.source.clone_from(source);
            party.sign_group_keys(&request)
        },
    },
];

/// What another zone signs.
const OF_ZONES: Kind = Kind {
    path: "/v1/peer/tickets",
    refused: "a zone's request for tickets refused",
    sign: |zone, source| {
        let mut request = zone.for_its_parties(&[("x@other.example", "b@test.internal")]);
        request.source.clone_from(source);
        zone.sign_as_zone(&request)
    },
};

impl Kind {
    async fn send(&self, http: &Http, media_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = http.request(Method::POST, self.path).header(CONTENT_TYPE, media_type);
        Answer::of(request.body(body.into())).await
    }

    async fn refused(&self, http: &Http, body: impl Into<Vec<u8>>) -> Problem {
        self.send(http, "application/json", body).await.problem()
    }
}

#[tokio::test]
async fn every_kind_is_refused_alike() {
    let cell = Cell::sqlite();
    let (of_zones, off) = (cell.trusts("other.example", true).await, cell.trusts("off.example", false).await);
    let third = cell.trusts("third.example", true).await;
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (a, b) = (admin.add("a@test.internal").await, admin.add("b@test.internal").await);
    let nobody: Name = "nobody@test.internal".parse().unwrap();
    let (http, stranger) = (kdc.http(), kdc.http_from("127.0.0.7".parse().unwrap()));
    let of_parties = KINDS.iter().map(|kind| (kind, &a, &b));
    for (kind, a, b) in of_parties.chain([(&OF_ZONES, &of_zones, &third)]) {
        let good = (kind.sign)(a, &a.name);
        let answer = kind.send(&http, "text/plain", good.clone()).await;
        assert_eq!(answer.kind(), ProblemType::UnsupportedMediaType, "{}", kind.path);
        let malformed = kind.refused(&http, "{}").await;
        assert_eq!(malformed.kind, ProblemType::MalformedRequest, "{}", kind.path);
        assert!(malformed.detail.unwrap().starts_with("not the JSON of a"), "{}", kind.path);

        let answer = kind.send(&http, "application/json", good.clone()).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/json"),
            "{}",
            kind.path
        );
        assert_eq!(kind.refused(&http, good).await.kind, ProblemType::Replayed, "{}", kind.path);
        for source in [&a.name, &nobody, &a.name] {
            let forged = kind.refused(&stranger, (kind.sign)(b, source)).await;
            assert_eq!(forged.kind, ProblemType::Unauthenticated, "{}", kind.path);
            assert!(forged.server_time.is_some() && forged.detail.is_none(), "{}", kind.path);
        }
        kdc.logs(kind.refused).await;
    }
    // Three of each kind are enough only together.
    let burst = admin.recorded("the burst", |record| record["action"] == "authentication.burst").await;
    let text = |field: &str| burst[field].as_str().unwrap();
    assert_eq!((text("actor"), text("outcome")), ("address:127.0.0.7", "denied"));
    for name in [&a.name, &nobody] {
        assert!(burst["detail"]["names"].to_string().contains(name.as_str()), "{burst}");
    }

    assert_eq!(admin.set_enabled(a.name.as_str(), false).await.status, 200);
    let of_parties = KINDS.iter().map(|kind| (kind, &a));
    for (kind, off) in of_parties.chain([(&OF_ZONES, &off)]) {
        let disabled = kind.refused(&http, (kind.sign)(off, &off.name)).await;
        assert_eq!(disabled.kind, ProblemType::PartyDisabled, "{}", kind.path);
    }
}
