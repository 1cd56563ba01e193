/* What these libraries share: what they are told, and the function that each stands in front of. Include it first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What is in the file that `variable` names, read anew at every call; empty where there is none. `text` is of `size`. */
static void told(const char *variable, char *text, size_t size)
{
    const char *path = getenv(variable);
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t length = file < 0 ? 0 : read(file, text, size - 1);
    text[length > 0 ? length : 0] = 0;
    if (file >= 0)
        close(file);
}
