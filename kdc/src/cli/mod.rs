//! The command line: one file for each group of commands.

mod admin;
mod bench;
mod check_config;
mod completions;
mod dev;
mod init;
mod inspect;
mod open;
mod output;
mod party;
mod seal;
mod serve;
mod text;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
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
  KEYCELL_URL         the KDC to administer [default: the first URL of the configuration]
  KEYCELL_ROOTS       the file of root certificates to trust there
  KEYCELL_TOKEN_FILE  the file with the administrator's token [default: admin.token in the cell]
  KEYCELL_TOKEN       the token itself
  KEYCELL_DATABASE    the URL of the database, before the configuration's
  KEYCELL_LOG         the level of the log, before the configuration's

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

#[derive(Debug, Args)]
struct Global {
    /// The configuration of the cell
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "KEYCELL_CONFIG",
        default_value = DEFAULT_CONFIG
    )]
    config: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

impl Global {
    fn config(&self) -> Outcome<Config> {
        Ok(Config::load(&self.config, std::env::var("KEYCELL_DATABASE").ok())?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new cell: configuration, master key, certificates, database
    Init(init::Init),
    /// Run the KDC of a cell
    Serve,
    /// Run a whole cell with a CMA and nanoprobes, to see what it does and to try things on
    Dev(dev::Dev),
    /// Check a configuration and everything it names, without serving
    CheckConfig,
    /// Administrators' tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Parties: who has a key in this zone
    #[command(subcommand)]
    Party(party::Party),
    /// Seal a message with a party's key
    Seal(seal::Seal),
    /// Open messages with a party's key
    Open(open::Open),
    /// Say what a message or ticket claims, and with a key which check it fails
    Inspect(inspect::Inspect),
    /// Put load on a KDC and say what it costs
    Bench(bench::Bench),
    /// Print the completions of a shell
    Completions(completions::Completions),
}

async fn run(cli: Cli, output: &Output) -> Outcome<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Init(init) => init.run(global, output).await?,
        Command::Serve => serve::run(&global.config()?).await?,
        Command::Dev(dev) => dev.run(output).await?,
        Command::CheckConfig => check_config::run(&global.config()?, output).await?,
        Command::Token(token) => token.run(global, output).await?,
        Command::Party(party) => party.run(global, output).await?,
        Command::Seal(seal) => seal.run(output).await?,
        Command::Open(open) => return open.run(output),
        Command::Inspect(inspect) => return inspect.run(output),
        Command::Bench(bench) => bench.run(global, output).await?,
        Command::Completions(completions) => completions.run()?,
    }
    Ok(ExitCode::SUCCESS)
}
