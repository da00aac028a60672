/* The functions of the codec's layers as Python calls them.

   Input: float32 arrays without gaps and sizes, in the shapes of codec_ops.h and activations.h.
   Output: written into the last array. Every shape is checked here, before the GIL is released. */
#include "codec_python.h"

#include "activations.h"
#include "arguments.h"
#include "codec_ops.h"
#include "gradient.h"

/* ---- Activations ---- */

static PyObject *snake_(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {{"x", FLOAT32, 0}, {"alpha", FLOAT32, 0}, {"y", FLOAT32, 1}};
    enum { X, ALPHA, Y, COUNT };
    PyObject *objects[COUNT];
    array a[COUNT];
    number channels = {"channels", 1, INT_MAX, 0};
    if (!PyArg_ParseTuple(args, "OOOO&", &objects[X], &objects[ALPHA], &objects[Y], read_number,
                          &channels) ||
        arrays_open(a, specs, COUNT, objects) != 0)
        return NULL;
    if (array_expect_rows(&a[X], channels.value) == 0 &&
        array_expect(&a[ALPHA], channels.value, "channels") == 0 &&
        array_expect(&a[Y], a[X].size, "as many as x") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        snake(a[X].data, a[ALPHA].data, a[Y].data, a[X].size / channels.value, channels.value);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, 0);
}

static PyObject *elementwise(PyObject *args, void compute(const float *, float *, long)) {
    static const array_spec specs[] = {{"x", FLOAT32, 0}, {"y", FLOAT32, 1}};
    PyObject *objects[2];
    array a[2];
    if (!PyArg_ParseTuple(args, "OO", &objects[0], &objects[1]) ||
        arrays_open(a, specs, 2, objects) != 0)
        return NULL;
    if (array_expect(&a[1], a[0].size, "as many as x") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        compute(a[0].data, a[1].data, a[0].size);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 2, 0);
}

static PyObject *gelu_(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise(args, gelu);
}

static PyObject *silu_(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise(args, silu);
}

/* Check that so many queries in turn make up all rows, and that each sees a column. */
static int check_queries(long rows, int columns, int queries) {
    if (queries > columns) return refuse("queries", queries, "no more than columns");
    if (queries > 0 && rows % queries != 0) return refuse("queries", queries, "a divisor of rows");
    return 0;
}

static PyObject *softmax_(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec spec = {"x", FLOAT32, 1};
    PyObject *object;
    array x;
    number columns = {"columns", 1, INT_MAX, 0}, queries = {"queries", 0, INT_MAX, 0};
    if (!PyArg_ParseTuple(args, "OO&O&", &object, read_number, &columns, read_number, &queries) ||
        arrays_open(&x, &spec, 1, &object) != 0)
        return NULL;
    long rows = x.size / columns.value;
    if (array_expect_rows(&x, columns.value) == 0 &&
        check_queries(rows, columns.value, queries.value) == 0) {
        Py_BEGIN_ALLOW_THREADS;
        softmax(x.data, rows, columns.value, queries.value);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(&x, 1, 0);
}

/* ---- Convolutions ---- */

/* A bound of sums and products of a few sizes, so that they fit an int. */
enum { MAX_SPAN = INT_MAX / 8 };

/* The sizes of a convolution as Python gives them, with their bounds. */
enum { BATCH, FRAMES, IN, KERNEL, STRIDE, PADDING, DILATION, GROUPS, OUT_FRAMES, OUT, SIZES };

static const number size_bounds[SIZES] = {
    {"batch", 1, MAX_SPAN, 0},    {"frames", 1, MAX_SPAN, 0}, {"in", 1, MAX_SPAN, 0},
    {"kernel", 1, MAX_SPAN, 0},   {"stride", 1, MAX_SPAN, 0}, {"padding", 0, MAX_SPAN, 0},
    {"dilation", 1, MAX_SPAN, 0}, {"groups", 1, MAX_SPAN, 0}, {"out_frames", 1, MAX_SPAN, 0},
    {"out", 1, MAX_SPAN, 0},
};

/* Read a tuple of the ten sizes; 0 with an exception, for "O&" in PyArg_ParseTuple. */
static int read_sizes(PyObject *object, void *into) {
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != SIZES) {
        PyErr_Format(PyExc_ValueError, "sizes: expected a tuple of %d numbers", SIZES);
        return 0;
    }
    int values[SIZES];
    for (int i = 0; i < SIZES; i++) {
        number size = size_bounds[i];
        if (!read_number(PyTuple_GET_ITEM(object, i), &size)) return 0;
        values[i] = size.value;
    }
    *(conv_sizes *)into = (conv_sizes){
        values[BATCH],   values[FRAMES],   values[IN],     values[KERNEL],     values[STRIDE],
        values[PADDING], values[DILATION], values[GROUPS], values[OUT_FRAMES], values[OUT]};
    return 1;
}

