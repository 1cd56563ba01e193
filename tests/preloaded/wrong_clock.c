/* The wall clock of one process, wrong by as many seconds as the file WRONG_CLOCK_FILE says, from one call to the next:
   what libfaketime would do. With "=" in front it stands still at that second since 1970. Preloaded with LD_PRELOAD; the
   monotonic clock stays what it is. */
#include "told.h"
#include <sys/time.h>
#include <time.h>

static void set_wrong(struct timespec *now)
{
    char text[32];
    told("WRONG_CLOCK_FILE", text, sizeof text);
    if (text[0] == '=') {
        now->tv_sec = atol(text + 1);
        now->tv_nsec = 0;
    } else
        now->tv_sec += atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static __typeof__(&clock_gettime) real;
    if (!real)
        real = REAL(clock_gettime);
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        set_wrong(now);
    return result;
}

time_t time(time_t *also)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (also)
        *also = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec moment;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &moment);
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}
