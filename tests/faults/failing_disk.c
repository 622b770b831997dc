/* Put in front of the C library with LD_PRELOAD: makes writing and syncing fail, and sets the clock.

   The file named by FAULTS_CONTROL holds numbers of 8 bytes, which the test changes at will:
   0: errno for fsync and fdatasync   1: how many of them fail (-1: all)
   2: errno for writes                3: how many of them fail (-1: all)
   4: seconds to add to the wall clock
   5: whether the wall clock stands still
   6: 1 if a failing write writes the first half
   7: how many calls failed so far
   Only files whose path contains FAULTS_PATH are affected. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_ERRNO, SYNC_COUNT, WRITE_ERRNO, WRITE_COUNT, SHIFT, STILL, HALF, FAILED };

static volatile int64_t *control(void) {
    static volatile int64_t *numbers;
    if (!numbers) {
        const char *path = getenv("FAULTS_CONTROL");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        if (fd < 0) return NULL;
        void *found = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (found == MAP_FAILED) return NULL;
        numbers = found;
    }
    return numbers;
}

static int concerns(int fd) {
    const char *part = getenv("FAULTS_PATH");
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length <= 0 || !part) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

static int fails(int fd, int what) {
    volatile int64_t *numbers = control();
    if (!numbers || !numbers[what] || !numbers[what + 1] || !concerns(fd)) return 0;
    if (numbers[what + 1] > 0) numbers[what + 1]--;
    numbers[FAILED]++;
    errno = (int)numbers[what];
    return 1;
}

static size_t half(size_t length) {
    volatile int64_t *numbers = control();
    return numbers && numbers[HALF] ? length / 2 : 0;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int fsync(int fd) {
    REAL(fsync);
    return fails(fd, SYNC_ERRNO) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return fails(fd, SYNC_ERRNO) ? -1 : real(fd);
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    if (fails(fd, WRITE_ERRNO)) {
        size_t part = half(length);
        return part ? real(fd, data, part) : -1;
    }
    return real(fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t place) {
    REAL(pwrite64);
    if (fails(fd, WRITE_ERRNO)) {
        size_t part = half(length);
        return part ? real(fd, data, part, place) : -1;
    }
    return real(fd, data, length, place);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t place) {
    return pwrite64(fd, data, length, place);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(which, now);
    volatile int64_t *numbers = which == CLOCK_REALTIME ? control() : NULL;
    if (!result && numbers) {
        if (numbers[STILL]) {
            now->tv_sec = numbers[STILL];
            now->tv_nsec = 0;
        }
        now->tv_sec += numbers[SHIFT];
    }
    return result;
}
