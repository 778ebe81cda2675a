/* The credential chain: each provider against scripted endpoints and files, and what is refused. */
#include "fileservice/aws/credentials.h"

#include "fileservice/base/clock.h"
#include "fileservice/net/transport.h"

#include "stand_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 10000

/* The environment of one test: name and value in turns, NULL at the end. */
static const char *const *environment;

static const char *get(void *context, const char *name) {
    (void)context;
    for (size_t i = 0; environment[i] != NULL; i += 2)
        if (strcmp(environment[i], name) == 0)
            return environment[i + 1];
    return NULL;
}

static atomic_uint failures;

static void on_failure(void *context, const struct error *error) {
    (void)context;
    assert_true(error->message[0] != '\0');
    atomic_fetch_add(&failures, 1);
}

static struct credentials_options options_of(const char *const *variables) {
    environment = variables;
    return (struct credentials_options){
        .region = "eu-west-1", .get = get, .on_failure = on_failure};
}

/* The endpoints */

static struct stand_in *server;
static char url[64];
static atomic_uint served; /* sets of credentials handed out */
static atomic_int life_s;  /* of a set */
static atomic_bool broken;

static void say_credentials(struct buf *out, const char *before, const char *token,
                            const char *after) {
    char expires[CLOCK_RFC3339_BYTES];
    char body[1000];
    unsigned n = atomic_fetch_add(&served, 1) + 1;
    clock_format_rfc3339_s(clock_wall_ms() + (int64_t)atomic_load(&life_s) * 1000, expires);
    (void)snprintf(body, sizeof body,
                   "%s{\"AccessKeyId\":\"ID%u\",\"SecretAccessKey\":\"S\",\"%s\":\"T\","
                   "\"Expiration\":\"%s\"}%s",
                   before, n, token, expires, after);
    stand_in_say(out, 200, body);
}

static void answer(void *context, const struct stand_in_request *r, struct buf *out) {
    (void)context;
    struct span token = stand_in_header(r, "x-aws-ec2-metadata-token");
    bool get_it = span_eq(r->method, SPAN("GET"));
    if (atomic_load(&broken))
        stand_in_say(out, 500, "{}");
    else if (get_it && span_eq(r->target, SPAN("/container?a=b")) &&
             span_eq(stand_in_header(r, "Authorization"), SPAN("Basic abc")))
        say_credentials(out, "", "Token", "");
    else if (span_eq(r->method, SPAN("PUT")) && span_eq(r->target, SPAN("/latest/api/token")))
        stand_in_say(out, 200, "the-session");
    else if (get_it && span_eq(token, SPAN("the-session")) &&
             span_ends(r->target, SPAN("/security-credentials/")))
        stand_in_say(out, 200, "the-role\n");
    else if (get_it && span_eq(token, SPAN("the-session")) &&
             span_ends(r->target, SPAN("/security-credentials/the-role")))
        say_credentials(out, "", "Token", "");
    else if (span_eq(r->method, SPAN("POST")) &&
             span_eq(r->body, SPAN("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn="
                                   "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=me&"
                                   "WebIdentityToken=jwt.a%2Bb")))
        say_credentials(out,
                        "{\"AssumeRoleWithWebIdentityResponse\":{"
                        "\"AssumeRoleWithWebIdentityResult\":{\"Credentials\":",
                        "SessionToken", "}}}");
    else
        stand_in_say(out, 404, "{}");
}

static int set_up(void **state) {
    (void)state;
    atomic_store(&served, 0);
    atomic_store(&failures, 0);
    atomic_store(&life_s, 3600);
    atomic_store(&broken, false);
    server = stand_in_start(answer, NULL);
    if (server == NULL || transport_global_init() != ERR_OK)
        return -1;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)stand_in_port(server));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    stand_in_stop(server);
    transport_global_done();
    return 0;
}

