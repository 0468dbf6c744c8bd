use std::process::{Child, Stdio};
use std::sync::OnceLock;

use super::postgres::{PASSWORD, Postgres, url};
use super::{Home, free_port, unprivileged, wait_for};

/// A `PgBouncer` that pools transactions: two statements of one client may go over two
/// connections, unless they are in one transaction.
pub(crate) struct PgBouncer {
    port: u16,
    process: Child,
    _home: Home,
}

impl PgBouncer {
    /// The one before the server that all tests of this binary share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<PgBouncer> = OnceLock::new();
        SHARED.get_or_init(|| Self::before(Postgres::shared()))
    }

    /// One before a server, with at most 20 connections to it for each database.
    pub(crate) fn before(server: &Postgres) -> Self {
        let home = Home::new("pgbouncer", "pid");
        let folder = home.path().display();
        let port = free_port();
        let users = home.path().join("users");
        std::fs::write(users, format!("\"postgres\" \"{PASSWORD}\"\n")).unwrap();
        let server = server.port();
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = {folder}/users\n\
             logfile = {folder}/log\n\
             pidfile = {folder}/pid\n\
             pool_mode = transaction\n\
             server_round_robin = 1\n\
             max_client_conn = 500\n\
             default_pool_size = 20\n"
        );
        let file = home.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let process = unprivileged("pgbouncer")
            .arg("-q")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is installed");
        wait_for("PgBouncer listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, process, _home: home }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database through it.
    pub(crate) fn url_of(&self, database: &str) -> String {
        url(self.port, database)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        super::signal(self.process.id(), "QUIT");
        let _ = self.process.wait();
    }
}
