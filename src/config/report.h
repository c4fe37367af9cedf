#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include <stddef.h>

/*
 * What is wrong or doubtful in a configuration, one line each, in the order found. Everything
 * is kept up to a maximum and counted beyond.
 */
enum {
    CONFIG_MESSAGES_MAX = 20,
    CONFIG_MESSAGE_BYTES = 320
};

struct config_report {
    size_t error_count; /* all, also those beyond the maximum */
    size_t warning_count;
    char errors[CONFIG_MESSAGES_MAX][CONFIG_MESSAGE_BYTES];
    char warnings[CONFIG_MESSAGES_MAX][CONFIG_MESSAGE_BYTES];
};

void config_report_init(struct config_report *report);

/* How many are kept, to walk over errors[] and warnings[]. */
size_t config_report_errors(const struct config_report *report);
size_t config_report_warnings(const struct config_report *report);

/* Adds one line, cut to fit; what is no plain text in it becomes '?'. */
__attribute__((format(printf, 2, 3))) void config_error(struct config_report *report,
                                                        const char *format, ...);
__attribute__((format(printf, 2, 3))) void config_warning(struct config_report *report,
                                                          const char *format, ...);

#endif
