//! Every way that a decision can go.

mod again;

use super::*;

use crate::enrollment::join_token::tests::record as join_token;
use crate::enrollment::record::tests::record as enrolled;

const NOW: UnixMillis = UnixMillis(50);
const KEY: [u8; 32] = [7; 32];

/// What a test changes of a host that comes to a zone.
struct Case {
    setting: EnrollmentSetting,
    party: Option<PartyRecord>,
    sealed: bool,
    disabled: bool,
    waiting: Option<WaitingRecord>,
    token: Option<JoinTokenRecord>,
    contested: bool,
    is_full: bool,
    by_tofu: usize,
    crowd: Crowd,
    now: UnixMillis,
    applicant: Applicant,
}

impl Case {
    fn new(mode: EnrollmentMode) -> Self {
        let applicant = Applicant {
            service: "nanoprobe".parse().unwrap(),
            host: "web1.example".parse().unwrap(),
            public_key: AuthorPublicKey::new(KEY),
            token: None,
            identity: IdentityName::PRIMARY,
            timestamp: UnixMillis(40),
            request: "0a".to_owned(),
            address: "192.0.2.9".parse().unwrap(),
        };
        Self {
            setting: EnrollmentSetting { mode, pending_most: 25, ..EnrollmentSetting::default() },
            party: None,
            sealed: true,
            disabled: false,
            waiting: None,
            token: None,
            contested: false,
            is_full: false,
            by_tofu: 0,
            crowd: Crowd::default(),
            now: NOW,
            applicant,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// With a token that lets it in.
    fn token(self) -> Self {
        self.with(|case| {
            let token = JoinToken::generate(&mut crate::random::system());
            case.token = Some(join_token(&token));
            case.applicant.token = Some(token);
        })
    }

    /// Where its key is known already.
    fn waiting(self, state: WaitingState, because: WaitingFor) -> Self {
        self.with(|case| {
            case.waiting = Some(WaitingRecord {
                state,
                because: Some(because),
                service: Some(case.applicant.service.clone()),
                host: Some(case.applicant.host.clone()),
                public_key: Some(case.applicant.public_key),
                token: None,
                address: None,
                first_at: UnixMillis(3),
                decided_at: None,
                decided_by: None,
                until: Some(UnixMillis(51)),
                note: String::new(),
                revision: 4,
            });
        })
    }

    /// Where it is aboard.
    fn aboard(self) -> Self {
        self.with(|case| {
            let mut party = crate::directory::tests::party(case.name().as_str()).record().clone();
            party.enrollment = Some(Box::new(enrolled("nanoprobe", "web1.example", KEY)));
            case.party = Some(party);
        })
    }

    fn contested(self) -> Self {
        self.with(|case| case.contested = true)
    }

    fn name(&self) -> Name {
        self.applicant.name(&"z".parse().unwrap())
    }

    fn decide(&self) -> Verdict {
        let known = Known {
            setting: &self.setting,
            party: self.party.as_ref(),
            sealed: self.sealed,
            disabled: self.disabled,
            waiting: self.waiting.as_ref(),
            token: self.token.as_ref(),
            contested: self.contested,
            is_full: self.is_full,
            by_tofu: self.by_tofu,
            crowd: self.crowd,
            now: self.now,
            skew_ms: 100,
        };
        decide(&self.applicant, &self.name(), known)
    }

    fn admits(&self, admission: Admission, document: Option<u64>, alarm: bool) {
        let token = (admission == Admission::Token).then(|| self.applicant.token.as_ref().unwrap().id());
        assert_eq!(self.decide(), Verdict::Admit(Admit { admission, token, document, alarm }));
    }

    fn refuses(&self, refusal: Refusal) {
        assert_eq!(self.decide(), Verdict::Refuse(refusal));
        assert!(Refusal::REASONS.contains(&refusal.reason()));
    }

    fn waits(&self, because: WaitingFor, replaces: Option<u64>) {
        assert_eq!(self.decide(), Verdict::Wait { because, replaces });
    }
}

const OPEN: [EnrollmentMode; 3] = [EnrollmentMode::Token, EnrollmentMode::Approve, EnrollmentMode::Tofu];

#[test]
fn a_stranger_gets_in_by_the_mode() {
    Case::new(EnrollmentMode::Closed).refuses(Refusal::Closed);
    Case::new(EnrollmentMode::Closed).token().refuses(Refusal::Closed);
    Case::new(EnrollmentMode::Token).refuses(Refusal::NoToken);
    Case::new(EnrollmentMode::Approve).waits(WaitingFor::Approval, None);
    Case::new(EnrollmentMode::Tofu).admits(Admission::Tofu, None, false);
    for mode in OPEN {
        Case::new(mode).token().admits(Admission::Token, None, false);
    }
}

#[test]
fn without_a_token_only_what_is_listed_is_trusted_on_first_use() {
    let tofu = || Case::new(EnrollmentMode::Tofu);
    tofu().with(|case| case.applicant.service = "cma".parse().unwrap()).refuses(Refusal::Unlisted);
    tofu().with(|case| case.setting.services.clear()).refuses(Refusal::Unlisted);
    tofu().with(|case| case.setting.hosts = vec!["db*".parse().unwrap()]).refuses(Refusal::Unlisted);
    tofu().with(|case| case.setting.hosts.clear()).refuses(Refusal::Unlisted);
    tofu().token().with(|case| case.setting.services.clear()).admits(Admission::Token, None, false);
}

#[test]
fn a_wrong_token_is_refused_and_nobody_waits_for_it() {
    for mode in OPEN {
        let case = |change: fn(&mut Case)| Case::new(mode).token().with(change);
        let refused = |case: Case, why| case.refuses(Refusal::Token(why));
        refused(case(|case| case.token = None), TokenRefusal::Unknown);
        refused(case(|case| case.token.as_mut().unwrap().verifier[0] ^= 1), TokenRefusal::Secret);
        refused(case(|case| case.token.as_mut().unwrap().revoked_at = Some(NOW)), TokenRefusal::Revoked);
        refused(case(|case| case.token.as_mut().unwrap().expires_at = NOW), TokenRefusal::Expired);
        refused(case(|case| case.applicant.service = "cma".parse().unwrap()), TokenRefusal::Service);
        refused(case(|case| case.applicant.host = "db1.example".parse().unwrap()), TokenRefusal::Host);
        refused(case(|case| case.applicant.address = "::1".parse().unwrap()), TokenRefusal::Network);
        refused(case(|case| case.token.as_mut().unwrap().used = 2), TokenRefusal::UsedUp);
        // Nor by what was decided of another one that it brought.
        let waiting = Case::new(mode).token().with(|case| case.token = None);
        let waiting = waiting.waiting(WaitingState::Waiting, WaitingFor::Conflict);
        waiting.refuses(Refusal::Token(TokenRefusal::Unknown));
    }
}

#[test]
fn what_was_denied_stays_out_whatever_it_brings() {
    let denied = |case: Case| case.waiting(WaitingState::Denied, WaitingFor::Approval);
    for mode in EnrollmentMode::ALL {
        denied(Case::new(*mode)).refuses(Refusal::Denied);
        denied(Case::new(*mode).token()).refuses(Refusal::Denied);
        denied(Case::new(*mode).aboard()).refuses(Refusal::Denied);
        // Also one that never came.
        let unseen = denied(Case::new(*mode)).with(|case| {
            let waiting = case.waiting.as_mut().unwrap();
            (waiting.service, waiting.host, waiting.public_key, waiting.until) = (None, None, None, None);
        });
        unseen.refuses(Refusal::Denied);
    }
}

#[test]
fn who_was_approved_gets_in() {
    let approved = |mode, because| Case::new(mode).waiting(WaitingState::Approved, because);
    for mode in OPEN {
        approved(mode, WaitingFor::Approval).admits(Admission::Approval, Some(4), false);
        approved(mode, WaitingFor::Approval).token().admits(Admission::Token, Some(4), false);
        // The token that it came with has ended since.
        let late = approved(mode, WaitingFor::Conflict).token().with(|case| case.token = None);
        late.admits(Admission::Approval, Some(4), false);
    }
    approved(EnrollmentMode::Closed, WaitingFor::Approval).refuses(Refusal::Closed);
    let over = || approved(EnrollmentMode::Approve, WaitingFor::Approval).with(forget);
    over().waits(WaitingFor::Approval, Some(4));
    over().token().admits(Admission::Token, Some(4), false);
    // As what it was shown, and as nothing else.
    let other = || approved(EnrollmentMode::Approve, WaitingFor::Approval);
    other().with(|case| case.applicant.host = "web2.example".parse().unwrap()).refuses(Refusal::OtherName);
    other().with(|case| case.applicant.service = "cma".parse().unwrap()).refuses(Refusal::OtherName);
}

fn forget(case: &mut Case) {
    case.waiting.as_mut().unwrap().until = Some(NOW);
}

#[test]
fn who_waits_is_told_so_and_takes_no_second_place() {
    let waiting = || {
        let case = Case::new(EnrollmentMode::Approve);
        case.waiting(WaitingState::Waiting, WaitingFor::Approval)
    };
    let full = Crowd { all: 1000, network: 1000 };
    assert_eq!(waiting().with(|case| case.crowd = full).decide(), Verdict::Waits(UnixMillis(3)));
    waiting().with(forget).waits(WaitingFor::Approval, Some(4));
    waiting().with(|case| case.applicant.host = "a".parse().unwrap()).refuses(Refusal::OtherName);
    // A token that it gets meanwhile lets it in, and its place is free.
    waiting().token().admits(Admission::Token, Some(4), false);
    waiting().with(|case| case.setting.mode = EnrollmentMode::Token).refuses(Refusal::NoToken);
}

#[test]
fn so_many_wait_and_no_more() {
    let crowd =
        |all, network| Case::new(EnrollmentMode::Approve).with(|case| case.crowd = Crowd { all, network });
    crowd(24, 2).waits(WaitingFor::Approval, None);
    crowd(25, 0).refuses(Refusal::Crowded);
    crowd(24, 3).refuses(Refusal::NetworkCrowded);
    // A tenth of little is one.
    let little = |network| crowd(0, network).with(|case| case.setting.pending_most = 1);
    little(0).waits(WaitingFor::Approval, None);
    little(1).refuses(Refusal::NetworkCrowded);
    // Who does not wait takes no place.
    crowd(25, 25).token().admits(Admission::Token, None, false);
}

#[test]
fn a_host_that_is_known_by_another_key_alarms_or_waits() {
    let hold = |case: Case| case.with(|case| case.setting.conflicts = ConflictsRule::Hold);
    for mode in OPEN {
        Case::new(mode).token().contested().admits(Admission::Token, None, true);
        let held = || hold(Case::new(mode).token().contested());
        held().waits(WaitingFor::Conflict, None);
        held().with(|case| case.crowd.all = 25).refuses(Refusal::Crowded);
        let again = held().waiting(WaitingState::Waiting, WaitingFor::Conflict);
        assert_eq!(again.decide(), Verdict::Waits(UnixMillis(3)));
        // The administrator knew.
        let known = held().waiting(WaitingState::Approved, WaitingFor::Conflict);
        known.admits(Admission::Token, Some(4), false);
        // It was no conflict yet when it was approved.
        let unknown = held().waiting(WaitingState::Approved, WaitingFor::Approval);
        unknown.admits(Admission::Token, Some(4), true);
    }
    Case::new(EnrollmentMode::Tofu).contested().admits(Admission::Tofu, None, true);
    hold(Case::new(EnrollmentMode::Tofu).contested()).waits(WaitingFor::Conflict, None);
    hold(Case::new(EnrollmentMode::Approve).contested()).waits(WaitingFor::Approval, None);
    hold(Case::new(EnrollmentMode::Token).contested()).refuses(Refusal::NoToken);
}

#[test]
fn nobody_comes_in_by_itself_as_a_host_of_too_many_keys() {
    let full = |mode| Case::new(mode).contested().with(|case| case.is_full = true);
    for mode in OPEN {
        // Who was given a token is not shut out by strangers: an administrator looks at it.
        full(mode).token().waits(WaitingFor::Conflict, None);
        full(mode).token().with(|case| case.crowd.all = 25).refuses(Refusal::Crowded);
        let again = full(mode).token().waiting(WaitingState::Waiting, WaitingFor::Conflict);
        assert_eq!(again.decide(), Verdict::Waits(UnixMillis(3)));
        let again = again.with(|case| case.is_full = false);
        again.admits(Admission::Token, Some(4), true);
        let bad = full(mode).token().with(|case| case.token = None);
        bad.refuses(Refusal::Token(TokenRefusal::Unknown));
        let held = full(mode).token().with(|case| case.setting.conflicts = ConflictsRule::Hold);
        held.waits(WaitingFor::Conflict, None);
        let approved = full(mode).waiting(WaitingState::Approved, WaitingFor::Conflict);
        approved.admits(Admission::Approval, Some(4), false);
    }
    full(EnrollmentMode::Tofu).refuses(Refusal::Contested);
    full(EnrollmentMode::Approve).waits(WaitingFor::Approval, None);
    assert_eq!(full(EnrollmentMode::Tofu).aboard().decide(), Verdict::Renew);
}

#[test]
fn so_many_come_in_by_trust_on_first_use_and_no_more() {
    let tofu = |by_tofu| {
        Case::new(EnrollmentMode::Tofu).with(|case| {
            case.setting.tofu_most = 3;
            case.by_tofu = by_tofu;
        })
    };
    tofu(2).admits(Admission::Tofu, None, false);
    tofu(3).refuses(Refusal::TofuMost);
    tofu(4).refuses(Refusal::TofuMost);
    // Every other way in stays open.
    tofu(4).token().admits(Admission::Token, None, false);
    tofu(4).waiting(WaitingState::Approved, WaitingFor::Conflict).admits(Admission::Approval, Some(4), false);
    let held = tofu(4).contested().with(|case| case.setting.conflicts = ConflictsRule::Hold);
    held.waits(WaitingFor::Conflict, None);
    assert_eq!(tofu(4).aboard().decide(), Verdict::Renew);
}

#[test]
fn a_name_that_an_administrator_gave_is_not_taken() {
    let case = || Case::new(EnrollmentMode::Tofu).token().aboard();
    case().with(|case| case.party.as_mut().unwrap().enrollment = None).refuses(Refusal::ByHand);
    // Nor by what somebody wrote into the database.
    let other = |service: &str, host: &str, key| {
        let record = Some(Box::new(enrolled(service, host, key)));
        case().with(|case| case.party.as_mut().unwrap().enrollment = record).refuses(Refusal::ByHand);
    };
    other("nanoprobe", "web1.example", [8; 32]);
    other("nanoprobe", "web2.example", KEY);
    other("cma", "web1.example", KEY);
}

#[test]
fn who_waits_asks_less_and_less_often() {
    let mut now = 0;
    let mut waits = Vec::new();
    while now < 20_000 {
        let wait = retry_after(UnixMillis(7_000), UnixMillis(7_000 + now * 1000));
        waits.push(wait);
        now += u64::from(wait);
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600]);
    assert_eq!(retry_after(UnixMillis(7_000), UnixMillis(0)), 60);
    assert_eq!(retry_after(UnixMillis(0), UnixMillis(u64::MAX)), 3600);
}
