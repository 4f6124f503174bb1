/*
 * One direction of a WAN link: what becomes of a packet that is offered at a time. No clock and no I/O of its own, so
 * that tests can ask it about any schedule; the bridge asks it about real packets.
 *
 * A packet's way: bottleneck (rate, drop-tail queue) -> loss -> duplication -> delay, jitter, lateness.
 * Loss comes after the bottleneck, as on a radio link: what is lost has used its share of the rate.
 */
#include <stddef.h>
#include <stdint.h>

enum { MOST_COPIES = 2 };

typedef struct {
    double rate;       /* bit/s of IP packets; 0: no limit */
    double queue;      /* bytes; 0: no limit */
    double delay;      /* ns, one way */
    double jitter;     /* ns: delay is uniform within +-jitter */
    double reordering; /* 1: jitter may overtake; 0: order is kept */
    double late;       /* share of packets held back ... */
    double late_by;    /* ... by this many ns, overtaken by those behind them */
    double duplicate;  /* share */
    double loss;       /* share */
    double bad_begin;  /* Gilbert-Elliott: chance per packet to turn bad, */
    double bad_end;    /* to turn good again, */
    double bad_loss;   /* and to be lost while bad */
} Settings;

/* One stream of chance for each purpose, so that switching one on does not change the others. */
enum { LOSS, BURST, JITTER, LATENESS, DUPLICATE, PURPOSES };

typedef struct {
    Settings set;
    uint64_t chance[PURPOSES];
    int bad;
    int64_t free_at; /* when the bottleneck has sent all it holds */
    int64_t last_due;
    uint64_t queue_drops, losses, duplicates;
    int64_t worst_queue; /* bytes */
} Way;

/* For callers in other languages; zeros are a way that delivers everything at once. */
extern const size_t WAY_SIZE;

/* `seed` moves on: the next way gets other chances. */
void way_seed(Way *way, uint64_t *seed);

/* 0 when there is no such setting, or the amount makes no sense. */
int way_set(Way *way, const char *key, double amount);

/* How many copies arrive (0: it is dropped) and when, ns of the clock that `now` is of. */
int way_offer(Way *way, int64_t now, uint32_t bytes, int64_t due[MOST_COPIES]);
