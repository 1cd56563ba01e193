/* The kernel's own clock_nanosleep, in front of libfaketime's: that of Debian 12 (0.9.10) answers EINVAL to Python's
   time.sleep, which asks for a moment of the monotonic clock. For tools/with_clock.sh. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    return syscall(SYS_clock_nanosleep, clock, flags, until, left) ? errno : 0;
}
