/* plot.c - line plots as SVG. */
#include "bench/plot.h"

#include "reactor/base/assert.h"

#include <math.h>

enum {
    WIDTH = 720,
    WIDTH_WIDE = 1464,
    LEGEND_WIDTH = 100,
    LEGEND_WIDTH_WIDE = 160, /* for the names of operations */
    HEIGHT = 300,
    LEFT = 72,
    RIGHT = 16,
    TOP = 40,
    BOTTOM = 44,
    TICKS_MAX = 64,
    LABEL_BYTES = 32
};

/* Where values lie on the paper. */
struct scale {
    double x_min, x_max, y_min, y_max; /* of y the logarithm, when it is logarithmic */
    bool is_y_logarithmic;
    int right; /* where the axes end */
};

void plot_escaped(FILE *to, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
    }
}

static double y_value(const struct scale *s, double y)
{
    return s->is_y_logarithmic ? log10(y > 1e-3 ? y : 1e-3) : y;
}

static double at_x(const struct scale *s, double x)
{
    return LEFT + (x - s->x_min) / (s->x_max - s->x_min) * (s->right - LEFT);
}

static double at_y(const struct scale *s, double y)
{
    return HEIGHT - BOTTOM - (y_value(s, y) - s->y_min) / (s->y_max - s->y_min) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, such that about `ticks` of them make up `span`. */
static double nice_step(double span, double ticks)
{
    double raw = span / ticks;
    double power = pow(10.0, floor(log10(raw)));
    double lead = raw / power;
    return power * (lead <= 1.0 ? 1.0 : lead <= 2.0 ? 2.0 : lead <= 5.0 ? 5.0 : 10.0);
}

static bool find_scale(const struct plot *p, struct scale *s)
{
    int right = (p->is_wide ? WIDTH_WIDE : WIDTH) - RIGHT;
    *s = (struct scale){INFINITY, -INFINITY, INFINITY, -INFINITY, p->is_y_logarithmic, right};
    for (uint32_t i = 0; i < p->series_count; i++)
        for (uint32_t j = 0; j < p->series[i].count; j++) {
            const struct plot_point *at = &p->series[i].points[j];
            s->x_min = fmin(s->x_min, at->x);
            s->x_max = fmax(s->x_max, at->x);
            s->y_min = fmin(s->y_min, y_value(s, at->y));
            s->y_max = fmax(s->y_max, y_value(s, at->y));
        }
    if (s->x_min > s->x_max)
        return false;
    s->x_min = 0.0;
    s->x_max = s->x_max > 0.0 ? s->x_max : 1.0;
    if (s->is_y_logarithmic) {
        s->y_min = floor(s->y_min);
        s->y_max = fmax(ceil(s->y_max), s->y_min + 1.0);
        return true;
    }
    double step = nice_step(s->y_max > 0.0 ? s->y_max : 1.0, 5.0);
    s->y_min = 0.0;
    s->y_max = step * fmax(ceil(s->y_max / step), 1.0);
    return true;
}

static void label_of(char to[LABEL_BYTES], enum plot_unit unit, double value)
{
    if (unit == PLOT_MICROSECONDS && value >= 1e6)
        snprintf(to, LABEL_BYTES, "%.4g s", value / 1e6);
    else if (unit == PLOT_MICROSECONDS && value >= 1e3)
        snprintf(to, LABEL_BYTES, "%.4g ms", value / 1e3);
    else if (unit == PLOT_MICROSECONDS)
        snprintf(to, LABEL_BYTES, "%.4g µs", value);
    else if (value >= 1e6)
        snprintf(to, LABEL_BYTES, "%.4g M", value / 1e6);
    else if (value >= 1e3)
        snprintf(to, LABEL_BYTES, "%.4g k", value / 1e3);
    else
        snprintf(to, LABEL_BYTES, "%.4g", value);
}

static void draw_y_tick(FILE *to, const struct scale *s, enum plot_unit unit, double value)
{
    char label[LABEL_BYTES];
    label_of(label, unit, value);
    double y = at_y(s, value);
    fprintf(to, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, s->right, y, y);
    fprintf(to, "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8, y + 4,
            label);
}

static void draw_y_axis(FILE *to, const struct plot *p, const struct scale *s)
{
    if (!s->is_y_logarithmic) {
        double step = nice_step(s->y_max, 5.0);
        for (int i = 0; i < TICKS_MAX && i * step <= s->y_max * 1.0001; i++)
            draw_y_tick(to, s, p->y_unit, i * step);
        return;
    }
    bool is_short = s->y_max - s->y_min < 2.5;
    for (double decade = s->y_min; decade <= s->y_max + 0.001; decade += 1.0) {
        draw_y_tick(to, s, p->y_unit, pow(10.0, decade));
        if (is_short && decade + 0.5 < s->y_max) {
            draw_y_tick(to, s, p->y_unit, 2.0 * pow(10.0, decade));
            draw_y_tick(to, s, p->y_unit, 5.0 * pow(10.0, decade));
        }
    }
}

static void draw_x_tick(FILE *to, const struct scale *s, double x, const char *label)
{
    double at = at_x(s, x);
    fprintf(to, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, TOP,
            HEIGHT - BOTTOM);
    fprintf(to, "<text class=\"label\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", at,
            HEIGHT - BOTTOM + 18, label);
}

static void draw_x_axis(FILE *to, const struct plot *p, const struct scale *s)
{
    char label[LABEL_BYTES];
    if (!p->is_x_percentile) {
        double step = nice_step(s->x_max, 8.0);
        for (int i = 0; i < TICKS_MAX && i * step <= s->x_max * 1.0001; i++) {
            snprintf(label, sizeof label, "%.4g s", i * step);
            draw_x_tick(to, s, i * step, label);
        }
        return;
    }
    draw_x_tick(to, s, 0.0, "0 %");
    if (s->x_max >= 0.30103)
        draw_x_tick(to, s, 0.30103, "50 %");
    for (int nines = 1; nines <= s->x_max + 0.001 && nines < 12; nines++) {
        snprintf(label, sizeof label, "%.*f %%", nines > 2 ? nines - 2 : 0, 100.0 - pow(10.0, 2.0 - nines));
        draw_x_tick(to, s, nines, label);
    }
}

static void draw_series(FILE *to, const struct plot *p, const struct scale *s, uint32_t index)
{
    const struct plot_series *series = &p->series[index];
    uint32_t drawn = series->count < PLOT_POINTS_MAX ? series->count : PLOT_POINTS_MAX;
    if (drawn == 0)
        return;
    fprintf(to, "<polyline class=\"line s%u\" points=\"", index);
    for (uint32_t i = 0; i < drawn; i++) {
        uint32_t j = drawn > 1 ? (uint32_t)((uint64_t)i * (series->count - 1) / (drawn - 1)) : 0;
        fprintf(to, "%.1f,%.1f ", at_x(s, series->points[j].x), at_y(s, series->points[j].y));
    }
    fprintf(to, "\"/>\n");
    if (p->is_x_percentile || series->count > 120)
        return;
    for (uint32_t i = 0; i < series->count; i++) {
        char label[LABEL_BYTES];
        label_of(label, p->y_unit, series->points[i].y);
        fprintf(to,
                "<circle class=\"dot s%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>%s %s at %.1f "
                "s</title></circle>\n",
                index, at_x(s, series->points[i].x), at_y(s, series->points[i].y), series->name, label,
                series->points[i].x);
    }
}

static void draw_legend(FILE *to, const struct plot *p, const struct scale *s)
{
    fprintf(to, "<text class=\"title\" x=\"%d\" y=\"20\">", 8);
    plot_escaped(to, p->title);
    fprintf(to, "</text>\n");
    for (uint32_t i = 0; p->series_count > 1 && i < p->series_count; i++) {
        int x = s->right - (p->is_wide ? LEGEND_WIDTH_WIDE : LEGEND_WIDTH) * (int)(p->series_count - i);
        fprintf(to, "<line class=\"line s%u\" x1=\"%d\" x2=\"%d\" y1=\"16\" y2=\"16\"/>", i, x, x + 18);
        fprintf(to, "<text class=\"label\" x=\"%d\" y=\"20\">", x + 24);
        plot_escaped(to, p->series[i].name);
        fprintf(to, "</text>\n");
    }
}

void plot_svg(FILE *to, const struct plot *p)
{
    ASSERT(p->series_count <= PLOT_SERIES_MAX);
    struct scale scale;
    if (!find_scale(p, &scale))
        return;
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", scale.right + RIGHT, HEIGHT);
    plot_escaped(to, p->title);
    fprintf(to, "\">\n");
    draw_y_axis(to, p, &scale);
    draw_x_axis(to, p, &scale);
    fprintf(to, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT, scale.right,
            HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    for (uint32_t i = p->series_count; i > 0; i--)
        draw_series(to, p, &scale, i - 1);
    draw_legend(to, p, &scale);
    fprintf(to, "</svg>\n");
}
