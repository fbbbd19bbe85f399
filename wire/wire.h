/* wire.h - what the other folders see of wire/: bytes to messages and back, no I/O. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "wire/frame.h"

#endif
