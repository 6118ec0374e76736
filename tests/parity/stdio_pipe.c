/* FILE streams on pipes between threads: each reading function waits for the writer, in full, line
 * and no buffering; big freads and fwrites; the end; wide characters.
 *
 * PARITY: switches=30 threads=8 */
#include "parity.h"

#include <wchar.h>

static FILE *in, *out;

static void open_both(int buffering) {
    int ends[2];
    SAME(pipe(ends), 0);
    in = fdopen(ends[0], "r");
    out = fdopen(ends[1], "w");
    CHECK(in != NULL && out != NULL);
    SAME(setvbuf(in, NULL, buffering, BUFSIZ), 0);
    SAME(setvbuf(out, NULL, buffering, BUFSIZ), 0);
}

static void* write_lines(void* argument) {
    (void)argument;
    for (int i = 0; i < 8; i++) {
        wait_ticks(2);
        fprintf(out, "%d line number %d\n", i * i, i);
        if (i % 3 == 2) SAME(fflush(out), 0);
    }
    SAME(fclose(out), 0);
    return NULL;
}

static void read_lines(void) {
    char text[100], *line = NULL;
    size_t room = 0;
    int number = -1;
    CHECK(fgets(text, sizeof text, in) != NULL);
    SAME(strcmp(text, "0 line number 0\n"), 0);
    SAME(getline(&line, &room, in), 16);
    SAME(getdelim(&line, &room, 'r', in), 13);
    SAME(strcmp(line, "4 line number"), 0);
    SAME(fscanf(in, " %d", &number), 1);
    SAME(number, 2);
    SAME(fgetc(in), '\n');
    SAME(fread(text, 1, 16, in), 16);
    SAME(getc_unlocked(in), '1');
    SAME(ungetc('1', in), '1');
    SAME(fscanf(in, "%d line number %*d ", &number), 1);
    SAME(number, 16);
    for (int i = 5; i < 8; i++) {
        CHECK(fgets(text, sizeof text, in) != NULL);
        SAME(atoi(text), i * i);
    }
    CHECK(fgets(text, sizeof text, in) == NULL);
    CHECK(feof(in) && !ferror(in));
    SAME(fgetc(in), EOF);
    SAME(fread(text, 1, 16, in), 0);
    free(line);
    SAME(fclose(in), 0);
}

static void* write_much(void* argument) {
    char* data = (char*)argument;
    SAME(fwrite(data, 1000, 1000, out), 1000);
    SAME(fclose(out), 0);
    return NULL;
}

static void* write_wide(void* argument) {
    (void)argument;
    wait_ticks(3);
    fputws(L"wide words\n", out);
    SAME(fclose(out), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    const int kinds[3] = {_IOFBF, _IOLBF, _IONBF};
    for (int i = 0; i < 3; i++) {
        open_both(kinds[i]);
        pthread_t writer = start(write_lines, NULL);
        read_lines();
        join(writer);
        say("buffering %d", i);
    }
    char *data = (char*)malloc(1000000), *back = (char*)malloc(1000001);
    fill_pattern(data, 1000000, 0, 8);
    for (int i = 0; i < 3; i++) {
        open_both(kinds[i]);
        pthread_t writer = start(write_much, data);
        wait_ticks(3);
        SAME(fread(back, 1, 700000, in), 700000);
        SAME(fread(back + 700000, 1, 300001, in), 300000);
        CHECK(feof(in));
        SAME(memcmp(data, back, 1000000), 0);
        SAME(fclose(in), 0);
        join(writer);
    }
    free(data);
    free(back);
    say("a million bytes");
    open_both(_IOFBF);
    pthread_t writer = start(write_wide, NULL);
    wchar_t words[20];
    CHECK(fgetws(words, 20, in) != NULL);
    SAME(wcscmp(words, L"wide words\n"), 0);
    CHECK(fgetws(words, 20, in) == NULL);
    SAME(fclose(in), 0);
    join(writer);
    say("wide characters");
    stop_ticking();
    return 0;
}