/* Check the sizes that any convolution has to have, and that spans of frames fit an int. */
static int check_sizes(const conv_sizes *s) {
    if (s->in % s->groups != 0) return refuse("in", s->in, "a multiple of groups");
    if (s->out % s->groups != 0) return refuse("out", s->out, "a multiple of groups");
    if (times(s->kernel, s->dilation) > MAX_SPAN)
        return refuse("kernel", s->kernel, "less, by its dilation");
    if (times(s->in, s->stride) > MAX_SPAN) return refuse("in", s->in, "less, by the stride");
    if (times(s->frames, s->stride) > MAX_SPAN)
        return refuse("frames", s->frames, "less, by the stride");
    if (times(s->batch, s->out_frames) > MAX_SPAN)
        return refuse("batch", s->batch, "less, by out_frames");
    if (times(s->kernel, s->out) > MAX_SPAN) return refuse("kernel", s->kernel, "less, by out");
    return 0;
}

/* Check the number of output frames of a convolution. */
static int check_frames(const conv_sizes *s) {
    int span = s->frames + 2 * s->padding - s->dilation * (s->kernel - 1) - 1;
    int frames = span < 0 ? 0 : span / s->stride + 1;
    if (s->out_frames == frames) return 0;
    PyErr_Format(PyExc_ValueError, "out_frames is %d, expected %d by the other sizes",
                 s->out_frames, frames);
    return -1;
}

/* Check the number of output frames of a transposed convolution, whose output padding is less than
   the stride. */
static int check_transposed_frames(const conv_sizes *s) {
    if (s->groups != 1) return refuse("groups", s->groups, "1 where it is transposed");
    if (s->dilation != 1) return refuse("dilation", s->dilation, "1 where it is transposed");
    int min = (s->frames - 1) * s->stride - 2 * s->padding + s->kernel;
    if (s->out_frames >= min && s->out_frames - min < s->stride) return 0;
    PyErr_Format(PyExc_ValueError, "out_frames is %d, expected %d to %d by the other sizes",
                 s->out_frames, min, min + s->stride - 1);
    return -1;
}

typedef int check_function(const conv_sizes *);
typedef int convolution(const float *, const float *, const float *, float *, const conv_sizes *);

static PyObject *convolve(PyObject *args, check_function check, convolution compute) {
    static const array_spec specs[] = {
        {"x", FLOAT32, 0}, {"weight", FLOAT32, 0}, {"bias", FLOAT32, 0}, {"y", FLOAT32, 1}};
    enum { X, WEIGHT, BIAS, Y, COUNT };
    PyObject *objects[COUNT];
    array a[COUNT];
    conv_sizes s;
    int failed = 0;
    if (!PyArg_ParseTuple(args, "OOOOO&", &objects[X], &objects[WEIGHT], &objects[BIAS],
                          &objects[Y], read_sizes, &s) ||
        check_sizes(&s) != 0 || check(&s) != 0 || arrays_open(a, specs, COUNT, objects) != 0)
        return NULL;
    if (array_expect(&a[X], times(times(s.batch, s.frames), s.in), "batch · frames · in") == 0 &&
        array_expect(&a[WEIGHT], times(times(s.out, s.kernel), s.in / s.groups),
                     "out · kernel · in / groups") == 0 &&
        array_expect(&a[BIAS], s.out, "out") == 0 &&
        array_expect(&a[Y], times(times(s.batch, s.out_frames), s.out),
                     "batch · out_frames · out") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = compute(a[X].data, a[WEIGHT].data, a[BIAS].data, a[Y].data, &s);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, failed);
}

static PyObject *conv(PyObject *self, PyObject *args) {
    (void)self;
    return convolve(args, check_frames, codec_conv);
}

static PyObject *conv_transpose(PyObject *self, PyObject *args) {
    (void)self;
    return convolve(args, check_transposed_frames, codec_conv_transpose);
}

