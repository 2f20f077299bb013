/* verify/svg.c - see svg.h. */
#include "verify/svg.h"

#include <math.h>
#include <string.h>

#include "verify/markup.h"

double rc_axis_at(const rc_axis *axis, double x)
{
    const double share = (x - axis->lo) / (axis->hi - axis->lo);

    return axis->from + (share > 1 ? 1 : share > 0 ? share : 0) * (axis->to - axis->from);
}

double rc_axis_step(double most, unsigned n)
{
    const double raw = most / n, decade = pow(10, floor(log10(raw)));

    for (unsigned i = 0; i < 3; i++) {
        static const double steps[] = { 1, 2, 5 };

        if (steps[i] * decade >= raw * (1 - 1e-9))
            return steps[i] * decade;
    }
    return 10 * decade;
}

static void put(rc_text *t, const char *s)
{
    rc_markup_xml(t, s, strlen(s));
}

void rc_svg_open(rc_text *t, const char *id, double width, double height, const char *title,
                 const char *desc)
{
    rc_text_printf(t,
                   "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"%s-t %s-d\">\n"
                   "<title id=\"%s-t\">",
                   width, height, id, id, id);
    put(t, title);
    rc_text_printf(t, "</title>\n<desc id=\"%s-d\">", id);
    put(t, desc);
    rc_text_put(t, "</desc>\n");
}

void rc_svg_close(rc_text *t)
{
    rc_text_put(t, "</svg>\n");
}

void rc_svg_line(rc_text *t, const char *class, double x1, double y1, double x2, double y2)
{
    rc_text_printf(t, "<line class=\"%s\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>\n",
                   class, x1, y1, x2, y2);
}

static void end_element(rc_text *t, const char *name, const char *title)
{
    if (!title) {
        rc_text_put(t, "/>\n");
        return;
    }
    rc_text_put(t, "><title>");
    put(t, title);
    rc_text_printf(t, "</title></%s>\n", name);
}

void rc_svg_rect(rc_text *t, const char *class, double x, double y, double w, double h,
                 const char *title)
{
    rc_text_printf(t, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"",
                   class, x, y, w, h);
    end_element(t, "rect", title);
}

void rc_svg_mark(rc_text *t, const char *class, char shape, double x, double y, const char *title)
{
    if (shape == 'o') {
        rc_text_printf(t, "<circle class=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"3.2\"", class, x, y);
        end_element(t, "circle", title);
        return;
    }
    rc_text_printf(t, "<path class=\"%s\" d=\"M%.2f %.2f", class, shape == 'd' ? x : x - 3,
                   shape == 'd' ? y - 4 : y - 3);
    rc_text_put(t, shape == 's'   ? "h6v6h-6z\""
                   : shape == 'd' ? "l4 4l-4 4l-4 -4z\""
                                  : "h6l-3 6z\"");
    end_element(t, "path", title);
}

static const char *anchor_name(char anchor)
{
    return anchor == 's' ? "start" : anchor == 'm' ? "middle" : "end";
}

void rc_svg_text(rc_text *t, const char *class, char anchor, double x, double y, const char *s)
{
    rc_text_printf(t, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.2f\" y=\"%.2f\">", class,
                   anchor_name(anchor), x, y);
    put(t, s);
    rc_text_put(t, "</text>\n");
}

void rc_svg_upright(rc_text *t, double x, double y, const char *s)
{
    rc_text_printf(
        t, "<text text-anchor=\"middle\" transform=\"translate(%.2f %.2f) rotate(-90)\">", x, y);
    put(t, s);
    rc_text_put(t, "</text>\n");
}

void rc_svg_decade(rc_text *t, char anchor, double x, double y, int exponent)
{
    rc_text_printf(t,
                   "<text text-anchor=\"%s\" x=\"%.2f\" y=\"%.2f\">10<tspan dy=\"-5\" "
                   "font-size=\"9\">%s%d</tspan></text>\n",
                   anchor_name(anchor), x, y, exponent < 0 ? "\xe2\x88\x92" : "",
                   exponent < 0 ? -exponent : exponent);
}
