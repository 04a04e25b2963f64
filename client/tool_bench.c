/*  tool_bench.c - `seqpush bench`: load on a running broker, with a check of every push

    The parent starts the two sides, measures the broker from outside, and reports. */

#include "tool_bench.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const tool_command_t s_command = {
    .name = "bench",
    .usage = "",
    .description = "Puts load on a running broker and checks every push that comes out: the\n"
                   "right client, the next seq, unaltered. Publishers and receivers are a\n"
                   "process each, so that their processor time is told apart.",
    .statuses =
        "  0  nothing lost, doubled, out of order or altered; with --only publish: all accepted\n"
        "  1  something was\n"
        "  2  wrong use\n"
        "  3  cannot run: no broker, or the receivers were not attached",
};

//  ---- what both sides use -----------------------------------------------------------------------

static int64_t s_ns(struct timeval time)
{
    return (int64_t)time.tv_sec * BENCH_SECOND + (int64_t)time.tv_usec * 1000;
}

int64_t bench_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return s_ns(usage.ru_utime) + s_ns(usage.ru_stime);
}

bool bench_wait(const bench_t *bench, const _Atomic bool *flag)
{
    while (!atomic_load(flag) && !atomic_load(&bench->stop))
        tool_sleep_until(tool_now() + 1000000);
    return atomic_load(flag);
}

//  ---- the processes -----------------------------------------------------------------------------

//  A child ends with the parent, who alone hears of signals.
static pid_t s_fork(bench_t *bench, bool (*side)(bench_t *bench))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    bool able = side(bench);
    atomic_store(&bench->unable, !able || atomic_load(&bench->unable));
    _Exit(able ? TOOL_OK : TOOL_UNABLE);
}

//  Processor time of another process, in ns; -1 if it cannot be told. Source: proc(5), stat.
static int64_t s_cpu_of(uint64_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    FILE *file = pid ? fopen(path, "re") : NULL;
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[size] = '\0';
    const char *name_end = strrchr(line, ')');
    unsigned long user, system;
    if (!name_end || sscanf(name_end + 1, " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu",
                            &user, &system) != 2)
        return -1;
    return (int64_t)(user + system) * (BENCH_SECOND / sysconf(_SC_CLK_TCK));
}

//  True once the side has ended. A side that fails ends the run.
static bool s_has_ended(bench_t *bench, pid_t *pid)
{
    int status;
    if (*pid == 0)
        return true;
    if (waitpid(*pid, &status, WNOHANG) != *pid)
        return false;
    *pid = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != TOOL_OK) {
        atomic_store(&bench->unable, true);
        atomic_store(&bench->stop, true);
    }
    return true;
}

static void s_wait_for_sides(bench_t *bench, pid_t publisher, pid_t receiver)
{
    for (;;) {
        bool published = s_has_ended(bench, &publisher);
        if (published)
            atomic_store(&bench->published, true);
        if (s_has_ended(bench, &receiver) && published)
            return;
        if (tool_interrupted())
            atomic_store(&bench->stop, true);
        tool_sleep_until(tool_now() + 2000000);
    }
}

//  Waits for the receivers before the run begins. False if they cannot be had.
static bool s_wait_attached(bench_t *bench, pid_t *receiver)
{
    while (*receiver && !atomic_load(&bench->attached) && !s_has_ended(bench, receiver)) {
        if (tool_interrupted())
            atomic_store(&bench->stop, true);
        tool_sleep_until(tool_now() + 1000000);
    }
    return !atomic_load(&bench->unable) && !atomic_load(&bench->stop);
}

//  Runs both sides. Returns the broker's processor time meanwhile, or -1.
static int64_t s_run(bench_t *bench)
{
    const char *only = bench->settings.only;
    pid_t receiver = only && strcmp(only, "publish") == 0 ? 0 : s_fork(bench, bench_receive);
    pid_t publisher = only && strcmp(only, "receive") == 0 ? 0 : s_fork(bench, bench_publish);
    if (receiver < 0 || publisher < 0 || !s_wait_attached(bench, &receiver))
        atomic_store(&bench->stop, true);
    int64_t before = s_cpu_of(bench->settings.broker_pid);
    bench->sent.times.started = bench->got.times.started = tool_now();
    atomic_store(&bench->go, !atomic_load(&bench->stop));
    s_wait_for_sides(bench, publisher > 0 ? publisher : 0, receiver > 0 ? receiver : 0);
    int64_t after = s_cpu_of(bench->settings.broker_pid);
    return before >= 0 && after >= 0 ? after - before : -1;
}

//  ---- the report --------------------------------------------------------------------------------

//  Microseconds a push, or null.
static json_t *s_per_push(int64_t ns, uint64_t pushes)
{
    return ns >= 0 && pushes ? json_real((double)ns / 1000 / (double)pushes) : json_null();
}

static void s_set_count(json_t *report, const char *name, uint64_t count)
{
    json_object_set_new(report, name, json_integer((json_int_t)count));
}