static PyObject *residual_unit_(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {
        {"x", FLOAT32, 0},     {"alpha1", FLOAT32, 0}, {"dilated", FLOAT32, 0},
        {"bias1", FLOAT32, 0}, {"alpha2", FLOAT32, 0}, {"pointwise", FLOAT32, 0},
        {"bias2", FLOAT32, 0}, {"y", FLOAT32, 1},
    };
    enum { X, ALPHA1, DILATED, BIAS1, ALPHA2, POINTWISE, BIAS2, Y, COUNT };
    PyObject *o[COUNT];
    array a[COUNT];
    number row = {"row", 0, INT_MAX, 0}, frames = {"frames", 1, MAX_SPAN, 0};
    number channels = {"channels", 1, MAX_SPAN, 0}, kernel = {"kernel", 1, MAX_SPAN, 0};
    number dilation = {"dilation", 1, MAX_SPAN, 0};
    if (!PyArg_ParseTuple(args, "OOOOOOOOO&O&O&O&O&", &o[X], &o[ALPHA1], &o[DILATED], &o[BIAS1],
                          &o[ALPHA2], &o[POINTWISE], &o[BIAS2], &o[Y], read_number, &row,
                          read_number, &frames, read_number, &channels, read_number, &kernel,
                          read_number, &dilation))
        return NULL;
    long c = channels.value, k = kernel.value, size = times(frames.value, c);
    if (k % 2 == 0 || times(k, dilation.value) > MAX_SPAN || times(k, c) > MAX_SPAN) {
        refuse("kernel", k, "an odd number, less by dilation and channels");
        return NULL;
    }
    if (arrays_open(a, specs, COUNT, o) != 0) return NULL;
    int failed = 0;
    if (a[X].size % size != 0 || row.value >= a[X].size / size)
        PyErr_Format(PyExc_ValueError, "x has %ld numbers, expected rows of %ld, and row %d",
                     a[X].size, size, row.value);
    else if (array_expect(&a[Y], a[X].size, "as many as x") == 0 &&
             array_expect(&a[ALPHA1], c, "channels") == 0 &&
             array_expect(&a[ALPHA2], c, "channels") == 0 &&
             array_expect(&a[BIAS1], c, "channels") == 0 &&
             array_expect(&a[BIAS2], c, "channels") == 0 &&
             array_expect(&a[DILATED], times(times(c, k), c), "channels · kernel · channels") ==
                 0 &&
             array_expect(&a[POINTWISE], times(c, c), "channels · channels") == 0) {
        residual_unit unit = {a[ALPHA1].data,    a[DILATED].data, a[BIAS1].data, a[ALPHA2].data,
                              a[POINTWISE].data, a[BIAS2].data,   frames.value,  channels.value,
                              kernel.value,      dilation.value};
        const float *x = (const float *)a[X].data + row.value * size;
        float *y = (float *)a[Y].data + row.value * size;
        Py_BEGIN_ALLOW_THREADS;
        failed = codec_residual_unit(&unit, x, y);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, failed);
}

/* ---- Gradients ---- */

static PyObject *conv_gradient(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {
        {"x", FLOAT32, 0}, {"given", FLOAT32, 0}, {"by_weight", FLOAT32, 1}};
    enum { X, GIVEN, BY_WEIGHT, COUNT };
    PyObject *objects[COUNT];
    array a[COUNT];
    conv_sizes s;
    int failed = 0;
    if (!PyArg_ParseTuple(args, "OOOO&", &objects[X], &objects[GIVEN], &objects[BY_WEIGHT],
                          read_sizes, &s) ||
        check_sizes(&s) != 0 || check_frames(&s) != 0)
        return NULL;
    if (s.groups != 1) {
        refuse("groups", s.groups, "1 for a gradient");
        return NULL;
    }
    if (arrays_open(a, specs, COUNT, objects) != 0) return NULL;
    if (array_expect(&a[X], times(times(s.batch, s.frames), s.in), "batch · frames · in") == 0 &&
        array_expect(&a[GIVEN], times(times(s.batch, s.out_frames), s.out),
                     "batch · out_frames · out") == 0 &&
        array_expect(&a[BY_WEIGHT], times(times(s.kernel, s.in), s.out), "kernel · in · out") ==
            0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = gradient_conv(a[X].data, a[GIVEN].data, a[BY_WEIGHT].data, &s);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, failed);
}

