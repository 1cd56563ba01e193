/* A disk that fails with EIO under the files of a spool alone: the file BAD_SPOOL_FILE names the call, pwrite, pread or
   fsync, from one call to the next; what is in no directory `.spool` works. Preloaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(const char *call, int file)
{
    char told[16] = "", link[64], path[4096] = "";
    const char *sign = getenv("BAD_SPOOL_FILE");
    int open_sign = sign ? open(sign, O_RDONLY | O_CLOEXEC) : -1;
    if (open_sign < 0)
        return 0;
    ssize_t size = read(open_sign, told, sizeof told - 1);
    close(open_sign);
    if (size <= 0 || strcmp(told, call))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) < 0 || !strstr(path, "/.spool/"))
        return 0;
    errno = EIO;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

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
