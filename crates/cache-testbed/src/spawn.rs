//! Processes and ports that outlive no test run.

use std::io;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::SystemTime;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a process that the kernel kills when this process ends, however it ends.
///
/// The command has to be run by [`bound_to_this_process`]. The signal comes when the *thread*
/// that forked ends, so one thread that never ends forks for all: that of a test ends with the
/// test, and a server in a static would end with it.
///
/// # Errors
///
/// Those of starting a process.
pub fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, reply) in orders {
                    reply.send(command.spawn()).ok();
                }
            })
            .expect("a thread starts");
        sender
    });
    let (sender, reply) = mpsc::channel();
    spawner
        .send((command, sender))
        .expect("the spawner never ends");
    reply.recv().expect("the spawner answers")
}

/// Makes a command of which the process dies with the thread that starts it.
#[must_use]
pub fn bound_to_this_process(binary: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
    command
}

/// Finds a port that is free now.
///
/// It is outside of the range from which the kernel takes ports for outgoing connections, so a
/// server that was killed finds its port free again.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 21_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Test binaries that run at the same time begin at different places.
    let next = NEXT.get_or_init(|| {
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| time.subsec_nanos());
        let seed = nanos / 1000 + std::process::id().wrapping_mul(7919);
        AtomicU16::new(u16::try_from(seed % u32::from(COUNT)).unwrap_or(0))
    });
    (0..COUNT)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("some port is free")
}
