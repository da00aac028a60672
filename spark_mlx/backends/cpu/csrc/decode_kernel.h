/* The inner loops of decoding for one kind of vectors; what each does stands in decode_lanes.h. */
#ifndef SPARK_DECODE_KERNEL_H
#define SPARK_DECODE_KERNEL_H

enum {
    WIDTH = 32, /* rows of a panel */
    GROUP = 64, /* columns that share a scale and a bias */
    MOST_HEADS = 8, /* that `attend` takes at a time */
    MOST_DIM = 256, /* of a head */
    MOST_TOGETHER = 8, /* rows that meet weights as they are packed */
};

typedef void panel_times(int rows, int columns, const float *x, const float *group_sums,
                         const void *panel, float *y, long y_row);
typedef void panel_unpack(const void *panel, int from, int depth, float *to);

/* How weights are kept. */
typedef enum { FLOATS, BYTES, NIBBLES, FORMATS } format;

typedef struct {
    const char *name;
    int together; /* rows that `times` takes at most; no more than MOST_TOGETHER */
    panel_times *times[FORMATS];
    panel_unpack *unpack[FORMATS];
    void (*norm)(int size, const float *x, const float *weight, float eps, float *y);
    void (*swiglu)(int size, const float *gate, const float *up, float *y);
    void (*attend)(int heads, int dim, int padded, const float *queries, const float *keys,
                   const float *values, int length, float *out);
} decode_kernel;

/* The one for the vectors that product.h uses. */
const decode_kernel *decode_kernel_now(void);

#endif
