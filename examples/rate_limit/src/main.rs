//! A web service that each client may ask ten times a minute.
//!
//! It counts in this process, or on Redis if `BUILDSCALE_CACHE_REDIS_URL` is set:
//!
//! ```console
//! cargo run -p rate_limit
//! curl -i http://127.0.0.1:3000/
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use buildscale_cache::prelude::*;
use rate_limit::{RateLimit, limited};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache: Cache<String> = Cache::from_env(CacheConfig::default()).await?;
    let limit = RateLimit::new(&cache, 10, Duration::from_secs(60));
    let routes = Router::new().route("/", get(async || "Hello\n"));
    let service = limited(routes, limit).into_make_service_with_connect_info::<SocketAddr>();

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}
