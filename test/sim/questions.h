/* questions.h - what a client of a history asks: one request or some, drawn with its dice. */
#ifndef TEST_SIM_QUESTIONS_H
#define TEST_SIM_QUESTIONS_H

#include "test/sim/talker.h"

void question_any(struct talker *t); /* in the load also misbehaviour */
void question_key(struct talker *t);
void question_get(struct talker *t, uint32_t key);
void question_scan(struct talker *t); /* the first page of all keys, unless a scan is under way */
void question_page(struct talker *t); /* the next one */

#endif
