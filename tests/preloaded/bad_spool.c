/* A disk that fails with EIO under the files of a spool alone: the file BAD_SPOOL_FILE names the call, pwrite, pread or
   fsync, from one call to the next; what is in no directory `.spool` works. Preloaded with LD_PRELOAD. */
#include "told.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fails(const char *call, int file)
{
    char failing[16], link[64], path[4096] = "";
    told("BAD_SPOOL_FILE", failing, sizeof failing);
    if (strcmp(failing, call))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) < 0 || !strstr(path, "/.spool/"))
        return 0;
    errno = EIO;
    return 1;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset)
{
    return fails("pwrite", file) ? -1 : REAL(pwrite64)(file, data, size, offset);
}

ssize_t pread64(int file, void *data, size_t size, off64_t offset)
{
    return fails("pread", file) ? -1 : REAL(pread64)(file, data, size, offset);
}

int fsync(int file)
{
    return fails("fsync", file) ? -1 : REAL(fsync)(file);
}
