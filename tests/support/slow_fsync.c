/* A disk that is slow to sync, for a process that is started with this library preloaded: it waits
   SLOW_FSYNC_US microseconds before each call that returns when data is on the disk. Without
   the variable nothing is added. The name has no prefix of the program's, since `rustchat bench`
   keeps its servers free of whatever begins with that. The embedded store calls fsync and
   fdatasync; the others are here so that the delay stays true if that changes. A program that is
   linked statically, or makes system calls by itself, is not slowed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>

static struct timespec delay;

__attribute__((constructor)) static void read_delay(void) {
    const char *text = getenv("SLOW_FSYNC_US");
    long long us = text ? atoll(text) : 0;
    delay.tv_sec = us / 1000000;
    delay.tv_nsec = us % 1000000 * 1000;
}

/* The call's own error number stays as it was before. */
static void wait_for_disk(void) {
    int before = errno;
    struct timespec left = delay;
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
    errno = before;
}

/* The function behind this one. Looked up anew each time: beside the delay that is nothing. */
#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

int fsync(int fd) {
    wait_for_disk();
    return REAL(int, "fsync", int)(fd);
}

int fdatasync(int fd) {
    wait_for_disk();
    return REAL(int, "fdatasync", int)(fd);
}

int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned int flags) {
    wait_for_disk();
    return REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned int)(fd, from, bytes, flags);
}

int msync(void *from, size_t bytes, int flags) {
    if (flags & MS_SYNC)
        wait_for_disk();
    return REAL(int, "msync", void *, size_t, int)(from, bytes, flags);
}
