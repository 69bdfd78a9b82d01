/* Makes the disk slow for the programs that it is loaded into (LD_PRELOAD): whatever waits for the disk waits
   5 ms longer. That is fsync, fdatasync, and a pwrite to a file opened with O_DSYNC, as LMDB writes its root page.

   cc -shared -fPIC -O2 -o slow_sync.so slow_sync.c -ldl */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void wait_longer(void)
{
    struct timespec left = {0, 5 * 1000 * 1000};
    int before = errno;
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
    errno = before;
}

int fsync(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    int done = real(file);
    wait_longer();
    return done;
}

int fdatasync(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    int done = real(file);
    wait_longer();
    return done;
}

static ssize_t written(const char *name, int file, const void *octets, size_t size, off64_t place)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, off64_t)) dlsym(RTLD_NEXT, name);
    ssize_t done = real(file, octets, size, place);
    if (fcntl(file, F_GETFL) & O_DSYNC)
        wait_longer();
    return done;
}

ssize_t pwrite(int file, const void *octets, size_t size, off_t place)
{
    return written("pwrite64", file, octets, size, place);
}

ssize_t pwrite64(int file, const void *octets, size_t size, off64_t place)
{
    return written("pwrite64", file, octets, size, place);
}