static PyObject *snake_gradient(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {{"x", FLOAT32, 0},
                                       {"alpha", FLOAT32, 0},
                                       {"given", FLOAT32, 0},
                                       {"by_x", FLOAT32, 1},
                                       {"by_alpha", FLOAT32, 1}};
    enum { X, ALPHA, GIVEN, BY_X, BY_ALPHA, COUNT };
    PyObject *o[COUNT];
    array a[COUNT];
    number channels = {"channels", 1, INT_MAX, 0};
    int failed = 0;
    if (!PyArg_ParseTuple(args, "OOOOOO&", &o[X], &o[ALPHA], &o[GIVEN], &o[BY_X], &o[BY_ALPHA],
                          read_number, &channels) ||
        arrays_open(a, specs, COUNT, o) != 0)
        return NULL;
    if (array_expect_rows(&a[X], channels.value) == 0 &&
        array_expect(&a[ALPHA], channels.value, "channels") == 0 &&
        array_expect(&a[BY_ALPHA], channels.value, "channels") == 0 &&
        array_expect(&a[GIVEN], a[X].size, "as many as x") == 0 &&
        array_expect(&a[BY_X], a[X].size, "as many as x") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        failed = gradient_snake(a[X].data, a[ALPHA].data, a[GIVEN].data, a[BY_X].data,
                                a[BY_ALPHA].data, a[X].size / channels.value, channels.value);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, COUNT, failed);
}

static PyObject *elementwise_gradient(PyObject *args,
                                      void compute(const float *, const float *, float *, long)) {
    static const array_spec specs[] = {
        {"x", FLOAT32, 0}, {"given", FLOAT32, 0}, {"by_x", FLOAT32, 1}};
    PyObject *objects[3];
    array a[3];
    if (!PyArg_ParseTuple(args, "OOO", &objects[0], &objects[1], &objects[2]) ||
        arrays_open(a, specs, 3, objects) != 0)
        return NULL;
    if (array_expect(&a[1], a[0].size, "as many as x") == 0 &&
        array_expect(&a[2], a[0].size, "as many as x") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        compute(a[0].data, a[1].data, a[2].data, a[0].size);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 3, 0);
}

static PyObject *gelu_gradient(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise_gradient(args, gradient_gelu);
}

static PyObject *silu_gradient(PyObject *self, PyObject *args) {
    (void)self;
    return elementwise_gradient(args, gradient_silu);
}

static PyObject *softmax_gradient(PyObject *self, PyObject *args) {
    (void)self;
    static const array_spec specs[] = {{"y", FLOAT32, 0}, {"given", FLOAT32, 1}};
    PyObject *objects[2];
    array a[2];
    number columns = {"columns", 1, INT_MAX, 0};
    if (!PyArg_ParseTuple(args, "OOO&", &objects[0], &objects[1], read_number, &columns) ||
        arrays_open(a, specs, 2, objects) != 0)
        return NULL;
    if (array_expect_rows(&a[0], columns.value) == 0 &&
        array_expect(&a[1], a[0].size, "as many as y") == 0) {
        Py_BEGIN_ALLOW_THREADS;
        gradient_softmax(a[0].data, a[1].data, a[0].size / columns.value, columns.value);
        Py_END_ALLOW_THREADS;
    }
    return arrays_finish(a, 2, 0);
}

PyMethodDef codec_methods[] = {
    {"snake", snake_, METH_VARARGS, "snake(x, alpha, y, channels)"},
    {"gelu", gelu_, METH_VARARGS, "gelu(x, y)"},
    {"silu", silu_, METH_VARARGS, "silu(x, y)"},
    {"softmax", softmax_, METH_VARARGS, "softmax(x, columns, queries), in place"},
    {"conv", conv, METH_VARARGS,
     "conv(x, weight, bias, y, (batch, frames, in, kernel, stride, padding, dilation, groups, "
     "out_frames, out))"},
    {"conv_transpose", conv_transpose, METH_VARARGS,
     "conv_transpose(x, weight, bias, y, sizes), sizes as for conv"},
    {"residual_unit", residual_unit_, METH_VARARGS,
     "residual_unit(x, alpha1, dilated, bias1, alpha2, pointwise, bias2, y, row, frames, channels, "
     "kernel, dilation)"},
    {"conv_gradient", conv_gradient, METH_VARARGS, "conv_gradient(x, given, by_weight, sizes)"},
    {"snake_gradient", snake_gradient, METH_VARARGS,
     "snake_gradient(x, alpha, given, by_x, by_alpha, channels)"},
    {"gelu_gradient", gelu_gradient, METH_VARARGS, "gelu_gradient(x, given, by_x)"},
    {"silu_gradient", silu_gradient, METH_VARARGS, "silu_gradient(x, given, by_x)"},
    {"softmax_gradient", softmax_gradient, METH_VARARGS,
     "softmax_gradient(y, given, columns), into given"},
    {NULL, NULL, 0, NULL},
};
