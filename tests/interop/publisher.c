/*  publisher.c - sends the lines of standard input as numbered pushes for one client

    Usage: publisher BROKER CLIENT                                                                */

#include <errno.h>
#include <seqpush.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static void s_on_outcome(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    int *refused = arg;
    if (outcome == SEQPUSH_ACCEPTED || outcome == SEQPUSH_DUPLICATE)
        return;
    fprintf(stderr, "seq %llu: %s\n", (unsigned long long)push->seq, seqpush_outcome_name(outcome));
    *refused = 1;
}

int main(int argc, char **argv)
{
    int refused = 0;
    seqpush_publisher_options_t options = {
        .broker = argc == 3 ? argv[1] : NULL, .on_outcome = s_on_outcome, .arg = &refused};
    seqpush_publisher_t *publisher = argc == 3 ? seqpush_publisher_new(&options) : NULL;
    if (!publisher) {
        fprintf(stderr, "Usage: publisher BROKER CLIENT\n");
        return 2;
    }
    seqpush_push_t push = {.client_id = argv[2], .client_id_size = strlen(argv[2])};
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, stdin)) > 0) {
        push.seq++;
        push.payload = line;
        push.payload_size = (size_t)size - (line[size - 1] == '\n');
        while (seqpush_publisher_push(publisher, &push) == -EAGAIN)
            seqpush_publisher_poll(publisher, 1000);
    }
    free(line);
    int undecided = seqpush_publisher_drain(publisher, -1);
    seqpush_publisher_destroy(&publisher);
    return refused || undecided;
}
