//! What is from before the recovery: backups, databases, and KDCs that were not stopped.

use keycell_kdc::recovery::{self, PartyKeys};
use keycell_tests::backup::Recovery;
use keycell_tests::party::now;
use keycell_tests::wait::until;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_from_before_does_not_bring_the_stolen_primary_back() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        let is_sqlite = cell.cluster().is_none();
        let mut kdc = cell.serve();
        let admin = cell.admin(&kdc);
        admin.add("web.a@test.internal").await;
        assert_eq!(kdc.terminate(), Some(0));
        let keeper = Recovery::of(&cell);
        let before = keeper.back_up(&cell, "before.age");
        let copy = fs::read(cell.file("keycell.db"));
        export(&cell, "secondary.age");
        recover(&cell, "secondary.age", &[]).succeeded();
        let after = keeper.back_up(&cell, "after.age");
        for more in [&["--replace"][..], &["--replace", "--forget-revocations"]] {
            let refused = keeper.restore(&cell, &before, more).failed();
            assert!(refused.contains("the database is from before #KDC#00001 was retired"), "{refused}");
        }
        let mut kdc = cell.serve();
        assert_eq!(numbers(&bundle(&kdc).await), [2, 3], "nothing was put back");
        assert_eq!(kdc.terminate(), Some(0));
        keeper.restore(&cell, &after, &["--replace"]).succeeded();
        let mut kdc = cell.serve();
        assert_eq!(numbers(&bundle(&kdc).await), [2, 3]);
        assert_eq!(kdc.terminate(), Some(0));

        // Nor does a copy of the file, put there by hand.
        if is_sqlite {
            fs::write(cell.file("keycell.db"), copy.unwrap()).unwrap();
            for arguments in [&["serve"][..], &["serve", "--accept-rollback"], &["check-config"]] {
                let refused = cell.run(arguments);
                assert_eq!(refused.code, Some(1), "{arguments:?}");
                assert!(refused.stderr.contains("from before #KDC#00001 was retired"), "{}", refused.stderr);
            }
        }
    }
}

/// A KDC that nobody stopped sees it, serves nobody and writes nothing. Started again, it goes on where the others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_that_still_runs_notices() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        let mut kdc = cell.serve();
        let admin = cell.admin(&kdc);
        let host = admin.add("web.a@test.internal").await;
        let gone = admin.add("web.gone@test.internal").await;
        assert_eq!(admin.delete(gone.name.as_str()).await.status, 204);
        export(&cell, "secondary.age");
        let (opened, _) = open(&cell).await;
        let file = cell.folder().join("secondary.age");
        let exported = Exported::read(&file, &Passphrase::new(PASSPHRASE)).unwrap();
        // Nothing but the recovery itself is new to it, not even a party.
        recovery::recover(&opened, exported, PartyKeys::Keep, None, now()).await.unwrap();
        opened.store.close().await;
        kdc.logs("the cell has recovered on another identity: restart this KDC").await;
        let http = kdc.http();
        let refusal = host.ask(&http, &["web.a@test.internal"]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.kind()), (503, ProblemType::Unavailable));
        for path in ["/readyz", "/v1/bundle", "/v1/zone", "/v1/admin/status"] {
            assert_eq!(http.get(path).await.status, 503, "{path}");
        }
        assert_eq!(http.get("/livez").await.status, 200);
        until("the metric says so", async || {
            http.get("/metrics").await.text().contains("keycell_ready 0\n").then_some(())
        })
        .await;
        // Not even that it stops can it write into a log that another key signs.
        assert_eq!(kdc.terminate(), Some(0));
        assert!(kdc.log().contains("the stop is not recorded in the audit log"), "{}", kdc.log());

        let kdc = cell.serve();
        kdc.logs("the file of revocations was written before this identity was retired").await;
        assert_eq!(numbers(&bundle(&kdc).await), [2, 3]);
        assert!(host.ask(&kdc.http(), &["web.a@test.internal"]).await.is_ok());
        cell.admin(&kdc).assert_intact().await;
        // What it remembered, it remembers.
        let file = fs::read_to_string(cell.file("revocations")).unwrap();
        assert!(file.starts_with("keycell-revocations-3\n{\"identities\":"), "{file}");
        assert!(file.contains("web.gone@test.internal"), "{file}");
    }
}
