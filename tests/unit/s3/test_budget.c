/* The upload budget: the rules one by one, then hundreds of simulated uploads in virtual time. */
#include "fileservice/s3/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define MIB 1048576u
#define CHUNK ((uint64_t)BUDGET_CHUNK_BYTES)
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The rules, one by one */

static struct budget_policy policy;

static uint64_t ask(struct budget_claim *c, uint64_t bytes, uint64_t now_ms) {
    return budget_policy_ask(&policy, c, bytes, now_ms);
}

/* A claim that holds `bytes` of the reservations. */
static void reserve_at(struct budget_claim *c, uint64_t bytes, uint64_t now_ms) {
    budget_claim_init(c);
    assert_int_equal(ask(c, bytes, now_ms), CHUNK);
    assert_int_equal(ask(c, bytes, now_ms), bytes);
    assert_int_equal(c->state, BUDGET_RESERVED);
}

static void wait_at(struct budget_claim *c, uint64_t bytes, uint64_t now_ms) {
    budget_claim_init(c);
    assert_int_equal(ask(c, bytes, now_ms), CHUNK);
    assert_int_equal(ask(c, bytes, now_ms), 0);
    assert_int_equal(c->state, BUDGET_WAITING);
}

static void a_quarter_is_for_first_chunks(void **state) {
    struct budget_claim claims[6];
    (void)state;
    budget_policy_init(&policy, 20 * CHUNK);
    for (size_t i = 0; i < 6; i++)
        budget_claim_init(&claims[i]);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(ask(&claims[i], 10 * CHUNK, 0), CHUNK);
    assert_int_equal(policy.first_used, 5);
    assert_int_equal(ask(&claims[5], 10 * CHUNK, 0), 10 * CHUNK); /* the quarter is used up */
    assert_int_equal(budget_policy_used(&policy), 15 * CHUNK);
    assert_int_equal(ask(&claims[0], 5 * CHUNK, 0), 5 * CHUNK); /* gives its first chunk back */
    assert_int_equal(policy.first_used, 4);
    for (size_t i = 0; i < 6; i++)
        budget_policy_give_back(&policy, &claims[i]);
    assert_int_equal(budget_policy_used(&policy), 0);
}

static void who_comes_first_is_served_first(void **state) {
    struct budget_claim a;
    struct budget_claim large;
    struct budget_claim small;
    (void)state;
    budget_policy_init(&policy, 20 * CHUNK);
    reserve_at(&a, 10 * CHUNK, 0);
    wait_at(&large, 15 * CHUNK, 1);
    wait_at(&small, CHUNK, 2); /* fits, but was not first */
    assert_null(budget_policy_grant(&policy, 3));
    budget_policy_shrink(&policy, &a, 2 * CHUNK);
    assert_null(budget_policy_grant(&policy, 3));
    budget_policy_give_back(&policy, &a);
    assert_ptr_equal(budget_policy_grant(&policy, 4), &large);
    assert_null(budget_policy_grant(&policy, 4));
    budget_policy_give_back(&policy, &large);
    assert_ptr_equal(budget_policy_grant(&policy, 5), &small);
    budget_policy_give_back(&policy, &small);
    assert_int_equal(budget_policy_used(&policy), 0);
}

static void who_leaves_the_line_lets_the_next_pass(void **state) {
    struct budget_claim a;
    struct budget_claim large;
    struct budget_claim small;
    (void)state;
    budget_policy_init(&policy, 20 * CHUNK);
    reserve_at(&a, 10 * CHUNK, 0);
    wait_at(&large, 15 * CHUNK, 0);
    wait_at(&small, CHUNK, 0);
    budget_policy_give_back(&policy, &large);
    assert_ptr_equal(budget_policy_grant(&policy, 0), &small);
    budget_policy_give_back(&policy, &small);
    budget_policy_give_back(&policy, &a);
    budget_policy_give_back(&policy, &a); /* once more does nothing */
    assert_int_equal(budget_policy_used(&policy), 0);
}

