//! A host comes aboard, by a clock that the test turns.

mod identities;

use chacha20::ChaCha20Rng;
use keycell_protocol::{
    Enrolled, EnrollmentKeys, EnrollmentReply, EnrollmentRequest, Generation, IdentitySecret, KdcIdentity,
    ReplyError, RotationReply, SealedEnrollment, SignerKey,
};
use rand_core::SeedableRng as _;

use super::*;

const START: UnixMillis = UnixMillis(1_766_059_200_000);

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The KDC's half, with the private halves of its identities.
struct Kdc {
    identities: Vec<(KdcIdentity, IdentitySecret)>,
    primary: usize,
    rng: ChaCha20Rng,
}

impl Kdc {
    fn new() -> Self {
        let mut rng = rng(7);
        let mut identity = |number: u32| {
            let secret = IdentitySecret::generate(&mut rng);
            let (name, signing_key) =
                (IdentityName::new(number).unwrap(), SignerKey::new([number as u8; 32]));
            (KdcIdentity { name, signing_key, encryption_key: secret.public() }, secret)
        };
        let identities = (1..=4).map(&mut identity).collect();
        Self { identities, primary: 0, rng }
    }

    /// The primary and the one after it.
    fn bundle(&self) -> Bundle {
        let identities = self.identities[self.primary..].iter().take(2).map(|(public, _)| public.clone());
        Bundle {
            zone: "z".parse().unwrap(),
            urls: vec![format!("https://kdc{}.example", self.primary + 1)],
            tls_roots: "PEM".into(),
            identities: identities.collect(),
            trusted: Vec::new(),
        }
    }

    fn open(&self, body: &[u8]) -> Result<(EnrollmentRequest, EnrollmentKeys), Problem> {
        let sealed = SealedEnrollment::parse(body).unwrap();
        let (public, secret) = &self.identities[self.primary];
        if sealed.identity() != public.name {
            return Err(self.unknown());
        }
        Ok(sealed.open(secret).unwrap())
    }

    fn unknown(&self) -> Problem {
        let mut problem = Problem::new(ProblemType::IdentityUnknown);
        problem.identity = Some(self.identities[self.primary].0.name);
        problem
    }

    fn enroll(&mut self, now: UnixMillis, body: &[u8], state: EnrollmentState) -> (Vec<u8>, LongTermKey) {
        let (request, keys) = self.open(body).unwrap();
        let bundle = self.bundle();
        let (generation, epoch) = (Generation(3), RatchetPeriod::DEFAULT.epoch(now.seconds()));
        let name = request.name().name(&bundle.zone);
        let ratchet_period = RatchetPeriod::DEFAULT;
        let enrolled = Enrolled { name, generation, epoch, state, ratchet_period, bundle };
        let reply = EnrollmentReply::seal_enrolled(&request, now, &enrolled, &keys, &mut self.rng);
        (reply, keys.long_term_key(generation, epoch))
    }

    fn put_off(&mut self, now: UnixMillis, body: &[u8], seconds: u32) -> Vec<u8> {
        let (request, keys) = self.open(body).unwrap();
        EnrollmentReply::seal_pending(&request, now, seconds, &keys, &mut self.rng)
    }
}

fn host(bundle: Bundle, token: Option<JoinToken>) -> Enrollment {
    let key = AuthorKey::generate(&mut rng(1));
    let (service, host) = ("nanoprobe".parse().unwrap(), "web1.example".parse().unwrap());
    Enrollment::new(bundle, service, host, key, token, rng(2)).unwrap()
}

fn problem(kind: ProblemType) -> Problem {
    Problem::new(kind)
}

/// What it sends when it next may, and when that is.
fn next(host: &mut Enrollment, after: UnixMillis) -> (UnixMillis, PendingRequest) {
    let at = host.next_wakeup(after).unwrap();
    assert!(at <= after || host.wants(at.minus(1)).is_none());
    (at, host.wants(at).unwrap())
}

