//! The units, by systemd's own tools. They work on files: no systemd need run here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keycell_tests::cell::{Cell, binary, free_address};
use keycell_tests::http::Http;
use keycell_tests::wait::until_blocking;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::commands::{complaint, unknown_variables};
use super::{file, text, tool};

const SERVICES: [&str; 2] = ["keycell.service", "keycell-backup.service"];

/// A machine's folders with the package in them.
fn machine() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| {
        let to = root.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file(&format!("systemd/{from}")), to).unwrap();
    };
    for unit in ["keycell.service", "keycell-backup.service", "keycell-backup.timer"] {
        put(unit, &format!("usr/lib/systemd/system/{unit}"));
    }
    put("keycell.sysusers", "usr/lib/sysusers.d/keycell.conf");
    put("keycell.tmpfiles", "usr/lib/tmpfiles.d/keycell.conf");
    fs::create_dir_all(root.path().join("etc")).unwrap();
    root
}

/// The values of a setting, in their order.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| *name == setting).map(|(_, value)| value).collect()
}

/// The words of a command of a unit; in one that a shell runs, those of what the shell ends up as.
fn words(line: &str) -> Vec<String> {
    let line = line.replace("%%", "%");
    match line.strip_prefix("/bin/sh -c 'exec ") {
        None => line.split(' ').map(str::to_owned).collect(),
        Some(script) => {
            let script = format!("printf '%s\\n' {}", script.trim_end_matches('\''));
            tool(Command::new("sh").args(["-c", &script])).lines().map(str::to_owned).collect()
        }
    }
}

#[test]
fn systemd_understands_every_line() {
    // With a program in its place, since the package is not installed here.
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for unit in ["keycell.service", "keycell-backup.service", "keycell-backup.timer"] {
        let to = folder.path().join(unit);
        let here =
            text(&format!("systemd/{unit}")).replace("/usr/bin/keycell", &binary().display().to_string());
        fs::write(&to, here).unwrap();
        units.push(to);
    }
    let printed = tool(Command::new("systemd-analyze").arg("verify").args(&units));
    assert_eq!(printed, "");
    fs::write(&units[0], "[Service]\nType=notify\nExecStart=/bin/true\nProtectHome=maybe\n").unwrap();
    let printed = tool(Command::new("systemd-analyze").arg("verify").arg(&units[0]));
    assert!(printed.contains("protect home"), "a mistake is told of: {printed}");
}

#[test]
fn what_a_taken_over_kdc_can_reach_is_little() {
    for unit in SERVICES {
        let path = file(&format!("systemd/{unit}"));
        let mut analyze = Command::new("systemd-analyze");
        // In tenths: more than 2.0 is an error.
        analyze.args(["security", "--offline=yes", "--threshold=20", "--no-pager"]).arg(path);
        let printed = tool(&mut analyze);
        let level = printed.lines().find_map(|line| line.split_once("Overall exposure level for "));
        let level = level.unwrap().1.split_whitespace().nth(1).unwrap();
        assert!(level.parse::<f64>().unwrap() <= 2.0, "{unit}: {level}");
    }
}

#[test]
fn users_and_folders_are_made() {
    let root = machine();
    let at_root = format!("--root={}", root.path().display());
    tool(Command::new("systemd-sysusers").arg(&at_root));
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(users.contains("keycell:"), "{users}");
    let list = tool(Command::new("systemd-tmpfiles").args(["--cat-config", &at_root]));
    for (folder, owner) in
        [("/etc/keycell", "root"), ("/var/lib/keycell", "keycell"), ("/var/backups/keycell", "keycell")]
    {
        let line = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = line.into_iter().find(|words| words.get(1) == Some(&folder));
        assert_eq!(line.unwrap()[..], ["d", folder, "0700", owner, owner, "-"]);
    }
    for unit in SERVICES {
        let unit = text(&format!("systemd/{unit}"));
        assert_eq!(
            (values(&unit, "User"), values(&unit, "StateDirectory")),
            (vec!["keycell"], vec!["keycell"])
        );
    }
}

