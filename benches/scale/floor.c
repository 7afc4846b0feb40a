/* What a probe costs at the least: the same dialogue as the exporter's, on OpenSSL and blocking sockets, with
 * nothing kept, measured or written. One thread an account; each sends a mail a period, finds it and removes it.
 *
 * usage: floor AUTHORITY PASSWORD PERIOD_MS SECONDS USER:SMTP_PORT:IMAP_PORT...
 * Prints the number of round trips and the processor time of the process for them, in nanoseconds.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The looks of the exporter (crates/ledger, pacing). */
#define FIRST_LOOK_MS 30
#define NEXT_LOOK_MS 40
#define MOST_LOOKS 500

struct account {
    char user[64];
    int smtp, imap;
    long offset_ms;
};

struct wire {
    int socket;
    SSL *tls;
    char buffer[16384];
    size_t have, at;
};

static SSL_CTX *context;
static const char *password;
static long period_ms, end_ms, began_ms;
static atomic_long trips;

static void fail(const char *what) {
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static long now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0) nanosleep(&time, NULL);
}

static void dial(struct wire *wire, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {30, 0};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->tls = NULL;
    wire->have = wire->at = 0;
    wire->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire->socket < 0) fail("socket");
    setsockopt(wire->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(wire->socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(wire->socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
}

/* A handshake in full, the certificate judged by the authority and the address. */
static void protect(struct wire *wire) {
    wire->tls = SSL_new(context);
    if (!wire->tls || !X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(wire->tls), "127.0.0.1")) fail("SSL_new");
    SSL_set_fd(wire->tls, wire->socket);
    if (SSL_connect(wire->tls) != 1) fail("handshake");
}

static void hang_up(struct wire *wire) {
    if (wire->tls) {
        SSL_shutdown(wire->tls);
        SSL_free(wire->tls);
    }
    close(wire->socket);
}

static void put(struct wire *wire, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) fail("too long");
    int written = wire->tls ? SSL_write(wire->tls, text, length) : (int)write(wire->socket, text, length);
    if (written != length) fail("write");
}

/* The next line, without its end. */
static void get(struct wire *wire, char *line, size_t room) {
    size_t length = 0;
    for (;;) {
        while (wire->at < wire->have) {
            char byte = wire->buffer[wire->at++];
            if (byte == '\n') {
                line[length] = 0;
                return;
            }
            if (byte != '\r' && length + 1 < room) line[length++] = byte;
        }
        int more = wire->tls ? SSL_read(wire->tls, wire->buffer, sizeof wire->buffer)
                             : (int)read(wire->socket, wire->buffer, sizeof wire->buffer);
        if (more <= 0) fail("read");
        wire->have = more;
        wire->at = 0;
    }
}

/* The rest of an SMTP reply, which begins with this digit. */
static void expect(struct wire *wire, char digit) {
    char line[1024];
    do get(wire, line, sizeof line);
    while (strlen(line) > 3 && line[3] == '-');
    if (line[0] != digit) {
        fprintf(stderr, "unexpected: %s\n", line);
        exit(1);
    }
}

/* The rest of an IMAP response; the last line that begins with `wanted` is kept. */
static void complete(struct wire *wire, const char *tag, const char *wanted, char *kept, size_t room) {
    char line[1024];
    size_t length = strlen(tag);
    for (;;) {
        get(wire, line, sizeof line);
        if (!strncmp(line, tag, length) && line[length] == ' ') break;
        if (wanted && !strncmp(line, wanted, strlen(wanted))) snprintf(kept, room, "%s", line);
    }
    if (strncmp(line + length + 1, "OK", 2)) {
        fprintf(stderr, "unexpected: %s\n", line);
        exit(1);
    }
}

static void send_mail(const struct account *account, unsigned long token) {
    struct wire wire;
    unsigned char plain[256];
    char coded[512];
    dial(&wire, account->smtp);
    expect(&wire, '2');
    put(&wire, "EHLO monitor.example.test\r\n");
    expect(&wire, '2');
    put(&wire, "STARTTLS\r\n");
    expect(&wire, '2');
    protect(&wire);
    put(&wire, "EHLO monitor.example.test\r\n");
    expect(&wire, '2');
    int length = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, account->user, 0, password);
    EVP_EncodeBlock((unsigned char *)coded, plain, length);
    put(&wire, "AUTH PLAIN %s\r\n", coded);
    expect(&wire, '2');
    put(&wire, "MAIL FROM:<%s@example.test>\r\n", account->user);
    expect(&wire, '2');
    put(&wire, "RCPT TO:<%s@example.test>\r\n", account->user);
    expect(&wire, '2');
    put(&wire, "DATA\r\n");
    expect(&wire, '3');
    put(&wire,
        "From: <%s@example.test>\r\nTo: <%s@example.test>\r\nSubject: test mail\r\n"
        "Date: Mon, 30 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%lu@monitor.example.test>\r\n"
        "X-Floor-Token: %lu\r\n\r\nA test mail.\r\n.\r\n",
        account->user, account->user, token, token);
    expect(&wire, '2');
    put(&wire, "QUIT\r\n");
    expect(&wire, '2');
    hang_up(&wire);
}

