/*
 * Chooses the kernels at start. Compiled with baseline flags; only the files under x86/ and
 * arm/ use wider instructions.
 */
#include <string.h>

#include "tensor/isa.h"

static const struct tensor_isa *const g_isas[] = {
/* best first */
#if defined(__x86_64__)
    &tensor_isa_amx,
    &tensor_isa_avx512vnni,
    &tensor_isa_avx2,
#elif defined(__aarch64__)
    &tensor_isa_neon,
#endif
    &tensor_isa_ref,
};

enum {
    ISA_COUNT = sizeof g_isas / sizeof g_isas[0]
};

enum base_err tensor_isa_find(const char *name, const struct tensor_isa **out,
                              struct base_err_info *info)
{
    *out = NULL;
    char known[128] = "";
    for (int i = 0; i < ISA_COUNT; i++) {
        bool is_wanted = !name || name[0] == '\0' || strcmp(name, g_isas[i]->name) == 0;
        if (is_wanted && g_isas[i]->is_available()) {
            *out = g_isas[i];
            return OK;
        }
    }
    for (int i = 0; i < ISA_COUNT; i++) {
        if (!g_isas[i]->is_available())
            continue;
        strncat(known, known[0] ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, g_isas[i]->name, sizeof known - strlen(known) - 1);
    }
    return base_err_set(info, E_UNSUPPORTED, "no kernels '%s' for this CPU; it has: %s", name,
                        known);
}
