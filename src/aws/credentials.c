#include "fileservice/aws/credentials.h"

#include "provider.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/secret.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define RENEW_BEFORE_MS 900000L /* 15 minutes before they end; the SDKs' advisory window */
#define RENEW_AT_LEAST_AFTER_MS 1000
#define RETRY_FIRST_MS 1000u /* after a failure, doubled each time */
#define RETRY_MOST_MS 60000u
#define REFRESH_SOON_MOST_OFTEN_MS 5000 /* S3 may refuse many requests at once */
#define USABLE_LEFT_MS 5000 /* a set about to end is of no use to a request that still travels */

/* One set */

struct shared {
    struct credentials values; /* first: the public pointer is the pointer to this */
    atomic_uint references;
};

static struct shared *shared_of(struct credentials *c) {
    return CONTAINER_OF(c, struct shared, values);
}

static char *copy(struct span s) { return strndup(s.p == NULL ? "" : s.p, s.n); }

struct credentials *credentials_new(struct span access_key_id, struct span secret_access_key,
                                    struct span session_token, int64_t expires_wall_ms) {
    struct shared *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    atomic_init(&s->references, 1);
    struct credentials *c = &s->values;
    c->access_key_id = copy(access_key_id);
    c->secret_access_key = copy(secret_access_key);
    c->session_token = session_token.n > 0 ? copy(session_token) : NULL;
    c->expires_wall_ms = expires_wall_ms;
    if (c->access_key_id == NULL || c->secret_access_key == NULL ||
        (session_token.n > 0 && c->session_token == NULL)) {
        credentials_unref(c);
        return NULL;
    }
    return c;
}

struct credentials *credentials_ref(struct credentials *c) {
    atomic_fetch_add(&shared_of(c)->references, 1);
    return c;
}

void credentials_unref(struct credentials *c) {
    if (c == NULL || atomic_fetch_sub(&shared_of(c)->references, 1) != 1)
        return;
    secret_free(c->access_key_id);
    secret_free(c->secret_access_key);
    secret_free(c->session_token);
    free(shared_of(c));
}

struct sigv4_credentials credentials_for_signing(const struct credentials *c) {
    return (struct sigv4_credentials){
        .access_key_id = span_of(c->access_key_id),
        .secret_access_key = span_of(c->secret_access_key),
        .session_token = span_of(c->session_token),
    };
}

/* The source */

struct credentials_source {
    struct credentials_options options;
    const struct provider *provider; /* NULL: static keys, or nothing at all */
    struct fetcher *fetcher;         /* the refresher's */
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* under mutex */
    bool stopping;
    bool refresh_now;
    uint64_t asked_ms; /* when refresh_now was set last, monotonic */
    struct credentials *current;
    struct error failure; /* of the last fetch; err is ERR_OK after a good one */
};

/* Before the first answer of a provider, and where there is none. */
static void set_no_credentials(struct credentials_source *s) {
    error_set(&s->failure, ERR_CREDENTIALS, "%s",
              s->provider != NULL ? "The credentials of this service are not there yet."
                                  : "This service has no AWS credentials.");
}

/* How long a set is used before it is renewed. */
static uint64_t renew_after_ms(const struct credentials *c, int64_t now_ms) {
    int64_t left = c->expires_wall_ms - now_ms;
    int64_t wait = left > 2 * RENEW_BEFORE_MS ? left - RENEW_BEFORE_MS : left / 2;
    return (uint64_t)(wait > RENEW_AT_LEAST_AFTER_MS ? wait : RENEW_AT_LEAST_AFTER_MS);
}

/* Takes over the outcome of a fetch; returns how long to wait for the next. The mutex is held. */
static uint64_t take_outcome(struct credentials_source *s, enum err e, struct credentials *fresh,
                             const struct error *error, unsigned *failures) {
    if (e == ERR_OK) {
        credentials_unref(s->current);
        s->current = fresh;
        s->failure = (struct error){.err = ERR_OK};
        *failures = 0;
        if (fresh->expires_wall_ms == CREDENTIALS_NEVER)
            return UINT64_MAX;
        return renew_after_ms(fresh, clock_wall_ms());
    }
    s->failure = *error;
    s->failure.err = ERR_CREDENTIALS;
    uint64_t wait = RETRY_FIRST_MS << (*failures < 6 ? *failures : 6);
    (*failures)++;
    return wait < RETRY_MOST_MS ? wait : RETRY_MOST_MS;
}

