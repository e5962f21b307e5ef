//! Alerts and dashboards, by Prometheus itself: what they name must be what a real KDC shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keycell_tests::cell::{Cell, binary, free_address};
use keycell_tests::wait::{until, until_blocking};
use serde_json::Value;

use super::promql::metrics;
use super::{file, text, tool};

/// A program of Prometheus.
pub(crate) fn program(name: &str) -> PathBuf {
    // target/debug/keycell
    let target = binary().parent().and_then(Path::parent).unwrap().to_owned();
    let program = target.join("prometheus").join(name);
    assert!(program.is_file(), "there is no {}: tests/prometheus/install puts it there", program.display());
    program
}

/// The alerts: their names and expressions.
fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_norway::from_str(&text("prometheus/alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let word = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
    rules.map(|rule| (word(rule, "alert"), word(rule, "expr"))).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/keycell.json")).unwrap()
}

/// The dashboard's expressions, as Grafana sends them when all is chosen.
fn panels() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let mut found = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            found.push((panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap()));
        }
    }
    found.push(("annotations", dashboard["annotations"]["list"][0]["expr"].as_str().unwrap()));
    let filled = |expr: &str| {
        let expr = expr.replace("$__rate_interval", "1m").replace("$instance", ".+").replace("$job", ".+");
        assert!(!expr.contains('$'), "{expr}: a variable that the dashboard does not have");
        expr
    };
    found.into_iter().map(|(title, expr)| (title.to_owned(), filled(expr))).collect()
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    let promtool = program("promtool");
    tool(Command::new(&promtool).args(["check", "rules"]).arg(file("prometheus/alerts.yaml")));
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/alerts.yaml");
    tool(Command::new(&promtool).args(["test", "rules"]).arg(&tests));
    let tests = fs::read_to_string(tests).unwrap();
    let untested = alerts().into_iter().map(|(name, _)| name);
    let untested: Vec<_> =
        untested.filter(|name| !tests.contains(&format!("'{{alertname=\"{name}\"}}', value: 1"))).collect();
    assert!(untested.is_empty(), "no scenario makes these fire: {untested:?}");
}

#[test]
fn the_dashboards_expressions_are_promql() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml");
    let record = |(at, (_, expr)): (usize, &(String, String))| serde_json::json!({ "record": format!("panel:{at}"), "expr": expr });
    let records: Vec<_> = panels().iter().enumerate().map(record).collect();
    let file = serde_json::json!({ "groups": [{ "name": "panels", "rules": records }] });
    fs::write(&rules, file.to_string()).unwrap();
    tool(Command::new(program("promtool")).args(["check", "rules"]).arg(rules));
}

#[test]
fn the_dashboard_is_laid_out() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its number is another's");
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies over another");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{title} says nothing");
        }
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let manual = fs::read_to_string(file("../docs/operations.md")).unwrap();
    let sections: Vec<(&str, &str)> = manual
        .split("\n### ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .filter(|(title, _)| title.starts_with("Keycell"))
        .collect();
    let told: BTreeSet<_> = sections.iter().map(|(title, _)| (*title).to_owned()).collect();
    assert_eq!(told.len(), sections.len(), "a section twice");
    let named: BTreeSet<_> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, told, "the alerts, and the sections of docs/operations.md");
    for (title, section) in sections {
        let section = section.split("\n## ").next().unwrap();
        for part in ["**Means:**", "**Do:**", "**Safe to ignore:**"] {
            assert!(section.contains(part), "{title} does not say {part}");
        }
    }
    let rules = text("prometheus/alerts.yaml");
    for name in named {
        let link = format!("docs/operations.md#{}\n", name.to_lowercase());
        assert!(rules.contains(&link), "{name} does not lead to its section");
    }
}