#[test]
fn a_host_is_enrolled_and_knows_its_key() {
    let mut kdc = Kdc::new();
    let token = JoinToken::generate(&mut rng(3));
    let mut host = host(kdc.bundle(), Some(token.clone()));
    let request = host.wants(START).unwrap();
    assert_eq!(request.path(), "/v1/enroll");
    assert!(host.wants(START).is_none(), "one at a time");
    let (asked, _) = kdc.open(&request.body).unwrap();
    assert!(asked.token.as_ref().unwrap().checks(&token.verifier()));
    assert_eq!((asked.timestamp, asked.name().name(&"z".parse().unwrap())), (START, host.name()));
    assert_eq!(asked.public_key, host.key().public());
    let (reply, key) = kdc.enroll(START, &request.body, EnrollmentState::Active);
    let boarded = host.take_reply(START, &request, &reply).unwrap().unwrap();
    assert_eq!((&boarded.name, boarded.state), (&host.name(), EnrollmentState::Active));
    assert_eq!(boarded.key.expose_secret(), key.expose_secret());
    assert_eq!((boarded.key.generation(), boarded.key.epoch()), (key.generation(), key.epoch()));
    let file = boarded.key_file(host.key());
    assert_eq!((&file.kdc.urls, file.signers.len()), (&kdc.bundle().urls, 2));
    assert_eq!(file.author.unwrap().public(), host.key().public());
    host.stored(&boarded);
    assert_eq!(host.standing(), Standing::Enrolled);
    assert!(host.wants(START.plus(1)).is_none() && host.next_wakeup(START).is_none());
    // Twice the same answer.
    assert!(matches!(host.take_reply(START, &request, &reply), Err(TakeError::NotPending)));
}

#[test]
fn a_lost_answer_is_asked_for_with_the_same_bytes() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let first = host.wants(START).unwrap();
    host.give_up(START.plus(1_000), &first);
    let (at, second) = next(&mut host, START.plus(1_000));
    assert_eq!(second.body, first.body);
    // Busy: the same again, when the KDC says.
    let mut busy = problem(ProblemType::Overloaded);
    busy.retry_after = Some(10);
    host.take_problem(at, &second, &busy);
    let (at, third) = next(&mut host, at);
    assert!(at >= START.plus(10_000));
    assert_eq!(third.body, first.body);
    // What nobody answers at all counts as lost; by then it is too old.
    assert!(host.wants(at.plus(59_999)).is_none());
    assert!(host.wants(at.plus(60_000)).is_none(), "after a wait");
    let (at, fourth) = next(&mut host, at.plus(60_000));
    assert_ne!(fourth.body, first.body);
    assert_eq!(kdc.open(&fourth.body).unwrap().0.timestamp, at);
    // The answer to the one before is not the answer to this one.
    let (late, _) = kdc.enroll(at, &first.body, EnrollmentState::Active);
    assert!(matches!(host.take_reply(at, &first, &late), Err(TakeError::NotPending)));
    assert!(matches!(host.take_reply(at, &fourth, &late), Err(TakeError::Reply(ReplyError::Forged))));
    let (at, fifth) = next(&mut host, at);
    assert_eq!(fifth.body, fourth.body, "a false answer changes nothing");
    let (reply, _) = kdc.enroll(at, &fifth.body, EnrollmentState::Active);
    assert!(host.take_reply(at, &fifth, &reply).unwrap().is_some());
}

#[test]
fn waits_grow_and_differ() {
    let kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let (mut now, mut waits) = (START, Vec::new());
    for _ in 0..30 {
        let (at, request) = next(&mut host, now);
        waits.push(at.0 - now.0);
        now = at;
        host.give_up(now, &request);
    }
    assert!(waits.iter().all(|wait| *wait <= 300_000));
    assert!(waits.iter().take(4).all(|wait| *wait <= 8_000) && waits.iter().any(|wait| *wait > 100_000));
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 25);
}

#[test]
fn a_wrong_clock_is_dated_by_the_kdc() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let true_time = START.plus(7_200_000);
    let first = host.wants(START).unwrap();
    let mut skew = problem(ProblemType::ClockSkew);
    skew.server_time = Some(true_time);
    host.take_problem(START, &first, &skew);
    let second = host.wants(START).unwrap();
    assert_ne!(second.body, first.body);
    assert_eq!(kdc.open(&second.body).unwrap().0.timestamp, true_time);
    // A KDC that is never content is not asked without end.
    host.take_problem(START, &second, &skew);
    let third = host.wants(START).unwrap();
    host.take_problem(START, &third, &skew);
    assert!(host.wants(START).is_none());
    let (at, fourth) = next(&mut host, START);
    let (reply, _) = kdc.enroll(at.plus(7_200_000), &fourth.body, EnrollmentState::Active);
    assert!(host.take_reply(at, &fourth, &reply).unwrap().is_some());
}

