//! How much processor time a program has used, and where it may run.

use crate::failure::Failure;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What a process has had of the processors since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// On a processor.
    pub(crate) ran: Duration,
    /// Ready to run while somebody else was on the processor.
    pub(crate) waited: Duration,
}

impl Used {
    /// What came since an earlier moment.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { ran: self.ran.saturating_sub(before.ran), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// What a process, its threads and its children have used so far, in user and kernel space. The scheduler counts in
/// nanoseconds; work that the kernel does for the network on behalf of a process counts for that process.
pub(crate) fn used(process: u32) -> Result<Used, Failure> {
    let (mut ran, mut waited) = (0, 0);
    let mut processes = vec![process.to_string()];
    while let Some(process) = processes.pop() {
        let tasks = PathBuf::from(format!("/proc/{process}/task"));
        let entries = fs::read_dir(&tasks).map_err(Failure::system(tasks.display().to_string()))?;
        // A thread may end between the list and its file; then it was not one that serves.
        for task in entries.flatten().map(|entry| entry.path()) {
            let Ok(statistics) = fs::read_to_string(task.join("schedstat")) else { continue };
            let mut numbers = statistics.split_whitespace().map_while(|number| number.parse::<u64>().ok());
            ran += numbers.next().unwrap_or_default();
            waited += numbers.next().unwrap_or_default();
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            processes.extend(children.split_whitespace().map(str::to_owned));
        }
    }
    Ok(Used { ran: Duration::from_nanos(ran), waited: Duration::from_nanos(waited) })
}

/// Keeps this process, and whatever threads and children it starts from now on, on one core.
pub(crate) fn stay_on(core: usize) -> Result<(), Failure> {
    let outcome = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .output()
        .map_err(Failure::system("taskset (of util-linux)"))?;
    if outcome.status.success() {
        return Ok(());
    }
    Err(Failure::Setup(format!(
        "cannot stay on core {core}: {}",
        String::from_utf8_lossy(&outcome.stderr).trim()
    )))
}

/// The cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let before = used(std::process::id()).unwrap();
        let sum = (0..20_000_000_u64).fold(0, |sum, number| std::hint::black_box(sum ^ number));
        std::hint::black_box(sum);
        assert!(used(std::process::id()).unwrap().since(before).ran > Duration::ZERO);
    }
}
