use proptest::prelude::*;

use super::*;

/// What was sent: by which process, from which host of a network, signed when, and came when.
type Sent = (u8, u8, u64, u64);

const START: u64 = 1_767_268_800_000;

fn address(host: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, host])
}

fn see(processes: &mut Processes, (process, host, signed, came): Sent) -> Option<Alternation> {
    let sighting = Sighting {
        process: Process::of(Instance([process; 16])),
        address: address(host),
        at: UnixMillis(START + signed),
    };
    processes.saw(sighting, UnixMillis(START + came))
}

/// What each request showed.
fn shown(sent: &[Sent]) -> Vec<Option<(CopiesKind, [IpAddr; 2])>> {
    let mut processes = Processes::default();
    let seen = |sent: &Sent| see(&mut processes, *sent).map(|found| (found.kind, found.addresses));
    sent.iter().map(seen).collect()
}

fn none(sent: &[Sent]) -> bool {
    shown(sent).iter().all(Option::is_none)
}

/// Requests that come when they are signed.
fn prompt(sent: &[(u8, u8, u64)]) -> Vec<Sent> {
    sent.iter().map(|&(process, host, at)| (process, host, at, at)).collect()
}

fn clone(one: u8, other: u8) -> Option<(CopiesKind, [IpAddr; 2])> {
    Some((CopiesKind::Clone, [address(one), address(other)]))
}

fn shared(one: u8, other: u8) -> Option<(CopiesKind, [IpAddr; 2])> {
    Some((CopiesKind::Shared, [address(one), address(other)]))
}

#[test]
fn two_in_turn_are_copies() {
    let sent = prompt(&[(1, 1, 10), (2, 2, 20), (1, 1, 30), (2, 2, 40)]);
    assert_eq!(shown(&sent), [None, None, clone(1, 2), clone(2, 1)]);
    let sent = prompt(&[(1, 1, 10), (2, 1, 20), (1, 1, 30)]);
    assert_eq!(shown(&sent), [None, None, shared(1, 1)]);
}

/// Whether each request showed that both came back.
fn both(sent: &[(u8, u8, u64)]) -> Vec<bool> {
    let mut processes = Processes::default();
    let seen = |sent: &Sent| see(&mut processes, *sent).is_some_and(|found| found.both);
    prompt(sent).iter().map(seen).collect()
}

#[test]
fn two_that_both_come_back_are_no_command_beside_a_daemon() {
    assert_eq!(both(&[(1, 1, 10), (2, 2, 20), (1, 1, 30), (2, 2, 40)]), [false, false, false, true]);
    assert_eq!(
        both(&[(1, 1, 10), (2, 2, 20), (1, 1, 30), (1, 1, 40), (2, 2, 50), (1, 1, 60)])[3..],
        [false, true, true]
    );
    // A command at another address every minute: each is another process.
    let commands: Vec<_> = (1..60).flat_map(|n| [(100, 1, n * 20), (n as u8, 2, n * 20 + 10)]).collect();
    assert!(!both(&commands).contains(&true));
    // A daemon that is started anew, and was past other commands before.
    assert_eq!(
        both(&[(1, 1, 10), (2, 2, 20), (1, 1, 30), (3, 1, 40), (1, 1, 50), (3, 1, 60)])[4..],
        [false, true]
    );
    // With commands beside two copies, these are found all the same.
    let sent = [
        (1, 1, 10),
        (3, 2, 20),
        (1, 1, 30),
        (2, 2, 40),
        (1, 1, 50),
        (4, 1, 60),
        (2, 2, 70),
        (1, 1, 80),
        (2, 2, 90),
    ];
    assert!(both(&sent).contains(&true));
    // A day later nobody knows of the first.
    let later = WINDOW_MS + 100;
    assert!(!both(&[(1, 1, 10), (2, 2, 20), (1, 1, 30), (2, 2, later), (1, 1, later + 10)]).contains(&true));
}

#[test]
fn what_was_shown_once_is_not_shown_again_by_one_alone() {
    let sent = prompt(&[(1, 1, 10), (2, 2, 20), (1, 1, 30), (1, 1, 40), (1, 1, 50)]);
    assert_eq!(shown(&sent), [None, None, clone(1, 2), None, None]);
}

#[test]
fn one_that_starts_anew_is_none() {
    // However often, and wherever it comes up.
    let sent: Vec<_> = (1..=60).map(|n| (n, n % 7, u64::from(n) * 10)).collect();
    assert!(none(&prompt(&sent)));
    assert!(none(&prompt(&[(1, 1, 10), (1, 2, 20), (1, 1, 30)])), "one process whose host moves");
}