/* A file of the test, below the working folder; removed by the caller. */
static void write_file(const char *name, const char *text) {
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct credentials_source *start(const struct credentials_options *o) {
    struct credentials_source *s = NULL;
    struct error error;
    if (credentials_source_start(o, &s, &error) != ERR_OK)
        fail_msg("not started: %s", error.message);
    return s;
}

/* Waits for a set with this key. */
static void expect_key(struct credentials_source *s, const char *id, bool has_token) {
    struct credentials *c = NULL;
    struct error error;
    for (int i = 0; i < WAIT_MS; i++) {
        if (credentials_get(s, &c, &error) == ERR_OK) {
            bool right = strcmp(c->access_key_id, id) == 0;
            if (right)
                assert_int_equal(c->session_token != NULL, has_token);
            credentials_unref(c);
            if (right)
                return;
        }
        usleep(1000);
    }
    fail_msg("no set with key %s in time", id);
}

/* Waits until the source says why it has none. */
static void expect_failure(struct credentials_source *s, const char *part) {
    struct credentials *c = NULL;
    struct error error;
    for (int i = 0; i < WAIT_MS; i++) {
        if (credentials_get(s, &c, &error) == ERR_OK)
            credentials_unref(c);
        else if (strstr(error.message, part) != NULL && error.err == ERR_CREDENTIALS)
            return;
        usleep(1000);
    }
    fail_msg("it never said \"%s\"", part);
}

static void static_keys_come_first_and_both(void **state) {
    static const char *const variables[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[::1]:1/",
                                            NULL};
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = NULL;
    struct error error;
    (void)state;
    o.access_key_id = "STATIC";
    assert_int_equal(credentials_source_start(&o, &s, &error), ERR_CREDENTIALS);
    o.secret_access_key = "secret";
    s = start(&o);
    expect_key(s, "STATIC", false);
    credentials_refresh_soon(s);
    credentials_source_stop(s);
    o.session_token = "token";
    s = start(&o);
    expect_key(s, "STATIC", true);
    credentials_source_stop(s);
}

static void the_container_is_asked_with_its_token_and_renewed_when_asked(void **state) {
    char uri[100];
    const char *variables[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", uri,
                               "AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc", NULL};
    (void)state;
    (void)snprintf(uri, sizeof uri, "%s/container?a=b", url);
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_key(s, "ID1", true);
    credentials_refresh_soon(s);
    credentials_refresh_soon(s); /* at once again: not asked twice */
    expect_key(s, "ID2", true);
    credentials_source_stop(s);
    assert_int_equal(atomic_load(&served), 2);
}

static void a_set_that_ends_soon_is_renewed_before(void **state) {
    char uri[100];
    const char *variables[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", uri,
                               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "credentials.token", NULL};
    (void)state;
    write_file("credentials.token", "Basic abc\n");
    atomic_store(&life_s, 7); /* half of it is 3.5 s; 5 s before the end it is of no use any more */
    (void)snprintf(uri, sizeof uri, "%s/container?a=b", url);
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_key(s, "ID1", true);
    expect_key(s, "ID2", true);
    atomic_store(&broken, true);
    expect_failure(s, "have expired");
    atomic_store(&broken, false);
    atomic_store(&life_s, 3600);
    expect_key(s, "ID3", true);
    credentials_source_stop(s);
    assert_int_equal(unlink("credentials.token"), 0);
}

static void a_container_that_fails_is_an_error_and_nobody_else_is_asked(void **state) {
    char uri[100];
    const char *variables[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", uri,
                               "AWS_EC2_METADATA_SERVICE_ENDPOINT", url, NULL};
    (void)state;
    (void)snprintf(uri, sizeof uri, "%s/container?a=b", url); /* without the token: 404 */
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_failure(s, "status 404");
    credentials_source_stop(s);
    assert_true(atomic_load(&failures) >= 1);
    assert_int_equal(atomic_load(&served), 0);
}

static void what_would_carry_a_token_away_is_refused_at_the_start(void **state) {
    static const char *const rows[][3] = {
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x", NULL},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1.example.com/x", NULL},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.3/x", NULL},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user@127.0.0.1/x", NULL},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "ftp://127.0.0.1/x", NULL},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/a b", NULL},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "example.com/x", NULL},
        {"AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere", NULL},
        {"AWS_PROFILE", "nobody", NULL},
        {"AWS_SHARED_CREDENTIALS_FILE", "/nowhere/at/all", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct credentials_options o = options_of(rows[i]);
        struct credentials_source *s = NULL;
        struct error error;
        assert_int_equal(credentials_source_start(&o, &s, &error), ERR_CREDENTIALS);
        assert_true(error.message[0] != '\0');
    }
}