//  The broker's enqueue durations since it started, in microseconds; null if it does not tell.
static void s_add_enqueue(json_t *report, const tool_t *tool)
{
    static const char *const marks[] = {"p50", "p99", "p999"};
    char *error = NULL;
    long http = 0;
    char *body = tool_http_get(tool, "/api/status", &http, &error);
    json_t *status = body ? json_loads(body, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *enqueue = json_object_get(json_object_get(status, "orderer"), "enqueue");
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        json_t *value = json_object_get(enqueue, marks[i]);
        char name[32];
        snprintf(name, sizeof name, "enqueue_%s_us", marks[i]);
        json_object_set_new(report, name,
                            value ? json_real(json_number_value(value) * 1e6) : json_null());
    }
    json_decref(status);
    free(body);
    free(error);
}

static void s_add_latency(json_t *report, const bench_histogram_t *latency)
{
    static const struct {
        const char *name;
        unsigned per_mille;
    } marks[] = {{"latency_p50_us", 500}, {"latency_p99_us", 990}, {"latency_p999_us", 999}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        int64_t ns = bench_histogram_quantile(latency, marks[i].per_mille);
        json_object_set_new(report, marks[i].name, json_real((double)ns / 1000));
    }
}

static void s_add_received(json_t *report, const bench_t *bench)
{
    const bench_received_t *got = &bench->got;
    s_set_count(report, "received", got->received);
    s_set_count(report, "lost", bench->settings.count - got->received);
    s_set_count(report, "doubled", got->doubled);
    s_set_count(report, "out_of_order", got->out_of_order);
    s_set_count(report, "altered", got->altered);
    s_set_count(report, "gap_notices", got->gaps);
    s_set_count(report, "dropped_by_library", got->dropped);
    s_set_count(report, "acks", got->acks);
    json_object_set_new(report, "receiver_cpu_us", s_per_push(got->times.cpu, got->received));
    if (got->latency.count)
        s_add_latency(report, &got->latency);
    if (got->healthy_time > 0)
        json_object_set_new(
            report, "healthy_rate",
            json_real((double)got->healthy * BENCH_SECOND / (double)got->healthy_time));
}

static void s_add_published(json_t *report, const bench_t *bench)
{
    const bench_published_t *sent = &bench->sent;
    s_set_count(report, "pushes", sent->pushed);
    s_set_count(report, "accepted", sent->accepted);
    s_set_count(report, "duplicates", sent->duplicates);
    s_set_count(report, "refused", sent->refused);
    s_set_count(report, "retries", sent->retries);
    s_set_count(report, "resends", sent->resends);
    s_set_count(report, "unreceived", sent->unreceived);
    json_object_set_new(report, "publisher_cpu_us", s_per_push(sent->times.cpu, sent->pushed));
}

static bool s_publishes(const bench_t *bench)
{
    return !bench->settings.only || strcmp(bench->settings.only, "publish") == 0;
}

static bool s_receives(const bench_t *bench)
{
    return !bench->settings.only || strcmp(bench->settings.only, "receive") == 0;
}

static json_t *s_make_report(const bench_t *bench, int64_t broker_cpu)
{
    json_t *report = json_object();
    if (s_publishes(bench))
        s_add_published(report, bench);
    if (s_receives(bench))
        s_add_received(report, bench);
    const bench_times_t *times = s_receives(bench) ? &bench->got.times : &bench->sent.times;
    uint64_t done = s_receives(bench) ? bench->got.received : bench->sent.pushed;
    double seconds = (double)(times->finished - times->started) / BENCH_SECOND;
    json_object_set_new(report, "seconds", json_real(seconds > 0 ? seconds : 0));
    json_object_set_new(report, "rate", json_real(seconds > 0 ? (double)done / seconds : 0));
    json_object_set_new(report, "broker_cpu_us", s_per_push(broker_cpu, done));
    s_add_enqueue(report, bench->tool);
    return report;
}

