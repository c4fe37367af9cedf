#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/*
 * server_run in a thread of its own, with a tiny model, and what it says in its log. One rig at
 * a time. What is not as expected fails the test.
 */

/* Loads a configuration file for rig_start. Gives: config_destroy. */
struct config *rig_config(const char *path);

/* Begins; comes back when the server is ready, or has ended without ever being so. */
void rig_start(const struct config *config);

bool rig_is_ready(void);
uint16_t rig_port(void);

/* How many lines of the log begin with this text, since rig_start. */
unsigned rig_count(const char *begin);

/* Waits until they are as many; 20 s without that fail the test. */
void rig_wait(const char *begin, unsigned count);

/* Asks the server to end, if it runs, and waits for it; gives what server_run gave. */
enum base_err rig_stop(struct base_err_info *info);

/* Sends a request that ends with its connection and reads what comes, as a C string. */
void rig_ask(const char *request, bool is_tls, char *out, size_t out_size);

#endif
