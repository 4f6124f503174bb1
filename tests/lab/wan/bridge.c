/*
 * A WAN link between two network namespaces: packets read from one TUN are written to the other, late, lost, doubled
 * or out of order, as told. `bridge LEFT RIGHT NAME SEED`: one TUN named NAME in each namespace (paths of
 * /run/netns). Direction 0 runs from LEFT to RIGHT, 1 back. What becomes of a packet is way.c's to say; during an
 * outage it is not even asked.
 *
 * Lines on stdin, one line back for each:
 *   set DIRECTION KEY NUMBER [KEY NUMBER ...]   ok
 *   outage 0|1                                  ok     what is offered or due meanwhile is gone
 *   stats                                       {...}
 * Ends with stdin. Linux, libc only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "way.h"

enum {
    SLOT = 2048,             /* a packet of up to 1500 bytes and its virtio header */
    SLOTS = 1 << 16,
    BATCH = 256,             /* reads from one side before what is due goes out */
    HEADER = 10,             /* struct virtio_net_hdr: lets checksums stay unfinished, as a network card would */
    QUANTUM = 250 * 1000,    /* ns between wake-ups under load: each costs more than carrying a packet */
    LATE = 2 * 1000 * 1000,  /* ns after its time from which a delivery counts as late */
    MAX_LINE = 4096,
};

typedef struct {
    int64_t due;
    uint64_t order; /* equal times keep their order */
    uint32_t slot;
    uint32_t size;
} Entry;

typedef struct {
    Way way;
    int from, to;
    uint64_t order;
    Entry *heap;
    uint32_t held;
    uint64_t packets, bytes, outage_drops, overruns, delivered, late;
    int64_t worst_late; /* ns */
} Direction;

static Direction directions[2];
static int outage;
static uint8_t *slots;
static uint32_t *spare;
static uint32_t spares;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int before(const Entry *a, const Entry *b) {
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void push(Direction *d, Entry entry) {
    uint32_t i = d->held++;
    while (i > 0 && before(&entry, &d->heap[(i - 1) / 2])) {
        d->heap[i] = d->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    d->heap[i] = entry;
}

static Entry pop(Direction *d) {
    Entry top = d->heap[0], last = d->heap[--d->held];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < d->held; i = child) {
        if (child + 1 < d->held && before(&d->heap[child + 1], &d->heap[child])) child++;
        if (!before(&d->heap[child], &last)) break;
        d->heap[i] = d->heap[child];
    }
    d->heap[i] = last;
    return top;
}

static void hold(Direction *d, int64_t due, uint32_t slot, uint32_t size) {
    push(d, (Entry){.due = due, .order = d->order++, .slot = slot, .size = size});
}

static void hold_copy(Direction *d, int64_t due, uint32_t slot, uint32_t size) {
    if (spares == 0) {
        d->overruns++;
        return;
    }
    uint32_t copy = spare[--spares];
    memcpy(slots + (size_t)copy * SLOT, slots + (size_t)slot * SLOT, size);
    hold(d, due, copy, size);
}

static void accept_packet(Direction *d, int64_t now, uint32_t slot, uint32_t size) {
    int64_t due[MOST_COPIES];
    d->packets++;
    d->bytes += size - HEADER;
    d->outage_drops += outage;
    int copies = outage ? 0 : way_offer(&d->way, now, size - HEADER, due);
    if (copies == 0) {
        spare[spares++] = slot;
        return;
    }
    for (int i = 1; i < copies; i++) hold_copy(d, due[i], slot, size);
    hold(d, due[0], slot, size);
}

/* How many packets there were. */
static int take(Direction *d) {
    int64_t now = now_ns();
    int i = 0;
    for (; i < BATCH; i++) {
        if (spares == 0) { /* read and forget: a queue in the kernel would be a second bottleneck */
            uint8_t sink[SLOT];
            if (read(d->from, sink, SLOT) <= 0) return i;
            d->overruns++;
            continue;
        }
        uint32_t slot = spare[spares - 1];
        ssize_t size = read(d->from, slots + (size_t)slot * SLOT, SLOT);
        if (size < 0 && errno == EAGAIN) return i;
        if (size < 0) die("read");
        if (size <= HEADER) continue;
        spares--;
        accept_packet(d, now, slot, (uint32_t)size);
    }
    return i;
}

static void give(Direction *d) {
    int64_t now = now_ns();
    while (d->held > 0 && d->heap[0].due <= now) {
        Entry entry = pop(d);
        int64_t late = now - entry.due;
        if (late > d->worst_late) d->worst_late = late;
        if (late > LATE) d->late++;
        if (outage)
            d->outage_drops++;
        else if (write(d->to, slots + (size_t)entry.slot * SLOT, entry.size) == (ssize_t)entry.size)
            d->delivered++;
        else
            d->overruns++; /* the interface is down */
        spare[spares++] = entry.slot;
    }
}

static int apply(char *words) {
    char *rest = NULL;
    char *number = strtok_r(words, " ", &rest);
    if (number == NULL || (strcmp(number, "0") && strcmp(number, "1"))) return 0;
    Way *way = &directions[number[0] - '0'].way;
    for (char *key; (key = strtok_r(NULL, " ", &rest)) != NULL;) {
        char *value = strtok_r(NULL, " ", &rest), *end = NULL;
        if (value == NULL) return 0;
        double amount = strtod(value, &end);
        if (*end != '\0' || !way_set(way, key, amount)) return 0;
    }
    return 1;
}

static void print_stats(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"cpu\": %.6f, \"directions\": [",
           (double)used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    for (int i = 0; i < 2; i++) {
        Direction *d = &directions[i];
        printf("%s{\"packets\": %lu, \"bytes\": %lu, \"delivered\": %lu, \"queue_drops\": %lu, \"losses\": %lu, "
               "\"duplicates\": %lu, \"outage_drops\": %lu, \"overruns\": %lu, \"late\": %lu, "
               "\"worst_late_ms\": %.3f, \"worst_queue\": %ld}",
               i ? ", " : "", d->packets, d->bytes, d->delivered, d->way.queue_drops, d->way.losses,
               d->way.duplicates, d->outage_drops, d->overruns, d->late, d->worst_late / 1e6, d->way.worst_queue);
        d->worst_late = d->way.worst_queue = 0; /* since the last question */
    }
    printf("]}\n");
}

static void obey(char *line) {
    if (!strncmp(line, "set ", 4)) {
        puts(apply(line + 4) ? "ok" : "not understood");
    } else if (!strcmp(line, "outage 0") || !strcmp(line, "outage 1")) {
        outage = line[7] == '1';
        puts("ok");
    } else if (!strcmp(line, "stats")) {
        print_stats();
    } else {
        puts("not understood");
    }
    fflush(stdout);
}

static int listen_to_orders(void) {
    static char text[MAX_LINE];
    static size_t filled;
    ssize_t size = read(0, text + filled, sizeof text - 1 - filled);
    if (size <= 0) return 0;
    filled += (size_t)size;
    text[filled] = '\0';
    for (char *end; (end = strchr(text, '\n')) != NULL;) {
        *end = '\0';
        obey(text);
        filled -= (size_t)(end + 1 - text);
        memmove(text, end + 1, filled + 1);
    }
    return filled < sizeof text - 1;
}

static int open_tun(const char *namespace, const char *name) {
    int target = open(namespace, O_RDONLY | O_CLOEXEC);
    if (target < 0 || setns(target, CLONE_NEWNET) < 0) die(namespace);
    close(target);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun < 0) die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(tun, TUNSETIFF, &request) < 0) die("TUNSETIFF");
    if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM) < 0) die("TUNSETOFFLOAD");
    return tun;
}

