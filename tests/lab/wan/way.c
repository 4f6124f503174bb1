#include "way.h"

#include <string.h>

const size_t WAY_SIZE = sizeof(Way);

static const struct {
    const char *key;
    size_t offset;
} KEYS[] = {
    {"rate", offsetof(Settings, rate)},           {"queue", offsetof(Settings, queue)},
    {"delay", offsetof(Settings, delay)},         {"jitter", offsetof(Settings, jitter)},
    {"reordering", offsetof(Settings, reordering)}, {"late", offsetof(Settings, late)},
    {"late_by", offsetof(Settings, late_by)},     {"duplicate", offsetof(Settings, duplicate)},
    {"loss", offsetof(Settings, loss)},           {"bad_begin", offsetof(Settings, bad_begin)},
    {"bad_end", offsetof(Settings, bad_end)},     {"bad_loss", offsetof(Settings, bad_loss)},
};

/* splitmix64 (public domain, S. Vigna) */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static double uniform(Way *way, int purpose) {
    return (double)(next_random(&way->chance[purpose]) >> 11) * 0x1p-53;
}

static int happens(Way *way, int purpose, double share) {
    return share > 0 && uniform(way, purpose) < share;
}

/* When the packet has left the bottleneck; -1 when its queue is full. */
static int64_t transmit(Way *way, int64_t now, uint32_t bytes) {
    if (way->set.rate <= 0) return now;
    int64_t start = way->free_at > now ? way->free_at : now;
    int64_t waiting = (int64_t)((double)(start - now) * way->set.rate / 8e9);
    if (way->set.queue > 0 && waiting + bytes > way->set.queue) return -1;
    if (waiting + bytes > way->worst_queue) way->worst_queue = waiting + bytes;
    return way->free_at = start + (int64_t)(bytes * 8e9 / way->set.rate);
}

static int is_lost(Way *way) {
    if (way->set.bad_begin > 0) {
        if (happens(way, BURST, way->bad ? way->set.bad_end : way->set.bad_begin)) way->bad = !way->bad;
        if (way->bad && happens(way, BURST, way->set.bad_loss)) return 1;
    }
    return happens(way, LOSS, way->set.loss);
}

static int64_t arrival(Way *way, int64_t sent) {
    int64_t due = sent + (int64_t)way->set.delay;
    if (way->set.jitter > 0) due += (int64_t)((2 * uniform(way, JITTER) - 1) * way->set.jitter);
    if (happens(way, LATENESS, way->set.late)) return due + (int64_t)way->set.late_by; /* and nobody waits for it */
    if (way->set.reordering == 0) {
        if (due < way->last_due) due = way->last_due;
        way->last_due = due;
    }
    return due;
}

void way_seed(Way *way, uint64_t *seed) {
    for (int purpose = 0; purpose < PURPOSES; purpose++) way->chance[purpose] = next_random(seed);
}

int way_set(Way *way, const char *key, double amount) {
    if (!(amount >= 0)) return 0;
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++)
        if (!strcmp(KEYS[i].key, key)) {
            *(double *)((char *)&way->set + KEYS[i].offset) = amount;
            return 1;
        }
    return 0;
}

int way_offer(Way *way, int64_t now, uint32_t bytes, int64_t due[MOST_COPIES]) {
    int64_t sent = transmit(way, now, bytes);
    if (sent < 0) {
        way->queue_drops++;
        return 0;
    }
    if (is_lost(way)) {
        way->losses++;
        return 0;
    }
    int copies = 1;
    if (happens(way, DUPLICATE, way->set.duplicate)) {
        way->duplicates++;
        copies = 2;
    }
    for (int i = 0; i < copies; i++) due[i] = arrival(way, sent);
    return copies;
}
