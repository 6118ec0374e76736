// Mutexes: what condition variables need of hooks/mutex.cpp. Both are for green threads only, and
// return 0 or an error number.
#pragma once

#include <pthread.h>

namespace green {

int lock_mutex(pthread_mutex_t* mutex);
int unlock_mutex(pthread_mutex_t* mutex);

}  // namespace green
