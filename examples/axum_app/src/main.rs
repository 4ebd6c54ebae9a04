//! A web service with caches: `cargo run -p axum_app`, then open <http://127.0.0.1:3000/live>.
//!
//! | variable | meaning |
//! |---|---|
//! | `PORT` | the port, if the first argument is none; 3000 by default |
//! | `BUILDSCALE_CACHE_REDIS_URL` | the caches are in this Redis |
//! | `BUILDSCALE_CACHE_BACKEND` | `tiered`: in the memory of this process too |
//! | `DATABASE_FILE` | the database is this file, which processes share |
//! | `SESSION_SECONDS` | how long a session lives without a request, up to a year; 1800 by default |
//!
//! Ctrl-C and SIGTERM end it: requests that are under way are finished, event streams end.

use std::env;
use std::error::Error;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::serve;
use axum_app::caches::Caches;
use axum_app::database::Database;
use axum_app::{AppState, router, sessions};
use buildscale_cache::CacheConfig;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long requests that are under way may take when the program is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// In seconds. Less than the first leaves the caches nothing to do; what is more is a mistake.
const SESSION_SECONDS: RangeInclusive<u64> = 1..=365 * 24 * 60 * 60;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match env::args().nth(1) {
        Some(port) => port.parse()?,
        None => variable("PORT")?.unwrap_or(3000),
    };
    let idle = session_idle()?;
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let caches = Caches::from_env(CacheConfig::default()).await?;
    let (stop, stopped) = watch::channel(false);
    let state = AppState::new(
        caches,
        Database::from_env(),
        idle,
        prometheus,
        ended(stopped.clone()),
    );

    // Before anybody knows that the program is there.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = serve(listener, router(state)).with_graceful_shutdown(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
    });
    tokio::select! {
        served = server.into_future() => served?,
        () = async { ended(stopped).await; sleep(GRACE).await } => {}
    }
    Ok(())
}

/// Returns when the program is told to end.
async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error is the end of the one who tells.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

fn session_idle() -> Result<Duration, Box<dyn Error>> {
    let Some(seconds) = variable("SESSION_SECONDS")? else {
        return Ok(sessions::IDLE);
    };
    if !SESSION_SECONDS.contains(&seconds) {
        let (least, most) = SESSION_SECONDS.into_inner();
        return Err(format!("SESSION_SECONDS is {seconds}: it is from {least} to {most}").into());
    }
    Ok(Duration::from_secs(seconds))
}

/// Returns a number that the environment may hold.
fn variable<T: FromStr<Err: Error + 'static>>(name: &str) -> Result<Option<T>, Box<dyn Error>> {
    match env::var(name) {
        Ok(value) => match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(error) => Err(format!("{name} is {value:?}: {error}").into()),
        },
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}").into()),
    }
}
