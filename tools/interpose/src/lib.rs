//! Takes the place of a few functions of libc in a process that loads it (`LD_PRELOAD`), and lies where
//! the file in `SHARDLINE_INTERPOSE` says so: three numbers of eight bytes, in the machine's order.
//!
//! 1. Milliseconds by which the wall clock is ahead, or behind if negative. Monotonic clocks are true.
//! 2. Not zero: the disk is full. What grows a regular file fails with ENOSPC; what is there can be
//!    overwritten, as on a real disk.
//! 3. Milliseconds that each fsync takes longer.
//!
//! The file is shared memory: what is written there holds at once. Without it, or with zeros, everything
//! is as without this library. Linux on 64 bits only; every real call is a plain system call.

#![cfg(target_os = "linux")]

use libc::{c_int, c_long, c_void, clockid_t, off_t, size_t, ssize_t, timespec};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

const FILE: &std::ffi::CStr = c"SHARDLINE_INTERPOSE";

#[repr(C)]
struct Lies {
    clock_ahead_ms: AtomicI64,
    disk_is_full: AtomicI64,
    fsync_slower_ms: AtomicI64,
}

fn lies() -> Option<&'static Lies> {
    static LIES: OnceLock<Option<&'static Lies>> = OnceLock::new();
    *LIES.get_or_init(|| {
        // SAFETY: the name is a C string; the mapping is checked, as large as `Lies`, and never unmapped;
        // whoever else writes to it writes whole numbers, and here they are only read as atomics.
        unsafe {
            let path = libc::getenv(FILE.as_ptr());
            if path.is_null() {
                return None;
            }
            let file = libc::open(path, libc::O_RDWR | libc::O_CLOEXEC);
            if file < 0 {
                return None;
            }
            let size = size_of::<Lies>();
            let mut stat = std::mem::zeroed::<libc::stat>();
            let fits = libc::fstat(file, &mut stat) == 0 && size as off_t <= stat.st_size;
            let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
            let mapped = match fits {
                true => libc::mmap(ptr::null_mut(), size, read, shared, file, 0),
                false => libc::MAP_FAILED,
            };
            libc::close(file);
            (mapped != libc::MAP_FAILED).then(|| &*mapped.cast::<Lies>())
        }
    })
}

fn fail(error: c_int) -> c_int {
    // SAFETY: the place of this thread's errno.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// Whether the disk is full and this write to `file` would need more of it.
fn has_no_room(file: c_int, from: Option<off_t>, bytes: size_t) -> bool {
    if lies().is_none_or(|lies| lies.disk_is_full.load(Ordering::Relaxed) == 0) {
        return false;
    }
    // SAFETY: `stat` is plain numbers and is written before it is read.
    let stat = unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        if libc::fstat(file, &mut stat) != 0 || stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return false;
        }
        stat
    };
    let from = match from {
        Some(from) => from,
        // SAFETY: no memory is involved.
        None => unsafe {
            match libc::fcntl(file, libc::F_GETFL) & libc::O_APPEND {
                0 => libc::lseek(file, 0, libc::SEEK_CUR),
                _ => stat.st_size,
            }
        },
    };
    stat.st_size < from.saturating_add(off_t::try_from(bytes).unwrap_or(off_t::MAX))
}

fn sync_slowly() {
    let slower_ms = lies().map_or(0, |lies| lies.fsync_slower_ms.load(Ordering::Relaxed));
    if 0 < slower_ms {
        // It stands for a system call that blocks.
        #[allow(clippy::disallowed_methods)]
        std::thread::sleep(std::time::Duration::from_millis(slower_ms.unsigned_abs()));
    }
}

/// # Safety
/// As clock_gettime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the caller's pointer, by this function's contract.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock as c_long, time) };
    let is_wall = clock == libc::CLOCK_REALTIME || clock == libc::CLOCK_REALTIME_COARSE;
    if result == 0 && is_wall {
        let ahead_ms = lies().map_or(0, |lies| lies.clock_ahead_ms.load(Ordering::Relaxed));
        // SAFETY: it was written by the call that succeeded.
        unsafe { (*time).tv_sec += ahead_ms.div_euclid(1_000) };
    }
    result as c_int
}

/// # Safety
/// As write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, from: *const c_void, bytes: size_t) -> ssize_t {
    if has_no_room(file, None, bytes) {
        return fail(libc::ENOSPC) as ssize_t;
    }
    // SAFETY: the caller's pointer, by this function's contract.
    unsafe { libc::syscall(libc::SYS_write, file as c_long, from, bytes) as ssize_t }
}

/// # Safety
/// As pwrite(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    file: c_int,
    from: *const c_void,
    bytes: size_t,
    at: off_t,
) -> ssize_t {
    if has_no_room(file, Some(at), bytes) {
        return fail(libc::ENOSPC) as ssize_t;
    }
    // SAFETY: the caller's pointer, by this function's contract.
    unsafe { libc::syscall(libc::SYS_pwrite64, file as c_long, from, bytes, at) as ssize_t }
}

/// # Safety
/// As pwrite(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    file: c_int,
    from: *const c_void,
    bytes: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: the same contract.
    unsafe { pwrite64(file, from, bytes, at) }
}

/// # Safety
/// As fallocate(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(file: c_int, mode: c_int, at: off_t, bytes: off_t) -> c_int {
    let grows = mode & libc::FALLOC_FL_PUNCH_HOLE == 0;
    if grows && has_no_room(file, Some(at), size_t::try_from(bytes).unwrap_or(0)) {
        return fail(libc::ENOSPC);
    }
    // SAFETY: no memory is involved.
    unsafe {
        libc::syscall(libc::SYS_fallocate, file as c_long, mode as c_long, at, bytes) as c_int
    }
}

/// # Safety
/// As fallocate(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate(file: c_int, mode: c_int, at: off_t, bytes: off_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { fallocate64(file, mode, at, bytes) }
}

/// Returns the error, and does not set errno.
///
/// # Safety
/// As posix_fallocate(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate64(file: c_int, at: off_t, bytes: off_t) -> c_int {
    // SAFETY: no memory is involved.
    match unsafe { fallocate64(file, 0, at, bytes) } {
        0 => 0,
        // SAFETY: the place of this thread's errno.
        _ => unsafe { *libc::__errno_location() },
    }
}

/// # Safety
/// As posix_fallocate(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate(file: c_int, at: off_t, bytes: off_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { posix_fallocate64(file, at, bytes) }
}

/// # Safety
/// As fsync(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    sync_slowly();
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_fsync, file as c_long) as c_int }
}

/// # Safety
/// As fdatasync(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    sync_slowly();
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_fdatasync, file as c_long) as c_int }
}