/// Somebody on the way spelled the JSON in another way, or the answer was lost and a later request was answered since.
#[test]
fn a_retry_that_the_kdc_takes_for_a_replay_is_made_anew_at_once() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let first = host.wants(START).unwrap();
    host.give_up(START, &first);
    let (at, second) = next(&mut host, START);
    assert_eq!(second.body, first.body);
    host.take_problem(at, &second, &problem(ProblemType::Replayed));
    assert_eq!((host.standing(), host.next_wakeup(at)), (Standing::Asking, Some(at)));
    let third = host.wants(at).unwrap();
    let nonce = |request: &PendingRequest| kdc.open(&request.body).unwrap().0.nonce.0;
    assert!(third.body != first.body && nonce(&third) != nonce(&first));
    // One that calls all a replay is not asked without end, and never twice for the same.
    let (mut now, mut asked) = (at, vec![nonce(&first), nonce(&third)]);
    host.take_problem(at, &third, &problem(ProblemType::Replayed));
    for _ in 0..10 {
        let (at, request) = next(&mut host, now);
        asked.push(nonce(&request));
        host.take_problem(at, &request, &problem(ProblemType::Replayed));
        now = at;
    }
    assert!(now > START.plus(10_000), "it waits longer and longer");
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 12);
    let (at, request) = next(&mut host, now);
    let (reply, _) = kdc.enroll(at, &request.body, EnrollmentState::Active);
    assert!(host.take_reply(at, &request, &reply).unwrap().is_some());
}

#[test]
fn who_is_put_off_asks_again_with_a_new_request_and_not_all_at_once() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let first = host.wants(START).unwrap();
    let reply = kdc.put_off(START, &first.body, 600);
    assert!(host.take_reply(START, &first, &reply).unwrap().is_none());
    let Standing::Pending { ask_at } = host.standing() else { panic!("{host:?}") };
    assert!(ask_at >= START.plus(600_000) && ask_at <= START.plus(660_000));
    let (at, second) = next(&mut host, START);
    assert_eq!(at, ask_at);
    assert_ne!(second.body, first.body);
    let (reply, _) = kdc.enroll(at, &second.body, EnrollmentState::Active);
    assert!(host.take_reply(at, &second, &reply).unwrap().is_some());
}

#[test]
fn who_is_refused_asks_seldom() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let mut now = START;
    for least in [150_000, 300_000, 600_000, 1_200_000, 1_800_000, 1_800_000, 1_800_000] {
        let (at, request) = next(&mut host, now);
        now = at;
        host.take_problem(now, &request, &problem(ProblemType::EnrollmentRefused));
        assert_eq!(host.standing(), Standing::Refused);
        let wait = host.next_wakeup(now).unwrap().0 - now.0;
        assert!((least..=3_600_000).contains(&wait), "{wait}");
    }
    // Any other answer, and it begins anew to ask seldom.
    let (at, request) = next(&mut host, now);
    let reply = kdc.put_off(at, &request.body, 60);
    assert!(host.take_reply(at, &request, &reply).unwrap().is_none());
    let (at, request) = next(&mut host, at);
    host.take_problem(at, &request, &problem(ProblemType::EnrollmentRefused));
    let wait = host.next_wakeup(at).unwrap().0 - at.0;
    assert!((150_000..=300_000).contains(&wait), "{wait}");
    let (at, request) = next(&mut host, at);
    let (reply, _) = kdc.enroll(at, &request.body, EnrollmentState::Active);
    assert!(host.take_reply(at, &request, &reply).unwrap().is_some());
}

#[test]
fn a_kdc_that_does_not_know_enrollment_is_left_alone() {
    for kind in [ProblemType::NotFound, ProblemType::MethodNotAllowed, ProblemType::MalformedRequest] {
        let mut host = host(Kdc::new().bundle(), None);
        let request = host.wants(START).unwrap();
        host.take_problem(START, &request, &problem(kind));
        assert_eq!(host.standing(), Standing::NotTaken(kind));
        assert!(host.next_wakeup(START).unwrap() >= START.plus(1_800_000));
    }
}

