//! What this process costs its machine: memory, processor time, disk; and which executable it is.
//! It must not know what it is asked for.

use std::path::Path;
use std::sync::OnceLock;

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// For this user.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// Resident memory of this process, in bytes, where the system tells it.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Processor time of this process, in milliseconds, where the system tells it.
#[must_use]
pub fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything; what follows is counted from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let all = ticks()? + ticks()?;
    Some(all * 1000 / rustix::param::clock_ticks_per_second())
}

/// Room on the disk that holds `dir`.
#[must_use]
pub fn disk(dir: &Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(Disk { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

/// The first 16 digits of the BLAKE3 hash of this executable; empty where it cannot be read.
/// Found out once, in a thread of its own: until then it is empty too.
pub fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        std::thread::spawn(|| BUILD.set(hash_of_executable().unwrap_or_default()));
    });
    BUILD.get().map_or("", String::as_str)
}

fn hash_of_executable() -> Option<String> {
    let mut file = std::fs::File::open("/proc/self/exe").ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).ok()?;
    Some(hasher.finalize().to_hex().as_str().chars().take(16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_a_process_costs() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        let disk = disk(Path::new("/")).unwrap();
        assert!(disk.total > 0 && disk.free <= disk.total);
        let begin = cpu_ms().unwrap();
        while cpu_ms().unwrap() < begin + 20 {
            std::hint::black_box(blake3::hash(&[0; 4096]));
        }
        assert_eq!(hash_of_executable().unwrap().len(), 16);
    }
}
