//! How much CPU time a process has used, as Linux counts it.

use std::fs;
use std::time::Duration;

/// Reads the CPU time of one process from `/proc`. Linux counts in hundredths of a second, so measure seconds.
#[derive(Debug, Clone, Copy)]
pub struct CpuClock {
    pid: u32,
}

impl CpuClock {
    /// The clock of a process.
    #[must_use]
    pub const fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// User and system time of all its threads, up to now.
    ///
    /// # Errors
    /// [`CpuError`] when there is no such process, or `/proc` cannot be read.
    pub fn read(&self) -> Result<Duration, CpuError> {
        let error = || CpuError { pid: self.pid };
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).map_err(|_| error())?;
        // The second field is the program's name in parentheses, and may hold spaces: count from its end.
        let (_, fields) = stat.rsplit_once(')').ok_or_else(error)?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or_else(error);
        let used = ticks()? + ticks()?;
        Ok(Duration::from_millis(used.saturating_mul(1000) / rustix::param::clock_ticks_per_second()))
    }
}

/// The CPU time of a process cannot be read.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("cannot read the CPU time of process {pid}; is it running, and on this machine?")]
pub struct CpuError {
    pid: u32,
}
