#include "fileservice/config/config.h"

#include "fileservice/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

static const char *get_variable(void *context, const char *name) {
    (void)context;
    return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets variables
}

static enum err read_all(int fd, struct buf *out) {
    char piece[4096];
    ssize_t n = 0;
    do {
        n = read(fd, piece, sizeof piece);
        if (n > 0)
            buf_append(out, (struct span){piece, (size_t)n});
    } while ((n > 0 && buf_error(out) == ERR_OK) || (n < 0 && errno == EINTR));
    secret_wipe(piece, sizeof piece);
    return n < 0 ? ERR_SYSTEM : buf_error(out);
}

static enum err read_file(void *context, const char *path, struct buf *out) {
    (void)context;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    enum err e = read_all(fd, out);
    close(fd);
    return e;
}

/* Those this process may run on, which a container's limits may make fewer than the machine has. */
static unsigned count_cpus(void) {
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                         : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)n;
}

struct config_source config_source_environment(void) {
    return (struct config_source){
        .get = get_variable,
        .read_file = read_file,
        .cpus = count_cpus(),
    };
}