/// What is counted of another zone is there once that was asked.
fn ask_abroad(cell: &Cell, other: &Cell) {
    let of = |cell: &Cell, file: &str| cell.folder().join(file).to_str().unwrap().to_owned();
    cell.run(&["bundle", "--out", "own.bundle"]).succeeded();
    let (ours, theirs) = (format!("*@{}", cell.zone()), format!("*@{}", other.zone()));
    let lists = ["--source", &ours, "--destination", &theirs];
    let bundle = of(cell, "own.bundle");
    let offer = ["trust", "offer", "--bundle", &bundle, "--output", "to.offer"];
    other.run(&[&offer[..], &lists[..]].concat()).succeeded();
    let fingerprint = other.run(&["bundle", "--fingerprint"]).succeeded().stdout;
    let offer = of(other, "to.offer");
    let accept = ["trust", "accept", &offer, "--fingerprint", fingerprint.trim()];
    cell.run(&[&accept[..], &lists[..]].concat()).succeeded();
    cell.run(&["party", "add", "a"]).succeeded();
    let refused = cell.run(&["seal", "--key", "a.key", "--to", "nobody@other.internal"]).failed();
    assert!(refused.contains("The destination is unknown"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_one_that_a_kdc_shows() {
    let (cell, other) = (Cell::sqlite(), Cell::of_zone("other.internal"));
    let (kdc, _other_kdc) = (cell.serve(), other.serve());
    ask_abroad(&cell, &other);
    let page = kdc.http().get("/metrics").await.text();
    let mut shown: BTreeSet<String> = ["up", "ALERTS"].into_iter().map(str::to_owned).collect();
    for line in page.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        shown.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    let mut missing = BTreeSet::new();
    for (place, expr) in alerts().into_iter().chain(panels()) {
        let named = metrics(&expr);
        assert!(!named.is_empty(), "{place}: {expr}");
        missing.extend(named.into_iter().filter(|name| !shown.contains(name)));
    }
    assert!(missing.is_empty(), "no KDC shows these: {missing:#?}");
}

/// A Prometheus with the alerts, which looks at one KDC.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    fn start(cell: &Cell) -> Self {
        let folder = cell.folder();
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [file("prometheus/alerts.yaml").canonicalize().unwrap()],
            "scrape_configs": [{
                "job_name": "keycell",
                "scheme": "https",
                "tls_config": { "ca_file": cell.file("tls/roots.pem") },
                "static_configs": [{ "targets": [cell.listen().to_string()] }],
            }],
        });
        fs::write(folder.join("prometheus.yaml"), config.to_string()).unwrap();
        let listen = free_address();
        let child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "--"])
            .arg(program("prometheus"))
            .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={listen}"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.join("prometheus.log")).unwrap())
            .spawn()
            .unwrap();
        let prometheus = Self { child, url: format!("http://{listen}/api/v1") };
        until_blocking("Prometheus is up", || prometheus.try_get("rules", &[]));
        prometheus
    }

    fn try_get(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--get", &format!("{}/{path}", self.url)]);
        for (name, value) in parameters {
            curl.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        serde_json::from_slice(&curl.output().unwrap().stdout).ok()
    }

    fn query(&self, expr: &str) -> Vec<Value> {
        let answer = self.try_get("query", &[("query", expr)]).unwrap();
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_a_kdc_and_understands_all() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let prometheus = Prometheus::start(&cell);
    until("a ticket shows in a rate", async || {
        assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
        let rate = prometheus.query("rate(keycell_tickets_issued_total[1m]) > 0");
        (!rate.is_empty()).then_some(())
    })
    .await;
    let mut silent = Vec::new();
    for (title, expr) in panels().into_iter().filter(|(title, _)| title != "annotations") {
        if prometheus.query(&expr).is_empty() {
            silent.push(format!("{title}: {expr}"));
        }
    }
    assert!(silent.is_empty(), "these panels would be empty: {silent:#?}");

    let rules = prometheus.try_get("rules", &[]).unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert_eq!(rules.len(), alerts().len());
    for rule in rules {
        assert_ne!(rule["health"], "err", "{rule}");
    }
}
