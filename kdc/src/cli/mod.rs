//! The command line: one file for each group of commands.

mod admin;
mod audit;
mod backup;
mod bench;
mod bulk;
mod bundle;
mod certificate;
mod check_config;
mod completions;
mod dev;
mod enroll;
mod evidence;
mod group;
mod identity;
mod import;
mod init;
mod inspect;
mod join;
mod join_token;
mod key;
mod limits;
mod man;
mod master_key;
mod migrate;
mod moment;
mod open;
mod output;
mod party;
mod passphrase;
mod policy;
mod profile;
mod ratchet;
mod ready;
mod recipients;
mod reload;
mod restore;
mod seal;
mod serve;
mod status;
mod table;
mod terminal;
mod text;
mod token;
mod trust;
mod whoami;
mod zone;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::config::{Config, Effective, Environment};
use output::{Output, print_error};

/// Runs the command line and says how it ended: 0 done, 1 not done, 2 not understood.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.global.json };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&output, &error),
    };
    match runtime.block_on(run(cli, &output)) {
        Ok(code) => code,
        Err(error) => print_error(&output, &*error),
    }
}

/// The command line as it is declared, for completions and tests.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Where the configuration is unless `--config` or `KEYCELL_CONFIG` says otherwise.
const DEFAULT_CONFIG: &str = "keycell/keycell.toml";

