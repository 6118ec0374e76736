// Fetches web pages at once: visit HOW WITH CERTIFICATE URL...
// HOW is threads (one for each page) or two (two threads, which take one page after the other);
// WITH is curl (libcurl's easy interface) or openssl (its BIOs).

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

static std::string certificate;

static size_t count_bytes(char*, size_t size, size_t n, void* total) {
    *static_cast<size_t*>(total) += size * n;
    return size * n;
}

static long fetch_by_curl(const std::string& url) {
    size_t total = 0;
    CURL* curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_CAINFO, certificate.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &total);
    CURLcode failed = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    return failed ? -1 : static_cast<long>(total);
}

static long fetch_by_openssl(const std::string& url) {
    size_t host = url.find("//") + 2, path = url.find('/', host);
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_locations(context, certificate.c_str(), nullptr);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    BIO* bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, url.substr(host, path - host).c_str());
    std::string text = "GET " + url.substr(path) + " HTTP/1.1\r\nConnection: close\r\n\r\n";
    std::string answer;
    if (BIO_do_connect(bio) == 1 && BIO_puts(bio, text.c_str()) > 0) {
        char piece[4096];
        for (int n; (n = BIO_read(bio, piece, sizeof piece)) > 0;) answer.append(piece, n);
    }
    BIO_free_all(bio);
    SSL_CTX_free(context);
    size_t body = answer.find("\r\n\r\n");
    return body == std::string::npos ? -1 : static_cast<long>(answer.size() - body - 4);
}

int main(int argc, char** argv) {
    bool two = !strcmp(argv[1], "two"), by_curl = !strcmp(argv[2], "curl");
    certificate = argv[3];
    std::vector<std::string> urls(argv + 4, argv + argc);
    curl_global_init(CURL_GLOBAL_ALL);
    auto visit = [&](const std::string& url) {
        printf("Visit %s\n", url.c_str());
        fflush(stdout);
        long size = by_curl ? fetch_by_curl(url) : fetch_by_openssl(url);
        printf("%ld bytes from %s\n", size, url.c_str());
        fflush(stdout);
    };
    std::vector<std::thread> threads;
    std::atomic<size_t> next = 0;
    if (two) {
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([&] {
                for (size_t n; (n = next++) < urls.size();) visit(urls[n]);
            });
        }
    } else {
        for (const std::string& url : urls) threads.emplace_back(visit, url);
    }
    for (std::thread& thread : threads) thread.join();
    curl_global_cleanup();
    return 0;
}