#[test]
fn a_host_whose_key_file_is_gone_commits_the_staged_key_once_it_is_stored() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let request = host.wants(START).unwrap();
    // Its clock is an hour behind.
    let now = START.plus(3_600_000);
    let (reply, key) = kdc.enroll(now, &request.body, EnrollmentState::Staged);
    let boarded = host.take_reply(START, &request, &reply).unwrap().unwrap();
    assert_eq!((boarded.state, host.standing()), (EnrollmentState::Staged, Standing::Staged));
    assert!(host.wants(START.plus(3_600_000)).is_none(), "not before it is stored");
    host.stored(&boarded);
    let commit = host.wants(START).unwrap();
    assert_eq!(commit.path(), "/v1/keys/rotate");
    // Another KDC may be a moment behind.
    host.take_problem(START, &commit, &problem(ProblemType::Unauthenticated));
    let (at, commit) = next(&mut host, START);
    host.give_up(at, &commit);
    let (at, commit) = next(&mut host, at);
    let keys: RotationKeys = key.keys_for();
    let asked = SignedRotation::parse(&commit.body).unwrap().verify(&keys).unwrap();
    assert_eq!((asked.step, &asked.source), (Step::Commit, &host.name()));
    assert_eq!(asked.timestamp, at.plus(3_600_000));
    let reply = RotationReply::seal_committed(&asked, asked.timestamp, &keys, &mut kdc.rng);
    assert_eq!(host.standing(), Standing::Staged);
    assert!(host.take_reply(at, &commit, &reply).unwrap().is_none());
    assert_eq!(host.standing(), Standing::Enrolled);
    assert!(host.wants(at.plus(1)).is_none() && host.next_wakeup(at).is_none());
}

#[test]
fn a_commit_that_is_not_answered_is_made_again() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let request = host.wants(START).unwrap();
    let (reply, key) = kdc.enroll(START, &request.body, EnrollmentState::Staged);
    let boarded = host.take_reply(START, &request, &reply).unwrap().unwrap();
    host.stored(&boarded);
    let first = host.wants(START).unwrap();
    assert!(host.wants(START.plus(59_999)).is_none(), "one at a time");
    assert!(host.wants(START.plus(60_000)).is_none(), "after a wait");
    let (at, second) = next(&mut host, START.plus(60_000));
    let keys: RotationKeys = key.keys_for();
    let mut answer = |commit: &PendingRequest| {
        let asked = SignedRotation::parse(&commit.body).unwrap().verify(&keys).unwrap();
        RotationReply::seal_committed(&asked, at, &keys, &mut kdc.rng)
    };
    // What comes to the first one now comes too late, whatever it is.
    let late = answer(&first);
    assert!(matches!(host.take_reply(at, &first, &late), Err(TakeError::NotPending)));
    host.take_problem(at, &first, &problem(ProblemType::Internal));
    host.give_up(at, &first);
    assert_eq!(host.standing(), Standing::Staged);
    let reply = answer(&second);
    assert!(host.take_reply(at, &second, &reply).unwrap().is_none());
    assert_eq!(host.standing(), Standing::Enrolled);
}

#[test]
fn nothing_secret_is_printed() {
    let mut kdc = Kdc::new();
    let token = JoinToken::generate(&mut rng(3));
    let mut host = host(kdc.bundle(), Some(token.clone()));
    let request = host.wants(START).unwrap();
    let (reply, _) = kdc.enroll(START, &request.body, EnrollmentState::Active);
    let printed = format!("{host:?}");
    let boarded = host.take_reply(START, &request, &reply).unwrap().unwrap();
    let printed = format!("{printed} {boarded:?} {host:?}");
    let text = token.to_text();
    let secret = text.rsplit('_').next().unwrap();
    assert!(!printed.contains(secret) && !printed.contains("secret: ["), "{printed}");
    let key = boarded.key.expose_secret();
    assert!(!printed.contains(&format!("{}, {}, {}", key[0], key[1], key[2])), "{printed}");
}
