// http_threads.c with TLS in front (OpenSSL), for the benchmark's fan-out: a thread for each
// connection, one request each. The certificate is made at the start and written to FILE.
//
//     https_threads --certificate FILE
#define _GNU_SOURCE
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>

#include "http.h"

static SSL_CTX* context;

static void need(bool good, const char* what) {
    if (good) return;
    fprintf(stderr, "https_threads: %s\n", what);
    exit(1);
}

static X509* make_certificate(EVP_PKEY* key) {
    X509* certificate = X509_new();
    X509_NAME* name = X509_get_subject_name(certificate);
    const unsigned char* host = (const unsigned char*)"localhost";
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    need(names && X509_add_ext(certificate, names, -1), "no alternative names");
    X509_EXTENSION_free(names);
    need(X509_sign(certificate, key, EVP_sha256()) > 0, "no signature");
    return certificate;
}

static void* serve(void* argument) {
    int fd = (int)(intptr_t)argument;
    SSL* tls = SSL_new(context);
    char text[kRequest + 1], reply[1024];
    size_t have = 0;
    Request request = {.what = kBad};
    if (!tls || !SSL_set_fd(tls, fd) || SSL_accept(tls) <= 0) goto out;
    do {
        int n = SSL_read(tls, text + have, (int)(kRequest - have));
        if (n <= 0) goto out;
        have += (size_t)n;
        text[have] = 0;
    } while (read_request(text, &request) == 0 && have < kRequest);
    if (request.what != kSleep) goto out;
    struct timespec left = {.tv_sec = request.number / 1000,
                            .tv_nsec = request.number % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
    char body[64];
    int size = snprintf(body, sizeof body, "slept %ld\n", request.number);
    int head = write_head(reply, sizeof reply, "200 OK", (size_t)size, false);
    memcpy(reply + head, body, (size_t)size);
    if (SSL_write(tls, reply, head + size) > 0) SSL_shutdown(tls);
out:
    SSL_free(tls);
    close(fd);
    return NULL;
}

int main(int argc, char** argv) {
    need(argc == 3 && strcmp(argv[1], "--certificate") == 0, "needs --certificate FILE");
    signal(SIGPIPE, SIG_IGN);
    EVP_PKEY* key = EVP_EC_gen("P-256");
    need(key, "no key");
    X509* certificate = make_certificate(key);
    context = SSL_CTX_new(TLS_server_method());
    need(context && SSL_CTX_use_certificate(context, certificate) == 1 &&
             SSL_CTX_use_PrivateKey(context, key) == 1,
         "no context");
    FILE* file = fopen(argv[2], "w");
    need(file && PEM_write_X509(file, certificate) && fclose(file) == 0, "the file");

    int listener = listen_on_loopback(0);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            die("accept");
        }
        pthread_t thread;
        if ((errno = pthread_create(&thread, NULL, serve, (void*)(intptr_t)fd)) != 0) {
            perror("pthread_create");
            close(fd);
            continue;
        }
        pthread_detach(thread);
    }
}
