/* request.c - making and freeing the slab of requests; what is done with it all the time is inline in
 * request.h. */
#include "client/request.h"

#include <stdlib.h>

int client_requests_init(struct requests *requests, uint32_t capacity)
{
    ASSERT(capacity > 0 && capacity < REQUEST_NONE);
    *requests = (struct requests){
        .all = calloc(capacity, sizeof(struct request)),
        .capacity = capacity,
        .first_free = 0,
        .oldest = REQUEST_NONE,
        .newest = REQUEST_NONE,
        .first_unstamped = REQUEST_NONE,
    };
    if (!requests->all)
        return TORC_NO_MEMORY;
    for (uint32_t i = 0; i < capacity; i++)
        requests->all[i].next = i + 1 < capacity ? i + 1 : REQUEST_NONE;
    return 0;
}

void client_requests_deinit(struct requests *requests)
{
    ASSERT(requests->in_flight == 0);
    free(requests->all);
    *requests = (struct requests){0};
}
