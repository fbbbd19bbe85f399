/* plot.h - line plots as SVG, drawn without any library.
 *
 * Colours and fonts come from the page's style sheet: lines have the classes s0, s1, s2, the rest axis, grid
 * and label. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { PLOT_SERIES_MAX = 3, PLOT_POINTS_MAX = 4096 };

struct plot_point {
    double x, y;
};

struct plot_series {
    const char *name;
    const struct plot_point *points; /* x ascending; at most PLOT_POINTS_MAX are drawn, evenly chosen */
    uint32_t count;
};

enum plot_unit { PLOT_RATE, PLOT_MICROSECONDS };

struct plot {
    const char *title;
    enum plot_unit y_unit;
    bool is_y_logarithmic;
    bool is_wide; /* twice the width of the others, and their height */
    /* x is -log10(1 - p), as HdrHistogram plots it, so that each nine has the same width; else seconds. */
    bool is_x_percentile;
    const struct plot_series *series;
    uint32_t series_count;
};

/* Draws nothing when no series has a point. */
void plot_svg(FILE *to, const struct plot *p);

/* Text with &, <, > and quotes made harmless. */
void plot_escaped(FILE *to, const char *text);

#endif
