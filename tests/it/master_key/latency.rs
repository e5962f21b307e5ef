//! What it costs to wrap a large cell anew. Run by hand: `cargo test --release -p keycell-tests --test master_key -- --ignored
//! --nocapture`.

use std::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn a_hundred_thousand_rows() {
    let cell = Cell::sqlite();
    cell.configure(
        "[limits]\nper_address = { per_second = 100000, burst = 100000 }\n\
         tickets_per_party = { per_second = 100000, burst = 100000 }",
    );
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    import(&admin, 100_000).await;
    let a = cell.add("a");
    let http = kdc.http();
    let ask = async |count: usize| {
        let mut took = Vec::new();
        for _ in 0..count {
            let request = a.sign(&a.request(&["p000001@test.internal"]));
            let began = Instant::now();
            assert_eq!(http.tickets(request).await.status, 200);
            took.push(began.elapsed());
        }
        took
    };
    let told = |what: &str, mut took: Vec<std::time::Duration>| {
        took.sort();
        let at = |part: usize| took[(took.len() - 1) * part / 1000];
        println!(
            "{what}: {} requests, median {:?}, 99 % {:?}, longest {:?}",
            took.len(),
            at(500),
            at(990),
            at(1000)
        );
    };
    told("before", ask(2000).await);
    let began = Instant::now();
    let mut command = cell.command();
    command.args(["master-key", "rotate"]);
    let rotating = tokio::task::spawn_blocking(move || {
        let ended = keycell_tests::cell::ended(&mut command);
        (ended, Instant::now())
    });
    let (mut during, mut administering) = (Vec::new(), Vec::new());
    while !rotating.is_finished() {
        during.extend(ask(50).await);
        let change = Instant::now();
        admin.set_enabled("p000002@test.internal", administering.len() % 2 == 1).await;
        administering.push(change.elapsed());
    }
    let (ended, at) = rotating.await.unwrap();
    ended.succeeded();
    println!("rewrapped in {:?}", at - began);
    told("during", during);
    told("changes during", administering);
}
