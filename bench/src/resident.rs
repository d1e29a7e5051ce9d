//! How much memory a program holds.

use crate::failure::Failure;
use std::fs;
use std::path::PathBuf;

/// Bytes resident in memory, of a process and its children. What several of them share is counted once for each.
pub(crate) fn bytes(process: u32) -> Result<u64, Failure> {
    let (mut sum, mut processes) = (0, vec![process.to_string()]);
    while let Some(process) = processes.pop() {
        let file = PathBuf::from(format!("/proc/{process}/status"));
        let status = fs::read_to_string(&file).map_err(Failure::system(file.display().to_string()))?;
        sum += resident(&status).ok_or_else(|| Failure::Setup(format!("{}: no VmRSS", file.display())))?;
        let children = format!("/proc/{process}/task/{process}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        processes.extend(children.split_whitespace().map(str::to_owned));
    }
    Ok(sum)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_resident() {
        let before = bytes(std::process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        let after = bytes(std::process::id()).unwrap();
        assert!(after - before > 50 << 20, "{before} bytes, then {after}");
        drop(block);
        assert_eq!(resident("Name:\tx\nVmRSS:\t  12 kB\n"), Some(12 * 1024));
    }
}
