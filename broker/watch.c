//  watch.c - what the main thread does by the clock; see watch.h

#include "watch.h"
#include "log.h"
#include <czmq.h>
#include <malloc.h>
#include <systemd/sd-daemon.h>

#define LOOK_EVERY 1000 //  ms
#define MUCH_WORK 10000 //  pushes; what fewer leave is not worth the time
#define LITTLE_WORK 500 //  pushes a second
#define FEEDS 4 //  in the time after which the manager gives up

void watch_init(watch_t *self)
{
    uint64_t limit = 0; //  us
    *self = (watch_t){.look_at = zclock_mono() + LOOK_EVERY};
    if (sd_watchdog_enabled(0, &limit) <= 0)
        return;
    self->feed_every = (int64_t)(limit / 1000 / FEEDS);
    if (self->feed_every < 1)
        self->feed_every = 1;
}

long watch_timeout(const watch_t *self)
{
    int64_t next = self->look_at;
    if (self->feed_every && self->feed_at < next)
        next = self->feed_at;
    int64_t left = next - zclock_mono();
    return left > 0 ? (long)left : 0;
}

//  Logs when an actor begins to hang, and when all answer again.
static void s_tell(watch_t *self, const char *silent)
{
    if (silent && !self->hangs)
        log_error("%s does not answer: the watchdog is not fed", silent);
    else if (!silent && self->hangs)
        log_warning("all threads answer again");
    self->hangs = silent != NULL;
}

static void s_feed(watch_t *self, broker_t *broker)
{
    const char *silent = broker_silent(broker);
    if (!silent)
        sd_notify(0, "WATCHDOG=1");
    s_tell(self, silent);
}

//  The threads that allocate wait meanwhile, so it is done when they have little to do.
static void s_trim_when_quiet(watch_t *self, const broker_t *broker)
{
    uint64_t work = broker_work(broker);
    if (work - self->work < LITTLE_WORK && work - self->trimmed_work >= MUCH_WORK) {
        int64_t start = zclock_usecs();
        malloc_trim(0);
        log_debug("quiet: gave memory back in %" PRId64 " us", zclock_usecs() - start);
        self->trimmed_work = work;
    }
    self->work = work;
}

void watch_turn(watch_t *self, broker_t *broker)
{
    int64_t now = zclock_mono();
    if (self->feed_every && now >= self->feed_at) {
        self->feed_at = now + self->feed_every;
        s_feed(self, broker);
    }
    if (now >= self->look_at) {
        self->look_at = now + LOOK_EVERY;
        log_sum_up();
        s_trim_when_quiet(self, broker);
    }
}
