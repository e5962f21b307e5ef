//! The same over real sockets: servers that take a connection and are no KDC.

use std::sync::Arc;

use keycell_kdc::peers::OverHttps;
use keycell_kdc::trust::Direction;
use keycell_protocol::ProblemType;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::Pair;
use crate::zones::trust::change_trust;

#[tokio::test]
async fn a_server_that_says_nothing_or_nonsense_is_no_kdc() {
    let pair = Pair::with(|peers| {
        peers.attempt_timeout_ms = 50;
        peers.timeout_ms = 100;
    })
    .await;
    let key = pair.here.party("a").await;
    pair.here.party("c").await;
    let to = pair.there.name("b");
    for says in [None, Some(&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"[..])] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if let Some(says) = says {
                    let _ = stream.write_all(says).await;
                }
                open.push(stream);
            }
        });
        change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| {
            trust.peer.as_mut().unwrap().urls = vec![url];
        })
        .await;
        pair.here.kdc.peers().connect_by(Arc::new(OverHttps));
        let meanwhile = async {
            for _ in 0..100 {
                pair.here.ticket("a", &key, "c").unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (outcome, ()) = tokio::join!(pair.here.one("a", &key, &to), meanwhile);
        assert_eq!(outcome, Err(ProblemType::Unavailable), "{says:?}");
        for _ in 0..4 {
            assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
        }
        assert_eq!(pair.here.kdc.peers().states()[0].breaker, "open", "{says:?}");
        server.abort();
    }
}
