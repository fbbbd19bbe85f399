/* version.h - the version of torc; the Makefile reads it from here too. */
#ifndef REACTOR_BASE_VERSION_H
#define REACTOR_BASE_VERSION_H

#define TORC_VERSION "0.1.0"

#endif
