/* The C library's own waits, in front of those of libfaketime 0.9.10 (Debian 12). None of them uses the wall clock here.

   clock_nanosleep: libfaketime answers EINVAL to time.sleep of Python, which asks for a moment of the monotonic clock.
   pthread_cond_*: it keeps a table of the conditions of the monotonic clock, and now and then Python's lock of the
   interpreter fails: "take_gil: PyCOND_WAIT(gil->cond) failed".
   timer_settime: with it `timeout` of coreutils never ends its command.

   For tools/with_clock.sh. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *of_libc(const char *name)
{
    static void *libc;
    if (!libc)
        libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return dlsym(libc, name);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    return syscall(SYS_clock_nanosleep, clock, flags, until, left) ? errno : 0;
}

int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    static int (*plain)(pthread_cond_t *, const pthread_condattr_t *);
    if (!plain)
        plain = of_libc("pthread_cond_init");
    return plain(condition, attributes);
}

int pthread_cond_destroy(pthread_cond_t *condition)
{
    static int (*plain)(pthread_cond_t *);
    if (!plain)
        plain = of_libc("pthread_cond_destroy");
    return plain(condition);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    static int (*plain)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!plain)
        plain = of_libc("pthread_cond_timedwait");
    return plain(condition, mutex, until);
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    static int (*plain)(timer_t, int, const struct itimerspec *, struct itimerspec *);
    if (!plain)
        plain = of_libc("timer_settime");
    return plain(timer, flags, value, old);
}
