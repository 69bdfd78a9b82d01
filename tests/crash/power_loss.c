/* Keeps, beside the files of the programs that it is loaded into (LD_PRELOAD), what of them would be there after a power
   loss: a shadow that holds what has been synced, and nothing else.

   POSTROAD_DATA    the folder that is watched, an absolute path without links
   POSTROAD_SHADOW  the folder that its durable state is kept in; it begins as a copy

   What was written to a file is durable once fsync or fdatasync of it has returned, or at once where the file was opened
   with O_DSYNC, as LMDB opens it for its root page. So is then the name by which it was opened. Names that were made,
   changed or removed otherwise are durable once their folder has been synced (POSIX promises no more; ext4 does more).

   cc -shared -fPIC -O2 -o power_loss.so power_loss.c -ldl -lpthread */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct range {
    ino_t inode;
    off64_t start;
    size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct range *ranges;
static size_t count, room;

/* The library's own function of that name, which is declared like ``like``. */
#define REAL(name, like) \
    static __typeof__(like) *real; \
    if (!real) \
        real = (__typeof__(like) *) dlsym(RTLD_NEXT, name)

/* -- where a file is */

/* Whether the file is in the watched folder: then ``place`` is its path in the shadow. */
static int watched(int file, char place[PATH_MAX])
{
    const char *data = getenv("POSTROAD_DATA"), *shadow = getenv("POSTROAD_SHADOW");
    char link[64], path[PATH_MAX];
    if (!data || !shadow)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0)
        return 0;
    path[size] = 0;
    size_t length = strlen(data);
    if (strncmp(path, data, length) || (path[length] && path[length] != '/'))
        return 0;
    return snprintf(place, PATH_MAX, "%s%s", shadow, path + length) < PATH_MAX;
}

/* Where the durable content of an inode is, whatever its names are. */
static void by_inode(ino_t inode, char place[PATH_MAX])
{
    snprintf(place, PATH_MAX, "%s.inodes/%llu", getenv("POSTROAD_SHADOW"), (unsigned long long) inode);
}

/* -- what has been written */

static void remember(int file, off64_t start, size_t size)
{
    struct stat64 about;
    if (fstat64(file, &about) || !S_ISREG(about.st_mode))
        return;
    if (count == room) {
        room = room ? 2 * room : 1024;
        ranges = realloc(ranges, room * sizeof *ranges);
        if (!ranges)
            abort();
    }
    ranges[count++] = (struct range) {about.st_ino, start, size};
}

static void copy(int from, int to, off64_t start, size_t size)
{
    char octets[65536];
    while (size) {
        ssize_t some = pread64(from, octets, size < sizeof octets ? size : sizeof octets, start);
        if (some <= 0)
            return;
        REAL("pwrite64", pwrite64);
        if (real(to, octets, (size_t) some, start) != some)
            abort();
        start += some;
        size -= (size_t) some;
    }
}

/* The folders on the way to a name. */
static void make_folders(const char *place)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", place);
    for (char *end = path + 1; (end = strchr(end, '/')); end++) {
        *end = 0;
        mkdir(path, 0700);
        *end = '/';
    }
}

