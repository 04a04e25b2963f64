/*  receiver.c - prints the payloads of a client, or of all with a prefix, each once and in order

    The library follows the receiver's rule, acknowledges, and attaches again by itself.
    Usage: receiver BROKER CLIENT|PREFIX* COUNT                                                   */

#include <seqpush.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static seqpush_receiver_t *receiver;
static unsigned long left; //  pushes to wait for

static void s_on_push(void *arg, const seqpush_push_t *push)
{
    (void)arg;
    fwrite(push->payload, 1, push->payload_size, stdout);
    putchar('\n');
    if (--left == 0)
        seqpush_receiver_detach(receiver, NULL, 0);
}

int main(int argc, char **argv)
{
    left = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    char id[32];
    snprintf(id, sizeof id, "receiver-%d", (int)getpid());
    seqpush_receiver_options_t options = {.broker = argc == 4 ? argv[1] : NULL,
                                          .id = id,
                                          .id_size = strlen(id),
                                          .on_push = s_on_push};
    receiver = argc == 4 ? seqpush_receiver_new(&options) : NULL;
    if (!receiver) {
        fprintf(stderr, "Usage: receiver BROKER CLIENT|PREFIX* COUNT\n");
        return 2;
    }
    size_t size = strlen(argv[2]);
    if (size && argv[2][size - 1] == '*')
        seqpush_receiver_attach_prefix(receiver, argv[2], size - 1);
    else
        seqpush_receiver_attach(receiver, argv[2], size, 0, 0);
    while (left && seqpush_receiver_poll(receiver, -1) >= 0)
        fflush(stdout);
    seqpush_receiver_destroy(&receiver);
    return left != 0;
}