/* Waits until it is time, or somebody asked. The mutex is held. */
static void wait_for_turn(struct credentials_source *s, uint64_t wait_ms) {
    uint64_t begin = clock_monotonic_ms();
    while (!s->stopping && !s->refresh_now) {
        uint64_t past = clock_monotonic_ms() - begin;
        if (past >= wait_ms)
            return;
        if (wait_ms == UINT64_MAX) {
            pthread_cond_wait(&s->wake, &s->mutex);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        uint64_t left = wait_ms - past;
        /* Not longer than an hour at once: the wall clock, by which credentials end, may be set. */
        left = left < 3600000 ? left : 3600000;
        until.tv_sec += (time_t)(left / 1000);
        until.tv_nsec += (long)(left % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&s->wake, &s->mutex, &until);
    }
}

static void *refresh(void *argument) {
    struct credentials_source *s = argument;
    unsigned failures = 0;
    pthread_mutex_lock(&s->mutex);
    while (!s->stopping) {
        struct credentials *fresh = NULL;
        struct error error;
        s->refresh_now = false;
        pthread_mutex_unlock(&s->mutex);
        enum err e = s->provider->fetch(&s->options, s->fetcher, &fresh, &error);
        if (e != ERR_OK && e != ERR_CANCELLED && s->options.on_failure != NULL)
            s->options.on_failure(s->options.context, &error);
        pthread_mutex_lock(&s->mutex);
        uint64_t wait_ms = take_outcome(s, e, fresh, &error, &failures);
        wait_for_turn(s, wait_ms);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* The first provider that is configured. */
static enum err choose(struct credentials_source *s, struct error *error) {
    static const struct provider *const chain[] = {&provider_web_identity, &provider_profile,
                                                   &provider_container, &provider_imds};
    for (size_t i = 0; i < sizeof chain / sizeof(void *); i++) {
        bool found = false;
        enum err e = chain[i]->find(&s->options, &found, error);
        if (e != ERR_OK)
            return e;
        if (found) {
            s->provider = chain[i];
            break;
        }
    }
    return ERR_OK;
}

static enum err use_static_keys(struct credentials_source *s, struct error *error) {
    const struct credentials_options *o = &s->options;
    if (o->access_key_id == NULL || o->secret_access_key == NULL)
        return error_set(error, ERR_CREDENTIALS,
                         "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set");
    s->current = credentials_new(span_of(o->access_key_id), span_of(o->secret_access_key),
                                 span_of(o->session_token), CREDENTIALS_NEVER);
    return s->current != NULL ? ERR_OK
                              : error_set(error, ERR_NO_MEMORY, "no memory for credentials");
}

static enum err start_refresher(struct credentials_source *s, struct error *error) {
    enum err e = fetcher_new(&s->fetcher, error);
    if (e != ERR_OK)
        return e;
    s->has_thread = pthread_create(&s->thread, NULL, refresh, s) == 0;
    return s->has_thread ? ERR_OK
                         : error_set(error, ERR_SYSTEM, "the credentials thread does not start");
}

enum err credentials_source_start(const struct credentials_options *options,
                                  struct credentials_source **ret, struct error *error) {
    struct credentials_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for credentials");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->options = *options;
    enum err e = ERR_OK;
    if (options->access_key_id != NULL || options->secret_access_key != NULL) {
        e = use_static_keys(s, error);
    } else {
        e = choose(s, error);
        set_no_credentials(s);
        if (e == ERR_OK && s->provider != NULL)
            e = start_refresher(s, error);
    }
    if (e != ERR_OK) {
        credentials_source_stop(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}

void credentials_source_stop(struct credentials_source *s) {
    if (s == NULL)
        return;
    if (s->has_thread) {
        pthread_mutex_lock(&s->mutex);
        s->stopping = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->mutex);
        fetcher_stop(s->fetcher);
        pthread_join(s->thread, NULL);
    }
    fetcher_free(s->fetcher);
    credentials_unref(s->current);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

enum err credentials_get(struct credentials_source *s, struct credentials **ret,
                         struct error *error) {
    enum err e = ERR_OK;
    pthread_mutex_lock(&s->mutex);
    if (s->current == NULL) {
        *error = s->failure;
        e = ERR_CREDENTIALS;
    } else if (s->current->expires_wall_ms != CREDENTIALS_NEVER &&
               s->current->expires_wall_ms - clock_wall_ms() < USABLE_LEFT_MS) {
        e = error_set(error, ERR_CREDENTIALS, "The credentials of this service have expired: %s",
                      s->failure.err != ERR_OK ? s->failure.message : "they are being renewed");
    } else {
        *ret = credentials_ref(s->current);
    }
    pthread_mutex_unlock(&s->mutex);
    return e;
}

void credentials_refresh_soon(struct credentials_source *s) {
    pthread_mutex_lock(&s->mutex);
    uint64_t now = clock_monotonic_ms();
    if (s->has_thread && (s->asked_ms == 0 || now - s->asked_ms >= REFRESH_SOON_MOST_OFTEN_MS)) {
        s->asked_ms = now;
        s->refresh_now = true;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->mutex);
}
