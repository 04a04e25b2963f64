//  main.c - seqpushd: arguments, configuration, signals, exit status; nothing else

#include "broker.h"
#include "log.h"
#include "ordering.h"
#include "reload.h"
#include "watch.h"
#include <czmq.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { EXIT_BAD_USE = 1, EXIT_NO_START = 2 };

typedef struct {
    const char *file;
    char **sets;
    size_t set_count;
    bool check;
    bool print;
    bool verbose;
} arguments_t;

static void s_usage(FILE *out)
{
    fputs("Usage: seqpushd [OPTION...]\n"
          "A ZeroMQ broker for ordered push.\n\n"
          "  -c, --config FILE     read the configuration from FILE\n"
          "      --set PATH=VALUE  set a key, before the file's; repeat it for a list\n"
          "  -t, --check-config    check the configuration and stop\n"
          "      --print-config    print the configuration with all defaults and stop\n"
          "  -v, --verbose         log at level debug\n"
          "  -V, --version         print the version and stop\n"
          "  -h, --help            print this and stop\n\n"
          "Exit status: 0 after a clean stop, 1 for bad configuration or use, 2 for a failed "
          "start.\n",
          out);
}

//  Returns -1 to go on, or the exit status.
static int s_parse(int argc, char **argv, arguments_t *arguments)
{
    enum { SET = 256, PRINT };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"set", required_argument, NULL, SET},
        {"check-config", no_argument, NULL, 't'}, {"print-config", no_argument, NULL, PRINT},
        {"verbose", no_argument, NULL, 'v'},      {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int option;
    while ((option = getopt_long(argc, argv, "c:tvVh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            arguments->file = optarg;
            break;
        case SET:
            arguments->sets[arguments->set_count++] = optarg;
            break;
        case 't':
            arguments->check = true;
            break;
        case PRINT:
            arguments->print = true;
            break;
        case 'v':
            arguments->verbose = true;
            break;
        case 'V':
            puts("seqpushd " SEQPUSH_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            s_usage(stdout);
            return EXIT_SUCCESS;
        default:
            s_usage(stderr);
            return EXIT_BAD_USE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "seqpushd: %s: no such argument\n", argv[optind]);
    return EXIT_BAD_USE;
}

//  Signals are taken from a descriptor; blocked before the first thread starts, so in all of them.
static int s_open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

//  Waits for a signal or for news of the broker, up to `timeout` ms (-1: for ever), and not longer than
//  until the watch is due. Returns the signal, 0 if none.
static int s_wait(broker_t *broker, watch_t *watch, int signals, long timeout)
{
    watch_turn(watch, broker);
    long due = watch_timeout(watch);
    if (timeout < 0 || due < timeout)
        timeout = due;
    zmq_pollitem_t items[] = {{NULL, signals, ZMQ_POLLIN, 0},
                              {broker_socket(broker), 0, ZMQ_POLLIN, 0}};
    struct signalfd_siginfo info = {0};
    if (zmq_poll(items, 2, timeout) <= 0)
        return 0;
    if (items[1].revents)
        broker_tend(broker);
    if (items[0].revents && read(signals, &info, sizeof info) != sizeof info)
        return 0;
    return (int)info.ssi_signo;
}

//  Returns how many ms of `timeout` were not needed.
static uint32_t s_drain(broker_t *broker, watch_t *watch, int signals, uint32_t timeout)
{
    broker_drain(broker);
    int64_t end = zclock_mono() + timeout, left = timeout;
    while (!broker_drained(broker) && left > 0) {
        int signal_number = s_wait(broker, watch, signals, (long)left);
        if (signal_number == SIGTERM || signal_number == SIGINT) {
            log_warning("a second signal: stopping at once");
            return 0;
        }
        left = end - zclock_mono();
    }
    if (broker_drained(broker))
        return left > 0 ? (uint32_t)left : 0;
    log_warning("not all was delivered within %" PRIu32 " ms", timeout);
    return 0;
}

static void s_set_log(const arguments_t *arguments, const config_t *config)
{
    log_setup(arguments->verbose ? "debug" : config->log.level, config->log.format);
    log_limit(config->log.rate);
}

static config_t *s_load(const arguments_t *arguments, char **error)
{
    return config_load(arguments->file, arguments->sets, arguments->set_count, error);
}

//  Reads the configuration again; a wrong one leaves everything as it is.
static void s_read_again(const arguments_t *arguments, config_t *config, broker_t *broker)
{
    char *error = NULL;
    config_t *fresh = s_load(arguments, &error);
    rule_set_t *rules = fresh ? broker_rules(broker, fresh, &error) : NULL;
    if (!rules) {
        log_error("SIGHUP: the configuration stays as it is: %s", error ? error : "out of memory");
        free(error);
        config_destroy(&fresh);
        return;
    }
    bool reordered;
    unsigned taken = reload_take(config, fresh, &reordered);
    if (reordered)
        broker_reorder(broker, rules);
    else
        rule_set_release(&rules);
    log_info("SIGHUP: the configuration was read, changes that take effect: %u", taken);
    if (arguments->verbose)
        log_info("log/level stays debug, by -v");
    config_destroy(&fresh);
    s_set_log(arguments, config);
    broker_resize(broker, config->workers.count);
    broker_admit(broker, config);
}

static void s_reload(const arguments_t *arguments, config_t *config, broker_t *broker)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, zclock_usecs());
    s_read_again(arguments, config, broker);
    sd_notify(0, "READY=1");
}

static int s_serve(const arguments_t *arguments, config_t *config, int signals)
{
    char *error = NULL;
    broker_t *broker = broker_new(config, &error);
    if (!broker) {
        log_error("%s", error ? error : "out of memory");
        free(error);
        return EXIT_NO_START;
    }
    log_info("ready front=%s http=%s", broker_endpoints(broker), broker_http(broker));
    sd_notifyf(0, "READY=1\nSTATUS=front=%s http=%s", broker_endpoints(broker),
               broker_http(broker));
    watch_t watch;
    watch_init(&watch);
    int signal_number;
    do {
        signal_number = s_wait(broker, &watch, signals, -1);
        if (signal_number == SIGHUP)
            s_reload(arguments, config, broker);
    } while (signal_number != SIGTERM && signal_number != SIGINT);
    log_info("stopping: new pushes are refused");
    sd_notify(0, "STOPPING=1\nSTATUS=delivering what attached receivers have coming");
    uint32_t left = s_drain(broker, &watch, signals, config->broker.drain_timeout);
    uint64_t kept = broker_destroy(&broker, left);
    log_sum_up();
    log_info("stopped with %" PRIu64 " accepted pushes undelivered", kept);
    return EXIT_SUCCESS;
}

//  What cannot be seen in the configuration alone: whether its plug-in can be used.
static int s_check(const config_t *config)
{
    char *error = NULL;
    ordering_t *ordering = ordering_new(config, &error);
    bool ok = ordering != NULL;
    if (!ok)
        fprintf(stderr, "seqpushd: %s\n", error ? error : "out of memory");
    free(error);
    ordering_destroy(&ordering);
    return ok ? EXIT_SUCCESS : EXIT_BAD_USE;
}

static int s_run(const arguments_t *arguments)
{
    char *error = NULL;
    config_t *config = s_load(arguments, &error);
    if (!config) {
        fprintf(stderr, "seqpushd: %s\n", error ? error : "out of memory");
        free(error);
        return EXIT_BAD_USE;
    }
    int status = EXIT_SUCCESS;
    if (arguments->print) {
        config_print(config, stdout);
    } else if (arguments->check) {
        status = s_check(config);
    } else {
        s_set_log(arguments, config);
        int signals = s_open_signals();
        zsys_handler_set(NULL);
        status = s_serve(arguments, config, signals);
        zsys_shutdown();
        close(signals);
    }
    config_destroy(&config);
    return status;
}

int main(int argc, char **argv)
{
    if (sodium_init() < 0)
        return EXIT_NO_START;
    arguments_t arguments = {.sets = calloc((size_t)argc, sizeof(char *))};
    if (!arguments.sets)
        return EXIT_NO_START;
    int status = s_parse(argc, argv, &arguments);
    if (status < 0)
        status = s_run(&arguments);
    free(arguments.sets);
    return status;
}
