/* Fails writes and syncs of a database while files in $FAULTS say so: `full`, `fail-sync`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_asked_for(const char *fault, int fd) {
  const char *folder = getenv("FAULTS");
  char path[PATH_MAX], link[64];
  if (folder == NULL) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, fault);
  if (access(path, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  const char *name = strrchr(path, '/');
  return name != NULL && (strcmp(name, "/state.db") == 0 || strcmp(name, "/state.db-wal") == 0);
}

static int fails(const char *fault, int fd, int error) {
  int before = errno;
  if (!is_asked_for(fault, fd)) {
    errno = before;
    return 0;
  }
  errno = error;
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
  return fails("full", fd, ENOSPC) ? -1 : NEXT(write)(fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  return fails("full", fd, ENOSPC) ? -1 : NEXT(pwrite)(fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  return fails("full", fd, ENOSPC) ? -1 : NEXT(pwrite64)(fd, bytes, count, offset);
}
int fsync(int fd) { return fails("fail-sync", fd, EIO) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails("fail-sync", fd, EIO) ? -1 : NEXT(fdatasync)(fd); }
