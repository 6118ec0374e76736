// C++: the connection is an object that closes itself, a bad request is an exception, and the
// answer to it is sent, slowly, while the exception is in flight.
#include <stdexcept>
#include <string>

#include "server.h"

namespace {

class Connection {
  public:
    explicit Connection(int fd) : fd_(fd) {}
    ~Connection() { close(fd_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    std::string line() {
        std::string text;
        for (char c;;) {
            if (read(fd_, &c, 1) != 1) throw std::runtime_error("closed");
            if (c == '\n') return text;
            text += c;
        }
    }
    void say(const std::string& text) {
        if (write(fd_, text.data(), text.size()) < 0) throw std::runtime_error("broken");
    }

  private:
    int fd_;
};

void serve_object(int fd, int number, int peer) {
    Connection connection(fd);
    std::string prefix = std::to_string(number) + " " + std::to_string(peer) + " ";
    std::string line = connection.line();
    quit_if_asked(line.c_str(), number);
    try {
        usleep(100000);
        throw std::invalid_argument(line);
    } catch (const std::invalid_argument& bad) {
        connection.say(prefix);
        usleep(100000);
        try {
            throw std::runtime_error("\n");
        } catch (const std::runtime_error& end) {
            usleep(1000);
            connection.say(bad.what() + std::string(end.what()));
        }
    }
    if (std::uncaught_exceptions() != 0 || std::current_exception() != nullptr) {
        printf("an exception was left\n");
    }
}

}  // namespace

int main() {
    int listener = listen_somewhere();
    for (int number = 1;; ++number) {
        int peer;
        int connection = accept_one(listener, &peer);
        try {
            serve_object(connection, number, peer);
        } catch (const std::runtime_error&) {
        }
    }
}
