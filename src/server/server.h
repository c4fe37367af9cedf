#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/err.h"
#include "config/config.h"

/*
 * Loads the model of the configuration, serves until SIGTERM or SIGINT, drains, and returns OK;
 * or fails at the start with one line in `info`. SIGHUP reads the configuration again. Blocks;
 * the calling thread is the loop thread. `config` is borrowed.
 */
enum base_err server_run(const struct config *config, struct base_err_info *info);

#endif
