#include "state_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool state_file_path(const char *name, char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len;
    if (state && state[0] == '/')
        len = snprintf(out, size, "%s/valet/%s", state, name);
    else if (home && home[0] == '/')
        len = snprintf(out, size, "%s/.local/state/valet/%s", home, name);
    else
        return false;
    return len > 0 && (size_t)len < size;
}

/* Makes the folders in front of the last slash. */
static bool make_folders(const char *path)
{
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder)
        return false;
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

bool state_file_write(const char *path, bool (*write)(FILE *file, void *arg), void *arg)
{
    char draft[PATH_MAX];
    if (snprintf(draft, sizeof draft, "%s.XXXXXX", path) >= (int)sizeof draft ||
        !make_folders(path))
        return false;
    int fd = mkstemp(draft); /* mode 0600 */
    if (fd < 0)
        return false;
    FILE *file = fdopen(fd, "w");
    if (!file)
        close(fd);
    bool ok = file && write(file, arg);
    if (file && fclose(file) != 0)
        ok = false;
    if (ok && rename(draft, path) == 0)
        return true;
    unlink(draft);
    return false;
}