static void an_authorization_of_two_lines_is_never_sent(void **state) {
    char uri[100];
    const char *variables[] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", uri,
                               "AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc\r\nX: y", NULL};
    (void)state;
    (void)snprintf(uri, sizeof uri, "%s/container?a=b", url);
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_failure(s, "not one line");
    credentials_source_stop(s);
    assert_int_equal(atomic_load(&served), 0);
}

static void an_instance_is_asked_by_a_session(void **state) {
    const char *variables[] = {"AWS_EC2_METADATA_SERVICE_ENDPOINT", url, NULL};
    (void)state;
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_key(s, "ID1", true);
    credentials_source_stop(s);
}

static void nothing_configured_says_so(void **state) {
    static const char *const variables[] = {"AWS_EC2_METADATA_DISABLED", "true", NULL};
    (void)state;
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_failure(s, "no AWS credentials");
    credentials_source_stop(s);
}

static void a_web_identity_is_exchanged_at_sts(void **state) {
    const char *variables[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
                               "credentials.jwt",
                               "AWS_ROLE_ARN",
                               "arn:aws:iam::1:role/r",
                               "AWS_ROLE_SESSION_NAME",
                               "me",
                               "AWS_ENDPOINT_URL_STS",
                               url,
                               NULL};
    (void)state;
    write_file("credentials.jwt", "jwt.a+b\n");
    struct credentials_options o = options_of(variables);
    struct credentials_source *s = start(&o);
    expect_key(s, "ID1", true);
    credentials_source_stop(s);
    assert_int_equal(unlink("credentials.jwt"), 0);
}

static void profiles_are_read_from_both_files(void **state) {
    static const struct {
        const char *credentials;
        const char *config;
        const char *profile;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"[default]\naws_access_key_id = A\naws_secret_access_key = s\n", "", NULL, "A"},
        {"# "
         "x\n[other]\naws_access_key_id=B\n\n[me]\r\naws_access_key_id=C\r\naws_secret_access_key=s"
         "\r\n",
         "", "me", "C"},
        {"[x]\n", "[profile me]\naws_access_key_id=D\nregion = r\naws_secret_access_key=s\n", "me",
         "D"},
        {"[me]\naws_access_key_id=E\naws_secret_access_key=s\n[me2]\naws_access_key_id=F\n",
         "[profile me]\naws_access_key_id=G\naws_secret_access_key=s\n", "me", "E"},
        {"[me]\naws_access_key_id=H\n", "", "me", NULL},
        {"", "[profile me]\nrole_arn = x\n", "me", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *variables[] = {"AWS_SHARED_CREDENTIALS_FILE",
                                   "credentials.ini",
                                   "AWS_CONFIG_FILE",
                                   "config.ini",
                                   rows[i].profile != NULL ? "AWS_PROFILE" : NULL,
                                   rows[i].profile,
                                   NULL};
        struct credentials_source *s = NULL;
        struct error error;
        write_file("credentials.ini", rows[i].credentials);
        write_file("config.ini", rows[i].config);
        struct credentials_options o = options_of(variables);
        enum err e = credentials_source_start(&o, &s, &error);
        assert_int_equal(e, rows[i].want != NULL ? ERR_OK : ERR_CREDENTIALS);
        if (e == ERR_OK)
            expect_key(s, rows[i].want, false);
        credentials_source_stop(s);
    }
    assert_int_equal(unlink("credentials.ini"), 0);
    assert_int_equal(unlink("config.ini"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(static_keys_come_first_and_both),
        TEST(the_container_is_asked_with_its_token_and_renewed_when_asked),
        TEST(a_set_that_ends_soon_is_renewed_before),
        TEST(a_container_that_fails_is_an_error_and_nobody_else_is_asked),
        TEST(what_would_carry_a_token_away_is_refused_at_the_start),
        TEST(an_authorization_of_two_lines_is_never_sent),
        TEST(an_instance_is_asked_by_a_session),
        TEST(nothing_configured_says_so),
        TEST(a_web_identity_is_exchanged_at_sts),
        TEST(profiles_are_read_from_both_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
