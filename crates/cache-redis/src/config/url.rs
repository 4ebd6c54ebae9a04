//! URLs of Redis.

use cache_core::{Error, Result};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{Address, Protocol, RedisConfig, Secret, Servers, Tls};

/// What follows the first part of a scheme.
enum Kind {
    Standalone,
    Cluster,
    Sentinel,
    Unix,
}

impl RedisConfig {
    /// Reads where the servers are from a URL.
    ///
    /// | URL | servers |
    /// |---|---|
    /// | `redis://[user:password@]host[:port][/database]` | one |
    /// | `rediss://…` | one, over TLS |
    /// | `redis-cluster://host[:port]?node=host:port&node=…` | a cluster, some of whose nodes are named |
    /// | `redis-sentinel://host[:port][/database]?node=host:port&sentinelServiceName=main` | one, found through Sentinels; `sentinelUsername` and `sentinelPassword` log in to these |
    /// | `redis+unix:///path/to.sock[?db=2]` | one, behind a Unix socket |
    ///
    /// `valkey` stands for `redis` as well, `rediss-cluster` and `rediss-sentinel` add TLS, and
    /// `?protocol=resp2` chooses the protocol. Reserved characters in a password are written as
    /// `%40` for `@`, `%2F` for `/`, `%23` for `#`, `%25` for `%`.
    ///
    /// ```
    /// use cache_redis::RedisConfig;
    ///
    /// let config = RedisConfig::from_url("redis://127.0.0.1:6379/1")?;
    /// let error = RedisConfig::from_url("http://127.0.0.1").unwrap_err();
    /// assert!(error.to_string().starts_with("url has an unknown scheme"));
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput), naming the part that is wrong and
    /// never quoting it: it may be a piece of a password.
    pub fn from_url(url: &str) -> Result<Self> {
        check_credentials(url)?;
        let parsed = Url::parse(url).map_err(|cause| refused(format!("is no URL: {cause}")))?;
        let (kind, encrypted) = scheme(parsed.scheme())?;
        let parameters = Parameters::of(&parsed, &kind)?;
        let mut config = match kind {
            Kind::Standalone => Self::with_servers(Servers::Standalone(address(&parsed, 6379)?)),
            Kind::Cluster => {
                Self::with_servers(Servers::Cluster(parameters.nodes(address(&parsed, 6379)?)?))
            }
            Kind::Sentinel => Self::with_servers(Servers::Sentinel {
                nodes: parameters.nodes(address(&parsed, 26379)?)?,
                service: parameters
                    .first("sentinelServiceName")
                    .ok_or_else(|| refused("lacks the parameter sentinelServiceName"))?,
                username: parameters.first("sentinelUsername"),
                password: parameters.first("sentinelPassword").map(Secret),
            }),
            Kind::Unix if parsed.path().len() > 1 => Self::unix(decode(parsed.path())?),
            Kind::Unix => return Err(refused("lacks the path of the socket")),
        };
        let database = match kind {
            Kind::Unix => parameters.first("db"),
            _ => Some(parsed.path().trim_start_matches('/').to_owned()),
        };
        if let Some(database) = database.filter(|text| !text.is_empty()) {
            let limits = "has a database that is no number from 0 to 255";
            config.database = database.parse().map_err(|_| refused(limits))?;
        }
        config.protocol = match parameters.first("protocol").as_deref() {
            None | Some("resp3" | "3") => Protocol::Resp3,
            Some("resp2" | "2") => Protocol::Resp2,
            Some(_) => return Err(refused("has a protocol that is neither resp2 nor resp3")),
        };
        config.tls = encrypted.then(Tls::new);
        config.username = some_text(parsed.username())?;
        config.password = parsed.password().map_or(Ok(None), some_text)?;
        Ok(config)
    }
}

fn refused(problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid("url", problem)
}

/// Refuses reserved characters in a password that would cut the URL in the wrong place.
fn check_credentials(url: &str) -> Result<()> {
    if url.contains('#') {
        return Err(refused("holds a '#'; in a password write %23"));
    }
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    // All up to the last '@' would be credentials, if none of its characters were reserved.
    let Some((credentials, _)) = rest.rsplit_once('@') else {
        return Ok(());
    };
    for (character, escape) in [('@', "%40"), ('/', "%2F"), ('?', "%3F")] {
        if credentials.contains(character) {
            let problem =
                format!("holds a '{character}' in front of an '@'; in a password write {escape}");
            return Err(refused(problem));
        }
    }
    let mut escapes = credentials.split('%').skip(1);
    let is_hex = |text: &str| {
        let digits = text.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    };
    if !escapes.all(is_hex) {
        return Err(refused(
            "holds a '%' that starts no escape; in a password write %25",
        ));
    }
    Ok(())
}