static void s_print(json_t *report)
{
    const char *name;
    json_t *value;
    json_object_foreach(report, name, value)
    {
        if (json_is_integer(value))
            printf("%-20s%" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
        else if (json_is_real(value))
            printf("%-20s%.3f\n", name, json_real_value(value));
        else
            printf("%-20s-\n", name);
    }
}

static int s_report(const bench_t *bench, int64_t broker_cpu)
{
    json_t *report = s_make_report(bench, broker_cpu);
    if (bench->tool->json)
        tool_print_json(stdout, json_incref(report));
    else
        s_print(report);
    json_decref(report);
    const bench_received_t *got = &bench->got;
    bool good = s_receives(bench)
                    ? got->received == bench->settings.count && got->doubled == 0 &&
                          got->out_of_order == 0 && got->altered == 0
                    : bench->sent.accepted + bench->sent.duplicates == bench->settings.count;
    return good ? TOOL_OK : TOOL_BAD;
}

//  ---- the command -------------------------------------------------------------------------------

static void s_check(bench_settings_t *s, char *unique, size_t room)
{
    if (s->only && strcmp(s->only, "publish") != 0 && strcmp(s->only, "receive") != 0)
        tool_misused(&s_command, "--only: '%s' is neither publish nor receive", s->only);
    if (s->latency && s->size < BENCH_HEAD + BENCH_TIME)
        tool_misused(&s_command, "--latency needs payloads of %d bytes", BENCH_HEAD + BENCH_TIME);
    if (s->endpoints > s->clients)
        s->endpoints = s->clients;
    if (s->publishers > s->clients)
        s->publishers = s->clients;
    if (s->stopped >= s->endpoints)
        tool_misused(&s_command, "--stopped: there are %llu receivers, and one has to go on",
                     (unsigned long long)s->endpoints);
    snprintf(unique, room, "bench-%ld-%ld", (long)time(NULL), (long)getpid());
    if (!s->prefix)
        s->prefix = s->only ? "bench" : unique;
    char *longest = tool_client_id(s->prefix, s->clients, s->clients);
    if (!longest)
        tool_misused(&s_command, "--prefix-id: a client's id has at most %d bytes", SEQPUSH_ID_MAX);
    free(longest);
}

static void s_parse(bench_settings_t *s, tool_t *tool, int argc, char **argv)
{
    const tool_option_t options[] = {
        {"clients", TOOL_NUMBER, &s->clients, 1, 1000000, "N", "clients (1000)"},
        {"endpoints", TOOL_NUMBER, &s->endpoints, 1, BENCH_RECEIVERS_MAX, "N",
         "receivers, which share the clients (10)"},
        {"publishers", TOOL_NUMBER, &s->publishers, 1, BENCH_PUBLISHERS_MAX, "N",
         "publishers, which share the pushes (4)"},
        {"count", TOOL_NUMBER, &s->count, 1, 1ULL << 40, "N", "pushes in all (1000000)"},
        {"size", TOOL_NUMBER, &s->size, 0, 16 << 20, "BYTES", "of a payload (64)"},
        {"shuffle", TOOL_NUMBER, &s->shuffle, 1, 1024, "N",
         "scramble a client's seqs within N; 1: in order, each client by one publisher (64)"},
        {"seed", TOOL_NUMBER, &s->seed, 0, UINT64_MAX, "N", "of --shuffle (1)"},
        {"batch", TOOL_NUMBER, &s->batch, 1, 65536, "N", "pushes a request at most (64)"},
        {"rate", TOOL_NUMBER, &s->rate, 0, 1000000000, "N",
         "pushes a second; 0: as fast as it goes (0)"},
        {"receive-delay", TOOL_NUMBER, &s->receive_delay, 0, 3600000000, "US",
         "a receiver sleeps that long after each push (0)"},
        {"stopped", TOOL_NUMBER, &s->stopped, 0, BENCH_RECEIVERS_MAX, "N",
         "receivers that take nothing at first (0)"},
        {"stopped-for", TOOL_NUMBER, &s->stopped_for, 1, 3600000, "MS",
         "how long, unless the others have all of theirs before (2000)"},
        {"latency", TOOL_FLAG, &s->latency, 0, 0, NULL, "tell the time from push to receipt"},
        {"unordered", TOOL_FLAG, &s->unordered, 0, 0, NULL,
         "check that all came once and unaltered, in whatever order"},
        {"ack-none", TOOL_FLAG, &s->ack_none, 0, 0, NULL, "receivers do not acknowledge"},
        {"prefix-id", TOOL_STRING, &s->prefix, 0, 0, "P",
         "clients are P-1 to P-N (new ones each time; with --only: bench)"},
        {"only", TOOL_STRING, &s->only, 0, 0, "SIDE", "run one side: publish or receive"},
        {"broker-pid", TOOL_NUMBER, &s->broker_pid, 1, UINT32_MAX, "PID",
         "tell the broker's processor time, too"},
        {"timeout", TOOL_NUMBER, &s->timeout, 1, 1000000, "S",
         "give up after S seconds in which nothing moves (10)"},
    };
    tool_parse(tool, &s_command, options, sizeof options / sizeof *options, argc, &argv);
}

int bench_run(tool_t *tool, int argc, char **argv)
{
    bench_settings_t settings = {.clients = 1000,
                                 .endpoints = 10,
                                 .publishers = 4,
                                 .count = 1000000,
                                 .size = 64,
                                 .shuffle = 64,
                                 .seed = 1,
                                 .batch = 64,
                                 .timeout = 10,
                                 .stopped_for = 2000};
    char unique[64];
    s_parse(&settings, tool, argc, argv);
    s_check(&settings, unique, sizeof unique);
    bench_t *bench =
        mmap(NULL, sizeof *bench, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bench == MAP_FAILED) {
        tool_say("%s", strerror(errno));
        return TOOL_UNABLE;
    }
    bench->tool = tool;
    bench->settings = settings;
    tool_catch_signals();
    int64_t broker_cpu = s_run(bench);
    bool unable = atomic_load(&bench->unable) && !atomic_load(&bench->go);
    int status = unable ? TOOL_UNABLE : s_report(bench, broker_cpu);
    munmap(bench, sizeof *bench);
    return status;
}
