//! Problem documents.
#![no_main]

use keycell_fuzz::seed;
use keycell_protocol::{Problem, ProblemType, UnixMillis};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seed(|| {
        let document = |kind: &ProblemType| {
            let mut problem = Problem::new(*kind);
            problem.detail = Some("what to do".into());
            (problem.server_time, problem.retry_after) = (Some(UnixMillis(1)), Some(2));
            serde_json::to_vec(&problem).unwrap()
        };
        ProblemType::ALL.iter().map(document).collect()
    }),
    |data: &[u8]| {
        let Ok(problem) = serde_json::from_slice::<Problem>(data) else { return };
        let json = serde_json::to_vec(&problem).unwrap();
        assert_eq!(serde_json::from_slice::<Problem>(&json).unwrap(), problem);
        let _ = problem.to_string();
    }
);
