//! Threads that do the same over and over.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use session_timeout_tests::postgres::Client;

/// Work that threads do over and over until they are told to stop or find something wrong.
pub struct Swarm {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<u64, String>>>,
}

impl Swarm {
    /// Starts a thread for each connection.
    pub fn start<C: IntoIterator<Item = Client>>(
        clients: C,
        work: impl Fn(&mut Client, usize) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Arc::new(work);
        let run = |(n, mut client): (usize, Client)| {
            let (stop, work) = (stop.clone(), work.clone());
            thread::spawn(move || {
                let mut times = 0;
                while !stop.load(Ordering::Relaxed) {
                    work(&mut client, n)?;
                    times += 1;
                }
                Ok(times)
            })
        };
        let threads = clients.into_iter().enumerate().map(run).collect();
        Self { stop, threads }
    }

    /// Whether one of them has found something wrong, or ended otherwise.
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Tells them to stop: how often they did their work, all together. Panics with what one of them found wrong.
    #[track_caller]
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let ended: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        let mut times = 0;
        for end in ended {
            match end.expect("a thread of the swarm does not panic") {
                Ok(more) => times += more,
                Err(wrong) => panic!("{wrong}"),
            }
        }
        times
    }
}

/// Compares, and tells in words where it differs: for threads, whose panics would hide each other.
pub fn expect<T: PartialEq + Debug>(actual: T, expected: T, what: &str) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: {actual:?} instead of {expected:?}"))
    }
}
