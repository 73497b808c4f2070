/* Does to the writes and syncs of a database what files in $FAULTS say: while there is `full` or `fail-sync`, they
 * fail; while there is `hold-sync`, syncs do not end; with `keep-synced`, what was synced is kept beside each file,
 * under its name and `.synced`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
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

static void path_of(int fd, char *path, const char *end) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 16);
  strcpy(path + (length < 0 ? 0 : length), end);
}

/* What a file has before it is synced is on the disk afterwards; what is written meanwhile may not be. */
static void copy(int fd) {
  char path[PATH_MAX], copy[PATH_MAX], bytes[1 << 16];
  path_of(fd, path, "");
  path_of(fd, copy, ".syncing");
  int from = open(path, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  for (ssize_t count; (count = read(from, bytes, sizeof bytes)) > 0;)
    if (NEXT(write)(to, bytes, count) != count) abort();
  close(from);
  close(to);
}

static void install_copy(int fd) {
  char copy[PATH_MAX], synced[PATH_MAX];
  path_of(fd, copy, ".syncing");
  path_of(fd, synced, ".synced");
  rename(copy, synced);
}

static int sync_with(int (*sync)(int), int fd) {
  while (is_asked_for("hold-sync", fd)) usleep(1000);
  if (fails("fail-sync", fd, EIO)) return -1;
  int is_kept = is_asked_for("keep-synced", fd);
  if (is_kept) copy(fd);
  int result = sync(fd);
  if (is_kept && result == 0) install_copy(fd);
  return result;
}

int fsync(int fd) { return sync_with(NEXT(fsync), fd); }
int fdatasync(int fd) { return sync_with(NEXT(fdatasync), fd); }
