#include "fileservice/base/file.h"

#include "fileservice/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define FILE_PIECE_BYTES 4096

enum err file_read(const char *path, struct buf *out) {
    char piece[FILE_PIECE_BYTES];
    enum err e = ERR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_SYSTEM;
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            e = ERR_SYSTEM;
        if (n <= 0)
            break;
        buf_append(out, (struct span){piece, (size_t)n});
        e = buf_error(out);
        if (e != ERR_OK)
            break;
    }
    secret_wipe(piece, sizeof piece);
    close(fd);
    return e;
}
