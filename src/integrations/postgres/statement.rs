use std::fmt::Write;
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor};

use super::error::{Fate, fate};

/// How statements reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Prepared once on each connection, with parameters apart from the text.
    Prepared,
    /// One message that holds all: no transaction pooler can tear it apart.
    Plain,
}

/// A parameter.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Integer(i64),
    Text(&'a str),
}

/// How often a statement that was rolled back for others' sake is run again.
const REPEATS: usize = 8;

/// Goes before a statement, in one message with it: the two are one transaction. Whoever
/// waits for a row then goes on with what it has become.
const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ";

/// An expression that makes the transaction it is in survive a crash, whatever the server's
/// setting.
pub(super) const DURABLE: &str = "CASE WHEN pg_catalog.current_setting('synchronous_commit') \
     IN ('off', 'local', 'remote_write') \
     THEN pg_catalog.set_config('synchronous_commit', 'on', true) END";

/// A statement with `$1`, `$2`… for its parameters, and no other `$`.
#[derive(Clone)]
pub(super) struct Statement(Arc<str>);

impl Statement {
    pub(super) fn new(sql: impl Into<Arc<str>>) -> Self {
        Self(sql.into())
    }

    /// Runs it in a transaction of its own, and gives the rows.
    pub(super) async fn rows(
        &self,
        connection: &mut PgConnection,
        protocol: Protocol,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        if protocol == Protocol::Plain {
            let sql = self.with_literals(values);
            return connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        }
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&self.0)));
        for value in values {
            query = match *value {
                Value::Integer(integer) => query.bind(integer),
                Value::Text(text) => query.bind(text),
            };
        }
        query.fetch_all(connection).await
    }

    /// The same, and again if it was rolled back for others' sake.
    ///
    /// Where a transaction is repeatable or serializable unless it says otherwise, whoever
    /// waited for a row is rolled back, each time anew. So a repeat says otherwise, which
    /// takes a message that isn't prepared, but no second one.
    pub(super) async fn rows_insisting(
        &self,
        connection: &mut PgConnection,
        protocol: Protocol,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut rows = self.rows(connection, protocol, values).await;
        for _ in 0..REPEATS {
            if !rows.as_ref().is_err_and(|error| fate(error) == Fate::RolledBack) {
                break;
            }
            let sql = format!("{READ_COMMITTED}{}", self.with_literals(values));
            rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        }
        rows
    }

    /// The statement with its parameters written into it. Text is spelled in hexadecimal
    /// digits, so that no setting of the server can make anything else of it.
    fn with_literals(&self, values: &[Value<'_>]) -> String {
        let mut sql = String::with_capacity(self.0.len());
        let mut parts = self.0.split('$');
        sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at_checked(digits).unwrap_or_default();
            let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match place.and_then(|place| values.get(place)) {
                Some(Value::Integer(integer)) => {
                    let _ = write!(sql, "({integer})");
                }
                Some(Value::Text(text)) => {
                    sql.push_str("pg_catalog.convert_from(pg_catalog.decode('");
                    for byte in text.bytes() {
                        let _ = write!(sql, "{byte:02x}");
                    }
                    sql.push_str("', 'hex'), 'UTF8')");
                }
                None => sql.push_str("NULL"),
            }
            sql.push_str(rest);
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_nothing_that_ends_them() {
        let statement = Statement::new("SELECT $1::text, $2::bigint WHERE $1 = $12");
        let sql = statement.with_literals(&[Value::Text("a'\\$2"), Value::Integer(-5)]);
        let text = "pg_catalog.convert_from(pg_catalog.decode('61275c2432', 'hex'), 'UTF8')";
        assert_eq!(sql, format!("SELECT {text}::text, (-5)::bigint WHERE {text} = NULL"));
    }
}