#[test]
fn every_command_is_one_of_keycells() {
    let mut wrong = Vec::new();
    for unit in SERVICES {
        let unit = text(&format!("systemd/{unit}"));
        let commands = values(&unit, "ExecStart");
        assert_eq!(commands.len(), 1, "{unit}");
        let words = words(commands[0]);
        assert_eq!(words[0], "/usr/bin/keycell", "{words:?}");
        wrong.extend(complaint(&words[1..]));
        wrong.extend(unknown_variables(&unit));
        // Where the commands of docs/operations.md make the cell.
        assert_eq!(values(&unit, "Environment"), ["KEYCELL_CONFIG=/var/lib/keycell/keycell.toml"]);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The commands under "With systemd" in docs/operations.md, in folders of this test's own and without the steps that change
/// the machine: who runs it, and systemd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manual_installs_a_kdc_with_its_key_as_a_credential() {
    let manual = fs::read_to_string(file("../docs/operations.md")).unwrap();
    let (_, section) = manual.split_once("### With systemd").unwrap();
    let mut blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (install, use_it) = (blocks.next().unwrap(), blocks.next().unwrap());
    let root = tempfile::tempdir().unwrap();
    let root_path = root.path().display().to_string();
    let address = free_address();
    let script = format!("{install}\n{use_it}\nkeycell check-config\n")
        .replace("/var/lib/keycell", &format!("{root_path}/cell"))
        .replace("/etc/keycell", &format!("{root_path}/etc"))
        .replace("/usr/lib/", &format!("{root_path}/lib/"))
        .replace(" && systemd-sysusers", "")
        .replace(" && systemd-tmpfiles --create", "")
        .replace("setpriv --reuid=keycell --regid=keycell --clear-groups \\\n", "")
        .replace("systemctl enable --now keycell.service", "")
        .replace("0.0.0.0:8443", &address.to_string());
    assert!(!script.contains("systemctl") && !script.contains("setpriv"), "{script}");
    for folder in ["cell", "etc", "lib/systemd/system", "lib/sysusers.d", "lib/tmpfiles.d"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let script = format!("cp {}/* .\n{script}", file("systemd").display());
    let mut shell = Command::new("bash");
    shell.args(["-euxo", "pipefail", "-c", &script]).current_dir(root.path()).env("PATH", path);
    let printed = tool(&mut shell);
    assert!(printed.contains("The configuration is good: zone cell1.internal"), "{printed}");
    assert!(printed.contains("is in rescue.token"), "{printed}");
    assert!(!root.path().join("cell/master.key").exists() && root.path().join("etc/master.key").exists());
}

/// What the filter of system calls refuses would be an error that no test sees and every machine has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_makes_no_system_call_that_the_unit_refuses() {
    let cell = Cell::sqlite();
    let calls = cell.folder().join("calls");
    let traced = Traced::serve(&cell, &calls);
    let http = Http::new(&format!("https://{}", cell.listen()), &cell.roots(), None);
    let admin = http.clone().with_token(&cell.token("admin"));
    let (a, b) = (admin.add("a@test.internal").await, admin.add("b@test.internal").await);
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    assert_eq!(b.refusal(&http, "a@test.internal").await, None);
    admin.assert_intact().await;
    assert_eq!(http.get("/metrics").await.status, 200);
    drop((http, admin));
    traced.end();

    let mut made = calls_in(&fs::read_to_string(&calls).unwrap());
    assert!(made.contains("fsync") && made.contains("accept4"), "{made:?}");
    if geteuid().is_root() {
        // As root, and only then, SQLite gives its side files to the owner of the database.
        made.remove("fchown");
    }
    for unit in SERVICES {
        let unit = text(&format!("systemd/{unit}"));
        let filters = values(&unit, "SystemCallFilter");
        let allowed =
            filters.iter().fold(set("@default"), |allowed, filter| match filter.strip_prefix('~') {
                Some(refused) => &allowed - &sets(refused),
                None => &allowed | &sets(filter),
            });
        assert!(!allowed.contains("mount") && !allowed.contains("ptrace"), "{allowed:?}");
        let refused: Vec<_> = made.difference(&allowed).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

/// A KDC under `strace`.
struct Traced {
    strace: Child,
    log: PathBuf,
}

impl Traced {
    fn serve(cell: &Cell, calls: &Path) -> Self {
        let mut command = cell.command();
        let program = command.get_program().to_owned();
        let variables: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command = Command::new("strace");
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let log = cell.folder().join("traced.log");
        // The calls before the program itself are strace's own: systemd makes them before the filter holds.
        command.args(["-f", "-qq", "-o"]).arg(calls).arg(program).arg("serve");
        command.current_dir(cell.folder()).stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let strace = command.spawn().unwrap();
        let traced = Self { strace, log };
        until_blocking("the KDC is up", || std::net::TcpStream::connect(cell.listen()).ok());
        traced
    }

    /// Asks the KDC to stop; strace ends with it.
    fn end(mut self) {
        let tracer = self.strace.id();
        let children = format!("/proc/{tracer}/task/{tracer}/children");
        let kdc: i32 = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(kdc).unwrap(), Signal::TERM).unwrap();
        let ended = self.strace.wait().unwrap();
        assert!(ended.success(), "{ended}: {}", fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.strace.kill();
    }
}

/// The names of the calls of a trace: `PID NAME(…`, or `PID <... NAME resumed>`.
fn calls_in(trace: &str) -> BTreeSet<String> {
    let calls = trace.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let is_name =
        |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    calls.map(|(name, _)| name.to_owned()).filter(|name| !name.is_empty() && is_name(name)).collect()
}

fn sets(names: &str) -> BTreeSet<String> {
    names.split(' ').flat_map(set).collect()
}

/// The calls of one of systemd's sets, and of those in it.
fn set(name: &str) -> BTreeSet<String> {
    let printed = tool(Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", name]));
    let lines = printed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.filter(|line| *line != name);
    lines.flat_map(|line| if line.starts_with('@') { set(line) } else { [line.to_owned()].into() }).collect()
}