/// What the environment may say.
const ENVIRONMENT: &str = "\
Environment:
  KEYCELL_CONFIG      the configuration of the cell
  KEYCELL_PROFILES    the file of profiles [default: ~/.config/keycell/profiles.toml]
  KEYCELL_PROFILE     the profile of the KDC to administer [default: the file's default]
  KEYCELL_URL         the KDC to administer, before the profile's; several with commas between them
  KEYCELL_ROOTS       the file of root certificates to trust there
  KEYCELL_TOKEN_FILE  the file with the administrator's token [default: admin.token in the cell]
  KEYCELL_TOKEN       the token itself; like its file, only for a KDC and roots that are named, too
  KEYCELL_LOG         the level of the log
  KEYCELL_DATABASE    the URL of the database; like this, every setting of the configuration has a variable that goes
                      before it: KEYCELL_LIMITS__CONNECTIONS for limits.connections

Exit status: 0 done, 1 not done, 2 not understood";

/// What a command ends with: anything that can be printed in one line.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Keycell: keys for every host of a data centre, from one key-distribution centre.
#[derive(Debug, Parser)]
#[command(name = "keycell", version, arg_required_else_help = true, subcommand_required = true, after_help = ENVIRONMENT)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Args)]
struct Global {
    /// The configuration of the cell [default: keycell/keycell.toml]
    #[arg(long, global = true, value_name = "FILE", env = "KEYCELL_CONFIG", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    #[arg(skip)]
    profile: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

/// A command that is carried out by a KDC.
#[derive(Debug, Args)]
struct Remote<C: Args> {
    /// The profile of the KDC to administer; `keycell profile` keeps them
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    command: C,
}

/// A group of commands that are carried out by a KDC.
#[derive(Debug, Args)]
struct Group<C: Subcommand> {
    /// The profile of the KDC to administer; `keycell profile` keeps them
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    #[command(subcommand)]
    command: C,
}

impl Global {
    /// With the profile that a command names.
    fn at(&self, profile: Option<String>) -> Self {
        Self { profile, ..self.clone() }
    }

    fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG))
    }

    /// Reads the configuration. One that nobody named counts only in a folder that no other user can put one in: this
    /// command could have been run anywhere.
    fn config(&self) -> Outcome<Config> {
        Ok(self.effective()?.config)
    }

    /// The same with where each setting came from.
    fn effective(&self) -> Outcome<Effective> {
        let folder =
            Path::new(DEFAULT_CONFIG).parent().filter(|folder| self.config.is_none() && folder.exists());
        if let Some(folder) = folder
            && admin::others_may_change(folder)?
        {
            let folder = folder.display();
            return Err(format!(
                "the folder {folder} is another user's or others can change it: if it is yours, run: chmod go-w {folder}; if it \
                 is a cell that you trust, name its configuration with --config or KEYCELL_CONFIG"
            )
            .into());
        }
        Ok(Effective::load(self.config_path(), &Environment::of_process()?)?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new cell: configuration, master key, certificates, database
    Init(init::Init),
    /// Run the KDC of a cell
    Serve(serve::Serve),
    /// Run a whole cell with a CMA and nanoprobes, to see what it does and to try things on
    Dev(dev::Dev),
    /// Back a cell up into one encrypted file, while its KDC runs
    Backup(backup::Backup),
    /// Put a backup back; nobody whom this machine knows to be revoked comes back with it
    Restore(restore::Restore),
    /// Check a configuration and everything it names, without serving
    CheckConfig,
    /// Make a KDC that runs read its configuration and its certificate again
    Reload(Remote<reload::Reload>),
    /// The server's certificate of a cell with its own root
    #[command(subcommand)]
    Certificate(certificate::Certificate),
    /// Say whether the KDC of this configuration is ready, for health checks
    Ready(ready::Ready),
    /// Bring the database to this release's schema; stop every KDC of the zone first
    Migrate,
    /// The cell at a glance
    Status(Remote<status::Status>),
    /// Say who you are to the KDC, and what you may do
    Whoami(Remote<whoami::Whoami>),
    /// Parties: who has a key in this zone
    Party(Group<party::Party>),
    /// Keys of parties: see and replace them
    Key(Group<key::Key>),
    /// Groups: names that messages to many are sent to
    Group(Group<group::Group>),
    /// The policy: who may speak to whom
    Policy(Group<policy::Policy>),
    /// Administrators' tokens
    Token(Group<token::Token>),
    /// Hosts that come aboard by themselves: who may, who waits
    Enroll(Group<enroll::Enroll>),
    /// Join tokens: what lets hosts in that nobody knows yet
    JoinToken(Group<join_token::JoinToken>),
    /// Trust with other zones: whose parties may speak to whom over the border
    Trust(Group<trust::Trust>),
    /// Settings that hold for the whole zone
    Zone(Group<zone::Zone>),
    /// How often an address or a party may ask
    Limits(Group<limits::Limits>),
    /// Print or write the bundle: where the zone's KDCs are, and by which keys they are known
    Bundle(Remote<bundle::Write>),
    /// The KDC's identities: by which keys it is known
    Identity(Group<identity::Identity>),
    /// The master key, which wraps every key in the database
    MasterKey(Group<master_key::MasterKey>),
    /// How keys at rest turn with the time
    Ratchet(Group<ratchet::Ratchet>),
    /// The audit log
    Audit(Group<audit::Audit>),
    /// Profiles: where KDCs are, kept on this machine
    #[command(subcommand)]
    Profile(profile::Profile),
    /// Let this host come aboard: a key pair of its own, and a key file from the KDC
    Join(join::Join),
    /// Seal a message with a party's key
    Seal(seal::Seal),
    /// Open messages with a party's key
    Open(open::Open),
    /// What an agent kept of a message, to show who wrote it
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Say what a message or ticket claims, and with a key which check it fails
    Inspect(inspect::Inspect),
    /// Put load on a KDC and say what it costs
    Bench(bench::Bench),
    /// Print the completions of a shell
    Completions(completions::Completions),
    /// Write the manual, a page for every command
    Man(man::Man),
}

async fn run(cli: Cli, output: &Output) -> Outcome<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Init(init) => init.run(global, output).await?,
        Command::Serve(serve) => serve.run(global).await?,
        Command::Backup(backup) => return backup.run(global, output).await,
        Command::Restore(restore) => restore.run(output).await?,
        Command::Reload(reload) => reload.command.run(&global.at(reload.profile), output).await?,
        Command::Certificate(certificate) => certificate.run(&global.config()?, output)?,
        Command::Dev(dev) => dev.run(output).await?,
        Command::CheckConfig => check_config::run(global.effective()?, output).await?,
        Command::Ready(ready) => ready.run(global, output).await?,
        Command::Migrate => migrate::run(&global.config()?, output).await?,
        Command::Status(status) => return status.command.run(&global.at(status.profile), output).await,
        Command::Whoami(whoami) => whoami.command.run(&global.at(whoami.profile), output).await?,
        Command::Party(party) => return party.command.run(&global.at(party.profile), output).await,
        Command::Key(key) => key.command.run(&global.at(key.profile), output).await?,
        Command::Group(group) => group.command.run(&global.at(group.profile), output).await?,
        Command::Policy(policy) => policy.command.run(&global.at(policy.profile), output).await?,
        Command::Token(token) => token.command.run(&global.at(token.profile), output).await?,
        Command::Enroll(enroll) => enroll.command.run(&global.at(enroll.profile), output).await?,
        Command::JoinToken(token) => token.command.run(&global.at(token.profile), output).await?,
        Command::Trust(trust) => trust.command.run(&global.at(trust.profile), output).await?,
        Command::Zone(zone) => zone.command.run(&global.at(zone.profile), output).await?,
        Command::Limits(limits) => limits.command.run(&global.at(limits.profile), output).await?,
        Command::Bundle(bundle) => bundle.command.run(&global.at(bundle.profile), output).await?,
        Command::Identity(identity) => {
            identity.command.run(&global.at(identity.profile), output).await?;
        }
        Command::MasterKey(master_key) => {
            master_key.command.run(&global.at(master_key.profile), output).await?;
        }
        Command::Ratchet(ratchet) => ratchet.command.run(&global.at(ratchet.profile), output).await?,
        Command::Audit(audit) => return audit.command.run(&global.at(audit.profile), output).await,
        Command::Profile(profile) => profile.run(output)?,
        Command::Join(join) => return join.run(output).await,
        Command::Seal(seal) => seal.run(output).await?,
        Command::Open(open) => return open.run(output).await,
        Command::Evidence(evidence) => evidence.run(output)?,
        Command::Inspect(inspect) => return inspect.run(output),
        Command::Bench(bench) => bench.run(global, output).await?,
        Command::Completions(completions) => completions.run()?,
        Command::Man(man) => man.run(output)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_the_command_line_are_explained_and_no_others_are_kept_from_the_settings() {
        for name in crate::config::COMMAND_LINE {
            assert!(ENVIRONMENT.contains(&format!("  {name} ")), "{name}");
        }
        let named = ENVIRONMENT.lines().filter_map(|line| line.strip_prefix("  KEYCELL_"));
        assert_eq!(named.count(), crate::config::COMMAND_LINE.len() + 2, "and the log and the database");
    }
}
