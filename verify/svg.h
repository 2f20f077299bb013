/* verify/svg.h - drawings inside a page: axes, ticks, marks. Coordinates are the viewBox's, two
 * digits behind the point; looks are classes of the page's style sheet. */
#ifndef RC_VERIFY_SVG_H
#define RC_VERIFY_SVG_H

#include "formats/base/text.h"

/* A straight mapping of [lo, hi] onto [from, to], drawing units. */
typedef struct rc_axis {
    double lo, hi, from, to;
} rc_axis;

/** Where x stands; what lies outside is put on the border. */
double rc_axis_at(const rc_axis *axis, double x);
/** A distance between ticks, 1, 2 or 5 times a power of ten: at most n of them from 0 to `most`. */
double rc_axis_step(double most, unsigned n);

/** Begin a drawing that is an image with a name and a description (for those who cannot see it);
 * the id is unique in the page. */
void rc_svg_open(rc_text *t, const char *id, double width, double height, const char *title,
                 const char *desc);
void rc_svg_close(rc_text *t);

void rc_svg_line(rc_text *t, const char *class, double x1, double y1, double x2, double y2);
void rc_svg_rect(rc_text *t, const char *class, double x, double y, double w, double h,
                 const char *title);
/** Marks 8 units wide around a point: 'o' circle, 's' square, 'd' diamond, 'v' triangle downwards.
 *  The title (may be NULL) shows up when somebody points at it. */
void rc_svg_mark(rc_text *t, const char *class, char shape, double x, double y, const char *title);
/** anchor: 's' starts at x, 'm' is centred, 'e' ends there. */
void rc_svg_text(rc_text *t, const char *class, char anchor, double x, double y, const char *s);
/** The same turned by 90 degrees: what a vertical axis shows. */
void rc_svg_upright(rc_text *t, double x, double y, const char *s);
/** A power of ten, 10 with the exponent raised. */
void rc_svg_decade(rc_text *t, char anchor, double x, double y, int exponent);

#endif