fn scheme(scheme: &str) -> Result<(Kind, bool)> {
    let (base, kind) = match scheme.split_once(['-', '+']) {
        None => (scheme, Kind::Standalone),
        Some((base, "cluster")) => (base, Kind::Cluster),
        Some((base, "sentinel")) => (base, Kind::Sentinel),
        Some((base, "unix")) => (base, Kind::Unix),
        Some(_) => ("", Kind::Standalone),
    };
    match base {
        "redis" | "valkey" => Ok((kind, false)),
        "rediss" | "valkeys" if !matches!(kind, Kind::Unix) => Ok((kind, true)),
        _ => Err(refused(
            "has an unknown scheme; known are redis, rediss, redis-cluster, redis-sentinel, \
             redis+unix and the same with valkey",
        )),
    }
}

fn address(url: &Url, default_port: u16) -> Result<Address> {
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| refused("lacks a host"))?;
    // Brackets belong to the URL, not to an IPv6 address.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match url.port().unwrap_or(default_port) {
        0 => Err(refused("has port 0, the least is 1")),
        port => Ok(Address::new(decode(host)?, port)),
    }
}

/// What follows the question mark, each part decoded as those in front of it are.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the parameters of a URL, of which each kind knows some.
    fn of(url: &Url, kind: &Kind) -> Result<Self> {
        let known: &[&str] = match kind {
            Kind::Standalone => &["protocol"],
            Kind::Cluster => &["protocol", "node"],
            Kind::Unix => &["protocol", "db"],
            Kind::Sentinel => &[
                "protocol",
                "node",
                "sentinelServiceName",
                "sentinelUsername",
                "sentinelPassword",
            ],
        };
        let parts = url.query().unwrap_or_default().split('&');
        let parts = parts.filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        });
        let parameters: Vec<(String, String)> = parts.collect::<Result<_>>()?;
        if parameters
            .iter()
            .all(|(name, _)| known.contains(&name.as_str()))
        {
            return Ok(Self(parameters));
        }
        let known = known.join(", ");
        Err(refused(format!(
            "has an unknown parameter; known are {known}"
        )))
    }

    fn first(&self, name: &str) -> Option<String> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.clone())
    }

    /// Returns the nodes that are named after the host of the URL.
    fn nodes(&self, host: Address) -> Result<Vec<Address>> {
        let mut nodes = vec![host];
        for (_, node) in self.0.iter().filter(|(name, _)| name == "node") {
            let parsed = node
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty())
                .and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port > 0)?)));
            let (host, port) = parsed.ok_or_else(|| refused("has a node that is not host:port"))?;
            nodes.push(Address::new(
                host.trim_start_matches('[').trim_end_matches(']'),
                port,
            ));
        }
        Ok(nodes)
    }
}

fn some_text(encoded: &str) -> Result<Option<String>> {
    if encoded.is_empty() {
        return Ok(None);
    }
    decode(encoded).map(Some)
}

/// Undoes the percent escapes of a URL. No other character stands for anything but itself: not `&`, `=` or
/// `+` either, as they would in a form.
fn decode(encoded: &str) -> Result<String> {
    let text = percent_decode_str(encoded).decode_utf8();
    let text = text.map_err(|_| refused("holds an escape that is not UTF-8"))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{RedisConfig, Secret, Servers};

    #[test]
    fn only_escapes_stand_for_other_characters_in_credentials_paths_and_parameters() {
        for (encoded, text) in [
            ("pa&ss", "pa&ss"),
            ("a=b&c=d", "a=b&c=d"),
            ("a+b", "a+b"),
            ("%26%3D%2B%20", "&=+ "),
            ("\u{fffd}", "\u{fffd}"),
            ("%F0%9F%94%91", "\u{1f511}"),
        ] {
            let config = RedisConfig::from_url(&format!("redis://{encoded}:{encoded}@host"));
            let config = config.unwrap();
            assert_eq!(config.username.as_deref(), Some(text));
            assert!(config.password.as_deref() == Some(text), "{encoded}");
            let config = RedisConfig::from_url(&format!("redis+unix:///run/{encoded}.sock"));
            let Servers::Unix(path) = config.unwrap().servers else {
                panic!("{encoded} is a path");
            };
            assert_eq!(path.to_str().unwrap(), format!("/run/{text}.sock"));
        }
    }

    #[test]
    fn a_plus_in_a_parameter_is_a_plus() {
        let url = "redis-sentinel://host?sentinelServiceName=a%20b+c&sentinelPassword=x+y%26z";
        let Servers::Sentinel {
            nodes,
            service,
            password,
            ..
        } = RedisConfig::from_url(url).unwrap().servers
        else {
            panic!("it is one of Sentinels");
        };
        assert_eq!((nodes.len(), service.as_str()), (1, "a b+c"));
        assert!(password == Some(Secret("x+y&z".to_owned())));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_in_a_parameter_too() {
        for url in [
            "redis://:%FF@host",
            "redis-sentinel://host?sentinelServiceName=a&sentinelPassword=%FF",
            "redis+unix:///run/%FF.sock",
        ] {
            let error = RedisConfig::from_url(url).unwrap_err().to_string();
            assert_eq!(error, "url holds an escape that is not UTF-8", "{url}");
        }
    }
}