#[test]
fn a_request_of_a_dead_process_that_comes_late_is_none() {
    // Signed before the next process began, and come after it was seen.
    assert!(none(&[(1, 1, 10, 10), (2, 1, 30, 30), (1, 1, 20, 40), (2, 1, 50, 50)]));
    // Nothing of it was seen before.
    assert!(none(&[(2, 1, 30, 30), (1, 1, 20, 40), (2, 1, 50, 50), (2, 1, 60, 60)]));
    // Signed in the same millisecond.
    assert!(none(&[(1, 1, 10, 10), (2, 1, 20, 20), (1, 1, 20, 40)]));
}

#[test]
fn a_clock_that_is_corrected_is_none() {
    // Ahead, and right after the process started anew; then behind.
    assert!(none(&[(1, 1, 300, 100), (1, 1, 400, 200), (2, 1, 210, 210), (2, 1, 350, 350)]));
    assert!(none(&[(1, 1, 500, 500), (2, 1, 310, 510), (2, 1, 505, 705), (2, 1, 600, 800)]));
    // A request from before comes after the clock was set back.
    assert!(none(&[(1, 1, 500, 500), (2, 1, 310, 510), (1, 1, 509, 511), (2, 1, 520, 720)]));
    // A process whose own clock is set back.
    assert!(none(&[(1, 1, 500, 500), (1, 1, 310, 510), (1, 1, 320, 520)]));
}

/// A process whose clock is ahead asks one KDC, the one that follows it another, which hears of the first a moment later.
#[test]
fn a_clock_that_is_ahead_makes_no_process_live_longer() {
    let (mut there, mut here) = (Processes::default(), Processes::default());
    see(&mut there, (1, 1, 400, 200));
    see(&mut here, (2, 1, 210, 210));
    assert_eq!(here.saw(there.latest().unwrap(), UnixMillis(START + 250)), None);
    assert_eq!(see(&mut here, (2, 1, 500, 500)), None);
}

#[test]
fn a_request_that_comes_late_does_not_say_where_its_process_is() {
    let sent = [(1, 1, 100, 100), (1, 3, 50, 110), (2, 3, 120, 120), (1, 1, 130, 130)];
    assert_eq!(shown(&sent).last(), Some(&clone(1, 3)));
}

#[test]
fn copies_with_wrong_clocks_are_found() {
    for offset in [-200_000_i64, 200_000] {
        let mut processes = Processes::default();
        let turns = (0..100_u64).map(|turn| {
            let (process, came) = ((turn % 2) as u8 + 1, 1_000_000 + turn * 10_000);
            let signed = if process == 2 { came.saturating_add_signed(offset) } else { came };
            (process, process, signed, came)
        });
        let found = turns.filter(|sent| see(&mut processes, *sent).is_some()).count();
        assert!(found > 10, "{found} with a clock that is {offset} ms off");
    }
}

#[test]
fn many_copies_are_found_though_there_is_no_room_for_all() {
    for copies in [3, 4, 50] {
        let sent: Vec<_> = (0..3 * copies).map(|n| (n % copies + 1, n % copies, u64::from(n) * 10)).collect();
        let shown = shown(&prompt(&sent));
        let first = shown.iter().position(Option::is_some).unwrap();
        assert_eq!(first, usize::from(copies), "the first that comes back shows it");
        assert!(shown.iter().flatten().all(|(kind, _)| *kind == CopiesKind::Clone));
    }
}

#[test]
fn a_process_counts_for_a_day() {
    let sent = |later| prompt(&[(1, 1, 10), (2, 2, 20), (1, 1, 10 + later)]);
    assert_eq!(shown(&sent(WINDOW_MS)).last(), Some(&clone(1, 2)));
    assert!(none(&sent(WINDOW_MS + 1)), "a machine that is put back to what it was long ago");
    // The place of one that is forgotten is free again.
    let mut later = prompt(&[(1, 1, 10), (2, 2, 20), (3, 3, 30)]);
    later.extend(prompt(&[(4, 4, WINDOW_MS + 100), (5, 5, WINDOW_MS + 110), (4, 4, WINDOW_MS + 120)]));
    assert_eq!(shown(&later).last(), Some(&clone(4, 5)));
}

