use std::fs;

use super::*;

const MINIMAL: &str = r#"
    listen = "127.0.0.1:8443"
    urls = ["https://localhost:8443"]
    database = "sqlite:keycell.db"
    master_key = { file = "master.key" }
    tls = { certificate = "tls/server.pem", key = "tls/server.key", roots = "tls/roots.pem" }
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Config::FILE);
    fs::write(&path, text).unwrap();
    Config::load(&path, None).map(|mut config| {
        let root = format!("{}/", folder.path().display());
        config.database = config.database.replace(&root, "/cell/");
        config
    })
}

#[test]
fn defaults_and_relative_paths() {
    let config = load(MINIMAL).unwrap();
    assert_eq!(config.database, "sqlite:/cell/keycell.db");
    assert_eq!(config.tickets, Tickets::default());
    assert!(config.tls.key.is_absolute() && config.tls.key.ends_with("tls/server.key"));
}

const ISSUER: &str = r#"
    [[oidc]]
    issuer = "https://id.example.com"
    audience = "keycell"
    role_claim = "groups"
    roles = { keycell-admins = "admin" }
    roots = "tls/issuer.pem"
"#;

#[test]
fn issuers_have_their_roots_in_the_folder_too() {
    let config = load(&format!("{MINIMAL}{ISSUER}")).unwrap();
    let roots = config.oidc[0].roots.as_ref().unwrap();
    assert!(roots.is_absolute() && roots.ends_with("tls/issuer.pem"));
    assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    let error = load(&format!("{MINIMAL}{ISSUER}{ISSUER}")).unwrap_err().to_string();
    assert!(error.contains("oidc.issuer: each issuer once"), "{error}");
}

#[test]
fn what_is_written_is_read() {
    let config = load(MINIMAL).unwrap();
    assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn mistakes_are_named() {
    for (extra, says) in [
        ("colour = 1", "colour"),
        ("[tickets]\nlifetime = 900", "lifetime"),
        ("[tickets]\nlifetime_seconds = 5", "lifetime_seconds: 10 to 86400"),
        ("[limits]\ntickets_per_party = { per_second = 1, burst = 10 }", "at least 1000"),
        ("[limits]\nper_address = { per_second = 0, burst = 10 }", "nonzero"),
    ] {
        let error = load(&format!("{MINIMAL}\n{extra}")).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(load("").unwrap_err().to_string().contains("listen"));
    for url in ["http://kdc", "https://", "kdc", "https://bad_host!!", "https://kdc/path", "https://u@kdc"] {
        let error = load(&MINIMAL.replace("https://localhost:8443", url)).unwrap_err().to_string();
        assert!(error.contains("urls: write https://HOST:PORT"), "{url}: {error}");
    }
    let secret = MINIMAL.replace("\"sqlite:keycell.db\"", "\"postgres://u:hunter2@h/d");
    let error = load(&secret).unwrap_err().to_string();
    assert!(!error.contains("hunter2") && error.contains("line 4"), "{error}");
}

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Effective, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Config::FILE);
    fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Effective::load(&path, &Environment::new(variables)?)
}

#[test]
fn a_variable_goes_before_the_file() {
    let text = format!("{MINIMAL}\n[limits]\nconnections = 5\nidle_seconds = 7");
    let effective = with(
        &text,
        &[
            ("KEYCELL_LIMITS__CONNECTIONS", "100"),
            ("KEYCELL_LIMITS__PER_ADDRESS", "{ per_second = 3, burst = 4 }"),
            ("KEYCELL_LISTEN", "127.0.0.1:1"),
            ("KEYCELL_URLS", "[\"https://a\", \"https://b\"]"),
            ("KEYCELL_LOG", "debug"),
            ("KEYCELL_MASTER_KEY__CREDENTIAL", "key"),
            ("KEYCELL_TLS__RENEW", "false"),
            ("PATH", "/bin"),
            ("KEYCELL_SERVICE_HOST", "10.0.0.1"),
            ("KEYCELL_KDC_SERVICE_PORT_HTTPS", "8443"),
            ("KEYCELL_PORT", "tcp://10.0.0.1:8443"),
            ("KEYCELL_KDC_PORT_8443_TCP_ADDR", "10.0.0.1"),
            ("KEYCELL_PROFILE", "of the command line"),
        ],
    )
    .unwrap();
    let config = &effective.config;
    assert_eq!((config.limits.connections, config.limits.idle_seconds), (100, 7));
    assert_eq!(config.limits.per_address, crate::limit::Rate::new(3, 4));
    assert_eq!((config.listen.port(), config.urls.len(), &*config.log.level), (1, 2, "debug"));
    assert_eq!(config.master_key, MasterKeySource::Credential("key".to_owned()));
    assert!(!config.tls.renew);
    let from = |name: &str| {
        let setting = effective.settings.iter().find(|setting| setting.name == name).unwrap();
        (setting.value.clone(), setting.from.to_string())
    };
    assert_eq!(from("limits.connections"), ("100".to_owned(), "KEYCELL_LIMITS__CONNECTIONS".to_owned()));
    assert_eq!(from("limits.per_address.burst"), ("4".to_owned(), "KEYCELL_LIMITS__PER_ADDRESS".to_owned()));
    assert_eq!(from("limits.idle_seconds"), ("7".to_owned(), "line 10".to_owned()));
    assert_eq!(from("log.level"), ("\"debug\"".to_owned(), "KEYCELL_LOG".to_owned()));
    assert_eq!(from("log.format").1, "default");
    assert_eq!(from("tls.key").1, "line 6");
}

