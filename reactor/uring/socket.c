/* socket.c - the connections of a core. */
#include "reactor/uring/uring.h"
void sockets_init(struct reactor *r){list_init(&r->sockets.open);}
void sockets_close_all(struct reactor *r){(void)r;}
void listeners_close_all(struct reactor *r){(void)r;}
void listener_on_accept(struct completion *c, int32_t result, uint32_t flags){(void)c,(void)result,(void)flags;}