static void prepare(char **arguments) {
    uint64_t seed = strtoull(arguments[4], NULL, 10);
    int left = open_tun(arguments[1], arguments[3]), right = open_tun(arguments[2], arguments[3]);
    for (int i = 0; i < 2; i++) {
        Direction *d = &directions[i];
        d->from = i ? right : left;
        d->to = i ? left : right;
        d->heap = malloc(sizeof(Entry) * SLOTS);
        way_seed(&d->way, &seed);
    }
    slots = malloc((size_t)SLOT * SLOTS);
    spare = malloc(sizeof *spare * SLOTS);
    if (!slots || !spare || !directions[0].heap || !directions[1].heap) die("malloc");
    for (spares = 0; spares < SLOTS; spares++) spare[spares] = SLOTS - 1 - spares;
}

static void be_prompt(void) {
    /* A link does not wait for its users' programs. Where it may not, it waits: `late` in stats tells. */
    struct sched_param priority = {.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_RR, &priority) < 0) setpriority(PRIO_PROCESS, 0, -20);
    prctl(PR_SET_TIMERSLACK, 1UL);
}

static int64_t next_due(void) {
    int64_t due = INT64_MAX;
    for (int i = 0; i < 2; i++)
        if (directions[i].held > 0 && directions[i].heap[0].due < due) due = directions[i].heap[0].due;
    return due;
}

/* Until something is due, or offered: but after a round with packets a new one is not offered before QUANTUM. */
static void wait(struct pollfd *watched, int busy) {
    int64_t due = next_due(), rest = QUANTUM;
    if (!busy && due != INT64_MAX) {
        rest = due - now_ns();
        if (rest < QUANTUM) rest = QUANTUM;
    }
    struct timespec time = {.tv_sec = rest / 1000000000, .tv_nsec = rest % 1000000000};
    int forever = !busy && due == INT64_MAX;
    watched[0].revents = 0;
    if (ppoll(watched, busy ? 1 : 3, forever ? NULL : &time, NULL) < 0 && errno != EINTR) die("ppoll");
}

int main(int count, char **arguments) {
    if (count != 5) {
        fprintf(stderr, "usage: %s LEFT RIGHT NAME SEED\n", arguments[0]);
        return 2;
    }
    prepare(arguments);
    be_prompt();
    puts("ready");
    fflush(stdout);
    struct pollfd watched[3] = {
        {.fd = 0, .events = POLLIN},
        {.fd = directions[0].from, .events = POLLIN},
        {.fd = directions[1].from, .events = POLLIN},
    };
    for (int busy = 0;;) {
        wait(watched, busy);
        busy = take(&directions[0]) + take(&directions[1]);
        for (int i = 0; i < 2; i++) give(&directions[i]);
        if (watched[0].revents && !listen_to_orders()) return 0;
    }
}