/* Logs in and opens the mailbox, as the exporter does before it sends. */
static void open_mailbox(struct wire *wire, const struct account *account) {
    char line[1024];
    dial(wire, account->imap);
    protect(wire);
    get(wire, line, sizeof line);
    put(wire, "a1 LOGIN %s %s\r\n", account->user, password);
    complete(wire, "a1", NULL, NULL, 0);
    put(wire, "a2 SELECT INBOX\r\n");
    complete(wire, "a2", NULL, NULL, 0);
}

/* Waits for the mail, reads its header and removes it. */
static void find(struct wire *wire, unsigned long token) {
    char line[1024], tag[16], *uid = NULL, *rest = NULL;
    for (int look = 0; look < MOST_LOOKS && !uid; look++) {
        pause_ms(look ? NEXT_LOOK_MS : FIRST_LOOK_MS);
        snprintf(tag, sizeof tag, "n%d", look);
        line[0] = 0;
        put(wire, "%s NOOP\r\n", tag);
        complete(wire, tag, "* ", line, sizeof line);
        if (!line[0]) continue;
        line[0] = 0;
        put(wire, "s1 UID SEARCH HEADER X-Floor-Token %lu\r\n", token);
        complete(wire, "s1", "* SEARCH ", line, sizeof line);
        if (line[0]) uid = strtok_r(line + strlen("* SEARCH "), " ", &rest);
    }
    if (!uid) {
        fprintf(stderr, "the mail does not come\n");
        exit(1);
    }
    put(wire, "f1 UID FETCH %s (UID INTERNALDATE BODY.PEEK[HEADER])\r\n", uid);
    complete(wire, "f1", NULL, NULL, 0);
    put(wire, "d1 UID STORE %s +FLAGS.SILENT (\\Deleted)\r\n", uid);
    complete(wire, "d1", NULL, NULL, 0);
    put(wire, "e1 UID EXPUNGE %s\r\n", uid);
    complete(wire, "e1", NULL, NULL, 0);
    put(wire, "q1 LOGOUT\r\n");
    complete(wire, "q1", NULL, NULL, 0);
    hang_up(wire);
}

static void *probe(void *argument) {
    const struct account *account = argument;
    unsigned long token = (unsigned long)(uintptr_t)argument * 1000003UL;
    for (long due = began_ms + account->offset_ms; due < end_ms; due += period_ms) {
        struct wire mailbox;
        pause_ms(due - now_ms());
        open_mailbox(&mailbox, account);
        send_mail(account, ++token);
        find(&mailbox, token);
        atomic_fetch_add(&trips, 1);
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 6) {
        fprintf(stderr, "usage: floor AUTHORITY PASSWORD PERIOD_MS SECONDS USER:SMTP_PORT:IMAP_PORT...\n");
        return 2;
    }
    int accounts = count - 5;
    struct account *all = calloc(accounts, sizeof *all);
    pthread_t *threads = calloc(accounts, sizeof *threads);
    pthread_attr_t small;
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !all || !threads) fail("start");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (!SSL_CTX_load_verify_locations(context, arguments[1], NULL)) fail(arguments[1]);
    password = arguments[2];
    period_ms = atol(arguments[3]);
    began_ms = now_ms();
    end_ms = began_ms + atol(arguments[4]) * 1000;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (int index = 0; index < accounts; index++) {
        if (sscanf(arguments[index + 5], "%63[^:]:%d:%d", all[index].user, &all[index].smtp, &all[index].imap) != 3)
            fail(arguments[index + 5]);
        all[index].offset_ms = period_ms * index / accounts;
        if (pthread_create(&threads[index], &small, probe, &all[index])) fail("pthread_create");
    }
    for (int index = 0; index < accounts; index++) pthread_join(threads[index], NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    printf("%ld %lld\n", atomic_load(&trips),
           (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec);
    return 0;
}