static void who_waits_too_long_has_to_go(void **state) {
    struct budget_claim a;
    struct budget_claim b;
    uint64_t again_ms = 0;
    (void)state;
    budget_policy_init(&policy, 20 * CHUNK);
    reserve_at(&a, 15 * CHUNK, 0);
    wait_at(&b, CHUNK, 500);
    assert_int_equal(budget_policy_look(&policy, &b, 1, 600, &again_ms), BUDGET_KEEP);
    assert_int_equal(again_ms, BUDGET_WAIT_MAX_MS - 100);
    assert_int_equal(budget_policy_look(&policy, &b, 1, 499 + BUDGET_WAIT_MAX_MS, &again_ms),
                     BUDGET_KEEP);
    assert_int_equal(again_ms, 1);
    assert_int_equal(budget_policy_look(&policy, &b, 1, 500 + BUDGET_WAIT_MAX_MS, &again_ms),
                     BUDGET_WAITED);
    budget_policy_give_back(&policy, &a);
    budget_policy_give_back(&policy, &b);
}

/* What becomes of a reserved part that took `size` bytes by `at_ms`; its first byte came at 0. */
static void a_slow_part_is_cut_while_others_wait(void **state) {
    static const uint64_t enough = (uint64_t)BUDGET_SLOW_BYTES_PER_S * BUDGET_SLOW_WINDOW_MS / 1000;
    static const struct {
        const char *name;
        uint64_t at_ms;
        uint64_t size;
        bool others;
        enum budget_verdict want;
        uint64_t again_ms;
    } rows[] = {
        {"too early to say", BUDGET_SLOW_WINDOW_MS - 1, 1, true, BUDGET_KEEP, 1},
        {"slow", BUDGET_SLOW_WINDOW_MS, enough - 1, true, BUDGET_SLOW, 0},
        {"just quick enough", BUDGET_SLOW_WINDOW_MS, enough, true, BUDGET_KEEP, 10000},
        {"slow, alone", BUDGET_SLOW_WINDOW_MS, 1, false, BUDGET_KEEP, BUDGET_LOOK_AGAIN_MS},
        {"looked at late", 6 * BUDGET_SLOW_WINDOW_MS, 6 * enough - 1, true, BUDGET_SLOW, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct budget_claim a;
        struct budget_claim b;
        uint64_t again_ms = 0;
        budget_policy_init(&policy, 20 * CHUNK);
        reserve_at(&a, 15 * CHUNK, 0);
        if (rows[i].others)
            wait_at(&b, CHUNK, 0);
        enum budget_verdict v =
            budget_policy_look(&policy, &a, rows[i].size, rows[i].at_ms, &again_ms);
        if (v != rows[i].want || (v == BUDGET_KEEP && again_ms != rows[i].again_ms))
            fail_msg("%s: verdict %d, again in %llu ms", rows[i].name, (int)v,
                     (unsigned long long)again_ms);
    }
}

static void a_quick_begin_excuses_no_stall(void **state) {
    struct budget_claim a;
    struct budget_claim b;
    uint64_t again_ms = 0;
    (void)state;
    budget_policy_init(&policy, 20 * CHUNK);
    reserve_at(&a, 15 * CHUNK, 0);
    assert_int_equal(budget_policy_look(&policy, &a, 10 * CHUNK, 10000, &again_ms), BUDGET_KEEP);
    assert_int_equal(budget_policy_look(&policy, &a, 10 * CHUNK, 20000, &again_ms), BUDGET_KEEP);
    assert_int_equal(again_ms, BUDGET_LOOK_AGAIN_MS); /* slow by now, but in nobody's way */
    wait_at(&b, CHUNK, 20500);
    assert_int_equal(budget_policy_look(&policy, &a, 10 * CHUNK, 21000, &again_ms), BUDGET_SLOW);
}

static void time_in_which_it_waited_itself_does_not_count(void **state) {
    struct budget_claim a;
    struct budget_claim b;
    struct budget_claim c;
    uint64_t again_ms = 0;
    (void)state;
    budget_policy_init(&policy, 20 * CHUNK);
    reserve_at(&a, 15 * CHUNK, 0);
    budget_claim_init(&b);
    assert_int_equal(ask(&b, 15 * CHUNK, 0), CHUNK);
    assert_int_equal(ask(&b, 15 * CHUNK, 1000), 0);
    wait_at(&c, CHUNK, 1000);
    budget_policy_give_back(&policy, &a);
    assert_ptr_equal(budget_policy_grant(&policy, 26000), &b);
    assert_int_equal(budget_policy_look(&policy, &b, CHUNK, 26000, &again_ms), BUDGET_KEEP);
    assert_int_equal(again_ms, BUDGET_SLOW_WINDOW_MS - 1000); /* the second before it waited */
    assert_int_equal(budget_policy_look(&policy, &b, CHUNK, 34999, &again_ms), BUDGET_KEEP);
    assert_int_equal(budget_policy_look(&policy, &b, CHUNK, 35000, &again_ms), BUDGET_SLOW);
}

/* The simulation */

#define STEP_MS 50
#define PART_BYTES (5 * MIB)
#define PART_ROOM ((PART_BYTES + CHUNK - 1) / CHUNK * CHUNK)
#define ON_WAY_MAX 4
#define UPLOADS_MAX 500
#define END_MS 3600000

struct sim_part {
    struct budget_claim claim;
    uint64_t room; /* granted */
    uint64_t whole;
    uint64_t size;
    uint64_t done_ms; /* when S3 has it */
    uint64_t look_ms;
    uint64_t turn; /* when it asked, counted */
    bool used;
};

enum fate { TO_COME, UNDER_WAY, DONE, WAITED, TOO_SLOW, WENT_AWAY };

struct sim_upload {
    uint64_t begin_ms;
    uint64_t length;
    uint64_t bytes_per_s; /* what its client sends when it may */
    uint64_t leaves_ms;   /* UINT64_MAX: stays to the end */
    uint64_t sent;
    uint64_t credit; /* bytes the client could have sent by now, and did not yet */
    enum fate fate;
    uint64_t end_ms;
    uint64_t waited_ms; /* the longest wait for room */
    struct sim_part parts[ON_WAY_MAX + 1];
    struct sim_part *filling;
};

struct sim {
    struct budget_policy policy;
    uint64_t budget;
    uint32_t seed;
    uint64_t now_ms;
    uint64_t turns;        /* claims that stood in line so far */
    uint64_t last_granted; /* its turn */
    uint64_t s3_bytes_per_s;
    bool patient; /* nobody leaves after 30 s: shows that everybody is served at last */
    bool lenient; /* slow parts are left alone: shows what the rule is good for */
    struct sim_upload uploads[UPLOADS_MAX];
    size_t count;
};

static struct sim sim;

static uint32_t pick(uint32_t below) {
    sim.seed = sim.seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(sim.seed >> 4) * below >> 28);
}

