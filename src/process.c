#include "process.h"

#include "fileservice/base/file.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define PROCESS_STATM_MAX_BYTES 256

/* Sizes of address space and resident memory, in pages: the first two numbers; proc(5), statm. */
static void write_memory(struct buf *page) {
    struct buf text;
    struct span virtual;
    struct span resident;
    uint64_t virtual_pages;
    uint64_t resident_pages;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    buf_init(&text, PROCESS_STATM_MAX_BYTES);
    enum err e = file_read("/proc/self/statm", &text);
    struct span rest = buf_span(&text);
    if (e == ERR_OK && span_cut(&rest, ' ', &virtual) && span_cut(&rest, ' ', &resident) &&
        span_to_u64(virtual, &virtual_pages) && span_to_u64(resident, &resident_pages)) {
        metrics_single(page, "process_virtual_memory_bytes", METRICS_GAUGE,
                       "Size of the address space.", virtual_pages * page_bytes);
        metrics_single(page, "process_resident_memory_bytes", METRICS_GAUGE,
                       "Memory that is there.", resident_pages * page_bytes);
    }
    buf_done(&text);
}

static void write_descriptors(struct buf *page) {
    struct rlimit limit;
    DIR *folder = opendir("/proc/self/fd");
    if (folder != NULL) {
        uint64_t entries = 0;
        while (readdir(folder) != NULL) // NOLINT(concurrency-mt-unsafe): the stream is ours alone
            entries++;
        closedir(folder);
        /* But ".", ".." and the folder's own. */
        metrics_single(page, "process_open_fds", METRICS_GAUGE, "Open file descriptors.",
                       entries > 3 ? entries - 3 : 0);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_single(page, "process_max_fds", METRICS_GAUGE,
                       "Most file descriptors that may be open.", limit.rlim_cur);
}

static uint64_t us_of(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void write_cpu(struct buf *page) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return;
    metrics_family(page, "process_cpu_seconds_total", METRICS_COUNTER,
                   "Time on a CPU, in user and kernel mode.");
    metrics_sample_us(page, "process_cpu_seconds_total", NULL, 0,
                      us_of(usage.ru_utime) + us_of(usage.ru_stime));
}

void process_write(int64_t started_wall_ms, struct buf *page) {
    write_memory(page);
    write_descriptors(page);
    write_cpu(page);
    metrics_family(page, "process_start_time_seconds", METRICS_GAUGE,
                   "When it was started, in seconds since 1970 UTC.");
    metrics_sample_us(page, "process_start_time_seconds", NULL, 0,
                      (uint64_t)started_wall_ms * 1000);
}
