/* formats/python_json.c - see python_json.h. */
#include "formats/python_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_string(rc_text *out, const char *s, size_t len)
{
    static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";

    rc_text_put(out, "\"");
    for (size_t i = 0; i < len; i++) {
        const char *k = s[i] ? strchr(named, s[i]) : NULL;
        char escape[8];

        if (k) {
            snprintf(escape, sizeof escape, "\\%c", letters[k - named]);
            rc_text_put(out, escape);
        } else if ((unsigned char)s[i] < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)s[i]);
            rc_text_put(out, escape);
        } else {
            rc_text_add(out, s + i, 1);
        }
    }
    rc_text_put(out, "\"");
}

/* The digits and the decimal exponent of the shortest text that reads back: d.ddd * 10^exponent. */
static int shortest(double v, char digits[20])
{
    char text[40];
    int precision = 0, n = 0;

    do
        snprintf(text, sizeof text, "%.*e", precision++, v);
    while (precision < 17 && strtod(text, NULL) != v);
    for (const char *p = text; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    digits[n] = '\0';
    return atoi(strchr(text, 'e') + 1);
}

/* Point somewhere among the digits, or zeros on the side where it lies outside. */
static void put_plain(rc_text *out, const char *digits, int exponent)
{
    const int n = (int)strlen(digits);

    if (exponent < 0)
        rc_text_add(out, "0.0000", (size_t)(1 - exponent));
    for (int i = 0; i < n || i <= exponent; i++) {
        rc_text_add(out, i < n ? digits + i : "0", 1);
        if (i == exponent)
            rc_text_put(out, i + 1 < n ? "." : ".0");
    }
}

static void put_double(rc_text *out, double v)
{
    char digits[20], power[16];
    int exponent;

    if (signbit(v))
        rc_text_put(out, "-");
    if (isinf(v)) {
        rc_text_put(out, "Infinity");
        return;
    }
    exponent = shortest(fabs(v), digits);
    if (exponent >= -4 && exponent < 16) {
        put_plain(out, digits, exponent);
        return;
    }
    rc_text_add(out, digits, 1);
    if (digits[1]) {
        rc_text_put(out, ".");
        rc_text_put(out, digits + 1);
    }
    snprintf(power, sizeof power, "e%+03d", exponent);
    rc_text_put(out, power);
}

static void put_number(rc_text *out, const rc_json_node *n)
{
    if (strpbrk(n->text, ".eE"))
        put_double(out, strtod(n->text, NULL));
    else
        rc_text_put(out, strcmp(n->text, "-0") == 0 ? "0" : n->text);
}

/* As deep as the parser lets a document be. */
void rc_python_json(rc_text *out, const rc_json_node *value)
{
    const bool object = value->type == RC_JSON_OBJECT;

    switch (value->type) {
    case RC_JSON_OBJECT:
    case RC_JSON_ARRAY:
        rc_text_put(out, object ? "{" : "[");
        for (const rc_json_node *n = value->child; n; n = n->next) {
            if (object) {
                put_string(out, n->key, strlen(n->key));
                rc_text_put(out, ": ");
            }
            rc_python_json(out, n);
            rc_text_put(out, n->next ? ", " : "");
        }
        rc_text_put(out, object ? "}" : "]");
        break;
    case RC_JSON_STRING:
        put_string(out, value->text, value->len);
        break;
    case RC_JSON_NUMBER:
        put_number(out, value);
        break;
    default:
        rc_text_put(out, value->type == RC_JSON_TRUE    ? "true"
                         : value->type == RC_JSON_FALSE ? "false"
                                                        : "null");
    }
}
