use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use keyward::PepperRing;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::Result;

/// `PostgreSQL` refuses to run as root.
const SERVER_USER: &str = "postgres";

/// Runs the server until its input ends, whatever ends this process; then stops it by its
/// process id and, unless it was told to stop only, removes the folder.
const KEEPER: &str = r#"
    folder=$1; shift
    "$@" </dev/null & pid=$!
    read -r word
    kill -INT "$pid"; wait "$pid"
    [ "$word" = stop ] || rm -rf "$folder"
"#;

/// A `PostgreSQL` server of this example's own, in a folder that goes with it. It writes
/// to the disk as it would in earnest: `fsync` is on.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    password: String,
    port: u16,
    as_root: bool,
    keeper: Option<Child>,
}

impl Server {
    /// Makes a cluster from the installed programs, and starts it.
    pub(crate) async fn start() -> Result<Self> {
        let programs = programs()?;
        let as_root = output(Command::new("id").arg("-u")).await?.trim() == "0";
        let folder = format!("keyward-multi-node-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder)?;
        let password = PepperRing::generate()?.replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let port = free_port().ok_or("there is no free port")?;
        let mut server = Self { programs, folder, password, port, as_root, keeper: None };
        let made = server.make().await;
        if made.is_err() {
            std::fs::remove_dir_all(&server.folder)?;
        }
        made?;
        server.run("data").await?;
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        let Self { password, port, .. } = self;
        format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres")
    }

    /// Copies the running server, as a backup does.
    pub(crate) async fn copy_to(&self, name: &str) -> Result {
        let mut copy = self.program("pg_basebackup");
        copy.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        copy.args(["-h", "127.0.0.1", "-U", "postgres"]).arg(format!("-p{}", self.port));
        copy.env("PGPASSWORD", &self.password).arg("-D").arg(self.folder.join(name));
        output(&mut copy).await.map(drop)
    }

    /// Puts a copy in the place of the server: same address, other contents.
    pub(crate) async fn replace_by(&mut self, name: &str) -> Result {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut input) = keeper.stdin.take() {
                input.write_all(b"stop\n").await?;
            }
            keeper.wait().await?;
        }
        self.run(name).await
    }

    /// Stops it, and removes its folder.
    pub(crate) async fn end(mut self) -> Result {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().await?;
        }
        Ok(())
    }

    async fn make(&self) -> Result {
        if self.as_root {
            output(Command::new("chown").arg(SERVER_USER).arg(&self.folder)).await?;
        }
        let secret = self.folder.join("password");
        std::fs::write(&secret, &self.password)?;
        let mut initdb = self.program("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres"]);
        initdb.arg("--auth=scram-sha-256").arg(format!("--pwfile={}", secret.display()));
        initdb.arg("-D").arg(self.folder.join("data"));
        output(&mut initdb).await.map(drop)
    }

    async fn run(&mut self, name: &str) -> Result {
        let log = self.folder.join("log");
        let write = std::fs::File::options().create(true).append(true).open(&log)?;
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.folder.join(name)).arg(format!("-p{}", self.port));
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c"]);
        postgres.arg(format!("unix_socket_directories={}", self.folder.display()));
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(&self.folder);
        keeper.arg(postgres.as_std().get_program()).args(postgres.as_std().get_args());
        // A process group of its own: Ctrl-C ends this process first.
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(write).process_group(0);
        self.keeper = Some(keeper.spawn()?);
        let address: PgConnectOptions = self.url().parse()?;
        let start = Instant::now();
        while let Err(error) = address.connect().await {
            if start.elapsed() > Duration::from_secs(30) {
                let log = std::fs::read_to_string(&log)?;
                return Err(format!("PostgreSQL does not start: {error}\n{log}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// One of the server's programs, as a user whom it accepts.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !self.as_root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={SERVER_USER}")).arg(format!("--regid={SERVER_USER}"));
        command.args(["--clear-groups", "--"]).arg(program);
        command
    }
}

/// Where the programs of the newest `PostgreSQL` are.
fn programs() -> Result<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(debian).into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.map(|version| debian.join(version.to_string()).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = newest.into_iter().chain(std::env::split_paths(&path));
    found.into_iter().find(|folder| folder.join("initdb").exists()).ok_or_else(|| {
        "PostgreSQL is not installed: there is no `initdb` under /usr/lib/postgresql or in PATH. \
         Install it (on Debian: `apt install postgresql`), or give the URL of a server in \
         KEYWARD_DATABASE"
            .into()
    })
}

/// A port that no connection is given for its own end, so that it is still free when the
/// server comes back.
fn free_port() -> Option<u16> {
    let first = std::process::id().wrapping_mul(61);
    let ports = (0..20_000).filter_map(|n| u16::try_from(10_000 + (first + n) % 20_000).ok());
    ports.into_iter().find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// What a command says, which must succeed.
async fn output(command: &mut Command) -> Result<String> {
    let name = command.as_std().get_program().to_owned();
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| format!("{}: {error}", name.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed: {said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
