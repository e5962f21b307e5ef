//! The image, built and run here without an engine or a registry; and the zone of `compose.yaml`, as far as it can be told
//! without one. What is not run: compiling inside the build stage (the release build of tests/run is the same command),
//! the images of others, and Compose itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keycell_tests::cell::{binary, free_address};
use keycell_tests::wait::until_blocking;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::commands::{complaint, unknown_variables};
use super::{file, output, text, tool};

/// buildah with a storage of its own, that is gone when the test is.
struct Builder {
    folder: TempDir,
}

impl Builder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn buildah(&self, command: &str) -> Command {
        let mut buildah = Command::new("buildah");
        buildah.arg("--root").arg(self.at("root")).arg("--runroot").arg(self.at("run"));
        buildah.args(["--storage-driver", "vfs", command]);
        buildah
    }

    /// The libraries that the binary needs, as an image: in place of the one that the Containerfile names.
    fn base(&self) {
        let libraries = tool(Command::new("ldd").arg(binary()));
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        let base = self.at("base");
        fs::create_dir_all(base.join("tmp")).unwrap();
        for library in libraries {
            let to = base.join(library.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(library, to).unwrap();
        }
        let recipe = self.at("base.containerfile");
        fs::write(&recipe, "FROM scratch\nCOPY / /\n").unwrap();
        tool(self.buildah("build").arg("-f").arg(recipe).args(["-t", "localhost/base"]).arg(base));
    }

    /// What the build stage would leave.
    fn built(&self) -> PathBuf {
        let built = self.at("built");
        fs::create_dir_all(built.join("image/usr/bin")).unwrap();
        fs::create_dir_all(built.join("image/cell")).unwrap();
        tool(Command::new("chmod").arg("0700").arg(built.join("image/cell")));
        tool(Command::new("cp").arg(binary()).arg(built.join("image/usr/bin/keycell")));
        built
    }

    /// The image of the Containerfile's last stage, with the binary that was built beside the tests.
    fn image(&self) -> Value {
        self.base();
        let built = format!("build={}", self.built().display());
        let mut build = self.buildah("build");
        build.args(["--format", "docker", "--build-arg", "BASE=localhost/base", "--build-context", &built]);
        build.arg("-f").arg(file("container/Containerfile")).args(["-t", "localhost/keycell"]);
        fs::create_dir(self.at("context")).unwrap();
        tool(build.arg(self.at("context")));
        let inspected = tool(self.buildah("inspect").args(["--type", "image", "localhost/keycell"]));
        serde_json::from_str(&inspected).unwrap()
    }

    /// A container of it.
    fn container(&self) -> String {
        tool(self.buildah("from").arg("localhost/keycell")).trim().to_owned()
    }

    fn run(&self, container: &str, words: &[&str]) -> Command {
        let mut run = self.buildah("run");
        run.args(["--isolation", "chroot", container, "--"]).args(words);
        run
    }
}

/// A process that ends with the test, and the KDC in the container under it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(kdc) = kdc_under(self.0.id()) {
            stop(kdc, Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn the_image_makes_a_cell_and_serves_it() {
    let builder = Builder::new();
    let image = builder.image();
    let config = &image["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Env"].to_string().matches("KEYCELL_CONFIG=/cell/keycell.toml").count(), 1);
    assert_eq!(strings(&config["Entrypoint"]), ["/usr/bin/keycell"]);
    assert_eq!(strings(&config["Cmd"]), ["serve"]);
    let check = strings(&config["Healthcheck"]["Test"]);
    assert_eq!(check[0], "CMD");

    // As Docker would: entry point and command, as that user, in that folder.
    let container = builder.container();
    let listen = free_address();
    let url = format!("https://localhost:{}", listen.port());
    let listen_everywhere = format!("0.0.0.0:{}", listen.port());
    let init =
        ["/usr/bin/keycell", "init", "--folder", "/cell", "--listen", &listen_everywhere, "--url", &url];
    tool(&mut builder.run(&container, &init));
    let listed = output(&mut builder.run(&container, &check[1..]));
    assert!(!listed.status.success(), "nobody serves yet");

    let command = [strings(&config["Entrypoint"]), strings(&config["Cmd"])].concat();
    let log = fs::File::create(builder.at("log")).unwrap();
    let mut serving = builder.run(&container, &command);
    serving.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut serving = Running(serving.spawn().unwrap());
    until_blocking("the health check holds", || {
        if let Some(status) = serving.0.try_wait().unwrap() {
            panic!("it ended with {status}: {}", fs::read_to_string(builder.at("log")).unwrap());
        }
        output(&mut builder.run(&container, &check[1..])).status.success().then_some(())
    });
    let kdc = kdc_under(serving.0.id()).unwrap();
    let status = fs::read_to_string(format!("/proc/{kdc}/status")).unwrap();
    let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert!(uid.split_whitespace().skip(1).all(|id| id == "65532"), "{uid}");

    stop(kdc, Signal::TERM);
    let ended = serving.0.wait().unwrap();
    let log = fs::read_to_string(builder.at("log")).unwrap();
    assert!(ended.success() && log.contains("stopped"), "{ended}: {log}");
}