static void sim_init(uint32_t seed, uint64_t budget) {
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.budget = budget;
    sim.s3_bytes_per_s = 50 * MIB;
    budget_policy_init(&sim.policy, budget);
}

static struct sim_upload *add(uint64_t begin_ms, uint64_t length, uint64_t bytes_per_s) {
    assert_true(sim.count < UPLOADS_MAX);
    struct sim_upload *u = &sim.uploads[sim.count++];
    u->begin_ms = begin_ms;
    u->length = length;
    u->bytes_per_s = bytes_per_s;
    u->leaves_ms = UINT64_MAX;
    return u;
}

static bool moves(const struct sim_upload *u) { return u->bytes_per_s >= 2 * MIB / 100; }

static void grant_all(void) {
    struct budget_claim *c;
    while ((c = budget_policy_grant(&sim.policy, sim.now_ms)) != NULL) {
        struct sim_part *p = CONTAINER_OF(c, struct sim_part, claim);
        assert_true(p->turn > sim.last_granted); /* first come, first served */
        sim.last_granted = p->turn;
        p->room = p->whole;
        p->look_ms = sim.now_ms;
    }
}

static void part_done(struct sim_part *p) {
    budget_policy_give_back(&sim.policy, &p->claim);
    p->used = false;
    grant_all();
}

static void upload_end(struct sim_upload *u, enum fate fate) {
    u->fate = fate;
    u->end_ms = sim.now_ms;
    u->filling = NULL;
    for (size_t i = 0; i < COUNT(u->parts); i++)
        if (u->parts[i].used)
            part_done(&u->parts[i]);
}