#[test]
fn a_process_that_moved_to_where_the_other_was_is_not_taken_for_a_clone() {
    let kinds = |sent: &[(u8, u8, u64)]| shown(&prompt(sent)).last().copied().flatten().map(|(kind, _)| kind);
    assert_eq!(kinds(&[(1, 1, 10), (2, 1, 20), (1, 2, 30)]), Some(CopiesKind::Shared));
    assert_eq!(kinds(&[(1, 1, 10), (2, 2, 20), (1, 2, 30)]), Some(CopiesKind::Shared));
    assert_eq!(kinds(&[(1, 1, 10), (2, 2, 20), (1, 3, 30)]), Some(CopiesKind::Clone));
}

#[test]
fn an_address_is_one_in_either_form() {
    let mut processes = Processes::default();
    let mut saw = |process: u8, address: &str, at| {
        let process = Process::of(Instance([process; 16]));
        processes
            .saw(Sighting { process, address: address.parse().unwrap(), at: UnixMillis(at) }, UnixMillis(at))
    };
    assert_eq!(saw(1, "192.0.2.1", 10), None);
    assert_eq!(saw(2, "::ffff:192.0.2.1", 20), None);
    let found = saw(1, "192.0.2.1", 30).unwrap();
    assert_eq!((found.kind, found.addresses), (CopiesKind::Shared, [address(1), address(1)]));
}

#[test]
fn what_others_are_told_is_the_latest_and_is_known() {
    let mut processes = Processes::default();
    assert_eq!(processes.latest(), None);
    see(&mut processes, (1, 1, 10, 10));
    see(&mut processes, (2, 2, 30, 30));
    see(&mut processes, (1, 1, 20, 40));
    let latest = processes.latest().unwrap();
    assert_eq!(
        (latest.process, latest.address, latest.at.0),
        (Process::of(Instance([2; 16])), address(2), START + 30)
    );
    assert!(processes.knows(&latest));
    assert!(!processes.knows(&Sighting { at: UnixMillis(START + 31), ..latest }));
    assert!(!processes.knows(&Sighting { process: Process::of(Instance([3; 16])), ..latest }));
}

#[test]
fn a_process_goes_into_the_database_and_back() {
    for instance in [[0; 16], [7; 16], [255; 16]] {
        let process = Process::of(Instance(instance));
        assert_eq!(process.to_string().parse(), Ok(process));
    }
    for text in ["", "0000000000000000", "+000000000000001", "7", "0000000000000001 ", "000000000000000A"] {
        assert_eq!(text.parse::<Process>(), Err(UnknownProcess), "{text}");
    }
}

#[test]
fn it_is_small() {
    assert_eq!(size_of::<Processes>(), 128);
}

proptest! {
    /// Processes that follow one another, each with a right clock, each request on its way for some time.
    #[test]
    fn no_row_of_restarts_is_taken_for_copies(
        steps in prop::collection::vec((any::<bool>(), 1_u64..100_000, 0_u64..30_000, 0_u8..4), 1..200)
    ) {
        let (mut process, mut clock) = (1_u8, 0);
        let mut sent: Vec<Sent> = Vec::new();
        for (anew, pause, way, host) in steps {
            clock += pause;
            process = process.wrapping_add(u8::from(anew)).max(1);
            sent.push((process, host, clock, clock + way));
        }
        // A number that comes round again would be no restart.
        prop_assume!(sent.iter().map(|sent| sent.0).is_sorted());
        sent.sort_by_key(|sent| sent.3);
        prop_assert!(none(&sent));
    }

    /// Two or more that live all the time and ask in any order: found as soon as each came twice, at the latest.
    #[test]
    fn copies_are_found_once_each_came_twice(turns in prop::collection::vec((0_u8..2, 1_u64..600_000), 4..60)) {
        let mut clock = 0;
        let sent: Vec<_> = turns.iter().map(|&(copy, pause)| { clock += pause; (copy + 1, copy, clock) }).collect();
        let changes = sent.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
        let found = shown(&prompt(&sent)).iter().flatten().count();
        prop_assert_eq!(found, changes.saturating_sub(1));
    }

    /// Whatever comes, in whatever order: no more is remembered than there is room for, each once.
    #[test]
    fn anything_is_taken_in(sent in prop::collection::vec((0_u8..6, 0_u8..3, any::<u64>(), any::<u64>()), 0..60)) {
        let mut processes = Processes::default();
        for (process, host, signed, came) in sent {
            let process = Process::of(Instance([process; 16]));
            let sighting = Sighting { process, address: address(host), at: UnixMillis(signed) };
            processes.saw(sighting, UnixMillis(came));
            prop_assert_eq!(processes.seen[0].map(|seen| seen.process), Some(process));
            let mut all: Vec<_> = processes.seen.iter().flatten().map(|seen| seen.process.0).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count);
        }
    }
}
