/*
 * The wall clock of a server that a test sets: what gettimeofday() says, moved by the seconds that the file named by
 * TEST_CLOCK holds (a 64-bit integer, of this machine's byte order). Loaded by LD_PRELOAD. The file is mapped, so that
 * every process of the server sees a change at once.
 *
 * libfaketime does the same for whole programs, but not for what a PostgreSQL 15 forks within its signal handlers.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void map_offset(void)
{
    const char *path = getenv("TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);

    if (map == MAP_FAILED)
        abort();
    close(file);
    offset = map;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec time;

    (void) zone;
    if (clock_gettime(CLOCK_REALTIME, &time) != 0)
        return -1;
    now->tv_sec = time.tv_sec + *offset;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}