#[test]
fn mistakes_in_a_variable_name_it_and_never_its_value() {
    for (name, value, says) in [
        ("KEYCELL_LIMITS__CONNECTION", "5", "the variable KEYCELL_LIMITS__CONNECTION is no setting"),
        ("KEYCELL_DATABSE", "sqlite:x", "the variable KEYCELL_DATABSE is no setting"),
        ("KEYCELL_", "x", "no setting"),
        ("KEYCELL_limits__connections", "5", "no setting"),
        ("KEYCELL_LIMITS__CONNECTIONS", "many", "the variable KEYCELL_LIMITS__CONNECTIONS: invalid type"),
        (
            "KEYCELL_LIMITS__CONNECTIONS",
            "0",
            "the variable KEYCELL_LIMITS__CONNECTIONS: limits.connections: at",
        ),
        ("KEYCELL_LIMITS__PER_ADDRESS__BURST", "5", "KEYCELL_LIMITS__PER_ADDRESS__BURST: missing field"),
        ("KEYCELL_LIMITS", "postgres://u:hunter2@h/d", "the variable KEYCELL_LIMITS: invalid type"),
        ("KEYCELL_LOG__FORMAT", "hunter2", "the variable KEYCELL_LOG__FORMAT: unknown variant"),
        ("KEYCELL_MASTER_KEY", "keycell-master-key-1:1:hunter2", "the variable KEYCELL_MASTER_KEY: "),
    ] {
        let Err(error) = with(MINIMAL, &[(name, value)]) else { panic!("{name}={value} is taken") };
        let error = error.to_string();
        assert!(error.contains(says) && !error.contains("hunter2"), "{name}={value}: {error}");
    }
}

#[test]
fn a_mistake_in_the_file_names_its_line() {
    for (extra, says) in [
        ("[tickets]\nlifetime_seconds = 5", "line 9: tickets.lifetime_seconds"),
        ("[tickets]\n\nlifetime_seconds = \"hunter2\"", "line 10: invalid type"),
        ("[limits]\nconnection = 1", "line 9: unknown field"),
        ("[[oidc]]\nissuer = 5", "line 9: invalid type"),
        ("[limits]\nconnections = 1\nconnections = 1", "line 10: "),
    ] {
        let Err(error) = with(&format!("{MINIMAL}\n{extra}"), &[]) else { panic!("{extra} is taken") };
        let error = error.to_string();
        assert!(error.contains(says) && !error.contains("hunter2"), "{extra}: {error}");
    }
}

#[test]
fn the_variable_that_holds_the_master_key_is_no_setting() {
    let held = ("KEYCELL_MASTER_KEY", "keycell-master-key-1:1:x");
    let file = MINIMAL.replace("{ file = \"master.key\" }", "{ environment = \"KEYCELL_MASTER_KEY\" }");
    let by_variable = ("KEYCELL_MASTER_KEY__ENVIRONMENT", "KEYCELL_MASTER_KEY");
    for (text, variables) in [(&*file, &[held][..]), (MINIMAL, &[held, by_variable])] {
        let config = with(text, variables).unwrap().config;
        assert_eq!(config.master_key, MasterKeySource::Environment("KEYCELL_MASTER_KEY".to_owned()));
    }
}

#[test]
fn a_password_is_shown_nowhere() {
    for url in [
        "postgres://u:hunter2@h/d",
        "postgres://h/d?user=u&password=hunter2",
        "postgres://u:hunter2@h:port/d",
    ] {
        let effective = with(MINIMAL, &[("KEYCELL_DATABASE", url)]).unwrap();
        assert_eq!(effective.config.database, url);
        let setting = effective.settings.iter().find(|setting| setting.name == "database").unwrap();
        assert!(setting.value.contains("***") && !setting.value.contains("hunter2"), "{setting:?}");
    }
}

#[test]
fn what_differs_is_named() {
    let config = load(MINIMAL).unwrap();
    let mut other = config.clone();
    other.limits.connections = 1;
    other.oidc = load(&format!("{MINIMAL}{ISSUER}")).unwrap().oidc;
    assert_eq!(config.differences(&other), ["limits.connections", "oidc"]);
    assert_eq!(other.differences(&config), config.differences(&other));
}
