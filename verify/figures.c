/* verify/figures.c - see figures.h. */
#include "verify/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *rc_figure_count(char buf[RC_FIGURE], uint64_t n)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = buf;

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return buf;
}

const char *rc_figure_params(char buf[RC_FIGURE], uint64_t n)
{
    static const char *const unit[] = { "", " K", " M", " B", " T", " Q" };
    double x = (double)n;
    unsigned u = 0;

    while (x >= 999.95 && u < 5) {
        x /= 1000;
        u++;
    }
    snprintf(buf, RC_FIGURE, "%.*f%s", u == 0 ? 0 : x < 9.995 ? 2 : 1, x, unit[u]);
    return buf;
}

const char *rc_figure_error(char buf[RC_FIGURE], double x)
{
    if (x == 0)
        strcpy(buf, "0");
    else
        snprintf(buf, RC_FIGURE, "%.3g", x);
    return buf;
}

const char *rc_figure_sqnr(char buf[RC_FIGURE], double db)
{
    if (isinf(db) && db > 0)
        strcpy(buf, "exact");
    else
        snprintf(buf, RC_FIGURE, "%.1f dB", db);
    return buf;
}

const char *rc_figure_plain(char buf[RC_FIGURE], double x)
{
    if (isnan(x))
        strcpy(buf, "not a number");
    else if (x == 0)
        strcpy(buf, "0");
    else
        snprintf(buf, RC_FIGURE, "%.4g", x);
    return buf;
}

const char *rc_figure_share(char buf[RC_FIGURE], double x)
{
    int digits = 2;

    if (isnan(x)) {
        strcpy(buf, "not a number");
        return buf;
    }
    for (; digits < 6; digits++) {
        const double unit = pow(10, -digits - 2), rounded = round(x / unit) * unit;

        if ((x <= 0 || rounded > 0) && (x >= 1 || rounded < 1))
            break;
    }
    snprintf(buf, RC_FIGURE, "%.*f %%", x == 0 || x == 1 ? 0 : digits, 100 * x);
    return buf;
}

const char *rc_figure_percent(char buf[RC_FIGURE], double x)
{
    if (isnan(x))
        strcpy(buf, "not a number");
    else
        snprintf(buf, RC_FIGURE, "%.3g %%", 100 * x);
    return buf;
}

/* Digits behind the point that show two of the error. */
static int digits_of(double se)
{
    const double digits = 1 - floor(log10(se));

    return digits < 0 ? 0 : digits > 12 ? 12 : (int)digits;
}

const char *rc_figure_mean(char buf[RC_FIGURE_MEAN], double value, double se)
{
    char plain[RC_FIGURE];

    if (!(se > 0) || isinf(se) || !isfinite(value) || fabs(value) >= 1e12)
        snprintf(buf, RC_FIGURE_MEAN, "%s", rc_figure_plain(plain, value));
    else if (se < 1e-6)
        snprintf(buf, RC_FIGURE_MEAN, "%.3g " RC_PLUS_MINUS " %.2g", value, se);
    else
        snprintf(buf, RC_FIGURE_MEAN, "%.*f " RC_PLUS_MINUS " %.*f", digits_of(se), value,
                 digits_of(se), se);
    return buf;
}

const char *rc_figure_share_mean(char buf[RC_FIGURE_MEAN], double value, double se)
{
    char plain[RC_FIGURE];

    if (!(se > 0) || isinf(se) || !isfinite(value))
        snprintf(buf, RC_FIGURE_MEAN, "%s", rc_figure_share(plain, value));
    else
        snprintf(buf, RC_FIGURE_MEAN, "%.*f " RC_PLUS_MINUS " %.*f %%", digits_of(100 * se),
                 100 * value, digits_of(100 * se), 100 * se);
    return buf;
}

const char *rc_figure_shape(char *buf, unsigned n, unsigned rank, const uint64_t *shape)
{
    size_t used = 0;

    snprintf(buf, n, "scalar");
    for (unsigned i = 0; i < rank; i++) {
        const int k = snprintf(buf + used, n - used, "%s%" PRIu64, i ? " x " : "", shape[i]);

        if (k < 0 || used + (size_t)k >= n)
            break; /* cut to fit */
        used += (size_t)k;
    }
    return buf;
}

const char *rc_figure_layout(char buf[RC_FIGURE], const rc_bound *bound)
{
    const char *scale = "";

    if (bound->scale) /* "E8M0", not "F8_E8M0": the short forms that people use */
        scale = bound->scale->dtype == RC_DTYPE_F8_E8M0 ? "+E8M0"
                : bound->scale->dtype == RC_DTYPE_F32   ? "+F32"
                : bound->scale->dtype == RC_DTYPE_F16   ? "+F16"
                : bound->scale->dtype == RC_DTYPE_BF16  ? "+BF16"
                : bound->store == RC_STORE_NVFP4        ? "+E4M3"
                                                        : "+?";
    if (!bound->weight)
        strcpy(buf, "-");
    else
        snprintf(buf, RC_FIGURE, "%s%s",
                 bound->store == RC_STORE_FP4      ? "FP4"
                 : bound->store == RC_STORE_FP8    ? "FP8"
                 : bound->store == RC_STORE_NVFP4  ? "NVFP4"
                 : bound->store == RC_STORE_PACKED ? "INT4"
                 : bound->store == RC_STORE_AWQ    ? "AWQ"
                                                   : rc_tensor_type(bound->weight),
                 scale);
    return buf;
}

void rc_figure_add(char list[64], const char *label)
{
    const size_t len = strlen(label), used = strlen(list);

    for (const char *p = list; (p = strstr(p, label)); p += len)
        if ((p == list || p[-1] == ' ') && (p[len] == '\0' || p[len] == ','))
            return;
    if (used + len + 3 + sizeof ".." > 64) {
        if (used < 2 || strcmp(list + used - 2, "..") != 0)
            strcat(list, "..");
        return;
    }
    if (used)
        strcat(list, ", ");
    strcat(list, label);
}
