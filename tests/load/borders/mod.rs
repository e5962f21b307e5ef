//! The tickets of a zone's own parties while the KDC of another zone hangs: it takes connections and says nothing.
//!
//! ```text
//! tests/load/zones [SECONDS]
//! ```
//!
//! Some parties ask for tickets at home at a steady pace, and each answer is timed. Besides, as many requests as that come from
//! others: by turns for what is at home, and for what is in the zone that hangs. So both kinds of turn carry the same load, on
//! the same machine at the same time, and what differs is the border. It prints both times and their ratio, and ends with 1 if
//! somebody did not get his ticket at home, or got one abroad.

#![expect(clippy::expect_used, reason = "what the load cannot do ends it")]

mod hanging;
mod scene;
mod times;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scene::{Scene, Whither};
use times::Times;

#[tokio::main]
pub(crate) async fn run(seconds: Option<&str>) -> ExitCode {
    let Ok(seconds @ 4..=86_400) = seconds.map_or(Ok(60), str::parse) else {
        eprintln!("zones [SECONDS]: from 4 to 86,400");
        return ExitCode::from(2);
    };
    let scene = Arc::new(Scene::build());
    let (mut without, mut with) = (Times::default(), Times::default());
    let end = Instant::now() + Duration::from_secs(seconds);
    // One turn that counts for nothing: connections are made, and the breaker learns.
    scene.turn(Whither::Home, TURN).await;
    scene.turn(Whither::Abroad, TURN).await;
    while Instant::now() < end {
        without.add(scene.turn(Whither::Home, TURN).await);
        with.add(scene.turn(Whither::Abroad, TURN).await);
    }
    println!("{}", Times::report(&without, &with, scene.abroad()));
    match scene.faults() {
        faults if faults.is_empty() => ExitCode::SUCCESS,
        faults => {
            faults.iter().for_each(|fault| eprintln!("zones: FAILED: {fault}"));
            ExitCode::FAILURE
        }
    }
}

const TURN: Duration = Duration::from_secs(2);
