#include "failing.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stddef.h>

static _Thread_local bool left_out;
static atomic_bool counting;
static atomic_uint allocations; /* so far in this run */
static atomic_uint failing;

void failing_begin(unsigned n) {
    atomic_store(&allocations, 0);
    atomic_store(&failing, n);
    atomic_store(&counting, true);
}

bool failing_end(void) {
    unsigned n = atomic_load(&failing);
    atomic_store(&counting, false);
    return n > 0 && atomic_load(&allocations) >= n;
}

unsigned failing_which(void) { return atomic_load(&failing); }
void failing_leave_out_thread(void) { left_out = true; }

bool failing_now(void) {
    return !left_out && atomic_load(&counting) &&
           atomic_fetch_add(&allocations, 1) + 1 == atomic_load(&failing);
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n) { return failing_now() ? NULL : __real_malloc(n); }

void *__real_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n) {
    return failing_now() ? NULL : __real_calloc(count, n);
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n) { return failing_now() ? NULL : __real_realloc(p, n); }

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) { return failing_now() ? NULL : __real_strdup(text); }

CURL *__real_curl_easy_init(void);
CURL *__wrap_curl_easy_init(void);
CURL *__wrap_curl_easy_init(void) { return failing_now() ? NULL : __real_curl_easy_init(); }

struct curl_slist *__real_curl_slist_append(struct curl_slist *list, const char *text);
struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list, const char *text);
struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list, const char *text) {
    return failing_now() ? NULL : __real_curl_slist_append(list, text);
}

CURLMcode __real_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy) {
    return failing_now() ? CURLM_OUT_OF_MEMORY : __real_curl_multi_add_handle(multi, easy);
}