/// The KDC among a process and its descendants.
fn kdc_under(process: u32) -> Option<u32> {
    let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    if command == b"/usr/bin/keycell\0serve\0" {
        return Some(process);
    }
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.filter_map(Result::ok);
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children = children.collect::<Vec<_>>().join(" ");
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(kdc_under)
}

fn stop(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), signal).unwrap();
}

fn compose() -> Value {
    let mut compose: serde_norway::Value = serde_norway::from_str(&text("compose/compose.yaml")).unwrap();
    compose.apply_merge().unwrap();
    serde_json::to_value(compose).unwrap()
}

#[test]
fn every_command_and_variable_of_compose_is_keycells() {
    let compose = compose();
    let mut wrong = Vec::new();
    let mut kdcs = BTreeSet::new();
    for (name, service) in compose["services"].as_object().unwrap() {
        if service["image"] != "keycell" {
            continue;
        }
        kdcs.insert(name.as_str());
        let words = if service["command"].is_null() { vec!["serve"] } else { strings(&service["command"]) };
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        wrong.extend(complaint(&words));
        for variable in service["environment"].as_object().unwrap().keys() {
            wrong.extend(refused(variable));
        }
        assert_eq!(service["user"], "65532:65532", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service["environment"].to_string().contains("@database/"), "{name}");
    }
    assert_eq!(kdcs.into_iter().collect::<Vec<_>>(), ["init", "kdc1", "kdc2"]);
    wrong.extend(unknown_variables(&text("container/Containerfile")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether the KDC takes a variable for a setting.
fn refused(variable: &str) -> Option<String> {
    let cell = keycell_tests::cell::Cell::sqlite();
    let database = format!("sqlite:{}", cell.file("keycell.db").display());
    let value = if variable == "KEYCELL_DATABASE" { database } else { cell.file("it").display().to_string() };
    let ended = keycell_tests::cell::ended(cell.command().arg("check-config").env(variable, value));
    (ended.code != Some(0)).then(|| format!("{variable}: {}", ended.stderr))
}

#[test]
fn every_file_that_compose_mounts_is_there() {
    let compose = compose();
    let made_by_hand = ["./cell", "./kdc1", "./kdc2", "./roots.pem"];
    let volumes = compose["volumes"].as_object().unwrap();
    let top = text("compose/compose.yaml");
    for (name, service) in compose["services"].as_object().unwrap() {
        for mount in strings(&service["volumes"]) {
            let source = mount.split(':').next().unwrap();
            if !source.starts_with('.') {
                assert!(volumes.contains_key(source), "{name}: {mount}");
            } else if made_by_hand.contains(&source) {
                let shown = source.trim_start_matches("./");
                let made =
                    top.lines().filter(|line| line.starts_with("#   install ") && line.contains(shown));
                assert!(made.count() > 0, "{name}: nothing says how {source} is made");
            } else {
                assert!(file("compose").join(source).is_file(), "{name}: {source} is not there");
            }
        }
    }
}

#[test]
fn prometheus_and_grafana_of_compose_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    let here = |path: &Path| path.canonicalize().unwrap().display().to_string();
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, "").unwrap();
    let config = text("compose/prometheus.yaml")
        .replace("/etc/prometheus/alerts.yaml", &here(&file("prometheus/alerts.yaml")))
        .replace("/etc/prometheus/roots.pem", &here(&roots));
    let path = folder.path().join("prometheus.yaml");
    fs::write(&path, config).unwrap();
    let printed =
        tool(Command::new(super::prometheus::program("promtool")).args(["check", "config"]).arg(path));
    assert!(printed.contains("rules found"), "{printed}");
    // What Prometheus asks for is what the two KDCs are called.
    let scraped: Value = serde_norway::from_str(&text("compose/prometheus.yaml")).unwrap();
    let compose = compose();
    for target in strings(&scraped["scrape_configs"][0]["static_configs"][0]["targets"]) {
        let service = target.split(':').next().unwrap();
        assert_eq!(compose["services"][service]["image"], "keycell", "{target}");
    }
    let sources: Value = serde_norway::from_str(&text("compose/grafana/datasources.yaml")).unwrap();
    assert_eq!(sources["datasources"][0]["url"], "http://prometheus:9090");
    let providers: Value = serde_norway::from_str(&text("compose/grafana/dashboards.yaml")).unwrap();
    let folder = providers["providers"][0]["options"]["path"].as_str().unwrap();
    let mounts = strings(&compose["services"]["grafana"]["volumes"]);
    assert!(mounts.iter().any(|mount| mount.contains(&format!(":{folder}/keycell.json"))), "{mounts:?}");
}