static void look(struct sim_upload *u) {
    struct sim_part *p = u->filling;
    uint64_t again_ms = 0;
    if (p == NULL || sim.now_ms < p->look_ms)
        return;
    if (p->claim.state == BUDGET_WAITING && sim.now_ms - p->claim.asked_ms > u->waited_ms)
        u->waited_ms = sim.now_ms - p->claim.asked_ms;
    enum budget_verdict v =
        budget_policy_look(&sim.policy, &p->claim, p->size, sim.now_ms, &again_ms);
    p->look_ms = again_ms == UINT64_MAX ? UINT64_MAX : sim.now_ms + again_ms;
    if (v == BUDGET_WAITED && !sim.patient)
        upload_end(u, WAITED);
    if (v == BUDGET_SLOW && !sim.lenient) {
        assert_false(moves(u));
        upload_end(u, TOO_SLOW);
    }
}

/* True when the part may take a byte more. */
static bool get_room(struct sim_upload *u) {
    struct sim_part *p = u->filling;
    if (p->size / CHUNK < p->room / CHUNK)
        return true;
    if (p->claim.state == BUDGET_WAITING)
        return false;
    bool line = !list_is_empty(&sim.policy.line);
    uint64_t rest = u->length - u->sent + p->size;
    p->whole = rest < PART_BYTES ? (rest / CHUNK + 1) * CHUNK : PART_ROOM;
    uint64_t granted = budget_policy_ask(&sim.policy, &p->claim, p->whole, sim.now_ms);
    assert_true(granted <= CHUNK || !line); /* nobody passes who waits */
    if (granted == 0)
        p->turn = ++sim.turns;
    else
        p->room = granted;
    p->look_ms = sim.now_ms;
    look(u);
    return u->fate == UNDER_WAY && granted > 0;
}

static bool next_part(struct sim_upload *u) {
    for (size_t i = 0; u->filling == NULL && i < ON_WAY_MAX; i++)
        if (!u->parts[i].used) {
            u->filling = &u->parts[i];
            *u->filling = (struct sim_part){.used = true};
            budget_claim_init(&u->filling->claim);
        }
    return u->filling != NULL;
}

static void send_part(struct sim_upload *u) {
    struct sim_part *p = u->filling;
    budget_policy_shrink(&sim.policy, &p->claim, (p->size / CHUNK + 1) * CHUNK);
    p->done_ms = sim.now_ms + 20 + p->size * 1000 / sim.s3_bytes_per_s;
    u->filling = NULL;
    grant_all();
}

static void fill(struct sim_upload *u) {
    u->credit += u->bytes_per_s * STEP_MS / 1000;
    if (u->credit > u->bytes_per_s)
        u->credit = u->bytes_per_s; /* a held client does not send more afterwards */
    while (u->credit > 0 && u->sent < u->length && next_part(u) && get_room(u)) {
        struct sim_part *p = u->filling;
        uint64_t n = CHUNK - p->size % CHUNK;
        n = n < u->credit ? n : u->credit;
        n = n < PART_BYTES - p->size ? n : PART_BYTES - p->size;
        n = n < u->length - u->sent ? n : u->length - u->sent;
        p->size += n;
        u->sent += n;
        u->credit -= n;
        if (p->size == PART_BYTES || u->sent == u->length)
            send_part(u);
    }
}

static void step_upload(struct sim_upload *u) {
    bool busy = false;
    if (u->fate == TO_COME && u->begin_ms <= sim.now_ms)
        u->fate = UNDER_WAY;
    if (u->fate != UNDER_WAY)
        return;
    for (size_t i = 0; i < ON_WAY_MAX; i++) {
        struct sim_part *p = &u->parts[i];
        if (p->used && p != u->filling && p->done_ms <= sim.now_ms)
            part_done(p);
        busy = busy || p->used;
    }
    if (u->sent == u->length && !busy) {
        upload_end(u, DONE);
        return;
    }
    if (u->leaves_ms <= sim.now_ms) {
        upload_end(u, WENT_AWAY);
        return;
    }
    look(u);
    if (u->fate == UNDER_WAY)
        fill(u);
}

/* What must hold after every step. */
static void check_step(void) {
    uint64_t held = 0;
    uint64_t taken = 0;
    for (size_t i = 0; i < sim.count; i++) {
        const struct sim_upload *u = &sim.uploads[i];
        for (size_t k = 0; u->fate == UNDER_WAY && k < ON_WAY_MAX; k++) {
            const struct sim_part *p = &u->parts[k];
            if (!p->used)
                continue;
            held += p->claim.state == BUDGET_RESERVED ? p->claim.bytes : 0;
            held += p->claim.has_first ? CHUNK : 0;
            taken += (p->size + CHUNK - 1) / CHUNK * CHUNK;
            if (p->claim.state == BUDGET_WAITING && !sim.patient)
                assert_true(sim.now_ms - p->claim.asked_ms <= BUDGET_WAIT_MAX_MS + STEP_MS);
        }
    }
    assert_int_equal(held, budget_policy_used(&sim.policy));
    assert_true(held <= sim.budget);
    assert_true(taken <= held); /* memory never goes beyond what was granted */
    assert_true(sim.policy.reserved <= sim.policy.room);
    assert_true(sim.policy.first_used <= sim.policy.first_room);
}