/* The content of a file, and its name, are durable. */
static void make_durable(int file, const char *place)
{
    struct stat64 about;
    char inode[PATH_MAX], name[PATH_MAX];
    size_t left = 0;
    if (fstat64(file, &about))
        return;
    by_inode(about.st_ino, inode);
    REAL("open64", open64);
    int to = real(inode, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    int from = real(name, O_RDONLY | O_CLOEXEC);
    if (to < 0 || from < 0)
        abort();
    for (size_t n = 0; n < count; n++)
        if (ranges[n].inode == about.st_ino)
            copy(from, to, ranges[n].start, ranges[n].size);
        else
            ranges[left++] = ranges[n];
    count = left;
    if (ftruncate64(to, about.st_size))
        abort();
    close(from);
    close(to);
    make_folders(place);
    if (about.st_nlink && link(inode, place) && errno == EEXIST) {
        struct stat64 one, other;
        if (!stat64(inode, &one) && !stat64(place, &other) && one.st_ino != other.st_ino) {
            unlink(place);
            if (link(inode, place))
                abort();
        }
    }
}

static void written(int file, off64_t start, ssize_t size)
{
    char place[PATH_MAX];
    int before = errno;
    if (size > 0 && watched(file, place)) {
        pthread_mutex_lock(&lock);
        remember(file, start, (size_t) size);
        if (fcntl(file, F_GETFL) & O_DSYNC)
            make_durable(file, place);
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

/* -- names */

static void join(char path[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        abort();
}

/* The names in a folder are durable: those that are gone, and those that have come. */
static void make_names_durable(int file, const char *place)
{
    char real_folder[PATH_MAX], theirs[PATH_MAX], ours[PATH_MAX], inode[PATH_MAX];
    snprintf(theirs, sizeof theirs, "/proc/self/fd/%d", file);
    ssize_t size = readlink(theirs, real_folder, sizeof real_folder - 1);
    if (size <= 0)
        return;
    real_folder[size] = 0;
    mkdir(place, 0700);
    DIR *folder = opendir(place);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct stat64 one, other;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        join(theirs, real_folder, entry->d_name);
        join(ours, place, entry->d_name);
        if (lstat64(theirs, &one)) {
            unlink(ours);
        } else if (S_ISREG(one.st_mode)) {
            by_inode(one.st_ino, inode); /* another file has this name now */
            if (!lstat64(inode, &one) && !lstat64(ours, &other) && one.st_ino != other.st_ino)
                unlink(ours);
        }
    }
    if (folder)
        closedir(folder);
    folder = opendir(real_folder);
    while (folder && (entry = readdir(folder))) {
        struct stat64 about;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        join(theirs, real_folder, entry->d_name);
        join(ours, place, entry->d_name);
        if (lstat64(theirs, &about))
            continue;
        if (S_ISDIR(about.st_mode)) {
            mkdir(ours, 0700);
        } else if (S_ISREG(about.st_mode) && access(ours, F_OK)) {
            by_inode(about.st_ino, inode);
            if (link(inode, ours)) { /* nothing of it was synced: the name of an empty file */
                REAL("open64", open64);
                int made = real(ours, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (made >= 0)
                    close(made);
            }
        }
    }
    if (folder)
        closedir(folder);
}

/* A file that is new has an inode that an older one may have had. */
static void opened(int file, int flags)
{
    char place[PATH_MAX], inode[PATH_MAX];
    struct stat64 about;
    int before = errno;
    if (file >= 0 && (flags & O_CREAT) && watched(file, place) && !fstat64(file, &about) && S_ISREG(about.st_mode)
        && !about.st_size) {
        pthread_mutex_lock(&lock);
        by_inode(about.st_ino, inode);
        if (access(place, F_OK)) /* it was not there before */
            unlink(inode);
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

/* -- in place of the library's own */

static int synced(const char *name, int file)
{
    char place[PATH_MAX];
    struct stat64 about;
    __typeof__(fsync) *real = (__typeof__(fsync) *) dlsym(RTLD_NEXT, name);
    int done = real(file), before = errno;
    if (!done && watched(file, place) && !fstat64(file, &about)) {
        pthread_mutex_lock(&lock);
        if (S_ISDIR(about.st_mode))
            make_names_durable(file, place);
        else
            make_durable(file, place);
        pthread_mutex_unlock(&lock);
    }
    errno = before;
    return done;
}

int fsync(int file) { return synced("fsync", file); }
int fdatasync(int file) { return synced("fdatasync", file); }

/* What was written where the file stands now. */
static ssize_t appended(int file, ssize_t done)
{
    int before = errno;
    off64_t end = done > 0 ? lseek64(file, 0, SEEK_CUR) : -1;
    errno = before;
    if (end >= done)
        written(file, end - done, done);
    return done;
}

ssize_t write(int file, const void *octets, size_t size)
{
    REAL("write", write);
    ssize_t done = real(file, octets, size);
    return appended(file, done);
}

ssize_t pwrite64(int file, const void *octets, size_t size, off64_t start)
{
    REAL("pwrite64", pwrite64);
    ssize_t done = real(file, octets, size, start);
    written(file, start, done);
    return done;
}

ssize_t pwrite(int file, const void *octets, size_t size, off_t start) { return pwrite64(file, octets, size, start); }

ssize_t pwritev64(int file, const struct iovec *pieces, int number, off64_t start)
{
    REAL("pwritev64", pwritev64);
    ssize_t done = real(file, pieces, number, start);
    written(file, start, done);
    return done;
}

ssize_t pwritev(int file, const struct iovec *pieces, int number, off_t start)
{
    return pwritev64(file, pieces, number, start);
}

ssize_t writev(int file, const struct iovec *pieces, int number)
{
    REAL("writev", writev);
    ssize_t done = real(file, pieces, number);
    return appended(file, done);
}

/* The third argument of the functions below, which is there only where a file may be made. */
#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int openat64(int folder, const char *path, int flags, ...)
{
    MODE(flags, mode)
    REAL("openat64", openat64);
    int file = real(folder, path, flags, mode);
    opened(file, flags);
    return file;
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags, mode)
    return openat64(folder, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return openat64(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return openat64(AT_FDCWD, path, flags, mode);
}
