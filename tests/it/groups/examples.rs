//! The example programs, as their documentation runs them: a CMA that asks a whole group by one message.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use keycell_tests::cell::{Cell, binary, ended};

use super::fleet::{GROUP, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cma_asks_the_group_and_every_nanoprobe_answers() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["group", "create", GROUP, "--author-proof"]).succeeded();
    cell.run(&["party", "add", "cma.main"]).succeeded();
    let mut nanoprobes: Vec<_> =
        ["nanoprobe.one", "nanoprobe.two"].iter().map(|local| Nanoprobe::start(&cell, local)).collect();

    let mut cma = example(&cell, "cma");
    cma.args(["--key", "cma.main.key", "--first-use", "--once", "--listen", "127.0.0.1:0"]);
    cma.args(["--group", name(GROUP).as_str()]);
    for nanoprobe in &nanoprobes {
        cma.arg("--host").arg(format!("{}={}", name(nanoprobe.local), nanoprobe.address));
    }
    let told = ended(&mut cma).succeeded();
    for nanoprobe in &nanoprobes {
        assert!(told.stdout.contains(name(nanoprobe.local).as_str()), "{}", told.stdout);
    }
    assert_eq!(told.stderr, "");

    // Each answered messages to the group, under the ticket that it has for that.
    for nanoprobe in &mut nanoprobes {
        let log = nanoprobe.told("answered Os");
        assert!(!log.contains("not obeyed") && !log.contains("not answered"), "{log}");
    }
    let metrics = kdc.http().get("/metrics").await.text();
    // Two members and the keys for each; the CMA's voucher, and nobody else's.
    assert!(metrics.contains("keycell_group_keys_total 2\n"), "{metrics}");
    assert!(metrics.contains("keycell_vouchers_total 1\n"), "{metrics}");
}

/// A running nanoprobe. Dropping it kills it.
struct Nanoprobe {
    local: &'static str,
    address: String,
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Nanoprobe {
    /// Starts one, and waits until it hears its group.
    fn start(cell: &Cell, local: &'static str) -> Self {
        cell.run(&["party", "add", local]).succeeded();
        let mut command = example(cell, "nanoprobe");
        command.args(["--key", &format!("{local}.key"), "--cma", name("cma.main").as_str(), "--first-use"]);
        command.args(["--group", name(GROUP).as_str(), "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut nanoprobe = Self { local, address: String::new(), child, log };
        let told = nanoprobe.told("hears what is said to");
        let (_, rest) = told.split_once(" listens on ").unwrap();
        nanoprobe.address = rest.split(' ').next().unwrap().to_owned();
        nanoprobe
    }

    /// What it told, up to this: it answers first, and tells then.
    fn told(&mut self, what: &str) -> String {
        let mut told = String::new();
        while !told.contains(what) {
            assert!(self.log.read_line(&mut told).unwrap() > 0, "{} ended: {told}", self.local);
        }
        told
    }
}

impl Drop for Nanoprobe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example program, built beside the binary.
fn example(cell: &Cell, program: &str) -> Command {
    let path = binary().with_file_name("examples").join(program);
    assert!(
        path.is_file(),
        "there is no {}: build it first with `cargo build --workspace --all-targets`, as tests/run does",
        path.display()
    );
    let mut command = Command::new(path);
    command.current_dir(cell.folder()).stdin(Stdio::null());
    command
}