static bool all_have_ended(void) {
    for (size_t i = 0; i < sim.count; i++)
        if (sim.uploads[i].fate <= UNDER_WAY)
            return false;
    return true;
}

static void run(void) {
    while (!all_have_ended()) {
        for (size_t i = 0; i < sim.count; i++)
            step_upload(&sim.uploads[i]);
        check_step();
        sim.now_ms += STEP_MS;
        if (sim.now_ms > END_MS)
            fail_msg("after an hour there are uploads that neither ended nor failed");
    }
    assert_true(list_is_empty(&sim.policy.line));
    assert_int_equal(budget_policy_used(&sim.policy), 0); /* all room is back */
}

static size_t count_of(enum fate fate) {
    size_t n = 0;
    for (size_t i = 0; i < sim.count; i++)
        n += sim.uploads[i].fate == fate;
    return n;
}

static uint64_t some_length(void) {
    switch (pick(4)) {
    case 0:
        return 1 + pick(65536); /* within a first chunk */
    case 1:
        return 1 + pick(PART_BYTES);
    default:
        return 1 + pick(6 * PART_BYTES);
    }
}

/* 64 KiB/s to 64 MiB/s */
static uint64_t some_speed(void) { return (uint64_t)65536 << pick(11); }

/* They leave after some minutes if nobody sends them away. */
static void add_tricklers(size_t count, uint32_t within_ms, uint32_t least, uint32_t most) {
    for (size_t i = 0; i < count; i++) {
        struct sim_upload *u = add(pick(within_ms), 20 * MIB, least + pick(most - least));
        u->leaves_ms = u->begin_ms + 60000 + pick(240000);
    }
}

enum { SEEDS = 30 };

static void nobody_is_stuck_in_a_budget_that_is_too_small_for_all(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        sim_init(seed, 20 * MIB);
        sim.patient = true;
        for (int i = 0; i < 200; i++)
            add(pick(2000), some_length(), some_speed());
        run();
        assert_int_equal(count_of(DONE), sim.count);
    }
}

static void every_upload_ends_well_or_is_told_in_time(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        sim_init(seed, 20 * MIB + (uint64_t)pick(80) * MIB);
        sim.s3_bytes_per_s = MIB << pick(7);
        for (int i = 0; i < 200; i++)
            add(pick(60000), some_length(), some_speed());
        add_tricklers(100, 60000, 100, 12000);
        run();
        for (size_t i = 0; i < sim.count; i++) {
            const struct sim_upload *u = &sim.uploads[i];
            if (moves(u))
                assert_true(u->fate == DONE || u->fate == WAITED);
            assert_true(u->waited_ms <= BUDGET_WAIT_MAX_MS + STEP_MS);
        }
    }
}

/* The longest time that one of `count` ordinary uploads of 8 MiB at 8 MiB/s takes, one a second, and
 * with it how many of them fail. */
static uint64_t ordinary_uploads(size_t count, uint64_t begin_ms, size_t *failed) {
    size_t first = sim.count;
    uint64_t longest_ms = 0;
    for (size_t i = 0; i < count; i++)
        add(begin_ms + i * 1000, 8 * MIB, 8 * MIB);
    run();
    *failed = 0;
    for (size_t i = first; i < sim.count; i++) {
        const struct sim_upload *u = &sim.uploads[i];
        uint64_t took_ms = u->end_ms - u->begin_ms;
        *failed += u->fate != DONE;
        longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
    }
    return longest_ms;
}

/* In a budget of two parts. A trickler that needs the whole window for its first chunk is sent away
 * as soon as room is reserved for it; a quicker one holds the room for the rest of its window, and
 * those that came before us do so one after the other. */
