//! The database: connections, and what can go wrong with it.

pub(crate) mod ledger;
pub(crate) mod partitions;
pub(crate) mod schema;

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, Object, Pool, PoolError, Runtime};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::config::Database;

/// One that stores, one that asks whether the database is there, one in reserve.
const CONNECTIONS: usize = 3;
/// How long a connection may take to be made, or to prove that it still is one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the database may take to answer a question that costs it nothing.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may be silent before the kernel asks after it.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Settings of every session. The last three end what a logger that has gone left open, so that
/// its locks do not stop the next one.
const SESSION: &str = "SET TIME ZONE 'UTC'; \
                       SET lock_timeout = '20s'; \
                       SET idle_in_transaction_session_timeout = '30s'; \
                       SET tcp_keepalives_idle = 10; \
                       SET tcp_keepalives_count = 3";

/// Says why something was not done in the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("connect to the database: {}", innermost(.0))]
    Connect(PoolError),
    #[error("{}", innermost(.0))]
    Query(#[from] tokio_postgres::Error),
    #[error("no answer from the database within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error(
        "the schema in the database is version {found}, and this logger knows versions up to \
         {known}: run a logger that is as new as the schema"
    )]
    NewerSchema { found: i32, known: i32 },
    #[error(
        "the table metrics in the database is another one: {0}; rename it, and a new one is made"
    )]
    OtherTable(String),
}

impl DatabaseError {
    /// Whether trying again is of no use.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::NewerSchema { .. } | Self::OtherTable(_) => true,
            Self::Connect(_) | Self::Query(_) | Self::TimedOut(_) => false,
        }
    }

    /// Whether the database refuses what rows say, and would again.
    pub(crate) fn is_about_rows(&self) -> bool {
        match self {
            Self::Query(error) => error.code().is_some_and(is_about_rows),
            Self::Connect(_)
            | Self::TimedOut(_)
            | Self::NewerSchema { .. }
            | Self::OtherTable(_) => false,
        }
    }
}

/// Data exceptions, integrity constraints, limits of the program, and what triggers raise.
fn is_about_rows(code: &SqlState) -> bool {
    ["22", "23", "54", "P0001"]
        .iter()
        .any(|class| code.code().starts_with(class))
}

/// The first cause: what is around it says less.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Connections that are made when they are needed.
pub(crate) fn pool(database: &Database) -> Pool {
    let mut config = database.client_config().clone();
    config
        .application_name("plantd-logger")
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(KEEPALIVE)
        .tcp_user_timeout(KEEPALIVE);
    let hook = Hook::async_fn(|client, _| {
        Box::pin(async move {
            let done = client.batch_execute(SESSION).await;
            done.map_err(HookError::Backend)
        })
    });
    Pool::builder(Manager::new(config, NoTls))
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .post_create(hook)
        .build()
        .expect("a pool with a runtime can have timeouts")
}

/// Takes a connection.
pub(crate) async fn connect(pool: &Pool) -> Result<Object, DatabaseError> {
    pool.get().await.map_err(DatabaseError::Connect)
}

/// Asks whether the database is there.
pub(crate) async fn probe(pool: &Pool) -> Result<(), DatabaseError> {
    let client = connect(pool).await?;
    let asked = timeout(PROBE_TIMEOUT, client.simple_query("SELECT 1")).await;
    match asked {
        Ok(answer) => Ok(answer.map(drop)?),
        Err(_) => {
            // Whatever it is doing, nobody should wait for it again.
            drop(Object::take(client));
            Err(DatabaseError::TimedOut(PROBE_TIMEOUT))
        }
    }
}
