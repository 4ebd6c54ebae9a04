//! Faults between the workers and the server.

use std::time::Duration;

use cache_testbed::{Direction, Proxy};
use tokio::time::{Instant, sleep, sleep_until};

use super::Strike;
use crate::Fault;

/// How often what breaks once is broken again.
const AGAIN: Duration = Duration::from_millis(200);
const DELAYS_MS: std::ops::Range<u64> = 5..400;
/// How late replies are before there are none: as late as a bus accepts.
const FADING: Duration = Duration::from_millis(250);

impl<'a> Strike<'a> {
    pub(super) async fn strike_network(&mut self) {
        let proxies = self.choose_proxies();
        let end = Instant::now() + self.time;
        let delay = Duration::from_millis(self.random.u64(DELAYS_MS));
        let directions = match self.random.u32(..3) {
            0 => &[Direction::Request][..],
            1 => &[Direction::Reply],
            _ => &[Direction::Request, Direction::Reply],
        };
        for proxy in &proxies {
            match self.fault {
                Fault::Delay => each(directions, |direction| proxy.delay(direction, delay)),
                Fault::Stall => each(directions, |direction| proxy.stall(direction)),
                Fault::LoseRequests => proxy.stall(Direction::Request),
                Fault::LoseReplies => proxy.stall(Direction::Reply),
                Fault::Fade => proxy.delay(Direction::Reply, FADING),
                Fault::BusDown | Fault::Refuse => proxy.refuse().await,
                Fault::Silent => proxy.accept_then_silent().await,
                _ => {}
            }
        }
        if self.fault == Fault::Fade {
            sleep(self.time / 3).await;
            for proxy in &proxies {
                proxy.stall(Direction::Reply);
            }
            sleep_until(end).await;
        } else if self.fault.is_steady() {
            sleep_until(end).await;
        } else {
            while Instant::now() < end {
                proxies.iter().for_each(|proxy| self.hit(proxy));
                sleep(AGAIN.min(end - Instant::now())).await;
            }
        }
        for proxy in proxies {
            if matches!(self.fault, Fault::LoseRequests | Fault::LoseReplies) {
                // What was held never arrives.
                proxy.reset_all();
            }
            proxy.forward().await;
        }
    }

    fn hit(&self, proxy: &Proxy) {
        match self.fault {
            Fault::Close => proxy.close_all(),
            Fault::CutReplies => proxy.drop_replies_then_close(),
            Fault::FlipBytes => proxy.flip_reply_byte(),
            _ => proxy.reset_all(),
        }
    }

    /// Chooses the ways of one worker or of all, for values, for the bus, or both.
    fn choose_proxies(&mut self) -> Vec<&'a Proxy> {
        let only = self.random.usize(..self.workers.len());
        let is_for_all = self.random.u32(..3) == 0;
        let (data, bus) = match (self.fault, self.random.u32(..3)) {
            (Fault::BusDown | Fault::Fade, _) => (false, true),
            // Messages of a bus have no checksum but that of TCP or TLS.
            (Fault::FlipBytes, _) | (_, 1) => (true, false),
            (_, 0) => (false, true),
            _ => (true, true),
        };
        let workers = self.workers.iter().enumerate();
        let workers = workers.filter(|(number, _)| is_for_all || *number == only);
        let links = workers.filter_map(|(_, worker)| worker.links.as_ref());
        let chosen = links.flat_map(|links| {
            let data = data.then_some(&links.data);
            data.into_iter().chain(bus.then_some(&links.bus))
        });
        chosen.collect()
    }
}

fn each(directions: &[Direction], act: impl FnMut(Direction)) {
    directions.iter().copied().for_each(act);
}