static void tricklers_delay_an_ordinary_upload_by_a_bound(void **state) {
    static const struct {
        size_t count;
        uint32_t least; /* bytes a second */
        uint32_t most;
        uint64_t bound_ms; /* beyond the same uploads without tricklers */
    } rows[] = {
        {75, 100, 6500, 2000},
        {10, 6500, 12000, (uint64_t)10 / 2 * (BUDGET_SLOW_WINDOW_MS - 65536 * 1000 / 12000)},
    };
    size_t failed = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t failed_without = 0;
        for (uint32_t seed = 1; seed <= SEEDS; seed++) {
            sim_init(seed, 20 * MIB);
            uint64_t alone_ms = ordinary_uploads(60, 20000, &failed);
            assert_int_equal(failed, 0);

            sim_init(seed, 20 * MIB);
            add_tricklers(rows[i].count, 40000, rows[i].least, rows[i].most);
            uint64_t among_ms = ordinary_uploads(60, 20000, &failed);
            assert_int_equal(failed, 0);
            if (among_ms > alone_ms + rows[i].bound_ms)
                fail_msg("row %zu, seed %u: %llu ms, alone %llu ms", i, seed,
                         (unsigned long long)among_ms, (unsigned long long)alone_ms);

            sim_init(seed, 20 * MIB);
            sim.lenient = true;
            add_tricklers(rows[i].count, 40000, rows[i].least, rows[i].most);
            (void)ordinary_uploads(60, 20000, &failed);
            failed_without += failed;
        }
        assert_true(failed_without > 0); /* so it is the rule that keeps the bound */
    }
}

/* The memory itself */

#define POOL_CHUNKS (BUDGET_HOT_CHUNKS + 200)

static unsigned char mark_of(size_t i) { return (unsigned char)(i * 7 + 1); }

static size_t pages_in_use(const struct budget_chunk *c) {
    unsigned char present[BUDGET_CHUNK_BYTES / 4096];
    size_t n = 0;
    assert_int_equal(mincore(c->data, BUDGET_CHUNK_BYTES, present), 0);
    for (size_t i = 0; i < sizeof present; i++)
        n += present[i] & 1;
    return n;
}

static void chunks_are_as_many_as_the_budget_and_no_two_are_the_same(void **state) {
    static struct budget_chunk *chunks[POOL_CHUNKS];
    struct budget *b = budget_new(POOL_CHUNKS * CHUNK);
    (void)state;
    assert_non_null(b);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < POOL_CHUNKS; i++) {
            chunks[i] = budget_take_chunk(b);
            assert_non_null(chunks[i]);
            assert_int_equal(chunks[i]->n, 0);
            memset(chunks[i]->data, mark_of(i), BUDGET_CHUNK_BYTES);
        }
        assert_null(budget_take_chunk(b));
        for (size_t i = 0; i < POOL_CHUNKS; i++) {
            assert_int_equal((unsigned char)chunks[i]->data[0], mark_of(i));
            assert_int_equal((unsigned char)chunks[i]->data[BUDGET_CHUNK_BYTES - 1], mark_of(i));
            chunks[i]->next = i + 1 < POOL_CHUNKS ? chunks[i + 1] : NULL;
        }
        budget_give_chunks(b, chunks[0]);
        budget_give_chunks(b, NULL);
        size_t pages = 0;
        for (size_t i = 0; i < POOL_CHUNKS; i++)
            pages += pages_in_use(chunks[i]);
        assert_int_equal(pages, BUDGET_HOT_CHUNKS * CHUNK / 4096);
    }
    budget_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_as_many_as_the_budget_and_no_two_are_the_same),
        cmocka_unit_test(a_quarter_is_for_first_chunks),
        cmocka_unit_test(who_comes_first_is_served_first),
        cmocka_unit_test(who_leaves_the_line_lets_the_next_pass),
        cmocka_unit_test(who_waits_too_long_has_to_go),
        cmocka_unit_test(a_slow_part_is_cut_while_others_wait),
        cmocka_unit_test(a_quick_begin_excuses_no_stall),
        cmocka_unit_test(time_in_which_it_waited_itself_does_not_count),
        cmocka_unit_test(nobody_is_stuck_in_a_budget_that_is_too_small_for_all),
        cmocka_unit_test(every_upload_ends_well_or_is_told_in_time),
        cmocka_unit_test(tricklers_delay_an_ordinary_upload_by_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
