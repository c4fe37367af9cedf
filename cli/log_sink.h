#ifndef CLI_LOG_SINK_H
#define CLI_LOG_SINK_H

#include "config/config.h"

/* Sends log lines to stderr from now on, as text or as one JSON object a line. */
void log_sink_start(const struct config_log *log);

#endif
