//! Peers that are not in PostgreSQL: Redis, and files as the original module has them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use session_timeout_tests::{run, wait_for};

use crate::peers::{FIRST_SID, payload};
use crate::sample::Sample;

/// A Redis server as its package configures it but for the socket: a snapshot now and then, no log.
pub struct Redis {
    server: Child,
    directory: PathBuf,
    sessions: u64,
    /// Requests a second of the last measurement: redis-benchmark takes a number of requests, not a time.
    rate: f64,
}

impl Redis {
    /// Starts one and fills it; `None` where Redis is not installed.
    pub fn start(sessions: u64) -> Option<Self> {
        for program in ["redis-server", "redis-benchmark"] {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .status()
                .ok()?;
        }
        let directory = std::env::temp_dir().join(format!("session_timeout_redis_{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory for Redis");
        let server = Command::new("redis-server")
            .current_dir(&directory)
            .args(["--port", "0", "--unixsocket", "redis.sock"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let redis = Self {
            server,
            directory,
            sessions,
            rate: 20_000.0,
        };
        let mut stream = wait_for("Redis takes connections", Duration::from_secs(20), || {
            UnixStream::connect(redis.socket()).ok()
        });
        let payload = payload();
        for chunk in (0..sessions).collect::<Vec<_>>().chunks(1000) {
            let commands: String = chunk
                .iter()
                .map(|n| command(&["SET", &(FIRST_SID + n).to_string(), &payload, "EX", "7200"]))
                .collect();
            stream.write_all(commands.as_bytes()).expect("Redis is filled");
            let mut answers = vec![0; chunk.len() * "+OK\r\n".len()];
            stream.read_exact(&mut answers).expect("Redis answers");
            assert!(answers.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&answers));
        }
        Some(redis)
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// `GETEX` of sessions by chance, from Redis's own load generator.
    pub fn run(&mut self, clients: usize, seconds: u32) -> Sample {
        let requests = (self.rate * f64::from(seconds)).max(1000.0) as u64;
        // The first digits are the same for all; redis-benchmark fills in the last twelve.
        let prefix = FIRST_SID / 1_000_000_000_000;
        let output = run(Command::new("redis-benchmark")
            .arg("-s")
            .arg(self.socket())
            .args(["-c", &clients.to_string(), "-n", &requests.to_string()])
            .args(["-r", &self.sessions.to_string(), "--precision", "3"])
            .args(["GETEX", &format!("{prefix}__rand_int__"), "EX", "7200"]));
        let sample = Self::sample_in(&output).unwrap_or_else(|| panic!("redis-benchmark says: {output}"));
        self.rate = sample.rate;
        sample
    }

    fn sample_in(output: &str) -> Option<Sample> {
        let lines = || output.lines().flat_map(|line| line.split('\r'));
        let rate = lines().find_map(|line| {
            line.trim()
                .strip_prefix("throughput summary: ")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })?;
        // `99.902% <= 0.143 milliseconds (cumulative count 49960)`, in ever smaller steps.
        let steps: Vec<(f64, f64)> = lines()
            .filter_map(|line| {
                let (share, rest) = line.trim().split_once("% <= ")?;
                let (latency, _) = rest.split_once(" milliseconds (cumulative")?;
                Some((share.parse().ok()?, latency.parse::<f64>().ok()? * 1000.0))
            })
            .collect();
        let at = |wanted: f64| Some(steps.iter().find(|(share, _)| *share >= wanted)?.1);
        Some(Sample {
            rate,
            p50: at(50.0)?,
            p99: at(99.0)?,
            p999: at(99.9)?,
            failed: 0.0,
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A command as Redis reads it.
fn command(words: &[&str]) -> String {
    let bulk: String = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()))
        .collect();
    format!("*{}\r\n{bulk}", words.len())
}

/// Session files, in directories of two characters, whose time of change is the activity.
pub struct Files {
    directory: PathBuf,
    sessions: u64,
}

impl Files {
    /// Makes them.
    pub fn make(sessions: u64) -> Self {
        let directory = std::env::temp_dir().join(format!("session_timeout_files_{}", std::process::id()));
        let files = Self { directory, sessions };
        for group in 0..100 {
            fs::create_dir_all(files.directory.join(format!("{group:02}"))).expect("a directory for files");
        }
        let payload = payload();
        for n in 0..sessions {
            fs::write(files.path(n), &payload).expect("a session's file");
        }
        files
    }

    fn path(&self, n: u64) -> PathBuf {
        self.directory.join(format!("{:02}/{}", n % 100, FIRST_SID + n))
    }

    /// `stat` and `utime` of sessions by chance, from as many threads as there are clients: there is no server to ask.
    pub fn run(&self, clients: usize, seconds: u32) -> Sample {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(seconds.into());
        let latencies = thread::scope(|scope| {
            let threads: Vec<_> = (1..=clients as u64)
                .map(|seed| scope.spawn(move || self.touch_until(until, seed)))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("a thread that touches files"))
                .collect()
        });
        Sample::of(latencies, begun.elapsed().as_secs_f64(), 0)
    }

    fn touch_until(&self, until: Instant, seed: u64) -> Vec<f64> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        let delay = Duration::from_secs(7200);
        let mut latencies = Vec::new();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut begun = Instant::now();
        while begun < until {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let path = self.path(random % self.sessions);
            let modified = fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .expect("stat");
            if modified.elapsed().unwrap_or_default() < delay {
                utimensat(CWD, &path, &times, AtFlags::empty()).expect("utime");
            }
            let ended = Instant::now();
            latencies.push((ended - begun).as_secs_f64() * 1e6);
            begun = ended;
        }
        latencies
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
